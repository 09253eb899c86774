"""From what a user asks for to a running loop."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision

from facecycle import config as configuration
from facecycle.config import RunConfig, override
from facecycle.errors import FaceCycleError
from facecycle.hub import find_weights
from facecycle.presets import preset as preset_named
from facecycle.train.data import open_sources
from facecycle.train.distributed import is_lost
from facecycle.train.loop import train
from facecycle.train.methods import METHODS
from facecycle.train.run import Run

STAGES = {"motion": ["motion"], "identity": ["identity"], "both": ["motion", "identity"]}


def start(
    run: str | Path,
    data: str | Path = "",
    preset: str = "",
    config: str | Path | None = None,
    stage: str = "both",
    assignments: list[str] | None = None,
    method: str = "",
    resume: bool = False,
    init: str | Path | None = None,
    device: str = "auto",
    minutes: float | None = None,
    init_parts: Sequence[str] = (),
) -> bool | None:
    """Train, as ``facecycle train`` does.

    Args:
        run: folder of the run.
        data: a face set, or ``synthetic``; may be left out when ``config`` names it.
        preset: a configuration by name, unless ``config`` gives one; empty: ``compact``.
        config: a ``config.toml``.
        stage: ``motion``, ``identity`` or ``both``.
        assignments: changes, each ``section.key=value``.
        method: ``facecycle``, or a rival: ``simclr``, ``fabnet``, ``tcae``; empty: as configured.
        resume: go on with the run as it was configured; ``data`` may name where its face set lies now.
        init: weights to begin with: a run, a file, or shipped weights by name.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        minutes: stop cleanly after so long.
        init_parts: take these networks alone from ``init``; the others may then have other sizes.

    Returns:
        True when finished, False when stopped before the end; None in all but the first of several processes.

    Raises:
        FaceCycleError: something in the above cannot be.
    """
    if stage not in STAGES:
        raise FaceCycleError(f"unknown stage {stage!r}: choose motion, identity or both")
    if init_parts and not init:
        raise FaceCycleError("--init-parts names parts of --init WEIGHTS: give both, or neither")
    run, data, config = Path(run), str(data), Path(config) if config else None
    init = find_weights(init) if init else None
    changes = [*(assignments or []), *([f"method={method}"] if method else [])]
    settings = _configure(run, data, preset, config, changes, resume, init)
    stages = [name for name in STAGES[stage] if name in METHODS[settings.method]]
    if not stages or (stage != "both" and len(stages) < len(STAGES[stage])):
        raise FaceCycleError(f"method {settings.method} has no {stage} stage: leave --stage out")
    settings, fabric = launch(device, settings)
    sources = open_sources(settings.data.source, settings)
    with warnings.catch_warnings():
        folder = Run(run, settings, resume, fabric.is_global_zero, init)
        folder.check_data(sources.fingerprint)
        fabric.barrier()  # one process puts the folder in order, all read it
        if fabric.is_global_zero:
            print(f"data: {sources.note}\ndevice: {fabric.device}, {settings.train.precision}", flush=True)
        try:
            finished = train(fabric, folder, sources, stages, init, minutes, init_parts)
        except RuntimeError as error:
            if not is_lost(error):
                raise
            raise FaceCycleError(
                f"another process of this run was lost (last checkpoint: {folder.newest() or 'none yet'}); "
                "start all of them again with --resume"
            ) from error
        finally:
            folder.tracker.close()
    return finished if fabric.is_global_zero else None


def launch(device: str, settings: RunConfig) -> tuple[RunConfig, Fabric]:
    """Fabric on one device, or on as many processes as torchrun or SLURM started.

    The precision ``auto`` becomes bfloat16 where the hardware multiplies it, else float32, and is returned as such.

    Raises:
        FaceCycleError: no such device here.
    """
    kind, _, number = device.partition(":")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    numbered = not number or (kind == "cuda" and number.isdecimal() and int(number) < torch.cuda.device_count())
    if not available.get(kind, False) or not numbered:
        there = ", ".join(name for name, is_there in available.items() if is_there)
        raise FaceCycleError(f"device {device!r} is not on this machine: choose auto, {there}")
    precision = settings.train.precision
    if precision == "auto":
        precision = "bf16-mixed" if _multiplies_bfloat16(kind) else "32-true"
    local = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("SLURM_NTASKS_PER_NODE", "1")))
    world = int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_NTASKS", "1")))
    fabric = build_fabric(kind, precision, [int(number)] if number else local, max(1, world // local))
    fabric.launch()
    return override(settings, [f'train.precision="{precision}"']), fabric


def build_fabric(kind: str, precision: str, devices: list[int] | int = 1, nodes: int = 1) -> Fabric:
    """Fabric that hands a stage its batch as it is, whatever the precision of its layers."""
    where: dict[str, Any] = {"accelerator": kind, "devices": devices, "num_nodes": nodes}
    if precision == "32-true":
        return Fabric(**where, precision=precision)
    return Fabric(**where, plugins=[_AsItIs(precision, kind)])  # type: ignore[arg-type]


class _AsItIs(MixedPrecision):
    """Autocast without rounding what comes in: a landmark would move by 1/16 pixel, a colour by half a grey level."""

    def convert_input(self, data: Any) -> Any:
        return data


def _multiplies_bfloat16(kind: str) -> bool:
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    file = Path("/proc/cpuinfo")
    if kind != "cpu" or not file.is_file():
        return False
    # Intel's AVX-512 instructions for bfloat16, without AMX, were slower than float32 (docs/results.md).
    words = set(file.read_text().split())
    return "amx_bf16" in words or {"avx512_bf16", "AuthenticAMD"} <= words


def _configure(
    run: Path, data: str, preset: str, config: Path | None, assignments: list[str], resume: bool, init: Path | None
) -> RunConfig:
    if resume:
        if assignments or config or init or preset:
            raise FaceCycleError(
                "--resume goes on exactly as configured; to change something, start a new run with --init " + str(run)
            )
        settings = configuration.load(run / "config.toml")
        return _with_source(settings, data) if data else settings
    if config and preset:
        raise FaceCycleError(f"--config {config} --preset {preset}: each is a whole configuration; give one of them")
    settings = configuration.load(config) if config else preset_named(preset or "compact")
    settings = override(settings, assignments)
    if settings.method != "facecycle":  # no rival looks in the mirror, or has a stage at whose end the others are found
        without = {"mirrored": False, "equivariant": False, "expression_code": False, "discriminants": 0, "erase": 0}
        plain = dataclasses.replace(settings.model, **without, expression=False)
        settings = dataclasses.replace(settings, model=plain)
    if data:
        settings = _with_source(settings, data)
    if not settings.data.source:
        raise FaceCycleError("no data: give --data FACESET (made by facecycle prepare or synth), or --data synthetic")
    return settings


def _with_source(settings: RunConfig, data: str) -> RunConfig:
    return dataclasses.replace(settings, data=dataclasses.replace(settings.data, source=data))
