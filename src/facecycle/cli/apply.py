"""``facecycle embed`` and ``facecycle cycle``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecycle.cli import app

Pictures = Annotated[list[Path], typer.Argument(help="Pictures, folders of pictures, or face sets.")]
WeightsOption = Annotated[Path, typer.Option(help="A run folder, or a .safetensors file of weights.")]
Cropped = Annotated[bool, typer.Option("--cropped", help="The pictures are face crops already; run no detector.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps.")]
DetectorWeights = Annotated[str | None, typer.Option(help="File of the face detector.")]


@app.command()
def embed(
    pictures: Pictures,
    weights: WeightsOption,
    out: Annotated[Path, typer.Option(help="The codes, an .npz file.")] = Path("codes.npz"),
    cropped: Cropped = False,
    device: Device = "cpu",
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures at a time.")] = 64,
    detector_weights: DetectorWeights = None,
) -> None:
    """Write the motion and identity code of each picture's main face."""
    from facecycle.apply.embed import embed

    codes = embed(pictures, weights, out, cropped, device, batch_size, detector_weights)
    bad = [(name, status) for name, status in zip(codes.names, codes.status, strict=True) if status != "ok"]
    for name, status in bad:
        typer.echo(f"{name}: {status}", err=True)
    typer.echo(
        f"{out}: {len(codes.names) - len(bad)} faces, {codes.motion.shape[1]}-d codes, {len(bad)} without a face"
    )


@app.command()
def cycle(
    pictures: Pictures,
    weights: WeightsOption,
    out: Annotated[Path, typer.Option(help="The sheet, a PNG.")] = Path("sheet.png"),
    cropped: Cropped = False,
    device: Device = "cpu",
    detector_weights: DetectorWeights = None,
) -> None:
    """Draw what was learnt: face, flow, neutral face, mean face, and the way back."""
    from facecycle.apply.cycle import cycle

    for line in cycle(pictures, weights, out, cropped, device, detector_weights):
        typer.echo(f"left out: {line}", err=True)
    typer.echo(str(out))
