"""What becomes of a face whose expression is changed and whose pose is kept."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from facecycle.apply import transform
from facecycle.model.networks import Networks
from tiny import MODEL, face_tensor, tiny_networks


@pytest.fixture(params=["found", "not found"])
def networks(request: pytest.FixtureRequest) -> Networks:
    """Networks whose flow moves faces by several pixels, with and without its expression found."""
    made = tiny_networks(0, dataclasses.replace(MODEL, generator_skip=True, mirrored=True, expression=True)).eval()
    drawn = torch.Generator().manual_seed(1)
    torch.nn.init.normal_(made.flow_decoder.field.weight, 0, 2.0, generator=drawn)
    assert made.expression is not None
    if request.param == "found":
        torch.nn.init.normal_(made.expression.weight, 0, 0.2, generator=drawn)
    return made.requires_grad_(False)


def test_its_own_expression_leaves_a_face_as_it_is(networks: Networks) -> None:
    faces = face_tensor(4).flatten(0, 1)
    same = transform.express(networks, faces, faces)
    assert (same - faces).abs().mean() < 0.001
    assert (transform.frontalize(networks, faces) - faces).abs().mean() > 0.03  # the flow does move something


def test_none_of_another_s_expression_is_no_expression(networks: Networks) -> None:
    faces = face_tensor(4).flatten(0, 1)
    calm = transform.deexpress(networks, faces)
    assert torch.equal(transform.express(networks, faces, faces.flip(0), motion=0.0), calm)
    assert (calm - faces).abs().mean() > 0.01


def test_an_expression_can_stay_in_part(networks: Networks) -> None:
    faces = face_tensor(4).flatten(0, 1)
    calm, half, all_of_it, twice = (transform.deexpress(networks, faces, keep=keep) for keep in (0.0, 0.5, 1.0, 2.0))
    assert (all_of_it - faces).abs().mean() < 0.001
    assert (half - faces).abs().mean() < (calm - faces).abs().mean()
    assert (twice - faces).abs().mean() > 0.01


def test_one_source_serves_many_drivers(networks: Networks) -> None:
    faces = face_tensor(3).flatten(0, 1)
    together = transform.express(networks, faces[:1], faces)
    apart = torch.cat([transform.express(networks, faces[:1], face[None]) for face in faces])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)


def test_a_finer_picture_of_a_face_is_moved_alike_and_stays_as_fine(networks: Networks) -> None:
    faces, fine = face_tensor(2).flatten(0, 1), face_tensor(2, size=128).flatten(0, 1)
    made = transform.deexpress(networks, faces, fine)
    assert made.shape == fine.shape
    small = torch.nn.functional.interpolate(made, faces.shape[-2:], mode="area")
    assert (small - transform.deexpress(networks, faces)).abs().mean() < 0.02

    def edges(x: torch.Tensor) -> torch.Tensor:
        return x.diff(dim=-1).abs().mean()

    coarse = torch.nn.functional.interpolate(transform.deexpress(networks, faces), fine.shape[-2:], mode="bilinear")
    assert edges(made) > 1.05 * edges(coarse)


def test_what_no_rigid_head_does_stands_in_for_an_expression_that_was_not_found() -> None:
    networks = tiny_networks(0, dataclasses.replace(MODEL, expression=True)).eval()
    torch.nn.init.normal_(networks.flow_decoder.field.weight, 0, 0.5)
    without = tiny_networks(0).eval()
    without.load_state_dict({k: v for k, v in networks.state_dict().items() if not k.startswith("expression.")})
    faces = face_tensor(2).flatten(0, 1)
    for made in (networks, without):
        field, expression = transform.split_field(made, faces)
        torch.testing.assert_close(expression, field - transform.rigid_part(field))
        assert transform.rigid_part(expression).abs().max() < 1e-4 * field.abs().max()
