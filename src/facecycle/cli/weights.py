"""``facecycle weights``: which weights are at hand, under which licence."""

from __future__ import annotations

from facecycle.cli import app

WIDE = 1000  # for who reads it from a pipe: paths in one piece


@app.command()
def weights() -> None:
    """List the weights that are on this machine by name, with licence and size."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    from facecycle.hub import list_weights, weight_folders

    table = Table("name", "licence", "MB", Column("file", overflow="fold"))
    for entry in list_weights():
        table.add_row(*map(escape, (entry.name, entry.licence, f"{entry.megabytes:.1f}", str(entry.path))))
    if table.row_count:
        console = Console()
        (console if console.is_terminal else Console(width=WIDE)).print(table)
    else:
        print(f"no weights in {', '.join(map(str, weight_folders()))}; `facecycle train` makes some")
