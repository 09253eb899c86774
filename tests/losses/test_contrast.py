"""The contrast terms: equal to the formulas written out, blind to what they should not see."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from facecycle.losses.contrast import clip_contrast, dependence, frame_contrast


def codes(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).float()


def cosine(x: Tensor, y: Tensor) -> float:
    return float(x @ y / x.norm() / y.norm())


def test_frame_contrast_is_the_formula_written_out() -> None:
    anchors, views, total = codes(3, 2, 8), codes(3, 4, 8, seed=1), 0.0
    for clip in range(3):
        for frame in range(2):
            shares = [math.exp(cosine(anchors[clip, frame], views[clip, other]) / 0.2) for other in range(4)]
            total -= math.log(shares[frame] / sum(shares)) / 6
    assert frame_contrast(anchors, views, 0.2).item() == pytest.approx(total, rel=1e-5)


def test_frame_contrast_cannot_be_lowered_by_the_person() -> None:
    """A code that is one and the same for all frames of a clip tells nothing, however different the clips are."""
    person = codes(5, 1, 8)
    assert frame_contrast(person.expand(-1, 2, -1), person.expand(-1, 4, -1)).item() == pytest.approx(math.log(4))


def test_clip_contrast_is_the_formula_written_out() -> None:
    x, clip, total = codes(6, 8), [0, 0, 1, 1, 1, 2], 0.0
    for i in range(6):
        others = [j for j in range(6) if j != i]
        everything = sum(math.exp(cosine(x[i], x[j]) / 0.2) for j in others)
        same = [j for j in others if clip[j] == clip[i]]
        for j in same:
            total -= math.log(math.exp(cosine(x[i], x[j]) / 0.2) / everything) / len(same) / 6
    clips = torch.tensor(clip)
    assert clip_contrast(x, clips, x, clips, 0.2).item() == pytest.approx(total, rel=1e-5)


def test_clip_contrast_rewards_codes_of_the_clip_and_nothing_else() -> None:
    clips = torch.arange(4).repeat_interleave(3)
    perfect, constant = torch.eye(8)[clips], torch.ones(12, 8)
    assert clip_contrast(perfect, clips, perfect, clips).item() == pytest.approx(math.log(2), abs=1e-2)  # two alike
    assert clip_contrast(constant, clips, constant, clips).item() == pytest.approx(math.log(11), rel=1e-5)


def test_scale_of_a_code_does_not_matter() -> None:
    x, clips = codes(6, 8), torch.tensor([0, 0, 1, 1, 2, 2])
    torch.testing.assert_close(clip_contrast(3 * x, clips, 3 * x, clips), clip_contrast(x, clips, x, clips))
    views = codes(2, 4, 8)
    torch.testing.assert_close(frame_contrast(views[:, :2], views), frame_contrast(5 * views[:, :2], views))


def test_dependence_is_the_formula_written_out() -> None:
    x, y = codes(5, 3, 4), codes(5, 3, 6, seed=1)
    within_x, within_y = (z - z.mean(1, keepdim=True) for z in (x, y))
    total = 0.0
    for i in range(4):
        for j in range(6):
            total += float((within_x[..., i] * within_y[..., j]).sum() / 10) ** 2
    spread = float(((x - x.flatten(0, 1).mean(0)) ** 2).sum(-1).mean())
    assert dependence(x, y).item() == pytest.approx(total / spread / float((within_y**2).sum() / 10), rel=1e-4)


def test_dependence_sees_a_leak_and_neither_the_person_nor_chance() -> None:
    motion, person = codes(200, 4, 8), codes(200, 1, 8, seed=1).expand(-1, 4, -1)
    assert dependence(person, motion).item() == pytest.approx(0, abs=1e-9)
    alone, leaky = dependence(person + 0.3 * codes(200, 4, 8, seed=2), motion), dependence(person + motion, motion)
    assert alone < 0.002
    assert leaky > 20 * alone
    assert dependence(7 * (person + motion), 3 * motion).item() == pytest.approx(leaky.item(), rel=1e-4)
