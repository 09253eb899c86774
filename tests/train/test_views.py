"""Disturbed views: what may change, what may not, and that splitting a batch changes nothing."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from facecycle.config import ViewsConfig
from facecycle.train.views import disturb
from tiny import face_tensor

NOTHING = ViewsConfig(shift=0, scale=0, colour=0, grey=0, blur=0, erase=0, noise=0)
ALL = ViewsConfig(grey=0.5, blur=0.9, erase=0.9)


def keyed(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clips() -> Tensor:
    return face_tensor(4, 3)


def test_no_disturbance_is_the_same_picture() -> None:
    torch.testing.assert_close(disturb(clips(), NOTHING, keyed()), clips(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "change",
    [{"shift": 0.1}, {"scale": 0.2}, {"colour": 0.4}, {"grey": 1.0}, {"blur": 1.0}, {"erase": 1.0}, {"noise": 0.1}],
)
def test_every_setting_does_something_and_stays_in_range(change: dict[str, float]) -> None:
    x = clips()
    changed = disturb(x, dataclasses.replace(NOTHING, **change), keyed())
    assert changed.shape == x.shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    per_frame = (changed - x).abs().mean((2, 3, 4))
    assert (per_frame > 1e-4).float().mean() > 0.6


def test_frames_of_a_clip_are_disturbed_apart() -> None:
    same = clips()[:, :1].expand(-1, 3, -1, -1, -1).contiguous()
    changed = disturb(same, ALL, keyed())
    assert (changed[:, 0] - changed[:, 1]).abs().mean() > 0.01


def test_grey_pictures_have_no_colour() -> None:
    changed = disturb(clips(), dataclasses.replace(NOTHING, grey=1), keyed())
    torch.testing.assert_close(changed[:, :, 0], changed[:, :, 2])


def test_two_processes_see_what_one_would() -> None:
    whole = disturb(clips(), ALL, keyed(3))
    parts = [disturb(part, ALL, keyed(3), rank, 2) for rank, part in enumerate(clips().chunk(2))]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-6, rtol=0)


def test_the_seed_decides() -> None:
    assert torch.equal(disturb(clips(), ALL, keyed(1)), disturb(clips(), ALL, keyed(1)))
    assert not torch.equal(disturb(clips(), ALL, keyed(1)), disturb(clips(), ALL, keyed(2)))
