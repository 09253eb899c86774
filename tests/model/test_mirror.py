"""The motion code with the mirror: what mirroring does to codes is found, and the code of a mirrored face is known."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from facecycle.cycles.identity import identity_cycle
from facecycle.cycles.motion import motion_codes, motion_cycle, read_motion, remove_motion
from facecycle.model.encoder import FaceEncoder, read_codes
from facecycle.model.mirror import CodeMirror
from facecycle.model.weights import FILE, load_networks, load_state, save_weights
from tiny import MODEL, face_tensor, tiny_networks

DIM = 10


def mirrored_pairs(noise: float, count: int = 800, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """True codes, and both faces' codes seen with noise: a mirror reverses some directions, mixed into all units."""
    drawn = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(9)))[0]
    sides = torch.tensor([1.0] * 6 + [-1.0] * 4)
    true = torch.randn(count, DIM, generator=drawn)
    other = true @ axes @ sides.diag() @ axes.T + 0.3
    own = true + 0.3
    return (
        own,
        own + noise * torch.randn(count, DIM, generator=drawn),
        other + noise * torch.randn(count, DIM, generator=drawn),
    )


def test_it_begins_with_a_face_s_own_code() -> None:
    own, other = torch.randn(2, 5, DIM).unbind()
    assert torch.equal(CodeMirror(DIM)(own, other), own)


def test_what_mirroring_does_to_codes_is_found_and_halves_the_noise() -> None:
    true, own, other = mirrored_pairs(0.5)
    mirror = CodeMirror(DIM)
    mirror.fit(own, other)
    torch.testing.assert_close(mirror.turn @ mirror.turn, torch.eye(DIM), atol=1e-5, rtol=0)  # twice is not at all
    torch.testing.assert_close(mirror.turn, mirror.turn.T, atol=1e-5, rtol=0)
    assert (mirror(own, other) - true).square().mean() < 0.55 * (own - true).square().mean()
    exact = CodeMirror(DIM)
    true, own, other = mirrored_pairs(0.0)
    exact.fit(own, other)
    torch.testing.assert_close(exact(own, other), true, atol=1e-3, rtol=0)


def equivariant(seed: int = 0, **more: bool | str):
    """Networks whose motion encoder looks in the mirror, fitted on drawn faces."""
    networks = tiny_networks(seed, dataclasses.replace(MODEL, equivariant=True, **more)).eval().requires_grad_(False)
    assert networks.motion_encoder.code_mirror is not None
    networks.motion_encoder.code_mirror.fit(*networks.motion_encoder.both(face_tensor(40).flatten(0, 1)))
    return networks


def test_the_code_of_a_mirrored_face_is_the_turned_code() -> None:
    encoder = equivariant().motion_encoder
    faces = face_tensor(3, seed=5).flatten(0, 1)
    code, mirrored, mirror = encoder(faces), encoder(faces.flip(-1)), encoder.code_mirror
    assert (code - mirrored).abs().max() > 1e-4
    torch.testing.assert_close(mirrored - mirror.centre, (code - mirror.centre) @ mirror.turn, atol=1e-5, rtol=0)


def test_in_training_a_face_is_seen_once() -> None:
    encoder, faces = equivariant().motion_encoder, face_tensor(3).flatten(0, 1)
    assert torch.equal(encoder.train()(faces), encoder.alone(faces))
    assert not torch.equal(encoder.eval()(faces), encoder.alone(faces))


@pytest.mark.parametrize("kind", ["published", "gabor"])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_two_encoders_that_look_alike_look_once(
    kind: str, mirrored: bool, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks, faces = equivariant(mirrored=mirrored, encoder=kind).train(training), face_tensor(3).flatten(0, 1)
    motion, identity = networks.motion_encoder, networks.identity_encoder
    apart = motion(faces), identity(faces)
    see = type(motion).see
    looks: list[int] = []

    def counted(self: FaceEncoder, face: Tensor) -> Tensor:
        looks.append(len(face))
        return see(self, face)

    monkeypatch.setattr(type(motion), "see", counted)
    together = read_codes(motion, identity, faces)[:2]
    torch.testing.assert_close(together, apart, atol=0, rtol=0)
    both = [len(faces) * (1 + encoder.looks_twice) for encoder in (motion, identity)]
    assert looks == both[: 1 + (both[0] != both[1])]


@pytest.mark.parametrize("mirrored", [False, True])
def test_flows_come_with_the_code_that_the_encoder_gives(mirrored: bool) -> None:
    networks, faces = equivariant(mirrored=mirrored), face_tensor(3).flatten(0, 1)
    code, (own, other) = motion_codes(networks, faces)
    torch.testing.assert_close(code, networks.motion_encoder(faces))
    assert torch.equal(read_motion(networks, faces)[0], code)
    assert (other is None) != mirrored
    assert torch.equal(own, networks.motion_encoder.both(faces)[0])  # what the decoder has learnt from


def test_weights_without_it_begin_with_a_face_s_own_code(tmp_path: Path) -> None:
    plain, model = tiny_networks(3).eval(), dataclasses.replace(MODEL, equivariant=True)
    save_weights(plain, tmp_path / FILE, MODEL, "CC0", {})
    more = tiny_networks(4, model).eval()
    load_state(more, tmp_path)
    faces = face_tensor(3).flatten(0, 1)
    torch.testing.assert_close(more.motion_encoder(faces), plain.motion_encoder(faces))
    fitted = equivariant()
    save_weights(fitted, tmp_path / FILE, model, "CC0", {})
    torch.testing.assert_close(load_networks(tmp_path)[0].motion_encoder(faces), fitted.motion_encoder(faces))
    without = tiny_networks(5).eval()
    load_state(without, tmp_path)  # a model that does not want it goes without
    torch.testing.assert_close(without.motion_encoder(faces), fitted.motion_encoder.alone(faces))


def test_half_precision_goes_through_both_cycles() -> None:
    networks = equivariant(mirrored=True, expression=True)
    clips = face_tensor(2)
    with torch.autocast("cpu", torch.bfloat16):
        cycle = identity_cycle(networks, clips)
        moved = motion_cycle(networks, clips)
        code, _ = motion_codes(networks, clips[:, 0])
    assert cycle.restored.isfinite().all()
    assert moved.restored.isfinite().all()
    torch.testing.assert_close(code, networks.motion_encoder(clips[:, 0]), atol=0.05, rtol=0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_cycle_with_the_mirror_is_what_is_used(mirrored: bool) -> None:
    networks, clips = equivariant(mirrored=mirrored), face_tensor(3)
    cycle = motion_cycle(networks, clips, mirror=True)
    motion, flow, neutral = remove_motion(networks, clips.flatten(0, 1))
    torch.testing.assert_close(cycle.motion, motion)
    torch.testing.assert_close(cycle.flow.to_neutral, flow.to_neutral)
    torch.testing.assert_close(cycle.neutral, neutral)
    alone = motion_cycle(networks, clips)
    assert torch.allclose(alone.neutral, neutral, atol=1e-5) != mirrored


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_cycle_with_the_mirror_finds_the_features_of_each_face_once(mirrored: bool) -> None:
    networks, clips = equivariant(mirrored=mirrored, generator_skip=True, generator_adjust=True), face_tensor(3)
    face, generator = clips.flatten(0, 1), networks.face_generator
    weight = next(generator.features.parameters()).requires_grad_()
    apart = remove_motion(networks, face)[2], generator(face)
    expected = torch.autograd.grad(sum(x.square().sum() for x in apart), weight)
    seen: list[int] = []
    generator.features.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    cycle = motion_cycle(networks, clips, mirror=True)
    assert seen == [(1 + mirrored) * len(face), len(face)]  # and of each neutral face, to restore the other frame
    together = cycle.neutral, cycle.redrawn
    torch.testing.assert_close(together, apart)
    found = torch.autograd.grad(sum(x.square().sum() for x in together), weight)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)  # sums over all pixels


@pytest.mark.parametrize("mirror", [False, True])
def test_noise_is_drawn_whether_a_cycle_looks_in_the_mirror_or_not(mirror: bool) -> None:
    networks, clips = equivariant(mirrored=True, generator_noise=True), face_tensor(3)

    def neutral(seed: int | None) -> torch.Tensor:
        noise = None if seed is None else torch.Generator().manual_seed(seed)
        return motion_cycle(networks, clips, noise, mirror=mirror).neutral

    assert torch.equal(neutral(0), neutral(None))  # not in use
    networks.train()
    assert torch.equal(neutral(0), neutral(0))
    assert not torch.allclose(neutral(0), neutral(1), atol=1e-4)
    assert not torch.allclose(neutral(0), neutral(None), atol=1e-4)
