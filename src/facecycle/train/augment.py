"""Augmentation of whole batches, as tensors, on whatever device they are."""

from __future__ import annotations

import torch
from torch import Tensor

from facecycle.config import AugmentConfig
from facecycle.model.warp import pixel_grid, sample
from facecycle.types import Clip, StoredClip

GREY = (0.299, 0.587, 0.114)  # luma weights, ITU-R BT.601


def centre(stored: StoredClip, size: int) -> Clip:
    """The crop itself, its margin cut off: what validation and applications see."""
    rim = (stored.shape[-1] - size) // 2
    return stored[..., rim : rim + size, rim : rim + size].float() / 255


def augment(
    stored: StoredClip,
    size: int,
    config: AugmentConfig,
    generator: torch.Generator,
    rank: int = 0,
    world: int = 1,
    still: int = 0,
) -> Clip:
    """Jittered crops.

    Mirroring and colour are the same for all frames of a clip (they must go on showing one person in one light);
    shift and scale are drawn for each frame, since that is how real detections differ.

    Args:
        stored: frames with their margin.
        size: side of the result in pixels.
        config: how much of everything.
        generator: keyed by the step, the same in every process.
        rank, world: this process holds part ``rank`` of a batch that ``world`` processes share; each draws for the
            whole batch and takes its own part, so that the split changes nothing.
        still: so many frames at the end of each clip are mirrored and recoloured like the others, but stay in place.
    """
    clips, frames = stored.shape[:2]

    def draw(*shape: int) -> Tensor:
        """Uniform in [0, 1), one row for each clip of this process."""
        drawn = torch.rand((clips * world, *shape), generator=generator, device=generator.device)
        return drawn[rank * clips : (rank + 1) * clips].to(stored.device)

    x = stored.flatten(0, 1).float() / 255
    jitter = 2 * draw(frames, 3) - 1  # x, y, log scale
    jitter[:, frames - still :] = 0
    mirrored = draw(1) < config.mirror
    x = sample(x, _positions(jitter, mirrored, stored.shape[-1], size, config)).unflatten(0, (clips, frames))
    gain = 1 + config.contrast * (2 * draw(1, 1, 1, 1) - 1)
    lift = config.brightness * (2 * draw(1, 1, 1, 1) - 1)
    grey = draw(1, 1, 1, 1) < config.grey
    if config.brightness or config.contrast:
        x = ((x - 0.5) * gain + 0.5 + lift).clamp(0, 1)
    if config.grey:
        luma = (x * x.new_tensor(GREY).view(3, 1, 1)).sum(2, keepdim=True).expand_as(x)
        x = torch.where(grey, luma, x)
    return x


def _positions(jitter: Tensor, mirrored: Tensor, stored: int, size: int, config: AugmentConfig) -> Tensor:
    """Where each pixel of the result is read in the stored frame: ``(clips * frames) size size 2``."""
    frames = jitter.shape[1]
    inner = size / stored  # the crop spans [-inner, inner] of the stored frame
    scale = inner * (1 + config.scale) ** jitter[..., 2]
    shift = 2 * inner * config.shift * jitter[..., :2]
    flip = torch.where(mirrored, -1.0, 1.0).expand(-1, frames)
    stretch = torch.stack([scale * flip, scale], -1).flatten(0, 1)
    grid = pixel_grid(size, size, jitter.device)
    return grid * stretch[:, None, None] + shift.flatten(0, 1)[:, None, None]
