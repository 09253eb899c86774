"""How long one training step takes: both stages of a preset, in single and half precision, eager, compiled, captured.

    python benchmarks/train_step.py                       # the paper preset on CPU
    python benchmarks/train_step.py compact --steps 20 --compile
    python benchmarks/train_step.py paper --device cuda --capture --compile --warm-up 10 --steps 50

Every row runs in a process of its own, so that its peak memory is its own. It times `facecycle.train.loop.train_step`
itself, on random pictures: augmentation, forward, backward and Adam, but no loading of data. TFLOP are those of the
convolutions and matrix products of one eager step, twice its multiply-adds.
"""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path

STAGES, PRECISIONS = ("motion", "identity"), ("32-true", "bf16-mixed")


def main() -> None:
    """Time every asked combination and print a Markdown table, or JSON."""
    options = arguments()
    if options.row:
        print(json.dumps(time_row(options)))
        return
    rows = []
    for stage in options.stage or STAGES:
        for precision in options.precision or PRECISIONS:
            for compiled, captured in itertools.product(
                *([False, True][: 1 + x] for x in (options.compile, options.capture))
            ):
                rows.append(run_row(options, stage, precision, compiled, captured))
                if not options.json:
                    print_row(rows[-1], header=len(rows) == 1)
    if options.json:
        print(json.dumps(rows, indent=1))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", nargs="?", default="paper", help="paper, compact, smoke or facecycle")
    parser.add_argument("--stage", action="append", choices=STAGES)
    parser.add_argument("--precision", action="append", choices=PRECISIONS)
    parser.add_argument("--device", default="cpu", help="cpu, cuda")
    parser.add_argument("--steps", type=int, default=3, help="timed, after --warm-up")
    parser.add_argument("--warm-up", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch-size", type=int, help="pairs; as the preset says where it is not given")
    parser.add_argument("--channels-last", action=argparse.BooleanOptionalAction, help="as the preset says otherwise")
    parser.add_argument("--compile", action="store_true", help="compiled steps too")
    parser.add_argument("--capture", action="store_true", help="steps captured as a CUDA graph too")
    parser.add_argument("--turn", help="a file to lock while steps are timed, where several rows get ready at once")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--row", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.capture and not options.device.startswith("cuda"):
        parser.error(f"--capture needs a GPU, --device is {options.device}: leave it out, or give --device cuda")
    if options.capture:
        options.warm_up = max(options.warm_up, 4)  # the first three run as they are, the fourth is recorded
    return options


def run_row(options: argparse.Namespace, stage: str, precision: str, compiled: bool, captured: bool) -> dict:
    """One combination in a fresh process."""
    command = [sys.executable, __file__, options.preset, "--row", "--stage", stage, "--precision", precision]
    for name in ("device", "steps", "warm_up", "threads", "batch_size", "turn"):
        if (value := getattr(options, name)) is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    if options.channels_last is not None:
        command.append("--channels-last" if options.channels_last else "--no-channels-last")
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "OMP_WAIT_POLICY": "PASSIVE"}
    command += ["--compile"] * compiled + ["--capture"] * captured
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


def time_row(options: argparse.Namespace) -> dict:
    """The numbers of one combination."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from facecycle.config import override
    from facecycle.data.truth import TRUE_VALUES
    from facecycle.model.networks import build_networks
    from facecycle.presets import preset
    from facecycle.train.capture import CapturedUpdate, update
    from facecycle.train.data import shows_neutral
    from facecycle.train.launch import build_fabric
    from facecycle.train.loop import train_step
    from facecycle.train.optimizer import build_adam
    from facecycle.train.stage import STAGES as STAGE_CLASSES
    from facecycle.train.truth import Known

    torch.set_num_threads(options.threads)
    (name,), (precision,) = options.stage, options.precision
    config = override(preset(options.preset), [f'train.precision="{precision}"'])
    channels_last = config.train.channels_last if options.channels_last is None else options.channels_last
    perceptual, note = perceptual_network(config.perceptual)
    torch.manual_seed(0)
    networks = build_networks(config.model)
    STAGE_CLASSES[name].extend(networks, config)
    stage = STAGE_CLASSES[name](networks, config, perceptual)
    if channels_last:
        stage.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    settings = stage.settings()
    if options.batch_size:
        settings = dataclasses.replace(settings, batch_size=options.batch_size)
    fabric = build_fabric(options.device, precision)
    stage.to(fabric.device)
    adam = build_adam(stage, captured=options.capture)
    if options.compile:
        stage.compile()
    model, optimizer = fabric.setup(stage, adam)
    learn = CapturedUpdate(fabric.device) if options.capture else update
    model.train()
    side = round(1.25 * config.model.image_size)
    motion, frames = name == "motion", config.data.frames_per_clip
    shape = (settings.batch_size, frames + (motion and shows_neutral(config)), 3, side, side)
    stored = torch.randint(0, 256, shape, dtype=torch.uint8, device=fabric.device)
    drawn = torch.randn(settings.batch_size, frames, TRUE_VALUES, device=fabric.device)
    known = Known(drawn if motion and config.motion_loss.truth else None)
    seconds, counter = [], FlopCounterMode(display=False)
    with ExitStack() as turn:
        for step in range(1, options.warm_up + options.steps + 1):
            if options.turn and step == options.warm_up + 1:
                fcntl.flock(turn.enter_context(open(options.turn, "a")), fcntl.LOCK_EX)
            began = time.perf_counter()
            with nullcontext() if options.compile or step > 1 else counter:
                loss, _ = train_step(fabric, model, optimizer, stored, config, name, step, known, learn)
            float(loss)  # waits for the device
            seconds.append(time.perf_counter() - began)
    row = describe(options, config, settings, seconds, note, channels_last, str(fabric.device))
    return {**row, "tflop": None if options.compile else round(counter.get_total_flops() / 1e12, 3)}


def describe(options, config, settings, seconds, note, channels_last, device) -> dict:
    """What a row says."""
    import torch

    middle = statistics.median(seconds[options.warm_up :])
    on_gpu = device.startswith("cuda")
    peak = torch.cuda.max_memory_allocated() if on_gpu else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    images = settings.batch_size * config.data.frames_per_clip
    return {
        "preset": options.preset,
        "stage": options.stage[0],
        "precision": options.precision[0],
        "channels_last": channels_last,
        "compiled": options.compile,
        "captured": options.capture,
        "images": images,
        "size": config.model.image_size,
        "seconds": round(middle, 4),
        "images_per_second": round(images / middle, 2),
        "first_step_seconds": round(seconds[0], 2),
        "peak_memory_gb": round(peak / 1e9, 2),
        "perceptual": note,
        "machine": torch.cuda.get_device_name() if on_gpu else processor(),
        "device": device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def perceptual_network(config):
    """The preset's features; VGG with random weights where its file is not at hand, for the time is the same."""
    import torch

    from facecycle.errors import FaceCycleError
    from facecycle.losses.perceptual import build_perceptual

    try:
        return build_perceptual(config), config.name
    except FaceCycleError:
        if not config.name.startswith("vgg"):
            raise
    state, before, at = {}, 3, 0
    for channels, count in ((64, 2), (128, 2), (256, 4 if config.name == "vgg19" else 3), (512, 1)):
        for _ in range(count):
            state[f"features.{at}.weight"] = torch.randn(channels, before, 3, 3) * (2 / (9 * before)) ** 0.5
            state[f"features.{at}.bias"] = torch.zeros(channels)
            before, at = channels, at + 2
        at += 1
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "random.pth"
        torch.save(state, file)
        return build_perceptual(dataclasses.replace(config, weights=str(file))), f"{config.name}, random weights"


def processor() -> str:
    """Name and number of cores of this machine's CPU."""
    names = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def _cpuinfo() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.is_file() else []


def print_row(row: dict, header: bool) -> None:
    """A line of the table; before the first, what all rows share."""
    if header:
        print(f"{row['machine']}; torch {row['torch']}, {row['threads']} threads, {row['device']}")
        what = f"{row['images']} images of {row['size']} px a step"
        print(f"preset {row['preset']}: {what}, features: {row['perceptual']}\n")
        print(
            "| stage | precision | channels last | compiled | captured "
            "| s a step | images/s | first step, s | peak GB | TFLOP |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|")
    flags = ("yes" if row[name] else "no" for name in ("channels_last", "compiled", "captured"))
    numbers = (str(row[n]) for n in ("seconds", "images_per_second", "first_step_seconds", "peak_memory_gb", "tflop"))
    print("| " + " | ".join((row["stage"], row["precision"], *flags, *numbers)) + " |", flush=True)


if __name__ == "__main__":
    main()
