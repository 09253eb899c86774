"""The package starts light and silent, and its command line answers mistakes with one line."""

import subprocess
import sys

import pytest
import typer
import typer.core

from facecycle.cli import app, commands  # noqa: F401  (registers the commands)

HEAVY = {"torch", "cv2", "av", "numba", "scipy", "lightning_fabric", "tensorboard"}

# Runs in a fresh interpreter: any look-up or connection ends it, and what was loaded is printed last.
WATCHED = """
import sys

def no_network(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        raise RuntimeError(f"{event}{arguments}")

sys.addaudithook(no_network)
try:
    BODY
finally:
    print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules}))
"""

GROUP = typer.main.get_command(app)
assert isinstance(GROUP, typer.core.TyperGroup)
COMMANDS = sorted(GROUP.commands)


def loaded_by(body: str) -> set[str]:
    """The top-level modules that ``body`` loads in a fresh interpreter without a network."""
    done = subprocess.run([sys.executable, "-c", WATCHED.replace("BODY", body)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED ")[2].split())


def facecycle(*arguments: str) -> subprocess.CompletedProcess:
    """The command line, as people run it."""
    line = [sys.executable, "-c", "from facecycle.cli import main; main()", *arguments]
    return subprocess.run(line, capture_output=True, text=True)


def test_import_is_light_and_silent():
    assert not HEAVY & loaded_by("import facecycle")
    done = subprocess.run([sys.executable, "-c", "import facecycle"], capture_output=True, text=True)
    assert done.stdout == done.stderr == ""


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_loads_nothing_heavy(arguments):
    body = f"sys.argv[1:] = {arguments}; from facecycle.cli import main; main()"
    assert not HEAVY & loaded_by(body)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name):
    command = GROUP.commands[name]
    assert command.help
    assert not [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nosuch"], "nosuch"),
        (["--nosuch"], "--nosuch"),
        (["embed", "a.jpg", "--nosuch"], "facecycle embed --help"),
        (["embed", "a.jpg", "--batch-size", "0"], "--batch-size"),
        (["prepare", "a", "b", "--size", "large"], "--size"),
        (["train"], "--run"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_mistake_on_the_command_line_is_one_line_too(arguments, named):
    done = facecycle(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert named in done.stderr
    assert "Traceback" in facecycle(*arguments, "--debug").stderr


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("no folder")
    done = facecycle("synth", str(tmp_path / "file" / "faces"), "--people", "1")
    assert done.returncode == 2
    assert "Not a directory" in done.stderr
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr


def test_mistake_is_one_line_and_debug_shows_the_traceback(tmp_path):
    missing = str(tmp_path / "missing")
    done = facecycle("inspect", missing)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert missing in done.stderr

    debug = facecycle("inspect", missing, "--debug")
    assert debug.returncode not in (0, 2)
    assert "Traceback" in debug.stderr
    assert "FaceCycleError" in debug.stderr
