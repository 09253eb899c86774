"""A second, disturbed view of every frame, for the terms that compare codes."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from facecycle.config import ViewsConfig
from facecycle.model.warp import pixel_grid, sample
from facecycle.train.augment import drawing
from facecycle.types import LUMA, Clip, Face

Draw = Callable[..., Tensor]


def disturb(clips: Clip, config: ViewsConfig, generator: torch.Generator, rank: int = 0, world: int = 1) -> Clip:
    """Every frame moved a little, recoloured, blurred, partly covered, noisy: each by draws of its own.

    What is disturbed is what neither code should hold. Nothing is mirrored or turned: that would change the motion.

    Args:
        clips: frames as the cycle sees them.
        config: how much of everything.
        generator: keyed by the step, the same in every process.
        rank, world: this process's part of the batch, as in `facecycle.train.augment.augment`.
    """
    count = clips.shape[0] * clips.shape[1]
    draw = drawing(generator, count, rank, world, clips.device)
    x = _move(clips.flatten(0, 1), config, draw)
    x = _blur(_recolour(x, config, draw), config, draw)
    noise = torch.randn((count * world, *x.shape[1:]), generator=generator, device=generator.device)
    noise = noise[rank * count : (rank + 1) * count].to(x.device)
    x = _cover(x + config.noise * draw(1, 1, 1) * noise, config, draw)
    return x.clamp(0, 1).unflatten(0, clips.shape[:2])


def _move(x: Face, config: ViewsConfig, draw: Draw) -> Face:
    jitter = 2 * draw(3) - 1
    scale, shift = (1 + config.scale) ** jitter[:, 2], 2 * config.shift * jitter[:, :2]
    grid = pixel_grid(x.shape[-2], x.shape[-1], x.device)
    return sample(x, grid * scale[:, None, None, None] + shift[:, None, None])


def _recolour(x: Face, config: ViewsConfig, draw: Draw) -> Face:
    gain = 1 + config.colour * (2 * draw(1, 1, 1) - 1) + 0.5 * config.colour * (2 * draw(3, 1, 1) - 1)
    lift = 0.5 * config.colour * (2 * draw(1, 1, 1) - 1)
    x = (x - 0.5) * gain + 0.5 + lift
    luma = (x * x.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True).expand_as(x)
    return torch.where(draw(1, 1, 1) < config.grey, luma, x)


def _blur(x: Face, config: ViewsConfig, draw: Draw) -> Face:
    chosen = draw(1, 1, 1)
    for share, factor in ((0.5, 2), (0.2, 3)):
        side = x.shape[-1] // factor
        small = F.interpolate(x, (side, side), mode="area")
        soft = F.interpolate(small, x.shape[-2:], mode="bilinear", align_corners=False)
        x = torch.where((chosen < config.blur * share) if factor == 3 else (chosen >= 1 - config.blur * share), soft, x)
    return x


def _cover(x: Face, config: ViewsConfig, draw: Draw) -> Face:
    """A rectangle of one colour over a tenth to two fifths of each side."""
    size = x.shape[-1]
    centre, half = draw(2) * size, (0.05 + 0.15 * draw(2)) * size
    line = torch.arange(size, device=x.device) + 0.5
    inside = (line - centre[:, :, None]).abs() < half[:, :, None]
    covered = (inside[:, 1, :, None] & inside[:, 0, None, :])[:, None] & (draw(1, 1, 1) < config.erase)
    return torch.where(covered, draw(3, 1, 1).expand_as(x), x)
