"""Augmentation of whole batches, as tensors, on whatever device they are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from facecycle.config import AugmentConfig
from facecycle.model.warp import pixel_grid, sample
from facecycle.types import LUMA, Clip, StoredClip


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
    draw = drawing(generator, clips, rank, world, stored.device)
    x = stored.flatten(0, 1).float() / 255
    stretch, shift = _jitter(draw, frames, still, size / stored.shape[-1], config)
    grid = pixel_grid(size, size, stored.device) * stretch[:, :, None, None] + shift[:, :, None, None]
    x = sample(x, grid.flatten(0, 1)).unflatten(0, (clips, frames))
    gain = 1 + config.contrast * (2 * draw(1, 1, 1, 1) - 1)
    lift = config.brightness * (2 * draw(1, 1, 1, 1) - 1)
    grey = draw(1, 1, 1, 1) < config.grey
    if config.brightness or config.contrast:
        x = ((x - 0.5) * gain + 0.5 + lift).clamp(0, 1)
    if config.grey:
        luma = (x * x.new_tensor(LUMA).view(3, 1, 1)).sum(2, keepdim=True).expand_as(x)
        x = torch.where(grey, luma, x)
    return x


def augment_points(
    points: Float[Tensor, "b k n 2"],
    stored: int,
    size: int,
    config: AugmentConfig,
    generator: torch.Generator,
    rank: int = 0,
    world: int = 1,
    still: int = 0,
) -> Float[Tensor, "b k n 2"]:
    """Where `augment`, given a generator of the same key, puts points of the stored pictures.

    Args:
        points: (x, y) in normalised coordinates of the stored pictures, ``stored`` pixels wide; the result is in
            those of the crops.
        stored, size, config, generator, rank, world, still: as in `augment`.
    """
    draw = drawing(generator, len(points), rank, world, points.device)
    stretch, shift = _jitter(draw, points.shape[1], still, size / stored, config)
    return (points - shift[:, :, None]) / stretch[:, :, None]


def drawing(
    generator: torch.Generator, rows: int, rank: int, world: int, device: torch.device
) -> Callable[..., Tensor]:
    """A function that draws uniformly in [0, 1) for a batch over all processes, and gives this one its ``rows``."""

    def draw(*shape: int) -> Tensor:
        drawn = torch.rand((rows * world, *shape), generator=generator, device=generator.device)
        return drawn[rank * rows : (rank + 1) * rows].to(device)

    return draw


def _jitter(
    draw: Callable[..., Tensor], frames: int, still: int, inner: float, config: AugmentConfig
) -> tuple[Float[Tensor, "b k 2"], Float[Tensor, "b k 2"]]:
    """Stretch and shift from crop to stored picture, of which the crop spans [-inner, inner]."""
    jitter = 2 * draw(frames, 3) - 1  # x, y, log scale
    jitter[:, frames - still :] = 0
    flip = torch.where(draw(1) < config.mirror, -1.0, 1.0).expand(-1, frames)
    scale = inner * (1 + config.scale) ** jitter[..., 2]
    return torch.stack([scale * flip, scale], -1), 2 * inner * config.shift * jitter[..., :2]
