"""``facecycle demo``."""

from __future__ import annotations

from typing import Annotated

import typer

from facecycle.cli import app
from facecycle.cli.apply import DetectorWeights, Device, Download, WeightsOption, open_weights, try_detector
from facecycle.hub import DEFAULT


@app.command()
def demo(
    weights: WeightsOption = DEFAULT,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port; by default a free one from 7860.")] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    device: Device = "auto",
    detector_weights: DetectorWeights = None,
    download: Download = False,
) -> None:
    """Serve a local page: undo a face step by step, transfer expressions, compare people."""
    from facecycle.demo import demo as show

    try_detector(detector_weights)
    show(open_weights(weights, device, download, detector_weights), host, port, open_browser)
