"""The pages keep their word: their Python runs, their commands and options exist, the command list is up to date."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import typer.core

from facecycle.cli import app, commands  # noqa: F401  (registers the commands)
from facecycle.model.weights import save_weights
from tiny import MODEL, QUIET, make_faceset, tiny_networks

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)


def command_lines() -> list[tuple[str, str]]:
    """Every line of every block that calls the command, continued lines joined."""
    found = []
    for page in PAGES:
        for block in blocks(page, "(?:bash)?"):
            text = re.sub(r"\\\n", " ", block)
            found += [(page.name, line) for line in re.findall(r"^(?:torchrun.* )?facecycle ([a-z].*)$", text, re.M)]
    return found


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_commands_and_options_exist(page: str, line: str) -> None:
    name, *words = shlex.split(line, comments=True)
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    assert name in group.commands, page
    known = {option for parameter in group.commands[name].params for option in (*parameter.opts, "--help", "--debug")}
    used = {word.partition("=")[0] for word in words if word.startswith("-") and not re.match(r"-[\d.]", word)}
    assert used <= known, page


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the pages name: a run, photos of synthetic people, a face set."""
    from facecycle.demo.verbs import draw_examples

    root = tmp_path_factory.mktemp("docs")
    for folder in ("runs/first", "photos"):
        (root / folder).mkdir(parents=True)
    save_weights(tiny_networks(), root / "runs/first/weights.safetensors", MODEL, "CC0", {"stage": "identity"})
    anna, ben = draw_examples(root / "photos", people=2)
    shutil.copy(anna, root / "anna.jpg")
    shutil.copy(ben, root / "ben.jpg")
    shutil.copy(anna, root / "portrait.jpg")
    for name in ("FACESET", "runs/faces"):
        make_faceset(root / name, [6, 5, 4, 6])
    return root


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_runs(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks of a page, one after the other, as a reader would type them."""
    monkeypatch.chdir(place)
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), names)


SHELL = [
    (page.name, block)
    for page in PAGES
    for block in blocks(page, "bash")[2 if page.name == "README.md" else 0 :]  # the first two are tests of their own
]


@pytest.mark.parametrize(("page", "block"), SHELL, ids=[f"{page}-{k}" for k, (page, _) in enumerate(SHELL)])
def test_commands_run_as_written(page: str, block: str, place: Path) -> None:
    """With the shipped weights, in a shell."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=place,
        env={**QUIET, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_list_of_commands_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("commands_page", ROOT / "tools" / "commands_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "commands.md").read_text("utf-8") == module.page(), "run python tools/commands_page.py"


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
