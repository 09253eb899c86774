"""The command line: ``facecycle COMMAND``. Each command is a thin shell over a function of the same name."""

from __future__ import annotations

import os
import sys

import typer

from facecycle import __version__
from facecycle.errors import FaceCycleError

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
    from facecycle.cli import commands  # noqa: F401  (registers the commands)

    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments)
    except FaceCycleError as error:
        if len(arguments) < len(sys.argv) - 1:
            raise
        typer.secho(f"facecycle: {error}", fg="red", err=True)
        raise SystemExit(2) from None
