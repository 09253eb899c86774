"""Expression: official layouts, known right answers, copies, bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from evaluate.stub import Corner, paint
from facecycle.errors import FaceCycleError
from facecycle.evaluate.datasets.expression import read_fer2013, read_folder, read_rafdb
from facecycle.evaluate.expression import measure, repeated, split_rows, summarise
from facecycle.evaluate.tasks import Options

COLOURS = [(0.1, 0.2, 0.9), (0.9, 0.1, 0.2), (0.2, 0.9, 0.1)]


def class_folders(root: Path, each: int = 12, shuffled: bool = False, copies: int = 0) -> Path:
    """Three classes of one colour each; with ``shuffled`` the colour says nothing about the class."""
    rng, number = np.random.default_rng(0), 0
    for part in ("train", "validation", "test"):
        for label in range(3):
            for i in range(each):
                number += 1
                colour = COLOURS[rng.integers(3) if shuffled else label]
                paint(root / part / f"class{label}" / f"{i:03d}.png", colour, unlike=number)
    for i in range(copies):
        source = root / "train" / "class0" / f"{i:03d}.png"
        (root / "test" / "class0" / f"copy{i}.png").write_bytes(source.read_bytes())
    return root


def fer_csv(root: Path, count: int = 90) -> Path:
    rng = np.random.default_rng(0)
    with (root / "fer2013.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["emotion", "pixels", "Usage"])
        for i in range(count):
            grey = np.full(48 * 48, 30 * (i % 7)) + rng.integers(0, 3, 48 * 48)
            usage = ("Training", "PublicTest", "PrivateTest")[i // 7 % 3]
            writer.writerow([i % 7, " ".join(map(str, grey)), usage])
    return root


def test_perfect_codes_give_everything_and_shuffled_labels_chance(tmp_path: Path) -> None:
    report = measure(Corner(), class_folders(tmp_path / "sets"), Options("folder", crop="fixed"))
    assert report.numbers["accuracy"] == 100
    assert report.numbers["mean class accuracy"] == 100
    assert np.trace(report.details["confusion"]) == 36
    shuffled = measure(Corner(), class_folders(tmp_path / "mixed", 40, True), Options("folder", crop="fixed"))
    low, high = shuffled.intervals["accuracy"]
    assert low < 100 / 3 < high
    assert shuffled.numbers["accuracy"] < 50


def test_copies_of_fitted_pictures_are_found_and_left_out(tmp_path: Path) -> None:
    root = class_folders(tmp_path, copies=5)
    labelled = read_folder(root)
    split, _ = split_rows(labelled, np.ones(len(labelled.photos), bool), 0)
    names = {labelled.photos[row].name for row in repeated(labelled.photos, split)}
    assert names == {f"test/class0/copy{i}.png" for i in range(5)}
    report = measure(Corner(), root, Options("folder", crop="fixed"))
    assert report.numbers["copies of train or validation"] == 5
    assert report.numbers["test pictures"] == 41


def test_each_accuracy_counts_the_pictures_it_names(tmp_path: Path) -> None:
    """Of the first class all are right, 5 of 17 as copies; of the second all 12 wrong; of the third 4 are there."""
    root = class_folders(tmp_path, copies=5)
    for i in range(12):
        paint(root / "test" / "class1" / f"{i:03d}.png", COLOURS[0], unlike=1000 + i)
    for i in range(4, 12):
        (root / "test" / "class2" / f"{i:03d}.png").unlink()
    report = measure(Corner(), root, Options("folder", crop="fixed"))
    assert report.numbers["accuracy"] == pytest.approx(100 * 21 / 33)
    assert report.numbers["mean class accuracy"] == pytest.approx(100 * 2 / 3)
    assert report.numbers["accuracy without copies"] == pytest.approx(100 * 16 / 28)


def test_intervals_draw_the_pictures_that_their_figures_count() -> None:
    """Everything of the large class is right and a copy, nothing of the small one is."""
    truth = np.repeat([0, 1], [12, 8])
    numbers, intervals = summarise(truth, np.zeros(20, int), truth == 0, 2, 0)
    assert numbers["accuracy"] == 60
    assert numbers["mean class accuracy"] == 50
    assert numbers["accuracy without copies"] == 0
    assert intervals["mean class accuracy"] == (50, 50)
    assert intervals["accuracy without copies"] == (0, 0)


def test_fer_csv_and_folders_say_the_same(tmp_path: Path) -> None:
    labelled = read_fer2013(fer_csv(tmp_path))
    assert [np.count_nonzero(labelled.parts == part) for part in ("train", "validation", "test")] == [34, 28, 28]
    assert labelled.classes[labelled.labels[3]] == "happy"
    report = measure(Corner(size=64), tmp_path, Options("fer2013"))
    assert report.numbers["accuracy"] == 100  # the grey value is the class
    assert report.task == "fer2013"
    folders = read_fer2013(class_folders(tmp_path / "folders"))
    assert len(folders.photos) == 108


def test_rafdb_layouts(tmp_path: Path) -> None:
    official = tmp_path / "official" / "basic"
    lines = []
    for part, count in (("train", 20), ("test", 8)):
        for i in range(count):
            paint(official / "Image" / "aligned" / f"{part}_{i:05d}_aligned.jpg", COLOURS[i % 2], unlike=i)
            lines.append(f"{part}_{i:05d}.jpg {i % 2 + 1}")
    (official / "EmoLabel").mkdir()
    (official / "EmoLabel" / "list_patition_label.txt").write_text("\n".join([*lines, "test_99999.jpg 3", "x.jpg 3"]))
    labelled = read_rafdb(tmp_path / "official")
    assert len(labelled.photos) == 28
    assert set(labelled.problems.values()) == {"listed, but not there", "part 'x.jpg': expected train or test"}
    report = measure(Corner(), tmp_path / "official", Options("rafdb"))
    assert report.numbers["accuracy"] == 100
    assert len(report.problems) == 2

    other = tmp_path / "csv"
    for part in ("train", "test"):
        rows = ["image,label"]
        for i in range(10):
            paint(other / "DATASET" / part / str(i % 2 + 4) / f"{i}.jpg", COLOURS[i % 2])
            rows.append(f"{i}.jpg,{i % 2 + 4}")
        (other / f"{part}_labels.csv").write_text("\n".join(rows))
    assert sorted(set(read_rafdb(other).labels)) == [3, 4]
    (other / "test_labels.csv").write_text("image,label\n0.jpg,8\n")
    with pytest.raises(FaceCycleError, match="label '8'"):
        read_rafdb(other)
    (other / "test_labels.csv").write_text("image,label\n0.jpg\n")
    with pytest.raises(FaceCycleError, match="label ''"):
        read_rafdb(other)
    (other / "test_labels.csv").unlink()
    with pytest.raises(FaceCycleError, match=r"expected .*test_labels\.csv"):
        read_rafdb(other)


def test_plain_class_folders_are_split_by_the_seed(tmp_path: Path) -> None:
    for label in range(2):
        for i in range(20):
            paint(tmp_path / f"class{label}" / f"{i}.png", COLOURS[label], unlike=i)
    labelled = read_folder(tmp_path)
    splits = [split_rows(labelled, np.ones(40, bool), seed)[0] for seed in (0, 0, 1)]
    assert np.array_equal(splits[0].test, splits[1].test)
    assert not np.array_equal(splits[0].test, splits[2].test)
    assert len(splits[0].test) == 8


def test_bad_pictures_are_named_and_left_out(tmp_path: Path) -> None:
    root = class_folders(tmp_path)
    (root / "test" / "class1" / "torn.png").write_bytes(b"\x89PNG not really")
    report = measure(Corner(), root, Options("folder", crop="fixed"))
    assert list(report.problems) == ["test/class1/torn.png"]
    assert report.numbers["test pictures"] == 36
    report.write(tmp_path / "out")
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["problems"] == report.problems
    assert (tmp_path / "out" / "confusion.png").stat().st_size > 1000


@pytest.mark.parametrize("read", [read_fer2013, read_rafdb, read_folder])
def test_a_wrong_folder_says_what_was_expected_and_found(read, tmp_path: Path) -> None:
    paint(tmp_path / "holiday" / "beach.jpg", COLOURS[0])
    with pytest.raises(FaceCycleError, match=r"expected .*found holiday/"):
        read(tmp_path)


def test_labels_out_of_range_are_refused_and_cut_rows_named(tmp_path: Path) -> None:
    fer_csv(tmp_path)
    whole = (tmp_path / "fer2013.csv").read_text()
    (tmp_path / "fer2013.csv").write_text(whole + "1,1 2 3,PublicTest\n3\n")
    labelled = read_fer2013(tmp_path)
    assert len(labelled.photos) == 90
    assert list(labelled.problems) == ["row 90", "row 91"]
    for emotion in ("9", "-1", "happy"):
        (tmp_path / "fer2013.csv").write_text(whole + f"{emotion}," + " ".join(["1"] * 2304) + ",Training\n")
        with pytest.raises(FaceCycleError, match=rf"line 92: emotion '{emotion}': expected 0 to 6"):
            read_fer2013(tmp_path)


def test_nan_features_and_one_class_are_refused(tmp_path: Path) -> None:
    root = class_folders(tmp_path)
    with pytest.raises(FaceCycleError, match="not finite"):
        measure(Corner(broken=True), root, Options("folder", crop="fixed"))
    for file in [*(root / "train" / "class1").iterdir(), *(root / "train" / "class2").iterdir()]:
        file.write_bytes(b"torn")
    with pytest.raises(FaceCycleError, match=rf"{root}: .*one class only"):
        measure(Corner(), root, Options("folder", crop="fixed"))
