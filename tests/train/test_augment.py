"""Augmentation: what a clip shares, what each frame has of its own, and that splitting a batch changes nothing."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from facecycle.config import AugmentConfig
from facecycle.model.warp import pixel_grid
from facecycle.train.augment import augment, augment_points, centre

NOTHING = AugmentConfig(mirror=0, shift=0, scale=0)
ALL = AugmentConfig(mirror=0.5, shift=0.1, scale=0.1, brightness=0.3, contrast=0.3, grey=0.5)


def stored(clips: int = 6, frames: int = 3, size: int = 40) -> Tensor:
    """Clips whose frames are all the same picture, so that what is drawn for each frame shows."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(clips, 3, 6, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return (255 * smooth).to(torch.uint8)[:, None].expand(-1, frames, -1, -1, -1).contiguous()


def keyed(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_centre_is_the_crop_without_its_margin() -> None:
    x = stored()
    assert torch.equal(centre(x, 32), x[..., 4:36, 4:36].float() / 255)
    assert centre(x, 32).max() <= 1


def test_still_frames_are_recoloured_but_not_moved() -> None:
    moved = dataclasses.replace(NOTHING, shift=0.1, scale=0.1, mirror=1.0)
    found, plain = augment(stored(), 32, moved, keyed(1), still=1), augment(stored(), 32, NOTHING, keyed(1))
    torch.testing.assert_close(found[:, -1], plain[:, -1].flip(-1), atol=1e-4, rtol=0)
    assert (found[:, 0] - plain[:, 0].flip(-1)).abs().max() > 1e-2
    grey = augment(stored(), 32, dataclasses.replace(NOTHING, grey=1.0), keyed(1), still=1)
    assert grey[:, -1].std(1).max() < 1e-5


@given(st.integers(0, 1000))
@settings(deadline=None, max_examples=10)
def test_points_go_where_their_pixels_go(seed: int) -> None:
    """Pictures that show at each pixel where it lies: read at the moved points they tell where these came from."""
    place = (pixel_grid(40, 40, torch.device("cpu")).permute(0, 3, 1, 2) + 1) / 2
    x = (255 * torch.cat([place, place[:, :1]], 1)).to(torch.uint8).expand(6, 3, -1, -1, -1)
    points = 0.8 * torch.rand(6, 3, 5, 2, generator=keyed(seed)) - 0.4
    how = dataclasses.replace(NOTHING, mirror=0.5, shift=0.1, scale=0.1)
    crops = augment(x, 32, how, keyed(seed), still=1).flatten(0, 1)
    moved = augment_points(points, 40, 32, how, keyed(seed), still=1)
    there = moved.flatten(0, 1)[:, :, None]
    read = torch.nn.functional.grid_sample(crops, there, align_corners=False)[:, :2, :, 0].transpose(1, 2)
    torch.testing.assert_close(2 * read.unflatten(0, (6, 3)) - 1, points, atol=0.02, rtol=0)
    halves = [augment_points(points[i : i + 3], 40, 32, how, keyed(seed), i // 3, 2, still=1) for i in (0, 3)]
    assert torch.equal(torch.cat(halves), moved)


@given(st.integers(0, 1000), st.sampled_from([(40, 32), (80, 64), (60, 48)]))
@settings(deadline=None, max_examples=10)
def test_no_augmentation_is_the_centre(seed: int, sizes: tuple[int, int]) -> None:
    x = stored(2, 2, sizes[0])
    torch.testing.assert_close(augment(x, sizes[1], NOTHING, keyed(seed)), centre(x, sizes[1]), atol=1e-4, rtol=0)


def test_mirroring_is_per_clip() -> None:
    x = stored(12)
    plain, flipped = centre(x, 32), centre(x, 32).flip(-1)
    found = augment(x, 32, dataclasses.replace(NOTHING, mirror=0.5), keyed(1))
    is_plain, is_flipped = ((found - each).abs().amax((2, 3, 4)) < 1e-4 for each in (plain, flipped))
    assert (is_plain | is_flipped).all()
    assert 0 < is_flipped[:, 0].sum() < 12
    assert (is_flipped == is_flipped[:, :1]).all()
    every = augment(x, 32, dataclasses.replace(NOTHING, mirror=1), keyed(1))
    torch.testing.assert_close(every, flipped, atol=1e-4, rtol=0)


@pytest.mark.parametrize("change", [{"shift": 0.1}, {"scale": 0.1}])
def test_jitter_is_per_frame_and_bounded(change: dict[str, float]) -> None:
    found = augment(stored(), 32, dataclasses.replace(NOTHING, **change), keyed(1))
    assert (found[:, 0] - found[:, 1]).abs().amax((1, 2, 3)).min() > 1e-3
    ramp = torch.arange(40, dtype=torch.uint8).mul(5).expand(4, 2, 3, 40, 40).contiguous()
    moved = augment(ramp, 32, dataclasses.replace(NOTHING, **change), keyed(2)) * 255 / 5
    plain = centre(ramp, 32) * 255 / 5
    bound = 0.1 * 32 + 0.1 if "shift" in change else 0.1 * 16 + 0.1
    assert 0.2 < (moved - plain).abs().max() <= bound


def test_colour_is_per_clip() -> None:
    config = dataclasses.replace(NOTHING, brightness=0.3, contrast=0.3, grey=0.5)
    found = augment(stored(), 32, config, keyed(2))
    torch.testing.assert_close(found[:, 0], found[:, 1])
    assert found.min() >= 0
    assert found.max() <= 1
    is_grey = (found.std(2).amax((1, 2, 3)) < 1e-5).tolist()
    assert {True, False} == set(is_grey)


@given(st.integers(0, 1000), st.sampled_from([1, 2, 3, 6]))
@settings(deadline=None, max_examples=15)
def test_parts_of_a_batch_make_the_whole(seed: int, world: int) -> None:
    x = stored()
    whole = augment(x, 32, ALL, keyed(seed))
    parts = [augment(part, 32, ALL, keyed(seed), rank, world) for rank, part in enumerate(x.chunk(world))]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-6, rtol=0)


def test_the_key_decides() -> None:
    state = torch.get_rng_state()
    one, again, other = (augment(stored(), 32, ALL, keyed(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)
