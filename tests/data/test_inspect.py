"""The commands prepare and inspect, and what a face set is said to hold."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from facecycle.cli import app, commands  # noqa: F401  (registers the commands)
from facecycle.data.clips import CropOptions
from facecycle.data.faceset import FaceSet
from facecycle.data.inspect import contact_sheet, inspect
from facecycle.data.prepare import prepare
from facecycle.errors import FaceCycleError
from facecycle.synthetic.sheet import draw_sheet
from facecycle.synthetic.write import synth

from .media import colours, needs_real_faces, portrait

WHOLE = CropOptions(detector="none", min_face=8, min_change=0, fps=0)


@needs_real_faces
def test_commands_prepare_and_inspect(tmp_path: Path) -> None:
    for person in range(3):
        (tmp_path / f"in/p{person}").mkdir(parents=True)
        for smiling in (False, True):
            portrait(person, smiling).save(tmp_path / f"in/p{person}/{smiling}.jpg")
    (tmp_path / "in/p2/False.jpg").write_bytes(b"junk")
    run = CliRunner().invoke(app, ["prepare", str(tmp_path / "in"), str(tmp_path / "set"), "--workers", "1"])
    assert run.exit_code == 0, run.output
    assert "layout photos" in run.output
    assert "5 faces in" in run.output.replace("\n", "")
    assert "partial" in run.output
    sheet = tmp_path / "sheet.png"
    run = CliRunner().invoke(app, ["inspect", str(tmp_path / "set"), "--sheet", str(sheet)])
    assert run.exit_code == 0, run.output
    assert "1 partial" in run.output
    with Image.open(sheet) as image:
        assert image.size == (2 * 66 + 2, 3 * 66 + 2)


def test_inspect_counts(tmp_path: Path) -> None:
    prepare([colours(tmp_path / "in", people=30)], tmp_path / "set", WHOLE, workers=1)
    report = inspect(tmp_path / "set")
    assert (report.people, report.clips, report.frames, report.single_clips) == (30, 30, 90, 0)
    assert report.clip_lengths == [3, 3, 3, 3, 3]
    faces = FaceSet.open(tmp_path / "set")
    assert contact_sheet(faces).shape == (16 * 66 + 2, 3 * 66 + 2, 3)
    np.testing.assert_array_equal(contact_sheet(faces, margin=True)[2:82, 2:82], faces.image(0))


def test_sheets_make_their_folder(tmp_path: Path) -> None:
    prepare([colours(tmp_path / "in", people=2)], tmp_path / "set", WHOLE, workers=1)
    inspect(tmp_path / "set", tmp_path / "one/sheet.png")
    draw_sheet(tmp_path / "other/sheet.png", people=1, frames=1, size=32)
    assert {path.parent.name for path in tmp_path.glob("*/sheet.png")} == {"one", "other"}


def test_what_became_of_the_sources_must_be_there(tmp_path: Path) -> None:
    prepare([colours(tmp_path / "in", people=2)], tmp_path / "set", WHOLE, workers=1)
    (tmp_path / "set/sources.jsonl").write_text("{cut")
    with pytest.raises(FaceCycleError, match=r"sources\.jsonl: damaged or gone"):
        inspect(tmp_path / "set")
    with pytest.raises(FaceCycleError, match=r"sheet\.pdf: written as \.png, \.jpg"):
        inspect(tmp_path / "set", tmp_path / "sheet.pdf")


def test_a_neutral_face_is_no_frame(tmp_path: Path) -> None:
    synth(tmp_path / "set", people=2, clips=1, frames=1, size=48, neutral=True)
    report = inspect(tmp_path / "set", sheet=tmp_path / "sheet.png")
    assert (report.frames, report.neutral, report.clips, report.single_clips) == (2, 2, 2, 2)
    run = CliRunner().invoke(app, ["inspect", str(tmp_path / "set")])
    assert "2, and 2 neutral faces" in run.output
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.width == 48 + 4  # a column
