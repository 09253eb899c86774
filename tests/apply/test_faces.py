"""From pictures to crops: a cut ends the smoothing over a video, and the smallest face that is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.media import write_video
from facecycle.apply.faces import OK, FaceReader
from facecycle.synthetic.stream import SyntheticFaces

SIZE = 32


def test_after_a_cut_a_video_is_cropped_as_if_it_began_there(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    stream = SyntheticFaces(2, 1, 6, 160, margin=1.0, seed=3)
    one, other = ([np.ascontiguousarray(x.transpose(1, 2, 0)) for x in stream[0, who]] for who in (0, 1))
    aside = [np.roll(x, 20, 1) for x in other]  # but still where the face before the cut was
    rows = list(FaceReader(write_video(tmp_path / "cut.mp4", one + aside), SIZE, whole=True))
    assert [row.status for row in rows] == [OK] * 12
    photos = [next(iter(FaceReader(row.picture, SIZE))).square for row in rows]
    alike = [row.square == photo for row, photo in zip(rows, photos, strict=True)]
    assert alike == [True, *[False] * 5] * 2  # of each scene all but the first are smoothed


@pytest.mark.parametrize("long", [16, 40])
def test_a_face_is_taken_from_sixteen_pixels_of_its_shorter_side(long: int) -> None:
    shapes = [(short, long)[::turn] for short in (16, 15, 8) for turn in (1, -1)]
    rows = list(FaceReader([np.full((*shape, 3), 90, np.uint8) for shape in shapes], SIZE, cropped=True))
    small = [f"face too small: {short} px, at least 16 are needed" for short in (15, 15, 8, 8)]
    assert [row.status for row in rows] == [OK, OK, *small]
    assert [row.crop is None for row in rows] == [False, False, True, True, True, True]
