"""``facecycle serve``."""

from __future__ import annotations

from typing import Annotated

import typer

from facecycle.cli import app
from facecycle.cli.apply import DetectorWeights, Device, Download, WeightsOption, open_weights, try_detector
from facecycle.errors import FaceCycleError
from facecycle.hub import DEFAULT
from facecycle.serve.limits import Limits

USUAL = Limits()


@app.command()
def serve(
    weights: WeightsOption = DEFAULT,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen at.")] = 8000,
    device: Device = "auto",
    max_bytes: Annotated[int, typer.Option(min=1000, help="Greatest size of a request.")] = USUAL.bytes,
    max_pixels: Annotated[int, typer.Option(min=1000, help="Greatest size of a picture.")] = USUAL.pixels,
    max_pending: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = USUAL.pending,
    max_seconds: Annotated[float, typer.Option(min=0.1, help="Longest wait for an answer.")] = USUAL.seconds,
    detector_weights: DetectorWeights = None,
    download: Download = False,
) -> None:
    """Run a small REST service: /embed, /frontalize, /deexpress, /translate, /compare, /healthz; see /docs there."""
    from facecycle.serve import serve as run

    try_detector(detector_weights)
    fc = open_weights(weights, device, download, detector_weights)
    try:
        fc.networks("a picture")
    except FaceCycleError as error:
        typer.echo(f"codes alone: {error}", err=True)
    limits = Limits(bytes=max_bytes, pixels=max_pixels, seconds=max_seconds, pending=max_pending)
    run(fc, host, port, limits)
