"""Detectors: real faces are found and well framed; what is missing is named."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facecycle.data import detect
from facecycle.data.detect import Face, build_detector, download_yunet, find_yunet, main_face
from facecycle.data.pictures import read_picture
from facecycle.errors import FaceCycleError

from .media import REAL, needs_real_faces, scene


@needs_real_faces
@pytest.mark.parametrize("folder", ["london/neutral_front", "london/smiling_front"])
def test_every_face_of_the_london_set_is_found_once_and_framed(folder: str) -> None:
    detector = build_detector()
    for file in sorted((REAL / folder).glob("*.jpg")):
        picture = read_picture(file)
        (face,) = detector(picture)
        crop = face.crop()
        # The sitters fill the picture: forehead to chin is about half of it, its middle right above the centre.
        assert abs(crop.x / picture.shape[1] - 0.5) < 0.06
        assert 0.42 < crop.side / picture.shape[0] < 0.85
        left, right, nose, *mouth = face.landmarks
        assert left[0] < nose[0] < right[0]
        assert mouth[0][0] < mouth[1][0]
        assert max(left[1], right[1]) < nose[1] < min(mouth[0][1], mouth[1][1])


@needs_real_faces
def test_faces_at_most_poses_are_found() -> None:
    detector = build_detector()
    files = sorted((REAL / "pointing04").glob("*/*.jpg"))[::9]
    assert sum(bool(detector(read_picture(file))) for file in files) >= 0.97 * len(files)


@needs_real_faces
def test_an_8k_picture_gives_the_same_face_in_its_own_pixels() -> None:
    small = scene([(3, 200, 20)])
    large = np.asarray(Image.fromarray(small).resize((7680, 4320), Image.Resampling.BICUBIC))
    detector = build_detector()
    a, b = detector(small)[0].crop(), detector(large)[0].crop()
    assert abs(b.side / 12 - a.side) < 0.1 * a.side
    assert np.hypot(b.x / 12 - a.x, b.y / 12 - a.y) < 0.05 * a.side


def test_a_whole_picture_is_one_face() -> None:
    (face,) = build_detector("none")(np.zeros((60, 80, 3), np.uint8))
    crop = face.crop()
    assert (crop.x, crop.y, crop.side) == (40, 30, 60)


def test_the_main_face_is_large_and_central() -> None:
    def face(x: float, y: float, side: float) -> Face:
        return Face(np.array([x, y, side, side], float), np.full((5, 2), np.nan), 1.0)

    small, corner, central = face(300, 150, 20), face(0, 0, 110), face(260, 120, 100)
    assert main_face([small, corner, central], 640, 360) is central


@pytest.mark.parametrize("first", [0, 1])
def test_a_small_face_in_the_very_middle_is_a_bystander(first: int) -> None:
    faces = [
        Face(np.array(box, float), np.full((5, 2), np.nan), 1.0) for box in ([310, 170, 20, 20], [200, 60, 99, 99])
    ]
    assert main_face([faces[first], faces[1 - first]], 640, 360) is faces[1]


def test_no_face_gives_an_empty_list() -> None:
    assert build_detector()(np.full((120, 160, 3), 90, np.uint8)) == []


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(FaceCycleError, match="choose from yunet, none"):
        build_detector("haar")
    with pytest.raises(FaceCycleError, match=r"nothing\.onnx: no such file"):
        build_detector(weights=str(tmp_path / "nothing.onnx"))
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(FaceCycleError, match="no YuNet weights"):
        build_detector(weights=str(tmp_path / "junk.onnx"))


def test_a_download_is_kept_only_if_it_is_what_was_published(tmp_path: Path) -> None:
    published = find_yunet()
    assert hashlib.sha256(published.read_bytes()).hexdigest() == detect.YUNET_SHA256
    kept = download_yunet(published.as_uri(), tmp_path / "cache")
    assert kept.read_bytes() == published.read_bytes()
    assert download_yunet("file:///nowhere", tmp_path / "cache") == kept  # there already
    (tmp_path / "other").write_bytes(b"other")
    with pytest.raises(FaceCycleError, match="checksum"):
        download_yunet((tmp_path / "other").as_uri(), tmp_path / "new")
    with pytest.raises(FaceCycleError, match="fetch it by hand"):
        download_yunet("file:///nowhere", tmp_path / "new")
