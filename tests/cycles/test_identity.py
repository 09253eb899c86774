"""The identity cycle: what each intermediate is, and that the motion networks are only used."""

from __future__ import annotations

import dataclasses

import torch

from facecycle.cycles.identity import identity_cycle, remove_identity, restore_identity
from facecycle.cycles.motion import remove_motion
from facecycle.model.warp import warp
from tiny import MODEL, SIZE, face_tensor, tiny_networks

PICTURES = ("face", "neutral", "mean_faces", "restored_neutral", "restored", "warped")


def test_shapes() -> None:
    with torch.no_grad():
        cycle = identity_cycle(tiny_networks().eval(), face_tensor(3, 3))
    for name in PICTURES:
        assert getattr(cycle, name).shape == (9, 3, SIZE, SIZE), name
    assert cycle.mean_face.shape == cycle.mean_neutral.shape == (1, 3, SIZE, SIZE)
    assert cycle.identity.shape == (9, MODEL.code_dim)
    assert {f.name for f in dataclasses.fields(cycle)} == {*PICTURES, "mean_face", "mean_neutral", "identity", "flow"}


def test_each_intermediate_is_what_the_paper_writes() -> None:
    networks, clips = tiny_networks().eval(), face_tensor(3)
    with torch.no_grad():
        cycle = identity_cycle(networks, clips)
        _, flow, neutral = remove_motion(networks, clips.flatten(0, 1))
        torch.testing.assert_close((cycle.neutral, cycle.flow.to_face), (neutral, flow.to_face))
        torch.testing.assert_close(cycle.identity, networks.identity_encoder(cycle.face))
        torch.testing.assert_close(cycle.mean_faces, remove_identity(networks, neutral, cycle.identity))
        torch.testing.assert_close(cycle.mean_face, cycle.mean_faces.mean(0, keepdim=True))
        torch.testing.assert_close(cycle.mean_neutral, neutral.mean(0, keepdim=True))
        restored = restore_identity(networks, cycle.mean_face, cycle.identity)
        torch.testing.assert_close(cycle.restored_neutral, restored)
        torch.testing.assert_close(cycle.restored, networks.face_generator(restored, flow.to_face))
        torch.testing.assert_close(cycle.warped, warp(restored, flow.to_face))


def test_the_face_comes_back_through_codes_and_the_common_mean_alone() -> None:
    """A neutral face's own pixels reach its restoration only as its share of the batch's mean face."""
    networks, clips = tiny_networks().eval(), face_tensor(3)
    fixed = torch.full((1, 3, SIZE, SIZE), 0.5)
    with torch.no_grad():
        cycle = identity_cycle(networks, clips, average=lambda faces: fixed)
    assert torch.equal(cycle.mean_face, fixed)
    torch.testing.assert_close(cycle.restored_neutral, restore_identity(networks, fixed, cycle.identity))


def test_no_gradient_reaches_the_motion_networks_through_the_neutral_face() -> None:
    networks = tiny_networks().eval()
    cycle = identity_cycle(networks, face_tensor(2))
    assert not cycle.neutral.requires_grad
    assert not cycle.flow.to_face.requires_grad
    assert cycle.mean_faces.requires_grad
