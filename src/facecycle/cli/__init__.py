"""The command line: ``facecycle COMMAND``. Each command is a thin shell over a function of the same name."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import typer

from facecycle import __version__
from facecycle.errors import FaceCycleError, as_text

MENDS = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "ask for the right to it, or name another place"),
    errno.ENOSPC: "free some room, or name another place",
}

app = typer.Typer(
    name="facecycle",
    help="Learn motion and identity codes from unlabelled faces, and use them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def options(
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
    debug: bool = typer.Option(False, "--debug", help="Show the whole traceback of an error."),
) -> None:
    """Learn motion and identity codes from unlabelled faces, and use them."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; a mistake in the input becomes one line on stderr and exit code 2.

    ``--debug`` may stand anywhere on the line, since people add it at the end.
    """
    # OpenMP threads that spin while they wait starve the loader's workers of the same cores, and the other way round:
    # on two busy cores a training step then takes ten times as long. Read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        from facecycle.cli import commands  # noqa: F401  (registers the commands)

        code = app(arguments, standalone_mode=not arguments)  # without arguments typer prints the help
    except (typer.Abort, KeyboardInterrupt):
        raise SystemExit(130) from None
    except Exception as error:
        line = _one_line(error)
        if line is None or len(arguments) < len(sys.argv) - 1:
            raise
        typer.secho(f"facecycle: {as_text(line)}", fg="red", err=True)
        raise SystemExit(2) from None
    raise SystemExit(code if isinstance(code, int) else 0)


def _one_line(error: Exception) -> str | None:
    """What to tell of a mistake in the input or on the command line; None for an error that is nobody's mistake."""
    if isinstance(error, FaceCycleError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        file = Path(os.fsdecode(error.filename)) if error.filename else None
        where = f"{file.with_name(file.name.replace('.partial', ''))}: " if file and file.name else ""
        return f"{where}{error.strerror}; {MENDS.get(error.errno or 0, 'name another file or folder')}"
    if isinstance(message := getattr(error, "format_message", lambda: None)(), str):  # typer's, or click's before it
        context = getattr(error, "ctx", None)
        command = context.info_name if context and context.parent else ""
        return f"{message.rstrip('.')}; see facecycle {command + ' ' if command else ''}--help"
    return None
