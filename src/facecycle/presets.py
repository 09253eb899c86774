"""Ready-made configurations."""

from __future__ import annotations

from dataclasses import replace

from facecycle.config import (
    AugmentConfig,
    DataConfig,
    IdentityLossConfig,
    ModelConfig,
    MotionLossConfig,
    PerceptualConfig,
    RunConfig,
    StageConfig,
    TrainConfig,
    ViewsConfig,
)
from facecycle.errors import FaceCycleError

PAPER = RunConfig(
    preset="paper",
    model=ModelConfig(flow_inverse="fixed-point"),
    perceptual=PerceptualConfig("vgg19"),
    # 40 and 20 epochs in the paper, at rates that change after epochs 1 and 20 (of 40), 1 and 10 (of 20).
    motion=StageConfig(400_000, 16, "steps", (1e-5, 5e-5, 1e-5), (0.0, 0.025, 0.5), 1.0, 0, 0.5, 0.999),
    identity=StageConfig(200_000, 16, "steps", (5e-5, 1e-4, 1e-5), (0.0, 0.05, 0.5), 1.0, 0, 0.5, 0.9),
    augment=AugmentConfig(mirror=0.5, shift=0.03, scale=0.05),
    data=DataConfig(workers=4),
    motion_loss=MotionLossConfig(drift=0.0),
    identity_loss=IdentityLossConfig(anchor=0.0),
    train=TrainConfig(clip_gradient=0, ema=0.0, channels_last=True),
)

COMPACT = RunConfig(
    preset="compact",
    model=ModelConfig(
        encoder="gabor",
        flow_width=0.25,
        generator_width=0.125,
        generator_blocks=4,
        generator_paint=16,
        generator_noise=False,
        transfer_blocks=4,
    ),
    perceptual=PerceptualConfig("mobilenetv2", shrink=2),
    motion=StageConfig(3_000, 32, "cosine", (1e-3,), (0.0,), 1.0, 100, 0.9, 0.999),
    identity=StageConfig(3_000, 32, "cosine", (1e-3,), (0.0,), 1.0, 100, 0.9, 0.999),
    data=DataConfig(frames_per_clip=4, cycle_frames=2, cycle_stride=4),
    motion_loss=MotionLossConfig(contrast=1.0),
    identity_loss=IdentityLossConfig(contrast=1.0, swap=True),
    augment=AugmentConfig(mirror=0.5, shift=0.03, scale=0.05, brightness=0.1, contrast=0.2, grey=0.2),
    views=ViewsConfig(shift=0.08, scale=0.15, colour=0.5, grey=0.5, blur=0.7, erase=0.5, noise=0.04),
    train=TrainConfig(channels_last=True, validate_every=500, checkpoint_every=500),
)

SMOKE = RunConfig(
    preset="smoke",
    model=ModelConfig(
        code_norm=True,
        encoder_width=0.25,
        flow_width=0.25,
        generator_width=0.125,
        generator_blocks=2,
        generator_paint=8,
        generator_noise=False,
        transfer_blocks=2,
    ),
    perceptual=PerceptualConfig("none"),
    motion=StageConfig(300, 16, "cosine", (1e-3,), (0.0,), 0.05, 30, 0.9, 0.999),
    identity=StageConfig(150, 16, "cosine", (1e-3,), (0.0,), 0.05, 20, 0.9, 0.999),
    augment=AugmentConfig(mirror=0.5, shift=0.03, scale=0.05),
    train=TrainConfig(channels_last=True, ema=0.99, validate_every=100, checkpoint_every=150, validation_clips=16),
)

FACECYCLE = replace(
    COMPACT,
    preset="facecycle",
    model=replace(
        COMPACT.model,
        generator_width=0.25,
        generator_blocks=6,
        generator_paint=32,
        generator_skip=True,
        generator_adjust=True,
        mirrored=True,
        equivariant=True,
        expression_code=True,
        expression=True,
        discriminants=64,
        erase=10,
    ),
    data=replace(COMPACT.data, across_clips=True, cycle_stride=2),
    perceptual=PerceptualConfig("none"),
    augment=replace(COMPACT.augment, mirror=0.0),
    motion_loss=MotionLossConfig(contrast=1.0, truth=3.0, true_neutral=3.0, drift=0.0),  # the true face holds the frame
    identity_loss=IdentityLossConfig(contrast=1.0, independence=10.0),
)

PRESETS = {config.preset: config for config in (PAPER, COMPACT, SMOKE, FACECYCLE)}


def preset(name: str) -> RunConfig:
    """A configuration by name.

    Raises:
        FaceCycleError: no such name.
    """
    if name not in PRESETS:
        raise FaceCycleError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
