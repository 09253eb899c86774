"""``facecycle prepare`` and ``facecycle inspect``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from facecycle.cli import app
from facecycle.errors import FaceCycleError, as_text

if TYPE_CHECKING:
    from facecycle.data.inspect import InspectReport
    from facecycle.data.prepare import PrepareReport, Tell

console = Console()
SHOWN_PROBLEMS = 20
SHOWN_KINDS = 8


@app.command()
def prepare(
    sources: Annotated[list[Path], typer.Argument(help="Folders, videos or pictures.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The face set: a new folder, or one to go on with.", show_default=False)],
    size: Annotated[int, typer.Option(help="Pixels of a crop, 64 to 256.")] = 64,
    margin: Annotated[float, typer.Option(help="How much larger it is stored, for jitter in training.")] = 0.25,
    fps: Annotated[float, typer.Option(help="Frames taken per second of video; 0 takes all.")] = 5,
    min_face: Annotated[
        float, typer.Option(help="Faces with a shorter side below this many pixels are left out.")
    ] = 32,
    min_change: Annotated[
        float, typer.Option(help="Levels of 255 by which a frame must differ to be no duplicate.")
    ] = 2,
    max_frames: Annotated[int, typer.Option(help="Most frames of a clip; longer ones are thinned evenly.")] = 200,
    quality: Annotated[int, typer.Option(help="JPEG quality.")] = 95,
    layout: Annotated[
        str, typer.Option(help="auto, videos, voxceleb-videos, voxceleb-frames, photos, clips or singles.")
    ] = "auto",
    pattern: Annotated[
        str | None, typer.Option(help="Regular expression on picture paths with groups person, clip, frame.")
    ] = None,
    frame_rate: Annotated[
        float | None, typer.Option(help="Frames a second by which pictures are numbered (clips, pattern).")
    ] = None,
    detector: Annotated[str, typer.Option(help="yunet, or none for pictures that are face crops already.")] = "yunet",
    detector_weights: Annotated[
        str | None, typer.Option(help="A YuNet file, or 'download' to fetch the published one.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Terms of the pictures, kept in all that is made of them.")] = "unknown",
    workers: Annotated[
        int | None, typer.Option(help="Processes, or sources at a time on a cluster; one per core unless given.")
    ] = None,
    engine: Annotated[str, typer.Option(help="local, or ray: all machines of a Ray cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster, such as auto or 10.0.0.1:6379; a new one unless given.")
    ] = None,
) -> None:
    """Make a face set of videos or photos: detect, track, crop. Run it again to go on after an interruption."""
    from facecycle.data import prepare as module

    options = module.CropOptions(
        size, margin, fps, min_face, min_change, max_frames, quality, detector, detector_weights
    )  # fmt: skip
    with _progress() as tell:
        report = module.prepare(
            sources, out, options, layout=layout, pattern=pattern, frame_rate=frame_rate,
            licence=licence, workers=workers, engine=engine, address=address, tell=tell,
        )  # fmt: skip
    _print_prepared(report)


@app.command()
def inspect(
    faceset: Annotated[str, typer.Argument(help="A face set: a folder, or a URL of a store.", show_default=False)],
    sheet: Annotated[Path | None, typer.Option(help="Picture to write: some clips, one a row.")] = None,
    margin: Annotated[bool, typer.Option("--margin", help="Draw the stored margin too.")] = False,
) -> None:
    """Show what a face set holds."""
    from facecycle.data import inspect as module

    _print_inspected(faceset, module.inspect(faceset, sheet, margin))


@contextmanager
def _progress() -> Iterator[Tell]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    speed = TextColumn("{task.fields[frames]} frames, {task.fields[kept]} faces kept")
    with Progress(
        TextColumn("prepare"), BarColumn(), MofNCompleteColumn(), speed, TimeRemainingColumn(), console=console
    ) as bar:
        task = bar.add_task("prepare", total=None, frames=0, kept=0)
        counts = {"frames": 0, "kept": 0}

        def tell(what: str, value: Any) -> None:
            if what == "found":
                bar.update(task, total=len(value.sources))
                for path, layout in value.layouts.items():
                    bar.console.print(as_text(f"{path}: layout {layout}"), markup=False)
                people = {source.person for source in value.sources}  # told first: a wrong layout shows here
                bar.console.print(f"people: {len(people):,}, in {len(value.sources):,} sources")
            elif what == "frames":
                counts["frames"] += value
                bar.update(task, frames=counts["frames"])
            elif what in ("resumed", "source"):
                rows = value if what == "resumed" else [value]
                counts["kept"] += sum(row["kept"] for row in rows)
                bar.update(task, advance=len(rows), kept=counts["kept"])

        yield tell


def _print_prepared(report: PrepareReport) -> None:
    problems = [row for row in report.sources if row["status"] != "ok" or row["reason"]]
    if problems:
        table = Table("source", "status", "reason", "kept", title="Sources with something to tell")
        for row in problems[:SHOWN_PROBLEMS]:
            texts = (row["name"], row["status"], row["reason"], str(row["kept"]))
            table.add_row(*(escape(as_text(text)) for text in texts))
        console.print(table)
        if len(problems) > SHOWN_PROBLEMS:
            console.print(f"... and {len(problems) - SHOWN_PROBLEMS} more, see {escape(str(report.out))}/sources.jsonl")
    console.print(f"sources: {_counts(report.statuses)}")
    if report.ignored:
        kinds = ", ".join(
            f"{count:,} {escape(as_text(kind))}" for kind, count in report.ignored.most_common(SHOWN_KINDS)
        )
        console.print(f"other files ignored: {report.ignored.total():,} ({kinds})")
    if report.repeated:
        console.print(f"files met before, by a link or in two of the folders: {report.repeated:,}, taken once")
    console.print(f"frames read: {report.count('frames')}, faces found: {report.count('faces')}")
    console.print(f"left out: {_counts(report.dropped) or 'nothing'}")
    if not report.count("kept"):
        raise FaceCycleError(f"{report.out}: written, but no face was kept; see {report.out}/sources.jsonl")
    console.print(f"[bold]{report.count('kept')} faces in {escape(str(report.out))}[/bold]")


def _print_inspected(path: str, report: InspectReport) -> None:
    table = Table(show_header=False, title=escape(path))
    low, q1, median, q3, high = report.clip_lengths
    rows = {
        "people": f"{report.people:,}",
        "clips": f"{report.clips:,} ({report.single_clips:,} of one frame: no pair)",
        "frames": f"{report.frames:,}" + (f", and {report.neutral:,} neutral faces" if report.neutral else ""),
        "frames per clip": f"{low:g} to {high:g}, median {median:g}, middle half {q1:g} to {q3:g}",
        "most frames": ", ".join(f"{name} {count}" for name, count in report.largest_people),
        "sources": _counts(report.statuses) or "-",
        "left out": _counts(report.dropped) or "nothing",
        "labels": ", ".join(report.labels) or "none",
        "crop": "{crop}, {size} pixels, stored {stored}".format(**report.meta),
        "licence": report.meta["licence"],
        "origin": report.meta["origin"],
    }
    for name, value in rows.items():
        table.add_row(name, escape(as_text(value)))  # of others: "[...]" is part of it
    console.print(table)


def _counts(counter: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counter.items()))
