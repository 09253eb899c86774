"""What becomes of a face whose expression is changed and whose pose is kept."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from facecycle.apply import transform
from facecycle.model.networks import Networks
from tiny import MODEL, face_tensor, moving_networks, tiny_networks


@pytest.fixture(params=["found", "not found"])
def networks(request: pytest.FixtureRequest) -> Networks:
    """Networks whose flow moves faces by several pixels, with and without its expression found."""
    return moving_networks(request.param == "found")


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


def large_and_small(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Faces at four times the networks' resolution, with grain, and as the networks see them."""
    large = face_tensor(count, size=128).flatten(0, 1)
    large = (large + 0.1 * torch.randn(large.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 1)
    return large, torch.nn.functional.avg_pool2d(large, 4)


def test_a_person_is_the_frontal_face_or_the_mean_face_or_between() -> None:
    networks, (fine, faces) = moving_networks(), large_and_small(2)
    whole, none, half = (transform.person(networks, faces, share, fine) for share in (1.0, 0.0, 0.5))
    torch.testing.assert_close(whole.fine, transform.frontalize(networks, faces, fine))
    torch.testing.assert_close(none.face, transform.mean_face(networks, faces), atol=1e-5, rtol=0)
    torch.testing.assert_close(none.fine, transform.mean_face(networks, faces, fine), atol=1e-5, rtol=0)
    assert half.fine is not None
    assert none.fine is not None
    assert whole.fine is not None
    grain = [(x.fine.diff(dim=-1)).abs().mean() for x in (none, half, whole) if x.fine is not None]
    assert 1.2 * grain[0] < grain[1] < grain[2] / 1.2


def test_the_way_between_two_faces_begins_and_ends_at_them() -> None:
    networks, (fine, faces) = moving_networks(), large_and_small(1)
    ends, large = faces[:2], fine[:2]
    parts = list(transform.interpolate(networks, ends, 5, large, at_once=2))
    assert [len(part) for part in parts] == [2, 2, 1]
    way = torch.cat(parts)
    torch.testing.assert_close(way, torch.cat(list(transform.interpolate(networks, ends, 5, large))), atol=1e-5, rtol=0)
    themselves = transform.translate(networks, ends, ends, fine=large)
    torch.testing.assert_close(way[[0, -1]], themselves, atol=1e-4, rtol=0)
    small = torch.cat(list(transform.interpolate(networks, ends, 5)))
    assert small.shape[-1] == faces.shape[-1]
    assert (torch.nn.functional.avg_pool2d(way, 4) - small).abs().mean() < 0.03


def test_another_s_motion_leaves_a_face_its_detail() -> None:
    networks, (fine, faces) = moving_networks(), large_and_small(2)
    made = transform.translate(networks, faces, faces.flip(0), fine=fine)
    enlarged = transform.grow(transform.translate(networks, faces, faces.flip(0)), fine)
    assert made.diff(dim=-1).abs().mean() > 1.5 * enlarged.diff(dim=-1).abs().mean()
    one = transform.person(networks, faces[:1], fine=fine[:1])
    flow = transform.flows(networks, faces).to_face
    together = transform.move(networks, one.repeated(len(flow)), flow)
    apart = torch.cat([transform.move(networks, one, f[None]) for f in flow])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)


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
