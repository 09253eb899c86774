"""``facecycle synth``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecycle.cli import app
from facecycle.errors import FaceCycleError


@app.command()
def synth(
    out: Annotated[Path | None, typer.Argument(help="The face set: a new folder, or one to go on with.")] = None,
    people: Annotated[int, typer.Option(help="How many people.")] = 100,
    clips: Annotated[int, typer.Option(help="Clips of each person.")] = 4,
    frames: Annotated[int, typer.Option(help="Frames of each clip.")] = 8,
    size: Annotated[int, typer.Option(help="Pixels of a crop, 32 to 512.")] = 64,
    seed: Annotated[int, typer.Option(help="Another seed, other people.")] = 0,
    split: Annotated[str, typer.Option(help="train or held-out; their people are never the same.")] = "train",
    margin: Annotated[float, typer.Option(help="How much larger than the crop the stored picture is.")] = 0.25,
    yaw: Annotated[float, typer.Option(help="Widest turn to the side, degrees, up to 90.")] = 60.0,
    pitch: Annotated[float, typer.Option(help="Widest turn up or down, degrees.")] = 30.0,
    roll: Annotated[float, typer.Option(help="Widest tilt, degrees.")] = 20.0,
    use: Annotated[float, typer.Option(help="How much of these angles clips usually use, 0 to 1.")] = 0.45,
    workers: Annotated[int, typer.Option(help="Processes that draw.")] = 2,
    neutral: Annotated[bool, typer.Option("--neutral", help="Add each clip's neutral frontal face.")] = False,
    sheet: Annotated[Path | None, typer.Option(help="Draw a contact sheet to this file.")] = None,
) -> None:
    """Draw synthetic face clips with exact ground truth, as a face set or as a contact sheet."""
    from facecycle.synthetic.clip import ClipOptions
    from facecycle.synthetic.sheet import draw_sheet
    from facecycle.synthetic.tracks import PoseRange
    from facecycle.synthetic.write import SynthOptions
    from facecycle.synthetic.write import synth as write

    if out is None and sheet is None:
        raise FaceCycleError("nothing to do: name a folder for the face set, or a picture with --sheet")
    pose = PoseRange(yaw, pitch, roll, use)
    options = SynthOptions(people, clips, frames, size, margin, seed, split, pose, neutral)
    options.check()
    if sheet is not None:
        shown = min(people, 16)
        draw_sheet(sheet, shown, min(frames, 12), size, seed, options.split, margin, ClipOptions(pose=pose))
        typer.echo(f"{sheet}: {shown} people")
    if out is not None:
        from rich.progress import Progress

        with Progress(transient=True) as bar:
            task = bar.add_task("synth", total=people * clips * options.rows_per_clip)
            count = write(
                out, people, clips, frames, size, seed, options.split, margin, pose, workers, neutral,
                lambda done: bar.advance(task, done),
            )  # fmt: skip
        typer.echo(f"{count} frames of {people} people in {out}")
