"""The motion cycle: what each intermediate is, and which clip it depends on."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from facecycle.cycles.motion import MotionCycle, motion_cycle, other_frame, remove_motion, restore_motion
from facecycle.model.warp import cycle_error, reflect, warp
from tiny import MODEL, SIZE, face_tensor, tiny_networks

PICTURES = ("face", "neutral", "other_neutral", "restored", "redrawn", "warped", "round_trip", "neutral_to_face")


def cycle_of(frames: int = 2, clips: int = 3) -> MotionCycle:
    with torch.no_grad():
        return motion_cycle(tiny_networks().eval(), face_tensor(clips, frames))


@pytest.mark.parametrize("frames", [2, 3])
def test_shapes(frames: int) -> None:
    cycle = cycle_of(frames)
    for name in PICTURES:
        assert getattr(cycle, name).shape == (3 * frames, 3, SIZE, SIZE), name
    assert cycle.motion.shape == (3 * frames, MODEL.code_dim)
    for flow in (cycle.flow.to_neutral, cycle.flow.to_face, cycle.brought):
        assert flow.shape == (3 * frames, 2, SIZE, SIZE)
    assert cycle.mean_flow.shape == (1, 2, SIZE, SIZE)
    assert {field.name for field in dataclasses.fields(cycle)} == {*PICTURES, "motion", "flow", "brought", "mean_flow"}


@torch.no_grad()
def test_networks_that_look_in_the_mirror_treat_left_and_right_alike() -> None:
    face = face_tensor(3).flatten(0, 1)
    plain = tiny_networks(0, dataclasses.replace(MODEL, generator_skip=True, generator_adjust=True)).eval()
    networks = tiny_networks(0, dataclasses.replace(MODEL, generator_skip=True, generator_adjust=True, mirrored=True))
    torch.nn.init.normal_(networks.flow_decoder.field.weight, 0, 2.0, generator=torch.Generator().manual_seed(2))
    plain.load_state_dict(networks.eval().state_dict())
    one, other = (remove_motion(networks, x) for x in (face, face.flip(-1)))
    torch.testing.assert_close(other[2], one[2].flip(-1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(other[1].to_face, reflect(one[1].to_face), atol=1e-5, rtol=1e-4)
    there, back = one[1].to_neutral, one[1].to_face
    assert 0.02 < there.abs().max() < 1
    assert cycle_error(there, back).max() < 0.05  # they still undo each other
    # The code is left alone: it must tell left from right.
    torch.testing.assert_close(one[0], plain.motion_encoder(face))
    assert (remove_motion(plain, face.flip(-1))[2] - remove_motion(plain, face)[2].flip(-1)).abs().max() > 0.01


def test_two_frames_are_swapped_and_three_go_round() -> None:
    assert other_frame(torch.arange(6), 2).tolist() == [1, 0, 3, 2, 5, 4]
    assert other_frame(torch.arange(6), 3).tolist() == [2, 0, 1, 5, 3, 4]


def test_each_intermediate_is_what_the_paper_writes() -> None:
    networks, cycle = tiny_networks().eval(), cycle_of()
    generator, swap = networks.face_generator, [1, 0, 3, 2, 5, 4]
    to_neutral, to_face = cycle.flow.to_neutral, cycle.flow.to_face
    torch.testing.assert_close(cycle.neutral, generator(cycle.face, to_neutral))
    torch.testing.assert_close(cycle.other_neutral, cycle.neutral[swap])
    torch.testing.assert_close(cycle.restored, generator(cycle.other_neutral, to_face))
    torch.testing.assert_close(cycle.redrawn, generator(cycle.face))
    torch.testing.assert_close(cycle.warped, warp(cycle.face, to_neutral))
    torch.testing.assert_close(cycle.round_trip, warp(cycle.warped[swap], to_face))
    torch.testing.assert_close(cycle.neutral_to_face, warp(cycle.other_neutral, to_face))
    torch.testing.assert_close(cycle.mean_flow, to_neutral.mean(0, keepdim=True))
    assert torch.equal(cycle.brought, to_neutral)  # nothing adjusts it


def test_removing_and_restoring_are_the_cycle() -> None:
    networks, cycle = tiny_networks().eval(), cycle_of()
    motion, flow, neutral = remove_motion(networks, cycle.face)
    torch.testing.assert_close((motion, flow.to_face, neutral), (cycle.motion, cycle.flow.to_face, cycle.neutral))
    torch.testing.assert_close(restore_motion(networks, cycle.other_neutral, flow), cycle.restored)


def test_clips_do_not_mix() -> None:
    networks, clips = tiny_networks().eval(), face_tensor(3)
    alone, together = motion_cycle(networks, clips[1:2]), motion_cycle(networks, clips)
    for name in PICTURES:
        torch.testing.assert_close(getattr(alone, name), getattr(together, name)[2:4], atol=1e-5, rtol=1e-4)


def test_a_frame_is_rebuilt_without_its_own_pixels() -> None:
    networks, clips = tiny_networks().eval(), face_tensor(1).requires_grad_()
    # With the codes held fixed, what is left of a frame's influence on its own restoration is through its pixels.
    networks.motion_encoder.code.register_forward_hook(lambda module, inputs, code: code.detach())
    cycle = motion_cycle(networks, clips)
    (gradient,) = torch.autograd.grad(cycle.restored[0].sum(), clips)
    assert gradient[0, 0].abs().sum() == 0
    assert gradient[0, 1].abs().sum() > 0
