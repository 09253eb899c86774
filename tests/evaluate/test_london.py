"""London pairs: people with both photos, the untouched smile as baseline, what is missing named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluate import stub
from facecycle.apply.torch_networks import to_tensor
from facecycle.config import ModelConfig
from facecycle.errors import FaceCycleError
from facecycle.evaluate import london as task
from facecycle.evaluate.features import CodeSource
from facecycle.evaluate.london import measure, read_pairs
from facecycle.evaluate.tasks import Options
from facecycle.synthetic.stream import SyntheticFaces
from real import REAL
from tiny import tiny_networks

MODEL = ModelConfig(64, 16, False, 0.125, 0.125, "velocity", 0.125, 1, 8, False, 1)


def source() -> CodeSource:
    return CodeSource(tiny_networks(model=MODEL), 64, "untrained")


@pytest.fixture(scope="module")
def london(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people in the set's layout, synthetic; the third has no second photo."""
    root, stream = tmp_path_factory.mktemp("london"), SyntheticFaces(3, 1, 2, 160, margin=1.0, seed=4)
    for who in range(3):
        for folder, view, picture in zip(("neutral_front", "smiling_front"), ("03", "08"), stream[0, who], strict=True):
            (root / folder).mkdir(exist_ok=True)
            if who < 2 or view == "03":
                image = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0)))
                image.save(root / folder / f"{who:03d}_{view}.jpg", quality=95)
    return root


def test_pairs_belong_to_one_person(london: Path) -> None:
    neutral, smiling, problems, _ = read_pairs(london, 64, None)
    assert neutral.shape == smiling.shape == (2, 64, 64, 3)
    assert problems == {"person 002": "one photo only"}


def test_the_untouched_smile_stands_beside(london: Path) -> None:
    neutral, smiling, _, _ = read_pairs(london, 64, None)
    report = measure(source(), london, Options("london"))
    expected = np.abs(neutral.astype(float) - smiling).mean() / 255
    assert report.numbers["smile untouched L1"] == pytest.approx(expected, rel=1e-3)
    assert report.numbers["people"] == 2
    assert report.numbers["smile untouched, similarity by SFace"] > 0.2
    assert -1 <= report.numbers["de-expressed, similarity by own code"] <= 1
    assert report.numbers["smile transferred L1"] > 0
    measured = "de-expressed LPIPS" in report.numbers
    assert measured != any("LPIPS" in note for note in report.warnings)  # measured, or said why not


def test_a_smile_taken_away_is_compared_with_the_neutral_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that make the neutral photo of the smiling one, and nothing of a smile but the neutral photo."""
    neutral, smiling = (np.tile(np.array(colour, np.uint8), (3, 64, 64, 1)) for colour in ((20, 90, 20), (90, 20, 20)))
    monkeypatch.setattr(task, "read_pairs", lambda *_: (neutral, smiling, {}, "painted"))
    monkeypatch.setattr(task.transform, "deexpress", lambda networks, face: to_tensor(neutral))
    monkeypatch.setattr(task.transform, "express", lambda networks, face, driver: face)
    monkeypatch.setattr(task, "find_sface", lambda: Path("sface"))
    monkeypatch.setattr(task, "Recogniser", stub.MiddleJudge)
    monkeypatch.setattr(task, "open_lpips", lambda notes: None)
    numbers = measure(source(), Path(), Options("london")).numbers
    apart = (70 + 70) / 3 / 255
    assert numbers["de-expressed L1"] == 0
    assert numbers["smile untouched L1"] == numbers["smile transferred L1"] == pytest.approx(apart)
    for judge in ("own code", "SFace"):
        assert numbers[f"de-expressed, similarity by {judge}"] == pytest.approx(1)
        assert numbers[f"smile untouched, similarity by {judge}"] < 0.99


def test_a_wrong_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(FaceCycleError, match="expected neutral_front/"):
        measure(source(), tmp_path, Options("london"))


def test_real_photographs() -> None:
    if not REAL.is_dir():
        pytest.skip(f"no photographs at {REAL}; set FACECYCLE_REAL_FACES")
    neutral, smiling, _, _ = read_pairs(REAL / "london", 64, None)
    assert len(neutral) >= 38
    assert np.abs(neutral.astype(float) - smiling).mean() / 255 < 0.1
