"""Generation: the truth itself has no error, the truths belong together, judges see what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float, UInt8

from evaluate import stub
from facecycle.apply.torch_networks import to_tensor
from facecycle.errors import FaceCycleError
from facecycle.evaluate import generation
from facecycle.evaluate.baselines import open_baseline
from facecycle.evaluate.features import CodeSource
from facecycle.evaluate.generation import (
    FRAMES,
    compare_pictures,
    flow_errors,
    identity_rows,
    measure,
    pose_errors,
    summarise,
)
from facecycle.evaluate.judges import PoseJudge, Recogniser, find_sface
from facecycle.evaluate.rendered import Rendered, render
from facecycle.evaluate.report import Report
from facecycle.evaluate.tasks import Options
from facecycle.model.flow import FlowPair
from facecycle.model.warp import warp
from tiny import tiny_networks

SIZE = 64
FACES = 2 * FRAMES


@pytest.fixture(scope="module")
def truth() -> Rendered:
    return render(3, FRAMES, SIZE, seed=1)


def test_truths_belong_together(truth: Rendered) -> None:
    frontal = truth.frontal.reshape(3, FRAMES, SIZE, SIZE, 3).astype(float)
    within = np.abs(frontal[:, 0] - frontal[:, 1]).mean()
    between = np.abs(frontal[0] - frontal[1]).mean()
    assert within < 0.5 * between  # only the camera sways within a clip
    assert (truth.person[truth.driver] != truth.person).all()
    assert truth.visible.mean() > 0.2


def test_a_transferred_expression_keeps_the_pose(truth: Rendered) -> None:
    """Of the two truths in another's expression, the one in the own pose lies closer to the face without expression."""
    own, other = (np.abs(x.astype(float) - truth.neutral).mean() for x in (truth.expressed, truth.moved))
    assert 0 < own < 0.7 * other


def test_the_true_flow_takes_the_face_to_its_frontal_render(truth: Rendered) -> None:
    moved = warp(to_tensor(truth.face), torch.from_numpy(truth.flow))
    seen = torch.from_numpy(truth.visible)[:, None]
    error = ((moved - to_tensor(truth.frontal)).abs() * seen).sum() / (3 * seen.sum())
    still = ((to_tensor(truth.face) - to_tensor(truth.frontal)).abs() * seen).sum() / (3 * seen.sum())
    assert error < 0.75 * still  # not 0: noise, shading that turns with the head, half-seen pixels


def test_a_perfect_generator_has_no_error(truth: Rendered) -> None:
    rows = compare_pictures(truth.frontal, truth.frontal, "frontal")
    assert rows["frontal L1"].max() == 0
    assert rows["frontal SSIM"].min() == pytest.approx(1, abs=1e-4)
    assert rows["frontal PSNR"].min() > 70
    worse = compare_pictures(truth.face, truth.frontal, "frontal")
    assert worse["frontal L1"].mean() > 0.02
    assert worse["frontal SSIM"].mean() < 0.9


def test_a_perfect_flow_has_no_error(truth: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    perfect = FlowPair(torch.from_numpy(truth.flow), torch.zeros(len(truth.flow), 2, SIZE, SIZE))
    monkeypatch.setattr(generation.transform, "flows", lambda networks, face: perfect)
    rows = flow_errors(tiny_networks(), truth)
    assert rows["flow error px"].max() < 1e-5
    assert rows["flow error px, no flow"].mean() > 0.5


def test_the_judge_of_pose_tells_frontal_from_turned(truth: Rendered) -> None:
    judge = PoseJudge(people=20, frames=6, size=SIZE)
    turned, frontal = np.abs(judge(truth.face))[:, 0].mean(), np.abs(judge(truth.frontal))[:, 0].mean()
    assert frontal < 12
    assert turned > frontal


def test_the_recogniser_knows_the_person_again(truth: Rendered) -> None:
    file = find_sface()
    if file is None:
        pytest.skip("SFace's file is not installed: pip install 'facecycle[faces]'")
    judge = Recogniser(file)
    codes = [
        judge.code(truth.frontal[FRAMES * who + k], truth.frontal[FRAMES * who + k]) for who in (0, 1) for k in (0, 1)
    ]
    found = [code for code in codes if code is not None]
    assert len(found) == 4
    assert found[0] @ found[1] > found[0] @ found[2] + 0.1
    assert judge.code(np.full((SIZE, SIZE, 3), 90, np.uint8)) is None


def test_a_whole_report_of_untrained_networks_says_how_bad_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from facecycle.config import ModelConfig

    model = ModelConfig(64, 16, False, 0.125, 0.125, "velocity", 0.125, 1, 8, False, 1)
    source = CodeSource(tiny_networks(model=model), 64, "untrained")
    monkeypatch.setattr(generation, "PoseJudge", lambda size: PoseJudge(12, 4, size))
    report = measure(source, None, Options("generation"), people=2)
    assert report.numbers["frontal L1"] > report.numbers["frontal, input copied L1"]
    assert report.numbers["flow cycle px"] < 0.05
    measured = "frontal LPIPS" in report.numbers
    assert measured != any("LPIPS" in note for note in report.warnings)  # measured, or said why not
    assert report.dimensions == 16
    for name in ("frontal", "neutral", "expression transferred", "reenacted", "self-reenacted"):
        for measure_name in ("L1", "PSNR", "SSIM"):
            assert {f"{name} {measure_name}", f"{name}, input copied {measure_name}"} <= set(report.numbers)
    assert {"frontal at 256 px SSIM", "neutral at 256 px, enlarged L1", "reenacted at 256 px L1"} <= set(report.numbers)
    agreeing = {"frontal faces of a clip apart, L1", "mean faces of two people apart, L1", "similarity by own code"}
    assert agreeing | {"residual yaw", "flow error px"} <= set(report.numbers)


def plain(*colour: int) -> UInt8[np.ndarray, "n s s 3"]:
    """Two people's frames, all of one colour."""
    return np.broadcast_to(np.array(colour, np.uint8), (FACES, stub.SIZE, stub.SIZE, 3)).copy()


@pytest.fixture
def painted() -> Rendered:
    """Another colour for each truth; the face of the second person is brighter, and each frame a little."""
    face, still = plain(60, 10, 10), np.zeros((FACES, 2, stub.SIZE, stub.SIZE))
    face += (100 * (np.arange(FACES) // FRAMES) + 5 * (np.arange(FACES) % FRAMES))[:, None, None, None].astype(np.uint8)
    truths = [plain(*colour) for colour in ((20, 90, 20), (20, 20, 90), (90, 90, 20), (20, 90, 90))]
    person = np.repeat([0, 1], FRAMES)
    return Rendered(face, *truths, np.roll(np.arange(FACES), FRAMES), still, still[:, 0] == 0, person)


class CornerPose(PoseJudge):
    """Reads the three angles from a picture's corner, 100 for none."""

    def __init__(self) -> None:
        pass

    def __call__(self, pictures: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "n 3"]:
        return pictures[:, 0, 0] - 100.0


def tiny_source(monkeypatch: pytest.MonkeyPatch) -> CodeSource:
    """A source, beside a recogniser that sees the colours."""
    monkeypatch.setattr(generation, "find_sface", lambda: Path("sface"))
    monkeypatch.setattr(generation, "Recogniser", stub.MiddleJudge)
    return CodeSource(tiny_networks(), stub.SIZE, "untrained")


def perfect_report(painted: Rendered, monkeypatch: pytest.MonkeyPatch) -> Report:
    """Of networks that make the truth of everything."""
    made = {"frontal": painted.frontal, "neutral": painted.neutral, "expression transferred": painted.expressed}
    made |= {"reenacted": painted.moved, "self-reenacted": painted.face, "mean face": painted.frontal}
    monkeypatch.setattr(generation, "render", lambda *_: painted)
    monkeypatch.setattr(generation, "make", lambda *_: made)
    monkeypatch.setattr(generation, "make_large", lambda *_: {})
    monkeypatch.setattr(generation, "PoseJudge", lambda size: CornerPose())
    monkeypatch.setattr(generation, "find_lpips", lambda: None)
    return measure(tiny_source(monkeypatch), None, Options("generation"))


def test_each_made_face_is_compared_with_its_own_truth(painted: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = perfect_report(painted, monkeypatch).numbers
    truths = {"frontal": painted.frontal, "neutral": painted.neutral, "expression transferred": painted.expressed}
    for name, true in (truths | {"reenacted": painted.moved}).items():
        assert numbers[f"{name} L1"] == 0
        copied = np.abs(painted.face.astype(float) - true).mean() / 255
        assert numbers[f"{name}, input copied L1"] == pytest.approx(copied)
    assert numbers["self-reenacted L1"] == 0
    assert numbers["self-reenacted, input copied L1"] == pytest.approx((5 + 5 + 5 + 15) / 4 / 255)  # the frame before


def test_net_gain_is_what_making_adds_to_the_likeness(painted: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    source, judge = tiny_source(monkeypatch), stub.MiddleJudge(Path())
    before = (judge.codes(painted.face) * judge.codes(painted.frontal)).sum(1)
    assert before.max() < 0.99
    perfect = identity_rows(source, painted.frontal, painted, [])
    np.testing.assert_allclose(perfect["net gain"], 1 - before)
    assert (identity_rows(source, painted.face, painted, [])["net gain"] == 0).all()
    assert (identity_rows(source, plain(255, 0, 0), painted, [])["net gain"] < 0).all()  # less like than before


def test_what_is_left_of_a_pose_counts_alike_to_both_sides(painted: Rendered) -> None:
    frontal = np.where((np.arange(FACES) % 2 == 0)[:, None, None, None], plain(110, 95, 103), plain(90, 105, 97))
    rows = pose_errors(CornerPose(), frontal, painted)
    for axis, left, seen, own in (("yaw", 10, 40, 80), ("pitch", 5, 90, 80), ("roll", 3, 90, 10)):
        assert (rows[f"residual {axis}"] == left).all()
        assert rows[f"before: {axis}"][0] == seen
        assert (rows[f"judge's own {axis}"] == own).all()


def test_intervals_are_over_people(painted: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two people, a quarter of the draws hold one alone: the interval goes from one's mean to the other's."""
    values = np.array([np.nan, 0, 0, 0, 3, 3, 3, 3.0, 3])
    numbers, intervals = summarise({"error": values}, np.repeat([0, 1], [4, 5]), 0)
    assert numbers["error"] == 15 / 8
    assert intervals["error"] == (0, 3)
    report = perfect_report(painted, monkeypatch)
    each = np.abs(painted.face.astype(float) - painted.neutral).mean((1, 2, 3)).reshape(2, FRAMES).mean(1) / 255
    assert report.intervals["neutral, input copied L1"] == pytest.approx(sorted(each))


def test_what_makes_no_pictures_is_refused() -> None:
    baseline = open_baseline("pixels")
    assert baseline is not None
    with pytest.raises(FaceCycleError, match="makes no pictures"):
        measure(baseline, None, Options("generation"))


def test_faces_that_no_judge_found_are_left_out_and_counted() -> None:
    numbers, intervals = summarise({"a": np.array([1.0, np.nan, 3.0]), "b": np.full(3, np.nan)}, np.arange(3), 0)
    assert numbers == {"a": 2.0, "a: faces": 2.0}
    assert set(intervals) == {"a"}
