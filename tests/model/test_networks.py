"""The five networks: their sizes, the ranges of what they give, and what they depend on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from facecycle.errors import FaceCycleError
from facecycle.evaluate.features import CodeSource
from facecycle.model.encoder import Encoder
from facecycle.model.gabor_encoder import ORIENTATIONS, GaborEncoder, GaborEnergy, gabor_filters
from facecycle.model.warp import warp
from facecycle.model.weights import load_state, save_weights
from facecycle.presets import preset
from tiny import MODEL, face_tensor, tiny_networks

SIZES = (32, 48, 64, 96, 128, 256)


@pytest.mark.parametrize("size", SIZES)
def test_shapes_at_every_size(size: int) -> None:
    networks = tiny_networks(0, dataclasses.replace(MODEL, image_size=size)).eval()
    face = torch.rand(2, 3, size, size)
    with torch.no_grad():
        motion, identity = networks.motion_encoder(face), networks.identity_encoder(face)
        assert motion.shape == identity.shape == (2, MODEL.code_dim)
        flow = networks.flow_decoder(motion)
        assert flow.to_neutral.shape == flow.to_face.shape == (2, 2, size, size)
        for picture in (
            networks.face_generator(face),
            networks.face_generator(face, flow.to_neutral),
            networks.identity_transfer.remove(face, identity),
            networks.identity_transfer.restore(face[:1], identity),
        ):
            assert picture.shape == face.shape


def test_the_published_encoder_has_its_published_size() -> None:
    encoder = Encoder((64, 128, 256), 64, 256)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert count == pytest.approx(4.24e6, rel=0.01)


@pytest.mark.parametrize("size", [48, 112, 144, 208, 240])
@pytest.mark.parametrize("kind", ["published", "gabor"])
def test_pictures_may_have_any_side_of_sixteens(kind: str, size: int) -> None:
    encoder = tiny_networks(model=dataclasses.replace(MODEL, image_size=size, encoder=kind)).motion_encoder
    assert encoder(torch.rand(1, 3, size, size)).shape == (1, MODEL.code_dim)


@pytest.mark.parametrize("inverse", ["velocity", "fixed-point", "published"])
def test_fields_have_the_size_of_the_picture_however_they_are_undone(inverse: str) -> None:
    decoder = tiny_networks(model=dataclasses.replace(MODEL, image_size=64, flow_inverse=inverse)).flow_decoder
    flow = decoder(torch.randn(2, MODEL.code_dim))
    assert flow.to_neutral.shape == flow.to_face.shape == (2, 2, 64, 64)


def test_codes_lie_within_one_and_tell_faces_apart() -> None:
    networks = tiny_networks().eval()
    faces = face_tensor(8).flatten(0, 1)
    code = networks.motion_encoder(faces)
    assert code.abs().max() < 1
    assert code.std(0).mean() > 0.01


def test_flow_begins_near_no_motion() -> None:
    for inverse in ("velocity", "fixed-point", "published"):
        networks = tiny_networks(0, dataclasses.replace(MODEL, flow_inverse=inverse)).eval()
        flow = networks.flow_decoder(networks.motion_encoder(face_tensor().flatten(0, 1)))
        assert flow.to_neutral.abs().max() < 0.1
        assert flow.to_face.abs().max() < 0.1


def test_one_face_does_not_depend_on_the_others() -> None:
    networks = tiny_networks().eval()
    faces = face_tensor().flatten(0, 1)
    code = networks.identity_encoder(faces)
    torch.testing.assert_close(networks.identity_encoder(faces[2:3]), code[2:3])
    alone = networks.identity_transfer.remove(faces[2:3], code[2:3])
    torch.testing.assert_close(alone, networks.identity_transfer.remove(faces, code)[2:3], atol=1e-5, rtol=1e-4)


def test_one_mean_face_serves_many_codes() -> None:
    networks = tiny_networks().eval()
    faces = face_tensor().flatten(0, 1)
    code = networks.identity_encoder(faces)
    one = networks.identity_transfer.restore(faces[:1], code)
    many = networks.identity_transfer.restore(faces[:1].expand_as(faces), code)
    torch.testing.assert_close(one, many)


def test_noise_is_drawn_in_training_only_and_from_the_generator_given() -> None:
    networks = tiny_networks(0, dataclasses.replace(MODEL, generator_noise=True))
    generator, face = networks.face_generator, face_tensor().flatten(0, 1)
    flow = torch.zeros(len(face), 2, 32, 32)

    def drawn(seed: int | None) -> torch.Tensor:
        with torch.no_grad():
            return generator(face, flow, None if seed is None else torch.Generator().manual_seed(seed))

    generator.train()
    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    assert torch.equal(drawn(None), drawn(None))
    state = torch.get_rng_state()
    generator.eval()
    assert torch.equal(drawn(1), drawn(2))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_skipping_generator_chooses_between_what_it_paints_what_is_moved_and_its_mirror_image() -> None:
    networks = tiny_networks(0, dataclasses.replace(MODEL, generator_skip=True)).eval()
    generator, face = networks.face_generator, face_tensor().flatten(0, 1)
    flow = 0.2 * torch.ones(len(face), 2, 32, 32)
    moved, made = warp(face, flow), []
    assert generator.choose is not None
    for chosen in range(3):
        generator.choose.logits.bias = torch.nn.Parameter(30.0 * torch.eye(3)[chosen])
        made.append(generator(face, flow, frontal=True))
    torch.testing.assert_close(made[1], moved, atol=1e-5, rtol=0)
    torch.testing.assert_close(made[2], moved.flip(-1), atol=1e-5, rtol=0)
    assert (made[0] - moved).abs().max() > 0.1
    assert (generator(face, flow) - moved.flip(-1)).abs().max() > 0.1  # only a frontal face has two like halves


def test_a_skipping_generator_begins_by_mirroring_what_the_flow_stretches() -> None:
    generator = tiny_networks(0, preset("facecycle").model).face_generator.eval()
    face = face_tensor(size=64).flatten(0, 1)
    flow = torch.zeros(len(face), 2, 64, 64)
    flow[:, 0, :, 32:] = torch.linspace(0, -0.9, 32)  # the right half shows a tenth of itself, the left stays
    made = generator(face, flow, frontal=True)
    left, right = made[..., 8:24], made.flip(-1)[..., 8:24]
    brought = warp(face, flow)
    apart = (brought.flip(-1) - brought)[..., 8:24].abs().mean()
    assert apart > 0.05
    assert (left - brought[..., 8:24]).abs().mean() < 0.3 * apart
    assert (left - right).abs().mean() < 0.3 * apart


def test_an_adjusting_generator_fetches_pixels_once_along_both_flows() -> None:
    config = dataclasses.replace(MODEL, generator_skip=True, generator_adjust=True)
    generator, face = tiny_networks(0, config).face_generator.eval(), face_tensor().flatten(0, 1)
    assert generator.adjust is not None
    assert generator.choose is not None
    flow, by = (torch.tensor(f).view(1, 2, 1, 1).expand(len(face), 2, 32, 32) for f in ((0.2, 0.0), (0.03, -0.06)))
    near = generator.move(generator.encode(face), flow)
    assert near.flow is not None
    assert 0 < (near.flow - flow).abs().max() < 0.02  # to begin with
    torch.nn.init.zeros_(generator.adjust.by.weight)
    generator.adjust.by.bias = torch.nn.Parameter((by[0, :, 0, 0] / generator.adjust.reach).atanh())
    moved = generator.move(generator.encode(face), flow)
    assert moved.flow is not None
    torch.testing.assert_close(moved.flow, flow + by)
    expected = warp(face, flow + by, "bicubic").clamp(0, 1)
    torch.testing.assert_close(moved.face, expected)
    generator.choose.logits.bias = torch.nn.Parameter(30.0 * torch.eye(3)[1])
    torch.testing.assert_close(generator(face, flow), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(generator(face), face, atol=1e-5, rtol=0)  # where nothing moves, nothing is adjusted


@pytest.mark.parametrize("kind", ["published", "gabor"])
def test_a_mirrored_identity_code_cannot_tell_left_from_right(kind: str) -> None:
    networks = tiny_networks(0, dataclasses.replace(MODEL, encoder=kind, mirrored=True, erase=2)).eval()
    plain = tiny_networks(0, dataclasses.replace(MODEL, encoder=kind, erase=2)).eval()
    faces = face_tensor(4).flatten(0, 1)
    code = networks.identity_encoder(faces)
    torch.testing.assert_close(networks.identity_encoder(faces.flip(-1)), code, atol=1e-5, rtol=1e-4)
    for encoder in (networks.motion_encoder, plain.identity_encoder):
        assert (encoder(faces.flip(-1)) - encoder(faces)).abs().max() > 0.01
    even = (faces + faces.flip(-1)) / 2  # on faces that are their own mirror image both agree
    torch.testing.assert_close(networks.identity_encoder(even), plain.identity_encoder(even), atol=1e-4, rtol=1e-3)


def test_the_same_seed_builds_the_same_networks() -> None:
    first, again, other = (tiny_networks(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("size", [48, 64, 128])
def test_the_gabor_encoder_makes_codes_at_every_size(size: int) -> None:
    encoder = GaborEncoder((16, 16, 32), size, 24)
    codes = encoder(torch.rand(6, 3, size, size, generator=torch.Generator().manual_seed(0)))
    assert codes.shape == (6, 24)
    assert codes.abs().max() < 1
    assert codes.std(0).mean() > 0.01


def test_more_blocks_begin_where_fewer_left_off(tmp_path: Path) -> None:
    gabor = dataclasses.replace(MODEL, encoder="gabor", mirrored=True)
    deep = dataclasses.replace(gabor, identity_blocks=3)
    trained, deeper = tiny_networks(0, gabor), tiny_networks(1, deep)
    save_weights(trained, tmp_path / "weights.safetensors", gabor, "CC0-1.0", {})
    load_state(deeper, tmp_path)
    faces = face_tensor(4).flatten(0, 1)
    codes = [networks.identity_encoder(faces) for networks in (deeper, trained, tiny_networks(1, deep))]
    near, far = (torch.cosine_similarity(codes[0], other).min() for other in codes[1:])
    assert near > 0.9 > far
    codes[0].sum().backward()
    added = [p for name, p in deeper.identity_encoder.named_parameters() if name.startswith("deeper.")]
    assert len(added) == 3 * 2 * 6
    assert all(p.grad is not None and p.grad.any() for p in added)
    source = CodeSource(deeper, MODEL.image_size, "tiny")
    layers = [layer for layer in source.layers if layer.startswith("identity.deeper")]
    assert "identity.deeper.2.1" in layers
    assert all(len(source.features(faces, layer)) == len(faces) for layer in layers)
    save_weights(deeper, tmp_path / "weights.safetensors", deep, "CC0-1.0", {})
    with pytest.raises(FaceCycleError, match=r"holds identity_encoder\.deeper\.0\.0"):
        load_state(tiny_networks(0, gabor), tmp_path)


def test_gabor_energy_finds_the_orientation_and_hardly_minds_the_light() -> None:
    line = torch.arange(64.0)
    waves = 0.5 + 0.2 * torch.sin(2 * torch.pi * line / 8)
    upright, lying = waves.expand(1, 3, 64, 64), waves[:, None].expand(1, 3, 64, 64)
    energy = GaborEnergy()
    found = [energy(x)[0, ORIENTATIONS : 2 * ORIENTATIONS, 8, 8].argmax().item() for x in (upright, lying)]
    assert found == [0, ORIENTATIONS // 2]
    dim = energy(0.3 * upright)[:, :-1]
    assert (dim - energy(upright)[:, :-1]).abs().max() < 0.5 * energy(upright)[:, :-1].abs().max()


def test_gabor_filters_see_no_flat_picture() -> None:
    filters = gabor_filters()
    assert filters.sum((1, 2, 3)).abs().max() < 1e-5
    torch.testing.assert_close(filters.flatten(1).norm(dim=1), torch.ones(len(filters)))


def test_the_separated_bank_answers_as_the_whole_one() -> None:
    luma = torch.rand(3, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    filters = gabor_filters()
    whole = torch.nn.functional.conv2d(luma, filters, stride=2, padding=filters.shape[-1] // 2)
    torch.testing.assert_close(GaborEnergy().respond(luma), whole, rtol=0, atol=1e-5)
