"""Faces larger than they were drawn: where their detail is from, and where there is none."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from facecycle.cycles.motion import draw_neutral, read_motion
from facecycle.model.detail import detail, enlarge, grow
from facecycle.model.face_generator import Drawn
from tiny import MODEL, SIZE, face_tensor, tiny_networks

LARGE = 4 * SIZE
NOWHERE = torch.zeros(2, 2, SIZE, SIZE)


def fine_faces() -> torch.Tensor:
    """Two faces of one person with grain, which no enlarged picture has."""
    faces = face_tensor(1, size=LARGE).flatten(0, 1)
    return (faces + 0.1 * torch.randn(faces.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


def drawn_from(fine: torch.Tensor, shares: tuple[float, ...], flow: torch.Tensor = NOWHERE) -> Drawn:
    """As if each pixel were painted, brought and mirrored by these shares."""
    parts = torch.tensor(shares).view(1, -1, 1, 1).expand(len(fine), -1, SIZE, SIZE)
    return Drawn(F.avg_pool2d(fine, 4), flow, parts)


def test_a_face_that_is_fetched_where_it_is_comes_back_whole() -> None:
    fine = fine_faces()
    enlarged = (grow(F.avg_pool2d(fine, 4), fine) - fine).abs().mean()
    for shares in ((0.0, 1.0), (0.5, 0.5), (0.4, 0.6, 0.0)):  # and white grain is the hardest
        assert (enlarge(drawn_from(fine, shares), fine) - fine).abs().mean() < 0.15 * enlarged


def test_what_is_painted_has_no_detail_and_what_is_mirrored_that_of_the_other_side() -> None:
    fine = fine_faces()
    painted = drawn_from(fine, (1.0, 0.0, 0.0))
    torch.testing.assert_close(enlarge(painted, fine), grow(painted.face, fine))
    mirrored = drawn_from(fine, (0.0, 0.0, 1.0))
    flipped = dataclasses.replace(mirrored, face=mirrored.face.flip(-1))
    brought = dataclasses.replace(flipped, shares=mirrored.shares[:, [0, 2, 1]])
    torch.testing.assert_close(enlarge(flipped, fine), enlarge(brought, fine.flip(-1)), atol=1e-5, rtol=0)
    partly, wholly = (enlarge(drawn_from(fine, shares), fine) for shares in ((0.75, 0.25), (0.0, 1.0)))
    torch.testing.assert_close(partly, (grow(painted.face, fine) + wholly) / 2, atol=1e-5, rtol=0)


def test_detail_follows_the_flow() -> None:
    fine = fine_faces()
    flow = NOWHERE.clone()
    flow[:, 0] = 2 * 8 / LARGE  # each pixel is fetched 8 pixels to its right
    drawn = drawn_from(fine, (0.0, 1.0), flow)
    sharp = enlarge(drawn, fine)
    moved = sharp - grow(F.avg_pool2d(sharp, 4), fine)
    wanted = fine - grow(F.avg_pool2d(fine, 4), fine)
    assert (moved[..., 8:-16] - wanted[..., 16:-8]).abs().mean() < 0.15 * wanted.abs().mean()


@pytest.mark.parametrize("size", [SIZE // 2, SIZE])
def test_a_picture_that_is_no_larger_adds_nothing(size: int) -> None:
    drawn, small = drawn_from(fine_faces(), (0.0, 1.0)), face_tensor(1, size=size).flatten(0, 1)
    torch.testing.assert_close(enlarge(drawn, small), grow(drawn.face, small))
    assert enlarge(drawn, small).shape == small.shape


def test_an_enlarged_picture_has_hardly_any_detail() -> None:
    smooth = grow(F.avg_pool2d(fine_faces(), 4), fine_faces())
    assert detail(smooth, SIZE).abs().mean() < 0.2 * detail(fine_faces(), SIZE).abs().mean()


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("mirrored", [False, True])
def test_networks_say_where_the_pixels_of_a_neutral_face_are_from(skip: bool, mirrored: bool) -> None:
    model = dataclasses.replace(MODEL, generator_skip=skip, generator_adjust=skip, mirrored=mirrored)
    networks = tiny_networks(0, model).eval().requires_grad_(False)
    torch.nn.init.normal_(networks.flow_decoder.field.weight, 0, 1.0, generator=torch.Generator().manual_seed(0))
    fine = fine_faces()
    face = F.avg_pool2d(fine, 4)
    drawn = draw_neutral(networks, face, read_motion(networks, face)[1])
    large = enlarge(drawn, fine)
    if not skip:  # the published network paints everything
        assert drawn.shares is None
        torch.testing.assert_close(large, grow(drawn.face, fine))
        return
    assert drawn.shares is not None
    torch.testing.assert_close(drawn.shares.sum(1), torch.ones(len(face), SIZE, SIZE))
    assert detail(large, SIZE).abs().mean() > 2 * detail(grow(drawn.face, fine), SIZE).abs().mean()
    assert (F.avg_pool2d(large, 4) - drawn.face).abs().mean() < 0.02  # seen from afar, the same face
    if mirrored:  # and none of it knows left from right
        other = draw_neutral(networks, face.flip(-1), read_motion(networks, face.flip(-1))[1])
        torch.testing.assert_close(enlarge(other, fine.flip(-1)), large.flip(-1), atol=1e-4, rtol=0)
