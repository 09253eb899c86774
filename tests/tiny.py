"""Small things that the tests of the learning half share: networks of 8 channels, drawn faces, face sets of them."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from facecycle.config import DataConfig, ModelConfig, PerceptualConfig, RunConfig, StageConfig, TrainConfig, save
from facecycle.data.faceset import ShardWriter, finish_faceset, write_faceset
from facecycle.model.networks import Networks, build_networks

torch.set_num_threads(1)  # threads that spin for each other's sake make a tiny step ten times slower

# For subprocesses: the same.
QUIET = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "COLUMNS": "200"}

SIZE, MARGIN = 32, 0.25

MODEL = ModelConfig(
    image_size=SIZE,
    code_dim=16,
    encoder_width=0.125,
    flow_width=0.125,
    generator_width=0.125,
    generator_blocks=1,
    generator_paint=8,
    generator_noise=False,
    transfer_blocks=1,
)

MOVING = dataclasses.replace(MODEL, generator_skip=True, mirrored=True, expression=True)


def tiny_stage(steps: int, rate: float = 1e-3, batch_size: int = 4) -> StageConfig:
    return StageConfig(
        steps=steps, batch_size=batch_size, schedule="cosine", lr=(rate,), lr_at=(0.0,), warmup=2, beta1=0.9
    )


def tiny_config(source: Path | str, motion: int = 6, identity: int = 6, **train: object) -> RunConfig:
    """A whole run that takes about a second."""
    options = {"log_every": 1, "validate_every": 3, "checkpoint_every": 3, "validation_clips": 4, "ema": 0.9}
    options |= {"precision": "32-true"} | train
    return RunConfig(
        preset="tiny",
        data=DataConfig(source=str(source), workers=0, held_out=0.3),
        model=MODEL,
        perceptual=PerceptualConfig("none"),
        motion=tiny_stage(motion),
        identity=tiny_stage(identity),
        train=TrainConfig(**options),  # type: ignore[arg-type]
    )


def tiny_networks(seed: int = 0, model: ModelConfig = MODEL) -> Networks:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_networks(model)


def moving_networks(found: bool = True) -> Networks:
    """Networks that fetch pixels and move them far; ``found``: which part of that is expression, too."""
    made = tiny_networks(0, MOVING).eval().requires_grad_(False)
    drawn = torch.Generator().manual_seed(1)
    torch.nn.init.normal_(made.flow_decoder.field.weight, 0, 2.0, generator=drawn)
    assert made.expression is not None
    if found:
        torch.nn.init.normal_(made.expression.weight, 0, 0.2, generator=drawn)
    return made


def face_picture(person: int, turn: float = 0.0, smile: float = 0.0, size: int = SIZE) -> Image.Image:
    """A drawn head: the person decides colours and shape, ``turn`` (-1..1) and ``smile`` (-1..1) move it."""
    rng = np.random.default_rng(person)
    skin, hair, ground = (tuple(int(v) for v in rng.integers(low, high, 3)) for low, high in
                          ((120, 240), (10, 110), (40, 200)))  # fmt: skip
    wide, eye = rng.uniform(0.27, 0.35), rng.uniform(0.11, 0.15)
    s = 8 * size  # drawn large, then averaged: smooth edges
    image = Image.new("RGB", (s, s), ground)
    pen = ImageDraw.Draw(image)
    middle = 0.5 + 0.07 * turn

    def oval(x: float, y: float, rx: float, ry: float, colour: tuple[int, ...]) -> None:
        pen.ellipse([s * (x - rx), s * (y - ry), s * (x + rx), s * (y + ry)], fill=colour)

    oval(0.5, 0.42, wide * 1.15, 0.42, hair)
    oval(0.5 + 0.02 * turn, 0.52, wide, 0.40, skin)
    for side in (-1, 1):
        oval(middle + side * eye, 0.42, 0.045, 0.03, (250, 250, 250))
        oval(middle + side * eye + 0.012 * turn, 0.42, 0.022, 0.026, (30, 30, 40))
    oval(middle + 0.02 * turn, 0.55, 0.03, 0.05, tuple(int(0.85 * v) for v in skin))
    oval(middle, 0.72, 0.10 + 0.04 * smile, 0.035 + 0.03 * smile, (150, 40, 50))
    return image.resize((size, size), Image.Resampling.BOX)


def face_tensor(count: int = 4, frames: int = 2, seed: int = 0, size: int = SIZE) -> torch.Tensor:
    """Clips ``count frames 3 size size``: a person each, at a few poses."""
    rng = np.random.default_rng(seed)
    pictures = [[face_picture(p, *rng.uniform(-1, 1, 2), size=size) for _ in range(frames)] for p in range(count)]
    stacked = np.stack([[np.asarray(picture) for picture in clip] for clip in pictures])
    return torch.from_numpy(stacked).permute(0, 1, 4, 2, 3).float() / 255


def make_faceset(root: Path, clips: list[int], size: int = SIZE) -> Path:
    """A face set on disk: a person for each entry, with one clip of so many frames, ten a second."""
    write_faceset(root, size=size, margin=MARGIN, licence="CC0", origin="drawn")
    stored = round(size * (1 + MARGIN))
    with ShardWriter(root, 0) as shard:
        for person, frames in enumerate(clips):
            rng = np.random.default_rng([person, 7])
            for frame in range(frames):
                buffer = io.BytesIO()
                turn = np.sin(2 * np.pi * frame / max(2, frames) + 0.5)
                face_picture(person, turn, rng.uniform(-1, 1), stored).save(buffer, "JPEG", quality=95)
                shard.add(f"p{person}_{frame}", buffer.getvalue(), _row(person, frame, size))
    finish_faceset(root, 1)
    return root


def _row(person: int, frame: int, size: int) -> dict[str, object]:
    return {
        "person": f"p{person}",
        "clip": f"p{person}/0",
        "frame": frame,
        "time": frame / 10,
        "box": np.array([0, 0, size, size]),
        "landmarks": np.zeros((5, 2)),
        "crop": np.array([size / 2, size / 2, size]),
        "sharpness": 1.0,
        "score": 1.0,
    }


def train_tiny(run: Path, config: RunConfig, **options: object) -> bool | None:
    """``facecycle train --config`` in this process."""
    from facecycle.train import start

    file = run.with_name(run.name + ".toml")
    save(config, file)
    return start(run=run, config=file, device="cpu", **options)  # type: ignore[arg-type]


def resume_tiny(run: Path, **options: object) -> bool | None:
    """``facecycle train --resume`` in this process."""
    from facecycle.train import start

    return start(run=run, resume=True, device="cpu", **options)  # type: ignore[arg-type]


def records(run: Path) -> list[dict]:
    """What a run wrote down, without what depends on the clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "images_per_second"} for line in lines]
