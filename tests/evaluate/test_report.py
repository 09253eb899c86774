"""The commands: a report of each kind with its figure, several side by side, mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evaluate.test_expression import class_folders
from evaluate.test_pose import aflw
from evaluate.test_verification import lfw
from facecycle.cli import app, commands  # noqa: F401  (registers the commands)
from facecycle.errors import FaceCycleError
from facecycle.evaluate.report import Report, compare_reports, read_report
from facecycle.evaluate.tasks import Options, evaluate


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.mark.parametrize(
    ("task", "write", "crop", "figure"),
    [
        ("folder", class_folders, "fixed", "confusion.png"),
        ("aflw2000", aflw, "auto", None),
        ("lfw", lfw, "fixed", "roc.png"),
    ],
)
def test_a_report_says_all_that_decides_its_numbers(task, write, crop, figure, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/bin/facecycle", "evaluate", "--task", task])
    out = tmp_path / "out"
    options = ("--weights", "pixels", "--task", task, "--data", str(write(tmp_path / "set")), "--crop", crop)
    row = run("evaluate", *options, "--out", str(out), "--no-cache")
    assert row == (out / "row.md").read_text()
    assert row.splitlines()[2].startswith("| pixels | features | 1024 |")
    written = json.loads((out / "report.json").read_text())
    for key in ("numbers", "intervals", "protocol", "seeds", "command", "versions", "crop", "layer", "checksums"):
        assert written[key], key
    assert written["command"] == f"facecycle evaluate --task {task}"
    for name in written["headline"][:1]:
        low, high = written["intervals"][name]
        assert low <= written["numbers"][name] <= high
    assert {"weights", "faces"} <= set(written["checksums"])
    assert figure is None or (out / figure).stat().st_size > 1000
    assert read_report(out).row() == row


def report(weights: str, task: str, value: float, **others) -> Report:
    numbers, intervals = {"accuracy": value}, {"accuracy": (value - 1, value + 1)}
    return Report(task, weights, "motion", 256, numbers, intervals, ("accuracy",), ["as it was"], "v1", **others)


def test_a_report_made_by_somebodys_own_program_tells_no_command_of_ours() -> None:
    assert report("a", "folder", 50.0).command == ""


def test_several_reports_side_by_side(tmp_path: Path) -> None:
    for name, one in {
        "a": report("mine", "fer2013", 50),
        "b": report("hog", "fer2013", 40),
        "c": report("mine", "rafdb", 60),
        "d": report("mine", "fer2013", 51, seeds={"split": 1}),
    }.items():
        one.write(tmp_path / name)
    text = run("report", *(str(tmp_path / name) for name in "abcd"), "--out", str(tmp_path / "all"))
    assert text == (tmp_path / "all" / "report.md").read_text()
    assert (tmp_path / "all" / "report.png").stat().st_size > 1000
    assert text.splitlines() == [
        "| weights | layer | dimensions | fer2013: accuracy | rafdb: accuracy |",
        "| --- | --- | --- | --- | --- |",
        "| mine | motion | 256 | 50.00 [49.00, 51.00] | 60.00 [59.00, 61.00] |",
        "| hog | motion | 256 | 40.00 [39.00, 41.00] | - |",
        "| mine | motion | 256 | 51.00 [50.00, 52.00] | - |",  # measured twice: neither is dropped
    ]


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FaceCycleError, match="no such report"):
        compare_reports([tmp_path])
    (tmp_path / "report.json").write_text('{"task": "fer2013"}')
    with pytest.raises(FaceCycleError, match="no report of this version"):
        compare_reports([tmp_path])


def test_options_that_a_task_has_no_use_for_are_refused(tmp_path: Path) -> None:
    for options, words in (
        (Options("lfw", crop="foo"), "--crop foo: choose auto, fixed, detector"),
        (Options("aflw2000", crop="fixed"), "--crop: the task aflw2000"),
        (Options("fer2013", train="300wlp:x"), "--train: the task fer2013"),
        (Options("generation", layer="motion"), "--layer: the task generation"),
    ):
        with pytest.raises(FaceCycleError, match=words):
            evaluate("pixels", options.task, tmp_path, options=options)
    with pytest.raises(FaceCycleError, match="--task nonsense: not known; choose from fer2013"):
        evaluate("pixels", "nonsense", tmp_path)
    with pytest.raises(FaceCycleError, match="name the set's folder with --data"):
        evaluate("pixels", "fer2013")
    with pytest.raises(FaceCycleError, match="no such file or folder"):
        evaluate("pixels", "fer2013", str(tmp_path / "nowhere"))
