"""The terms: symmetries, bounds, and SSIM against a direct convolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from facecycle.losses.terms import SSIM, gram, gram_distance, hinge, l1, symmetry
from tiny import face_tensor

from . import reference


def faces(seed: int, width: int = 32) -> torch.Tensor:
    return torch.rand(2, 3, 32, width, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 1000), st.sampled_from([32, 33, 48]))
@settings(deadline=None, max_examples=20)
def test_symmetry_does_not_know_left_from_right(seed: int, width: int) -> None:
    x = faces(seed, width)
    torch.testing.assert_close(symmetry(x.flip(-1)), symmetry(x))
    assert symmetry((x + x.flip(-1)) / 2) < 1e-6
    assert symmetry(x).item() == pytest.approx(reference.asymmetry(x.double().numpy()), rel=1e-5)


def test_symmetry_sees_what_turns_a_face() -> None:
    frontal, turned = face_tensor(1, 1)[0], torch.zeros(1, 3, 32, 32)
    turned[..., :10] = 1
    assert symmetry(turned) > symmetry(frontal)


@given(st.integers(0, 1000), st.sampled_from([32, 40, 64]))
@settings(deadline=None, max_examples=10)
def test_the_banded_product_is_the_convolution(seed: int, width: int) -> None:
    x, y = faces(seed, width), faces(seed + 1, width)
    y = (0.7 * x + 0.3 * y).contiguous()
    expected = reference.ssim(x.double().numpy(), y.double().numpy())
    assert SSIM(y)(x).item() == pytest.approx(expected, abs=2e-5)
    assert SSIM(x)(y).item() == pytest.approx(expected, abs=2e-5)  # both ways round


def test_ssim_is_one_for_the_same_picture_and_falls_with_noise() -> None:
    face = face_tensor(2).flatten(0, 1)
    noise = torch.randn(face.shape, generator=torch.Generator().manual_seed(0))
    values = [SSIM(face)((face + spread * noise).clamp(0, 1)).item() for spread in (0.0, 0.05, 0.2)]
    assert values[0] == pytest.approx(1, abs=1e-5)
    assert values[0] > values[1] > values[2]


def test_gram_does_not_know_places() -> None:
    x = torch.randn(2, 5, 6, 6, generator=torch.Generator().manual_seed(0))
    shuffled = x.flatten(2)[..., torch.randperm(36, generator=torch.Generator().manual_seed(1))].view_as(x)
    torch.testing.assert_close(gram(shuffled), gram(x))
    torch.testing.assert_close(gram(x), gram(x).transpose(1, 2))
    np.testing.assert_allclose(gram(x), np.einsum("bchw,bdhw->bcd", x, x) / 36, rtol=1e-4, atol=1e-6)


@given(st.integers(0, 1000), st.integers(2, 40), st.integers(1, 6))
@settings(deadline=None, max_examples=20)
def test_the_distance_of_gram_matrices_is_the_same_either_way(seed: int, channels: int, side: int) -> None:
    noise = torch.Generator().manual_seed(seed)
    x, other = torch.randn(2, 3, channels, side, side, generator=noise, dtype=torch.float64)
    for y in (other, x + 1e-3 * other):  # near the goal too, where squares would cancel
        x = x.detach().requires_grad_()
        found, expected = gram_distance(x, y), F.mse_loss(gram(x), gram(y))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
        slopes = [torch.autograd.grad(value, x)[0] for value in (found, expected)]
        torch.testing.assert_close(*slopes, rtol=1e-7, atol=1e-15)


def test_the_hinge_pulls_every_picture_and_only_beyond_the_slack() -> None:
    centre = torch.full((1, 3, 32, 32), 0.5)
    pictures = torch.stack([centre[0] + 0.05, centre[0] - 0.3, centre[0] + 0.1]).requires_grad_()
    value = hinge(pictures, centre, 0.1)
    assert value.item() == pytest.approx(0.2 / 3, rel=1e-4)
    value.backward()
    assert pictures.grad is not None
    assert pictures.grad[0].abs().max() == 0
    assert (pictures.grad[1] < 0).all()


def test_l1() -> None:
    x, y = faces(0), faces(1)
    assert l1(x, y).item() == pytest.approx(reference.distance(x.double().numpy(), y.double().numpy()), rel=1e-6)
