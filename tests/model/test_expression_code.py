"""The expression code: principal components of the motion code, then of the layers before it, in both views."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from facecycle.errors import FaceCycleError
from facecycle.evaluate.features import CodeSource
from facecycle.model.encoder import FaceEncoder, read_codes
from facecycle.model.expression_code import DEEP, ExpressionCode
from facecycle.model.networks import Networks, build_networks
from facecycle.model.weights import FILE, load_networks, load_state, save_weights
from tiny import MODEL, face_tensor, tiny_networks

DIM, VALUES, DEEPER = 10, 20, 10
FIRST = MODEL.code_dim // 2  # of so short a code
KINDS = pytest.mark.parametrize("kind", ["published", "gabor"])


def drawn(count: int, values: int, seed: int) -> Tensor:
    """Correlated numbers about a mean that is not 0."""
    noise = torch.Generator().manual_seed(seed)
    return torch.randn(count, values, generator=noise) @ torch.randn(values, values, generator=noise) + 3


def fitted(kind: str = "gabor", seed: int = 0) -> Networks:
    """Networks with an expression code, found on drawn faces."""
    model = dataclasses.replace(MODEL, encoder=kind, equivariant=True, expression_code=True)
    networks = tiny_networks(seed, model).eval().requires_grad_(False)
    encoder, faces = networks.motion_encoder, face_tensor(40).flatten(0, 1)
    assert encoder.code_mirror is not None
    assert encoder.expression_code is not None
    encoder.code_mirror.fit(*encoder.both(faces))
    described = ExpressionCode.describe(*encoder.depths(encoder.look(faces)))
    encoder.expression_code.fit(encoder(faces), described)
    return networks


def told(encoder: FaceEncoder, faces: Tensor) -> Tensor:
    return encoder.read_expression(encoder.look(faces))[1]


def test_it_begins_as_the_motion_code_and_can_begin_again() -> None:
    part, motion, described = ExpressionCode(DIM, VALUES, DEEPER), drawn(80, DIM, 1), drawn(80, VALUES + DEEPER, 2)
    assert not part.fitted
    torch.testing.assert_close(part(motion, described), motion)
    part.fit(motion, described)
    assert part.fitted
    assert not torch.allclose(part(motion, described), motion)
    part.forget()
    assert not part.fitted
    torch.testing.assert_close(part(motion, described), motion)


def test_both_parts_are_principal_components() -> None:
    part, motion, described = ExpressionCode(DIM, VALUES, DEEPER), drawn(400, DIM, 1), drawn(400, VALUES + DEEPER, 2)
    part.fit(motion, described)
    made = part(motion, described).double()
    torch.testing.assert_close(made.mean(0), torch.zeros(DIM).double(), atol=1e-4, rtol=0)
    counted = torch.cat([described[:, :VALUES], DEEP * described[:, VALUES:]], 1)
    for numbers, source in zip(made.split(DIM // 2, 1), (motion, counted), strict=True):
        covariance = torch.cov(numbers.T)
        variances = torch.linalg.eigvalsh(torch.cov(source.double().T)).flip(0)[: DIM // 2]
        expected = variances * covariance.trace() / variances.sum()  # up to one scale for all
        torch.testing.assert_close(covariance, expected.diag(), atol=5e-3 * float(covariance.trace()), rtol=0)
    assert made[:, DIM // 2 :].var(0).sum().item() == pytest.approx(motion.var(0).sum().item(), rel=1e-2)


@pytest.mark.parametrize("faces", [3, 5])
def test_fewer_faces_than_components_leave_some_numbers_empty(faces: int) -> None:
    part = ExpressionCode(DIM, VALUES, DEEPER)
    part.fit(drawn(faces, DIM, 1), drawn(faces, VALUES + DEEPER, 2))
    assert part(drawn(4, DIM, 3), drawn(4, VALUES + DEEPER, 4)).isfinite().all()


@KINDS
def test_only_its_first_numbers_know_left_from_right(kind: str) -> None:
    encoder, faces = fitted(kind).motion_encoder, face_tensor(3, seed=5).flatten(0, 1)
    code, mirrored = told(encoder, faces), told(encoder, faces.flip(-1))
    torch.testing.assert_close(code[:, FIRST:], mirrored[:, FIRST:], atol=1e-4, rtol=0)
    assert (code[:, :FIRST] - mirrored[:, :FIRST]).abs().max() > 1e-3


@KINDS
def test_the_other_codes_stay_as_they_were(kind: str) -> None:
    networks, faces = fitted(kind), face_tensor(3).flatten(0, 1)
    motion, identity, expression = read_codes(networks.motion_encoder, networks.identity_encoder, faces)
    torch.testing.assert_close((motion, identity), (networks.motion_encoder(faces), networks.identity_encoder(faces)))
    torch.testing.assert_close(expression, told(networks.motion_encoder, faces))
    assert not torch.allclose(expression, motion, atol=1e-3)
    encoder = networks.motion_encoder.train()
    assert torch.equal(told(encoder, faces), encoder.alone(faces))  # a face is seen once, and there is none


def test_older_weights_give_the_motion_code_and_a_model_without_it_leaves_it(tmp_path: Path) -> None:
    faces, model = face_tensor(3).flatten(0, 1), dataclasses.replace(MODEL, encoder="gabor", equivariant=True)
    more = dataclasses.replace(model, expression_code=True)
    older = tiny_networks(3, model).eval()
    save_weights(older, tmp_path / FILE, model, "CC0", {})
    newer = tiny_networks(4, more).eval()
    load_state(newer, tmp_path)
    torch.testing.assert_close(told(newer.motion_encoder, faces), older.motion_encoder(faces))
    networks = fitted()
    save_weights(networks, tmp_path / FILE, more, "CC0", {})
    again = load_networks(tmp_path)[0].motion_encoder
    torch.testing.assert_close(told(again, faces), told(networks.motion_encoder, faces))
    load_state(older, tmp_path)
    torch.testing.assert_close(told(older.motion_encoder, faces), networks.motion_encoder(faces))


@KINDS
def test_every_layer_of_it_can_be_read(kind: str) -> None:
    """Also one whose parts are called one by one."""
    source, faces = CodeSource(fitted(kind), MODEL.image_size, "tiny"), face_tensor(2).flatten(0, 1)
    for layer in source.layers:
        if "expression_code" not in layer and "code_mirror" not in layer:
            assert len(source.features(faces, layer)) == len(faces), layer
    assert source.features(faces, "expression").shape[1] == MODEL.code_dim


def test_it_needs_the_mirror() -> None:
    with pytest.raises(FaceCycleError, match=r"needs model\.equivariant=true"):
        build_networks(dataclasses.replace(MODEL, expression_code=True))


def test_half_precision_goes_through() -> None:
    encoder, faces = fitted().motion_encoder, face_tensor(3).flatten(0, 1)
    with torch.autocast("cpu", torch.bfloat16):
        code = told(encoder, faces)
    assert code.dtype == torch.float32
    torch.testing.assert_close(code, told(encoder, faces), atol=0.2, rtol=0)
