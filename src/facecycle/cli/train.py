"""``facecycle train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecycle.cli import app


@app.command()
def train(
    run: Annotated[Path, typer.Option(help="Folder of the run: made, or gone on with by --resume.")],
    data: Annotated[
        str, typer.Option(help="A face set by prepare or synth (folder or URL), several as A,B, or 'synthetic'.")
    ] = "",
    preset: Annotated[str, typer.Option(help="paper, compact, smoke or facecycle; compact unless given.")] = "",
    method: Annotated[str, typer.Option(help="facecycle, or a rival: simclr, fabnet, tcae.")] = "",
    stage: Annotated[str, typer.Option(help="motion, identity, or both.")] = "both",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Such as motion.steps=500.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A config.toml instead of a preset.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint of the run.")] = False,
    init: Annotated[Path | None, typer.Option(help="Begin with the weights of this run, file or shipped name.")] = None,
    init_parts: Annotated[
        str, typer.Option(help="Take these networks alone from --init, such as motion_encoder,identity_encoder.")
    ] = "",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="32-true, bf16-mixed, 16-mixed; empty: as configured.")] = "",
    compile_: Annotated[bool, typer.Option("--compile", help="Compile the step: slow to begin, then faster.")] = False,
    max_minutes: Annotated[float | None, typer.Option(min=0, help="Stop cleanly after so long.")] = None,
) -> None:
    """Learn motion and identity codes from a face set: both stages in one command.

    In several processes, here or on several machines: torchrun --nproc-per-node 2 -m -- facecycle train ...
    """
    from facecycle.train import start

    assignments = list(set_ or [])
    if precision:
        assignments.append(f"train.precision={precision}")
    if compile_:
        assignments.append("train.compile=true")
    finished = start(
        run=run, data=data, preset=preset, config=config, stage=stage, assignments=assignments,
        method=method, resume=resume, init=init, device=device, minutes=max_minutes,
        init_parts=[name.strip() for name in init_parts.split(",") if name.strip()],
    )  # fmt: skip
    if finished is not None:
        typer.echo(f"{run}: {'finished' if finished else 'stopped; go on with --resume'}")
