"""The expression's part of the flow: found where fields are made of pose, expression and crop in known shares."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from facecycle.model.expression import ExpressionField
from facecycle.model.flow import DECODED
from facecycle.model.warp import pixel_grid, reflect
from facecycle.model.weights import FILE, load_networks, load_state, save_weights
from tiny import MODEL, tiny_networks

UNITS, DIM = 5, 24


def bumps(*places: tuple[float, float], wide: float = 0.2) -> Tensor:
    """Fields that move one place of the face each, and nothing else."""
    grid = pixel_grid(DECODED, DECODED, torch.device("cpu"))[0]
    fields = []
    for number, place in enumerate(places):
        near = (-(grid - torch.tensor(place)).square().sum(-1) / wide**2).exp()
        fields.append(torch.stack([near * (number % 2), near * (1 - number % 2)]))
    return torch.stack(fields)


def faces(count: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Codes, fields, units, pose, and what the units alone put into the fields."""
    fixed, drawn = torch.Generator().manual_seed(100), torch.Generator().manual_seed(seed)
    of_units = bumps((0.0, 0.5), (-0.3, -0.2), (0.3, -0.2), (0.2, 0.5), (-0.2, 0.5))
    grid = pixel_grid(DECODED, DECODED, torch.device("cpu"))[0].permute(2, 0, 1)
    of_pose = torch.stack([grid.flip(0), grid, grid * grid[:1]])
    of_crop = torch.randn(UNITS, 2, 1, 1, generator=fixed) + torch.randn(UNITS, 1, 1, 1, generator=fixed) * grid
    units = torch.rand(count, UNITS, generator=drawn)
    pose = torch.randn(count, 3, generator=drawn)
    told = torch.cat([units, pose, pose**2], 1)
    codes = told @ torch.randn(told.shape[1], DIM, generator=fixed) + 1
    expression = torch.einsum("nu,uchw->nchw", units, 0.1 * of_units)
    crop = torch.einsum("nu,uchw->nchw", units, 0.03 * of_crop)
    turned = torch.einsum("np,pchw->nchw", pose, 0.3 * of_pose)
    return codes, expression + crop + turned, units, pose, expression


def test_it_begins_with_nothing_found() -> None:
    field = ExpressionField(DIM)
    assert not field.fitted
    assert not field(torch.randn(3, DIM)).any()


def test_expression_is_told_from_pose_and_from_the_crop_that_follows_it() -> None:
    field = ExpressionField(DIM)
    field.fit(*faces(600)[:4])
    assert field.fitted
    codes, fields, _, _, expression = faces(50, seed=1)
    error = (field(codes) - expression).norm() / expression.norm()
    assert error < 0.2
    assert (fields - expression).norm() > 3 * expression.norm()  # what it had to be told from
    edge = field(codes)[:, :, :2]
    assert edge.abs().max() < 0.05 * expression.abs().max()


def test_a_face_without_expression_has_none_in_its_field() -> None:
    codes, fields, units, pose, expression = faces(600)
    field = ExpressionField(DIM)
    field.fit(codes, fields, units, pose)
    calm = codes - units @ torch.linalg.lstsq(torch.cat([units, pose, pose**2], 1), codes - 1).solution[:UNITS]
    assert field(calm).abs().mean() < 0.1 * expression.abs().mean()


def test_units_that_never_move_change_nothing() -> None:
    codes, fields, units, pose, _ = faces(600)
    one, other = ExpressionField(DIM), ExpressionField(DIM)
    one.fit(codes, fields, units, pose)
    other.fit(codes, fields, torch.cat([units, torch.zeros(600, 2)], 1), pose)
    torch.testing.assert_close(other.weight, one.weight, atol=1e-4, rtol=1e-2)


def test_with_the_mirror_both_sides_are_averaged() -> None:
    field = ExpressionField(DIM)
    field.fit(*faces(200)[:4])
    one, other = torch.randn(2, 4, DIM).unbind()
    torch.testing.assert_close(field(one, other), (field(one) + reflect(field(other))) / 2)


def test_weights_that_never_found_it_begin_with_nothing(tmp_path: Path) -> None:
    plain, model = tiny_networks(3), dataclasses.replace(MODEL, expression=True)
    save_weights(plain, tmp_path / FILE, MODEL, "CC0", {})
    more = tiny_networks(4, model)
    load_state(more, tmp_path)
    assert more.expression is not None
    assert not more.expression.fitted
    more.expression.bias += 1
    save_weights(more, tmp_path / FILE, model, "CC0", {})
    again = load_networks(tmp_path)[0]
    assert again.expression is not None
    assert torch.equal(again.expression.bias, more.expression.bias)
    plain = tiny_networks(5)
    load_state(plain, tmp_path)  # a model that does not want it goes without
    assert torch.equal(plain.motion_encoder.stem[0][0].weight, again.motion_encoder.stem[0][0].weight)
