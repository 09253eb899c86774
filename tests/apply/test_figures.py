"""Figures show a sample that is spread evenly over all that was seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facecycle.apply.embed import Codes
from facecycle.apply.faces import OK, PictureFace
from facecycle.apply.figures import Sample, draw_figure

RED, GREEN = np.zeros((2, 4, 4, 3), np.uint8)
RED[..., 0] = GREEN[..., 1] = 255


def add(sample: Sample, numbers: list[int], crops: list[np.ndarray | None]) -> None:
    """A batch of photos, each with its number as its name and code."""
    names, box = [str(number) for number in numbers], np.full(4, np.nan)
    codes = np.array(numbers, float)[:, None] * [1.0, 0.0]
    bare = np.full((len(names), 4), np.nan)
    faces = [
        PictureFace(name, "no face" if crop is None else OK, crop, box) for name, crop in zip(names, crops, strict=True)
    ]
    sample.add(Codes(names, [face.status for face in faces], codes, codes, codes, bare, bare[:, 0]), faces)


@given(st.integers(0, 300), st.integers(1, 20).map(lambda half: 2 * half), st.integers(1, 50), st.integers(2, 9))
@settings(deadline=None)
def test_what_is_kept_of_a_stream_is_evenly_spread_over_it(seen: int, most: int, batch: int, bad: int) -> None:
    sample, numbers = Sample(most), list(range(seen))
    for start in range(0, seen, batch):
        part = numbers[start : start + batch]
        add(sample, part, [None if number % bad == 0 else RED for number in part])
    good = [number for number in numbers if number % bad]
    stride = 1
    while len(good[::stride]) >= most:  # halved whenever it is full
        stride *= 2
    assert [int(row[0]) for row in sample.rows] == good[::stride]
    if sample.rows:
        np.testing.assert_array_equal(sample.codes("motion")[:, 0], good[::stride])


def test_a_map_shows_faces_from_all_over_it(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    sample = Sample()
    add(sample, list(range(400)), [RED] * 200 + [GREEN] * 200)
    draw_figure(sample, tmp_path / "map.png", "map")
    with Image.open(tmp_path / "map.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    red, green = ((pixels == crop[0, 0]).all(2).sum() for crop in (RED, GREEN))
    assert 0.8 < red / green < 1.25
