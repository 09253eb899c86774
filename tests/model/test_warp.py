"""Flow fields: nothing moves nothing, a shift shifts, and there and back is nowhere."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from facecycle.model.flow import DECODED, FlowDecoder
from facecycle.model.warp import compose, cycle_error, integrate, invert, log_area, pixel_grid, resize, warp
from tiny import face_tensor

SIZE = 64


def smooth_field(seed: int, pixels: float, size: int = DECODED) -> Tensor:
    """Random waves that fade at the border; the longest arrow of each field measures ``pixels`` of 64."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(4, 2, 4, 4, generator=generator)
    waves = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)
    fade = torch.sin(torch.linspace(0, torch.pi, size))
    waves = waves * fade[:, None] * fade
    longest = waves.norm(dim=1).flatten(1).max(1).values
    return waves * (pixels * 2 / SIZE / longest)[:, None, None, None]


def pair_of(inverse: str, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Both fields that a decoder makes of what it has drawn."""
    pair = FlowDecoder((8, 8, 8), 16, SIZE, inverse).pair(drawn)
    return pair.to_neutral, pair.to_face


def test_no_flow_changes_nothing() -> None:
    face = face_tensor().flatten(0, 1)
    torch.testing.assert_close(warp(face, torch.zeros(len(face), 2, 16, 16)), face, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (0, -5), (-2, 4)])
def test_a_field_is_fetched_from_and_counts_x_first(dx: int, dy: int) -> None:
    face = face_tensor(size=SIZE).flatten(0, 1)
    flow = torch.tensor([dx, dy]).float().mul(2 / SIZE).view(1, 2, 1, 1).expand(len(face), 2, 8, 8)
    rows = (torch.arange(SIZE) + dy).clamp(0, SIZE - 1)  # outside, the border is repeated
    columns = (torch.arange(SIZE) + dx).clamp(0, SIZE - 1)
    torch.testing.assert_close(warp(face, flow), face[:, :, rows][..., columns], atol=2e-5, rtol=0)


def test_cubic_reading_keeps_what_linear_reading_blurs() -> None:
    position = torch.arange(SIZE).float()
    wave = torch.sin(position * (2 * torch.pi / 6)).expand(1, 1, SIZE, SIZE)
    flow = torch.tensor([1 / SIZE, 0]).view(1, 2, 1, 1).expand(1, 2, SIZE, SIZE)  # half a pixel
    true = torch.sin((position + 0.5) * (2 * torch.pi / 6)).expand(SIZE, SIZE)
    linear, cubic = ((warp(wave, flow, mode) - true).abs()[..., 4:-4].max() for mode in ("bilinear", "bicubic"))
    assert cubic < 0.5 * linear


@given(st.integers(0, 10_000), st.floats(0.5, 4))
@settings(deadline=None, max_examples=20)
def test_composition_is_one_warp_after_the_other(seed: int, pixels: float) -> None:
    first, second = (resize(smooth_field(seed + i, pixels), SIZE, SIZE) for i in (0, 1))
    ramp = pixel_grid(SIZE, SIZE, torch.device("cpu")).permute(0, 3, 1, 2).expand(4, 2, SIZE, SIZE)
    twice = warp(warp(ramp, first), second)
    inside = (slice(None), slice(None), slice(8, -8), slice(8, -8))  # a ramp that is repeated at its border is none
    torch.testing.assert_close(warp(ramp, compose(first, second))[inside], twice[inside], atol=4e-3, rtol=0)


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=10)
def test_there_and_back(seed: int) -> None:
    drawn = smooth_field(seed, 6)
    error = {name: cycle_error(*pair_of(name, drawn)).mean() for name in ("velocity", "fixed-point", "published")}
    assert error["velocity"] < 0.05
    assert error["fixed-point"] < 0.05
    assert error["published"] > 5 * max(error["velocity"], error["fixed-point"])  # wrong to first order


def test_a_face_comes_back() -> None:
    face = face_tensor(size=SIZE).flatten(0, 1)[:4]

    def lost(inverse: str) -> float:
        there, back = pair_of(inverse, smooth_field(3, 6))
        moved = warp(face, there)
        return float((warp(moved, back) - face).abs().mean() / (moved - face).abs().mean())

    assert lost("velocity") < 0.45  # a rest remains: edges are blurred twice
    assert lost("fixed-point") < 0.45
    assert lost("published") > 1.3 * lost("velocity")


def test_velocity_fields_do_not_fold() -> None:
    pixels = integrate(resize(smooth_field(5, 15), SIZE, SIZE)) * SIZE / 2
    by_x, by_y = (torch.diff(pixels, dim=dim)[..., : SIZE - 1, : SIZE - 1] for dim in (-1, -2))
    area = (1 + by_x[:, 0]) * (1 + by_y[:, 1]) - by_x[:, 1] * by_y[:, 0]  # of each pixel afterwards
    assert area.min() > 0


def test_exponentials_of_opposites_are_inverses_in_both_orders() -> None:
    velocity = resize(smooth_field(8, 6), SIZE, SIZE)
    there, back = integrate(velocity), integrate(-velocity)
    for error in (cycle_error(there, back), cycle_error(back, there)):
        assert error.max() < 0.05
    assert cycle_error(there, invert(there)).max() < 0.05  # two ways to the same inverse
    assert ((back - invert(there)).norm(dim=1) * SIZE / 2).mean() < 0.1


def test_cycle_error_counts_pixels() -> None:
    there = torch.zeros(1, 2, SIZE, SIZE)
    there[:, 0] = 3 * 2 / SIZE
    assert cycle_error(there, torch.zeros_like(there)).item() == pytest.approx(3, abs=1e-4)
    assert cycle_error(there, -there).item() == pytest.approx(0, abs=1e-4)


def test_a_grid_first_made_in_inference_serves_training() -> None:
    with torch.inference_mode():
        warp(torch.zeros(1, 3, 24, 40), torch.zeros(1, 2, 24, 40))
    flow = torch.zeros(1, 2, 24, 40, requires_grad=True)
    warp(torch.rand(1, 3, 24, 40), flow).sum().backward()
    assert flow.grad is not None
    assert flow.grad.abs().sum() > 0


def test_half_precision_faces_move_along_single_precision_positions() -> None:
    face = face_tensor(size=SIZE).flatten(0, 1)[:4]
    flow = resize(smooth_field(1, 6), SIZE, SIZE)
    moved = warp(face.bfloat16(), flow)
    assert moved.dtype == torch.bfloat16
    assert (moved.float() - warp(face, flow)).abs().mean() < 0.01


def test_positions_that_are_no_numbers_harm_nothing() -> None:
    """What a diverging run gives: the loss must be able to say so, and the process must live to tell."""
    flow = torch.full((2, 2, SIZE, SIZE), torch.nan)
    flow[1] = torch.inf
    flow.requires_grad_()
    face = face_tensor(1, size=SIZE)[0].requires_grad_()
    moved = warp(face, flow)
    moved.sum().backward()
    assert moved.isfinite().all()


def test_the_area_that_a_pixel_is_fetched_from() -> None:
    grid = pixel_grid(16, 24, torch.device("cpu")).permute(0, 3, 1, 2)
    for x, y in ((1.0, 1.0), (0.5, 1.0), (1.5, 2.0)):
        flow = grid * torch.tensor([x - 1, y - 1])[None, :, None, None]
        torch.testing.assert_close(
            log_area(flow)[..., 1:-1, 1:-1], torch.full((1, 1, 14, 22), math.log(x * y)), atol=1e-4, rtol=0
        )
    assert log_area(-1.5 * grid).isfinite().all()  # folded over
