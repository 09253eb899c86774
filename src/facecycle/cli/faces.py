"""``facecycle frontalize``, ``deexpress``, ``translate``, ``animate`` and ``export``: what makes files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facecycle.apply.faces import SIZE
from facecycle.cli import app
from facecycle.cli.apply import (
    Cropped,
    DetectorWeights,
    Device,
    Download,
    FaceOption,
    Pictures,
    WeightsOption,
    open_weights,
    progress,
    tell_bad,
)
from facecycle.errors import FaceCycleError
from facecycle.hub import DEFAULT

if TYPE_CHECKING:  # these load torch
    from collections.abc import Iterator

    from facecycle.api import FaceCycle
    from facecycle.apply.inputs import Item
    from facecycle.apply.remake import Faces
    from facecycle.apply.save import Remake


def out_path(text: str | Path) -> Path:
    """Where to write; an empty name would mean the current folder."""
    if not str(text):
        raise FaceCycleError("out: an empty name; give a path")
    return Path(text)


Out = Annotated[
    Path,
    typer.Option(parser=out_path, help="A folder; or for a single input a .png, .jpg or .mp4 file."),
]
Paste = Annotated[bool, typer.Option("--paste", help="Write whole pictures or frames with the new face in them.")]
Size = Annotated[int, typer.Option(min=16, max=2048, help="Pixels of a face that is not pasted.")]
Identity = Annotated[float, typer.Option(help="How much of the source's identity, 0 to 1.")]
KeepPose = Annotated[
    bool,
    typer.Option("--keep-pose", help="Take the expression alone: the source keeps its pose and identity."),
]
Keep = Annotated[float, typer.Option(help="How much of the expression stays, -1 to 2: 0 none, 1 all, 2 twice as much.")]
Motion = Annotated[float, typer.Option(help="How much of the driver's motion, 0 to 1.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Frames of a video at a time; pictures are taken one by one.")]


@app.command()
def frontalize(
    pictures: Pictures,
    weights: WeightsOption = DEFAULT,
    out: Out = Path("frontal"),
    paste: Paste = False,
    size: Size = SIZE,
    cropped: Cropped = False,
    face: FaceOption = "largest",
    device: Device = "auto",
    batch_size: BatchSize = 16,
    detector_weights: DetectorWeights = None,
    download: Download = False,
) -> None:
    """Remove expression and pose; of a video, write a stabilised frontal clip."""
    fc = open_weights(weights, device, download, detector_weights)
    reading = {"cropped": cropped, "face": face, "size": size, "paste": paste, "batch_size": batch_size}
    _write(fc, pictures, lambda item: fc.remake_batches("frontalize", item, **reading), out, face)


@app.command()
def deexpress(
    pictures: Pictures,
    weights: WeightsOption = DEFAULT,
    out: Out = Path("deexpressed"),
    keep: Keep = 0.0,
    paste: Paste = False,
    size: Size = SIZE,
    cropped: Cropped = False,
    face: FaceOption = "largest",
    device: Device = "auto",
    batch_size: BatchSize = 16,
    detector_weights: DetectorWeights = None,
    download: Download = False,
) -> None:
    """Remove the expression, or a part of it, and keep the pose."""
    fc = open_weights(weights, device, download, detector_weights)
    reading: dict[str, Any] = {"cropped": cropped, "face": face, "size": size, "paste": paste, "keep": keep}
    reading |= {"batch_size": batch_size}
    _write(fc, pictures, lambda item: fc.remake_batches("deexpress", item, **reading), out, face)


@app.command()
def translate(
    source: Annotated[str, typer.Argument(help="The picture whose identity is kept.")],
    driver: Annotated[list[str], typer.Argument(help="Pictures or videos whose expression and pose are taken.")],
    weights: WeightsOption = DEFAULT,
    out: Out = Path("translated"),
    identity: Identity = 1.0,
    motion: Motion = 1.0,
    keep_pose: KeepPose = False,
    paste: Paste = False,
    size: Size = SIZE,
    cropped: Cropped = False,
    face: FaceOption = "largest",
    device: Device = "auto",
    batch_size: BatchSize = 16,
    detector_weights: DetectorWeights = None,
    download: Download = False,
) -> None:
    """Give one person's face the expression and pose of others."""
    fc = open_weights(weights, device, download, detector_weights)
    puppet = fc.puppet(
        source, identity=identity, motion=motion, keep_pose=keep_pose, size=size, paste=paste, cropped=cropped
    )

    def follow(item: Item) -> Iterator[Faces]:
        return puppet.follow(fc.read(item, cropped=cropped, face=face), batch_size)

    _write(fc, driver, follow, out, face, source)


@app.command()
def animate(
    source: Annotated[str, typer.Argument(help="The picture whose identity is kept.")],
    driver: Annotated[str, typer.Argument(help="The video that drives it; its sound and times are kept.")],
    weights: WeightsOption = DEFAULT,
    out: Annotated[Path, typer.Option(parser=out_path, help="The clip: .mp4, .mov, .mkv or .webm.")] = Path(
        "animated.mp4"
    ),
    identity: Identity = 1.0,
    motion: Motion = 1.0,
    keep_pose: KeepPose = False,
    paste: Paste = False,
    size: Size = SIZE,
    device: Device = "auto",
    batch_size: BatchSize = 16,
    detector_weights: DetectorWeights = None,
    download: Download = False,
) -> None:
    """Let a video drive a photo."""
    fc = open_weights(weights, device, download, detector_weights)
    if not all(item.moving for item in fc.read(driver).items):
        raise FaceCycleError(f"{driver}: no video; to take the expression of a picture use `facecycle translate`")
    puppet = fc.puppet(source, identity=identity, motion=motion, keep_pose=keep_pose, size=size, paste=paste)
    _write(fc, driver, lambda item: puppet.follow(fc.read(item), batch_size), out, "largest", source)


@app.command()
def export(
    weights: Annotated[str, typer.Argument(help="A run folder, or a .safetensors file.")],
    out: Annotated[Path, typer.Argument(parser=out_path, help="A folder for the exported files.")],
    format: Annotated[str, typer.Option(help="onnx, or torch (torch.export, .pt2).")] = "onnx",
) -> None:
    """Write encoders, frontalizer and translator for other runtimes, and check them against PyTorch."""
    from facecycle.apply.export import PARTS, export
    from facecycle.hub import find_weights

    reports = export(find_weights(weights), out, format)
    for report in reports:
        typer.echo(f"{report.path}: largest difference from PyTorch {report.difference:.1e}")
    if len(reports) < len(PARTS):
        typer.echo(f"{weights}: trained by a rival method, which makes no pictures: the encoders alone", err=True)


def _write(fc: FaceCycle, inputs: Any, remake: Remake, out: Path, face: str, source: str | None = None) -> None:
    from facecycle.apply.save import save_remade

    items = fc.read(inputs).items
    if face == "all" and any(item.moving for item in items):
        raise FaceCycleError(
            "--face all: a clip follows one face; give largest, or a number counted from the left, from 0"
        )
    with progress("faces", None if any(item.moving for item in items) else len(items)) as step:
        bad = save_remade(items, remake, out, step, [] if source is None else fc.read(source).items)
    tell_bad(bad)
    typer.echo(str(out))
