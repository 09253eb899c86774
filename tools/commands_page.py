"""Write docs/commands.md from the command line's own help:  python tools/commands_page.py"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
import typer.core

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
HEAD = """# Commands

Written by `tools/commands_page.py` from the commands' own help. Every command takes `--debug`, which shows the whole
traceback of an error; without it a mistake in the input is one line and exit code 2.
"""


def page() -> str:
    """The whole page as Markdown."""
    from facecycle.cli import app, commands  # noqa: F401  (registers the commands)

    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return HEAD + "".join(section(name, command) for name, command in sorted(group.commands.items()))


def section(name: str, command: Any) -> str:
    """One command: what it does, how it is called, its parameters."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    words = [(p.name.upper() + ("..." if p.nargs == -1 else ""), p.required) for p in arguments]
    called = " ".join(["facecycle", name, *(word if needed else f"[{word}]" for word, needed in words), "[OPTIONS]"])
    rows = [row(p) for p in command.params if p.name != "help"]
    table = "\n".join(["| parameter | default | what |", "|---|---|---|", *rows]) + "\n" if rows else ""
    return f"\n## {name}\n\n{' '.join((command.help or '').split())}\n\n`{called}`\n\n{table}"


def row(parameter: Any) -> str:
    """One parameter."""
    named = parameter.param_type_name == "option"
    name = ", ".join(parameter.opts) if named else parameter.name.upper()
    default = parameter.default
    shown = "" if default in (None, "", ()) or parameter.required or callable(default) else f"`{default}`"
    text = " ".join((parameter.help or "").split()).replace("|", "\\|")
    return f"| `{name}` | {'required' if parameter.required else shown} | {text} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
