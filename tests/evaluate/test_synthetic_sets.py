"""Every official layout, drawn by the synthetic generator: perfect codes give everything, empty ones chance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evaluate import sets
from facecycle.evaluate import expression, pose, verification
from facecycle.evaluate.baselines import open_baseline
from facecycle.evaluate.datasets import expression as expressions
from facecycle.evaluate.datasets import pose as poses
from facecycle.evaluate.datasets import verification as pairs_of
from facecycle.evaluate.tasks import Options
from facecycle.synthetic.write import synth

EMOTIONS = list(sets.EMOTIONS)
MATS = {
    "aflw2000": lambda root: sets.mats(root),
    "300wlp": lambda root: sets.mats(root, "pt2d", "AFW/"),
    "pointing04": sets.pointing04,
}


def empty_codes(count: int) -> np.ndarray:
    """They say nothing of a picture, but are wide enough to know all that were fitted again."""
    return np.random.default_rng(0).normal(size=(count, 64))


@pytest.mark.parametrize(
    ("task", "write", "called"),
    [
        ("fer2013", sets.fer_csv, sets.FER),
        ("fer2013", sets.fer_folders, sets.FER),
        ("rafdb", sets.raf_basic, sets.RAF),
        ("rafdb", sets.raf_csv, sets.RAF),
        ("folder", sets.fer_folders, sets.FER),
    ],
)
def test_expression_layouts(task: str, write: Callable, called: dict[str, str], tmp_path: Path) -> None:
    drawn = write(tmp_path)
    labelled = expressions.READERS[task](tmp_path)
    truth = [drawn[photo.name] for photo in labelled.photos]
    assert len(truth) == sets.PEOPLE * sets.EACH
    names = [labelled.classes[label] for label in labelled.labels]
    assert names == [called.get(face.emotion, face.emotion) for face in truth]
    perfect = np.eye(len(EMOTIONS))[[EMOTIONS.index(face.emotion) for face in truth]]
    report = expression.measure(sets.Knowing(labelled.photos, perfect), tmp_path, Options(task))
    assert report.numbers["accuracy"] == report.numbers["mean class accuracy"] == 100
    assert report.numbers["test pictures"] == 14
    empty = expression.measure(sets.Knowing(labelled.photos, empty_codes(len(truth))), tmp_path, Options(task))
    assert empty.intervals["accuracy"][0] <= 100 / 7  # no better than chance


@pytest.mark.parametrize("task", MATS)
def test_pose_layouts(task: str, tmp_path: Path) -> None:
    drawn = MATS[task](tmp_path)
    posed = poses.READERS[task](tmp_path)
    truth = np.array([drawn[photo.name].pose for photo in posed.photos])
    np.testing.assert_allclose(posed.angles, truth[:, : len(posed.names)], atol=1e-6)
    options = Options("aflw2000" if task == "300wlp" else task)  # folds of 300W-LP are refused: its views would leak
    report = pose.measure(sets.Knowing(posed.photos, truth), tmp_path, options)
    assert report.numbers["MAE"] < 0.1 * report.numbers["constant MAE"]
    hog = open_baseline("hog")
    assert hog is not None
    seen = pose.measure(hog, tmp_path, options)
    assert seen.numbers["MAE yaw"] < 0.8 * seen.numbers["constant MAE yaw"]


def test_neutral_faces_of_a_face_set_are_not_measured(tmp_path: Path) -> None:
    synth(tmp_path / "faces", people=2, clips=1, frames=2, neutral=True)
    posed = poses.read_synthetic(tmp_path / "faces")
    assert len(posed.photos) == len(posed.angles) == len(posed.groups) == 4
    assert not (posed.angles == 0).all(1).any()


@pytest.mark.parametrize(("task", "write"), [("lfw", sets.lfw), ("cplfw", sets.cplfw)])
def test_verification_layouts(task: str, write: Callable, tmp_path: Path) -> None:
    drawn = write(tmp_path)
    pairs = pairs_of.READERS[task](tmp_path)
    who = np.array([drawn[photo.name].who for photo in pairs.photos])
    assert np.array_equal(pairs.same, who[pairs.first] == who[pairs.second])
    perfect = np.eye(sets.PEOPLE)[who]
    report = verification.measure(sets.Knowing(pairs.photos, perfect), tmp_path, Options(task))
    for name in ("accuracy", "AUC", "TAR at FAR 0.01", "TAR at FAR 0.001"):
        assert report.numbers[name] == pytest.approx(100)
    assert report.numbers["EER"] == pytest.approx(0)
    assert report.details["faces not found, whole picture used"] < len(pairs.photos) / 2
    empty = verification.measure(sets.Knowing(pairs.photos, empty_codes(len(who))), tmp_path, Options(task))
    low, high = empty.intervals["AUC"]
    assert low < 50 < high
