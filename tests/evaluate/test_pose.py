"""Head pose: official layouts, a planted pose recovered, folds that do not leak, bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from evaluate.stub import Corner, paint
from facecycle.errors import FaceCycleError
from facecycle.evaluate.datasets.pose import read_mats, read_pointing04, read_synthetic
from facecycle.evaluate.pose import _folds, measure
from facecycle.evaluate.tasks import Options


def landmarks() -> np.ndarray:
    """68 points whose crop is about the whole picture of 32 px."""
    points = np.full((68, 2), 16.0)
    points[36:42], points[42:48], points[30] = (11.0, 12.0), (21.0, 12.0), (16.0, 17.0)
    points[48], points[54] = (12.5, 22.0), (19.5, 22.0)
    return np.concatenate([points.T, np.zeros((1, 68))])


def aflw(root: Path, count: int = 60, planted: bool = True, seed: int = 0) -> Path:
    """Pictures whose colour is the pose (or nothing), with their .mat files; every tenth is beyond the limit."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        angles = rng.uniform(-60, 60, 3)
        if i % 10 == 9:
            angles[0] = 120
        colour = (angles + 130) / 260 if planted else rng.uniform(size=3)
        paint(root / f"image{i:05d}.png", tuple(colour), unlike=i)
        (root / f"image{i:05d}.png").rename(root / f"image{i:05d}.jpg")
        yaw, pitch, roll = np.radians(angles)
        savemat(root / f"image{i:05d}.mat", {"Pose_Para": [[pitch, yaw, roll, 0, 0, 0, 1]], "pt3d_68": landmarks()})
    return root


def test_a_planted_pose_is_recovered(tmp_path: Path) -> None:
    report = measure(Corner(), aflw(tmp_path), Options("aflw2000"))
    assert report.numbers["MAE"] < 1.5  # 8-bit colours, a little shrunk
    assert report.numbers["constant MAE"] > 20
    assert report.numbers["test pictures"] == 54
    assert report.numbers["test pictures unfiltered"] == 60
    assert report.numbers["MAE unfiltered"] < 3
    assert "consecutive fifths in file order" in report.protocol[0]
    assert "| 5 consecutive fifths |" in report.row()
    low, high = report.intervals["MAE yaw"]
    assert low < report.numbers["MAE yaw"] < high


def test_pictures_that_tell_nothing_give_the_constant(tmp_path: Path) -> None:
    report = measure(Corner(), aflw(tmp_path, planted=False), Options("aflw2000"))
    assert report.numbers["MAE"] == pytest.approx(report.numbers["constant MAE"], rel=0.15)


def test_another_set_to_fit_on_is_named(tmp_path: Path) -> None:
    test, train = aflw(tmp_path / "test", 20), aflw(tmp_path / "train", 60, seed=1)
    report = measure(Corner(), test, Options("aflw2000", train=f"300wlp:{train}"))
    assert report.task == "aflw2000 from 300wlp"
    assert report.trained_on == "300wlp"
    assert report.protocol[0].startswith("trained on 300wlp (60 pictures); tested on aflw2000 (20 pictures)")
    assert report.numbers["MAE"] < 2
    assert report.numbers["test pictures"] == 18
    with pytest.raises(FaceCycleError, match="write it as LAYOUT:PATH"):
        measure(Corner(), test, Options("aflw2000", train=str(train)))


def test_a_planted_leak_is_refused(tmp_path: Path) -> None:
    """One test picture lies in the train set too, under another name."""
    test, train = aflw(tmp_path / "test", 20), aflw(tmp_path / "train", 60, seed=1)
    (train / "image00003.jpg").write_bytes((test / "image00007.jpg").read_bytes())
    with pytest.raises(FaceCycleError, match=r"image00007\.jpg .*--train.*refused"):
        measure(Corner(), test, Options("aflw2000", train=f"300wlp:{train}"))


def test_angles_are_yaw_pitch_roll_in_degrees(tmp_path: Path) -> None:
    aflw(tmp_path, 1)
    savemat(tmp_path / "image00000.mat", {"Pose_Para": [[0.1, -0.5, 0.3, 0, 0, 0, 1]], "pt3d_68": landmarks()})
    np.testing.assert_allclose(read_mats(tmp_path).angles[0], np.degrees([-0.5, 0.1, 0.3]))


def test_bad_annotations_are_named(tmp_path: Path) -> None:
    aflw(tmp_path, 20)
    (tmp_path / "image00003.mat").write_bytes(b"not a mat file")
    (tmp_path / "image00004.mat").unlink()
    savemat(tmp_path / "image00005.mat", {"Pose_Para": [[np.nan, 0, 0]], "pt3d_68": landmarks()})
    savemat(tmp_path / "image00006.mat", {"pt3d_68": landmarks()})
    (tmp_path / "image00007.jpg").write_bytes(b"no picture")
    report = measure(Corner(), tmp_path, Options("aflw2000"))
    assert sorted(report.problems) == [f"image0000{i}.jpg" for i in (3, 4, 5, 6, 7)]
    assert report.problems["image00004.jpg"] == "image00004.mat: not there"
    assert report.problems["image00006.jpg"] == "image00006.mat: holds no Pose_Para"
    assert report.problems["image00007.jpg"].startswith("no picture")


def pointing(root: Path, person: int, number: int, tilt: int, pan: int, colour: tuple[float, float, float]) -> None:
    """One picture of Pointing'04 with its face box."""
    stem = root / f"Person{person:02d}" / f"person{person:02d}1{number:02d}{tilt:+d}{pan:+d}"
    paint(stem.with_suffix(".jpg"), colour, unlike=person)
    stem.with_suffix(".txt").write_text(f"{stem.name}.jpg\nFace\n16\n16\n18\n18\n")


def two_people(root: Path, pans: tuple[list[int], list[int]]) -> Path:
    """Two people with these yaws; all pictures are black, so that the probe can only say the mean it was fitted on."""
    for person, own in enumerate(pans, 1):
        for number, pan in enumerate(own):
            pointing(root, person, number, 0, pan, (0.0, 0.0, 0.0))
    return root


def test_pointing04_layout(tmp_path: Path) -> None:
    for person in range(1, 6):
        for i, (tilt, pan) in enumerate([(-30, 15), (0, -90), (60, 0), (15, -45)]):
            pointing(tmp_path, person, i, tilt, pan, ((pan + 100) / 200, (tilt + 100) / 200, 0.5))
    posed = read_pointing04(tmp_path)
    assert posed.names == ("yaw", "pitch")
    assert [15, -30] in posed.angles[:4].tolist()  # pan is yaw, tilt is pitch
    assert [-90, 0] in posed.angles[:4].tolist()
    report = measure(Corner(), tmp_path, Options("pointing04"))
    assert report.numbers["MAE"] < 5
    assert "by person" in report.protocol[0]


def test_the_interval_is_over_people_where_they_are_known(tmp_path: Path) -> None:
    """One person is told without error, the other with 30 degrees: of two people, a quarter of the draws hold one."""
    report = measure(Corner(), two_people(tmp_path, ([0] * 4, [-30, 30] * 4)), Options("pointing04"))
    for label in ("", " unfiltered"):
        assert report.numbers[f"MAE yaw{label}"] == pytest.approx(20)
        assert report.intervals[f"MAE yaw{label}"] == pytest.approx((0, 30))
        assert report.intervals[f"MAE{label}"] == pytest.approx((0, 15))


def test_the_constant_comes_from_the_other_folds(tmp_path: Path) -> None:
    report = measure(Corner(), two_people(tmp_path, ([0] * 4, [30] * 8)), Options("pointing04"))
    assert report.numbers["constant MAE yaw"] == pytest.approx(30)
    assert report.numbers["MAE yaw"] == pytest.approx(30)  # nothing else can be learnt of black pictures


def test_folds_keep_people_and_neighbours_together() -> None:
    people = np.array([f"p{i // 3}" for i in range(30)])
    for rows in _folds(people, 30):
        assert not set(people[rows]) & set(np.delete(people, rows))
    parts = _folds(np.array([""] * 23), 23)
    assert all(np.array_equal(rows, np.arange(rows[0], rows[-1] + 1)) for rows in parts)
    assert sorted(np.concatenate(parts)) == list(range(23))
    with pytest.raises(FaceCycleError, match="one person only"):
        _folds(np.array(["a"] * 9), 9)


@pytest.mark.parametrize("read", [read_mats, read_pointing04, read_synthetic])
def test_a_wrong_folder_says_what_was_expected_and_found(read, tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    with pytest.raises(FaceCycleError, match=r"expected .*found holiday/"):
        read(tmp_path)
