"""The README keeps its word: its commands exist, and the first one runs as written on a clean environment."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BASH, PYTHON = (re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S) for language in ("bash", "python"))


def test_there_are_two_commands():
    assert len(BASH) >= 2, "README.md: its first two bash blocks are the main job and the tests"
    assert "facecycle " in BASH[0]
    assert "pytest" in BASH[1]


def copy_checkout(to: Path) -> None:
    """The files that git knows or would take up, so that nothing built earlier comes along."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(listed, cwd=ROOT, text=True).split("\0"):
        if name and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


@pytest.mark.slow
def test_first_command_runs_as_written_and_then_the_python_blocks(tmp_path):
    checkout, environment = tmp_path / "facecycle", tmp_path / "environment"
    copy_checkout(checkout)
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    clean = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    clean |= {"PATH": path, "VIRTUAL_ENV": str(environment)}
    photos = "mkdir photos && facecycle synth --sheet photos/people.png"  # what a reader has
    for command in (
        *(["bash", "-euo", "pipefail", "-c", text] for text in (BASH[0], photos)),
        *(["python", "-c", block] for block in PYTHON),
    ):
        done = subprocess.run(command, cwd=checkout, env=clean, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, command[-1]
