"""``facecycle evaluate`` and ``facecycle report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecycle.cli import app


@app.command()
def evaluate(
    weights: Annotated[str, typer.Option(help="A run folder, a .safetensors or .onnx file, a name, or a baseline.")],
    task: Annotated[str, typer.Option(help="The benchmark, such as fer2013, aflw2000, lfw; see docs/evaluation.md.")],
    data: Annotated[Path | None, typer.Option(help="Where the benchmark's files are.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for report.json, row.md and figures.")] = None,
    layer: Annotated[
        str | None, typer.Option(help="Another layer than the task's code, such as motion.levels.1.")
    ] = None,
    train: Annotated[str | None, typer.Option(help="Fit on another set: LAYOUT:PATH, such as 300wlp:sets/lp.")] = None,
    crop: Annotated[str, typer.Option(help="auto, fixed or detector: how the face is found in a picture.")] = "auto",
    others: Annotated[Path | None, typer.Option(help="Faces that a baseline's PCA is fitted on.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Where features are kept; the user's cache by default.")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Compute everything anew and keep nothing.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Faces at a time.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of random splits and bootstraps.")] = 0,
) -> None:
    """Measure codes on a benchmark by its published protocol."""
    from facecycle.evaluate.features import default_cache
    from facecycle.evaluate.tasks import Options
    from facecycle.evaluate.tasks import evaluate as measure

    kept = None if no_cache else cache or default_cache()
    options = Options(task, layer, train, crop, kept, batch_size, seed, others)
    report = measure(weights, task, data, out, options)
    for line in [*report.protocol, *report.warnings]:
        typer.echo(line, err=True)
    for name, reason in report.problems.items():
        typer.echo(f"left out: {name}: {reason}", err=True)
    typer.echo(report.row(), nl=False)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(help="Folders that evaluate wrote.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder for report.md and report.png.")] = None,
) -> None:
    """Lay several reports side by side: one table, one figure."""
    from facecycle.evaluate.report import compare_reports

    typer.echo(compare_reports(folders, out), nl=False)
