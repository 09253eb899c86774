"""Sets that are not quite as published: what is left out is named, and what would be no fair figure is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from evaluate.stub import Corner, paint
from evaluate.test_pose import aflw, landmarks, pointing
from facecycle.errors import FaceCycleError
from facecycle.evaluate import crossed, expression, pose
from facecycle.evaluate.datasets.expression import read_fer2013, read_folder
from facecycle.evaluate.datasets.pose import read_mats, read_pointing04
from facecycle.evaluate.datasets.verification import read_lfw, read_pairs
from facecycle.evaluate.disentanglement import measure as measure_disentanglement
from facecycle.evaluate.modularity import dci
from facecycle.evaluate.pose import blocks
from facecycle.evaluate.probe import Split
from facecycle.evaluate.tasks import Options, evaluate


def lay(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        paint(root / name, (number / len(names), 0.5, 0.5), unlike=number)
    return root


def test_two_folders_of_one_part_are_both_read_and_what_lies_elsewhere_is_named(tmp_path: Path) -> None:
    names = [f"{part}/{label}/{k}.png" for part in ("train", "training", "test") for label in "ab" for k in range(2)]
    lay(tmp_path, *names, "train/loose.png", "more/a/1.png", "test/.ipynb_checkpoints/x.png")
    labelled = read_folder(tmp_path)
    assert sorted(photo.name for photo in labelled.photos) == sorted(names)
    assert labelled.classes == ("a", "b")
    assert labelled.problems == {
        "train/loose.png": "in no folder of a class",
        "more": "no part: train, validation or test",
    }


def test_a_class_that_train_does_not_know_is_refused(tmp_path: Path) -> None:
    lay(tmp_path, "train/a/1.png", "train/b/2.png", "test/A/3.png", "test/b/4.png")
    with pytest.raises(FaceCycleError, match="A: in the test part, but not in train"):
        read_folder(tmp_path)


def test_fer2013_without_its_validation_part_carries_a_warning(tmp_path: Path) -> None:
    names = [f"{part}/{label}/{k}.png" for part in ("train", "test") for label in ("happy", "sad") for k in range(12)]
    report = expression.measure(Corner(), lay(tmp_path, *names), Options("fer2013"))
    assert "test may be PublicTest and PrivateTest together" in report.warnings[0]
    lay(tmp_path, *names, *(name.replace("test", "validation") for name in names if "test" in name))
    assert read_fer2013(tmp_path).warning == ""


def test_a_test_part_drawn_here_is_said_to_be(tmp_path: Path) -> None:
    names = [f"{label}/{k}.png" for label in "ab" for k in range(30)]
    report = expression.measure(Corner(), lay(tmp_path, *names), Options("folder", seed=3))
    assert "test is a random fifth (seed 3)" in report.protocol[1]
    lay(tmp_path / "few", "a/1.png", "a/2.png", "b/3.png", "b/4.png")
    few = expression.measure(Corner(), tmp_path / "few", Options("folder"))
    assert "validation accuracy" not in few.numbers
    assert "C chosen on nothing, too few pictures: 1" in few.protocol[1]


@pytest.mark.parametrize("harm", ["flipped", "far", "flat"])
def test_a_damaged_mat_costs_only_its_picture(tmp_path: Path, harm: str) -> None:
    aflw(tmp_path, 6)
    file, values = tmp_path / "image00002.mat", {"Pose_Para": [[0.1, 0.2, 0.3]], "pt3d_68": landmarks()}
    savemat(file, values, do_compression=True)
    if harm == "flipped":
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 0xFF
        file.write_bytes(data)
    elif harm == "far":
        savemat(file, {**values, "pt3d_68": landmarks() * 1e9})
    else:
        savemat(file, {**values, "pt3d_68": np.zeros((3, 68, 2))})
    posed = read_mats(tmp_path)
    assert list(posed.problems) == ["image00002.jpg"]
    assert len(posed.photos) == 5


def test_a_box_that_is_no_number_and_a_name_without_angles_are_named(tmp_path: Path) -> None:
    for number, pan in enumerate((-30, 0, 30)):
        pointing(tmp_path, 1, number, 0, pan, (0.5, 0.5, 0.5))
    (tmp_path / "Person01/person01101+0+0.txt").write_text("x\nFace\n16\n16\nnan\n18\n")
    paint(tmp_path / "Person01/holiday.jpg", (0.1, 0.2, 0.3))
    posed = read_pointing04(tmp_path)
    assert posed.problems["Person01/holiday.jpg"] == "its name tells no angles"
    assert "nan x 18" in posed.problems["Person01/person01101+0+0.jpg"]
    assert len(posed.photos) == 2


def test_300wlp_is_not_measured_on_folds_of_itself(tmp_path: Path) -> None:
    with pytest.raises(FaceCycleError, match="mirror images of the same photographs"):
        pose.measure(Corner(), aflw(tmp_path, 20), Options("300wlp"))


def test_where_people_are_unknown_neighbours_are_drawn_together(tmp_path: Path) -> None:
    for count, size in ((5000, 100), (1969, 98), (45, 2), (7, 1)):
        assert np.bincount(blocks(count)).max() == size
    # Pictures whose errors come in runs: drawn one by one, they would look far surer than they are.
    colours = np.repeat(np.random.default_rng(1).uniform(size=40), 10)
    errors = pose.Errors(np.repeat(colours[:, None], 3, 1), np.zeros((400, 3)), blocks(400).astype(str))
    widths = []
    for groups in (errors.groups, np.arange(400).astype(str)):
        numbers, intervals = {}, {}
        pose._summarise(replace(errors, groups=groups), ("yaw", "pitch", "roll"), "", numbers, intervals, 0)
        widths.append(np.ptp(intervals["MAE"]))
    assert widths[0] > 2 * widths[1]


def test_an_empty_list_of_pairs_and_a_blank_fold_are_refused(tmp_path: Path) -> None:
    lay(tmp_path, "lfw/a/a_0001.jpg")
    (tmp_path / "pairs.txt").write_text("")
    with pytest.raises(FaceCycleError, match="0 pairs, its first line ''"):
        read_lfw(tmp_path)
    (tmp_path / "pairs.csv").write_text("first,second,same,fold\na.png,b.png,1,\n")
    with pytest.raises(FaceCycleError, match="line 2: same='1', fold=''"):
        read_pairs(tmp_path)


def test_a_code_of_one_dimension_has_a_completeness() -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 2, (60, 2))
    rows = np.arange(60)
    found = dci(levels[:, :1] + 0.01 * rng.normal(size=(60, 1)), levels, Split(rows[:40], rows[40:50], rows[50:]))
    assert all(np.isfinite(value) for value in found.values())


def test_a_layer_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FaceCycleError, match="--layer nonsense: corner has features"):
        measure_disentanglement(Corner(), None, Options("disentanglement", layer="nonsense"))


def test_kept_crossed_faces_follow_the_generator_and_their_damage_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draws(shade: int):
        return lambda key, size: iter(np.full((63, size, size, 3), shade, np.uint8))

    monkeypatch.setattr(crossed, "_person_frames", draws(9))
    first = crossed.draw_crossed(1, 4, cache=tmp_path)
    monkeypatch.setattr(crossed, "_person_frames", draws(10))
    second = crossed.draw_crossed(1, 4, cache=tmp_path)
    assert first.checksum != second.checksum
    assert (first.pictures.max(), second.pictures.max()) == (9, 10)
    for file in tmp_path.iterdir():
        file.write_bytes(b"PK damaged")
    with pytest.raises(FaceCycleError, match="kept faces are damaged"):
        crossed.draw_crossed(1, 4, cache=tmp_path)


def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises((FileExistsError, NotADirectoryError)):
        evaluate("pixels", "folder", lay(tmp_path / "set", "a/1.png", "b/2.png"), tmp_path / "out/deeper")
