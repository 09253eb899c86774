"""Both objectives against a plain float64 transcription of the published formulas."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from facecycle.config import IdentityLossConfig, MotionLossConfig
from facecycle.cycles.identity import identity_cycle
from facecycle.cycles.motion import motion_cycle
from facecycle.losses.objective import (
    identity_objective,
    landmark_flow,
    motion_objective,
    style,
    unlike_features,
    unlikeness,
)
from facecycle.losses.perceptual import PerceptualFeatures
from facecycle.model.networks import Networks
from tiny import MODEL, face_tensor, tiny_networks

from . import reference


def moved_networks() -> Networks:
    """Networks whose flow is several pixels from the start, so that every warp counts."""
    networks = tiny_networks(1, dataclasses.replace(MODEL, flow_inverse="fixed-point")).eval()
    nn.init.normal_(networks.flow_decoder.field.weight, 0, 0.2, generator=torch.Generator().manual_seed(2))
    return networks


def painted_networks() -> Networks:
    """The same, with mean faces far enough apart for the hinge to be felt."""
    networks = moved_networks()
    nn.init.normal_(networks.identity_transfer.rgb.weight, 0, 0.5, generator=torch.Generator().manual_seed(2))
    return networks


def features() -> PerceptualFeatures:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        first = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        second = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(6, 9, 3, padding=1), nn.ReLU())
    return PerceptualFeatures([first, second])


def style_of(pictures: list[np.ndarray], face: np.ndarray) -> float:
    network = copy.deepcopy(features()).double()
    found = [[layer.numpy() for layer in network(torch.from_numpy(x))] for x in [*pictures, face]]
    return reference.style(found[:-1], found[-1])


def double(x: torch.Tensor) -> np.ndarray:
    return x.detach().double().numpy()


def test_the_motion_stage() -> None:
    cycle = motion_cycle(moved_networks(), face_tensor(2))
    assert 1 < (cycle.flow.to_neutral.norm(dim=1) * 16).max() < 16  # pixels: else this would test little
    objective = motion_objective(cycle, MotionLossConfig(drift=2.0), features())
    expected = reference.motion_loss(
        *map(double, (cycle.face, cycle.neutral, cycle.restored, cycle.redrawn)),
        double(cycle.flow.to_neutral), double(cycle.flow.to_face), style_of, drift=2.0,
    )  # fmt: skip
    assert objective.total.item() == pytest.approx(expected, rel=1e-5)
    assert sum(part.item() for part in objective.parts.values()) == pytest.approx(objective.total.item(), rel=1e-6)


def test_the_motion_stage_as_published_has_no_drift_term() -> None:
    cycle = motion_cycle(moved_networks(), face_tensor(2))
    ours, published = (motion_objective(cycle, MotionLossConfig(drift=drift), None) for drift in (1.0, 0.0))
    average = np.abs(double(cycle.flow.to_neutral).mean(0)).mean()
    assert average > 1e-3
    assert (ours.total - published.total).item() == pytest.approx(average, rel=1e-3)


def test_the_identity_stage() -> None:
    cycle = identity_cycle(painted_networks(), face_tensor(2))
    objective = identity_objective(cycle, IdentityLossConfig(anchor=2.0), features())
    pictures = (cycle.face, cycle.neutral, cycle.mean_faces, cycle.restored_neutral, cycle.restored)
    expected = reference.identity_loss(*map(double, pictures), double(cycle.flow.to_face), style_of, anchor=2.0)
    assert objective.parts["mean_face"] > 1e-4  # the hinge is at work
    assert objective.total.item() == pytest.approx(expected, rel=1e-5)


def weights_of(kind: type) -> list[str]:
    """The weights of the objective; those of the stage, beside it, are tested with the stages."""
    of_the_stage = (
        "contrast",
        "truth",
        "swap",
        "true_neutral",
        "likeness",
        "features",
        "agreement",
        "landmarks",
        "independence",
    )
    return [field.name for field in dataclasses.fields(kind) if field.name not in of_the_stage]


def doubled(weights, name: str):
    """The same weights but one, changed so that the objective should grow."""
    factor = 0.5 if name == "mean_face_slack" else 2.0
    return dataclasses.replace(weights, **{name: factor * getattr(weights, name)})


@pytest.mark.parametrize("name", weights_of(MotionLossConfig))
def test_every_weight_of_the_motion_stage_does_something(name: str) -> None:
    cycle, weights = motion_cycle(moved_networks(), face_tensor(2)), MotionLossConfig()
    totals = [motion_objective(cycle, each, features()).total for each in (weights, doubled(weights, name))]
    assert totals[0] < totals[1]


@pytest.mark.parametrize("name", weights_of(IdentityLossConfig))
def test_every_weight_of_the_identity_stage_does_something(name: str) -> None:
    cycle, weights = identity_cycle(painted_networks(), face_tensor(2)), IdentityLossConfig()
    totals = [identity_objective(cycle, each, features()).total for each in (weights, doubled(weights, name))]
    assert totals[0] < totals[1]


def test_style_of_the_target_itself_is_nothing() -> None:
    face = face_tensor(1).flatten(0, 1)
    assert style([face, face], face, features()).item() == pytest.approx(0, abs=1e-10)
    assert style([face.flip(-2)], face, features()).item() > 0
    assert style([face], face, None).item() == 0


def test_a_flow_that_leads_to_the_landmarks_costs_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    neutral = 1.6 * torch.rand(3, 20, 2, generator=generator) - 0.8
    move = torch.tensor([0.1, -0.2])
    flow = move.view(1, 2, 1, 1).expand(3, 2, 16, 16).clone().requires_grad_()
    assert landmark_flow(flow, neutral + move, neutral).item() == pytest.approx(0, abs=1e-6)
    assert landmark_flow(flow, neutral, neutral).item() == pytest.approx(0.15, abs=1e-6)
    far, unknown = neutral.clone(), neutral.clone()
    far[1:] += 2  # outside the picture
    unknown[1:] = torch.nan
    for known in (far, unknown):
        loss = landmark_flow(flow, neutral, known)
        assert loss.item() == pytest.approx(0.05, abs=1e-6)
        flow.grad = None
        loss.backward()
        assert flow.grad is not None
        assert flow.grad.isfinite().all()
        assert not flow.grad[1:].any()


def test_unlikeness_is_of_codes_and_an_unknown_face_is_met() -> None:
    encoder, face = tiny_networks().eval().identity_encoder, face_tensor(3).flatten(0, 1)
    made = face.flip(0).requires_grad_()
    assert unlikeness(encoder, face, face).item() == pytest.approx(0, abs=1e-6)
    a, b = (double(encoder(x)) for x in (made, face))
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    loss = unlikeness(encoder, made, face)
    assert loss.item() == pytest.approx(1 - cosine.mean(), rel=1e-4)
    assert loss.item() > 1e-3
    loss.backward()
    assert made.grad is not None
    assert made.grad.flatten(1).any(1).all()
    assert unlikeness(encoder, made, torch.full_like(face, torch.nan)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", ["published", "gabor"])
def test_unlike_features_are_of_layers_and_an_unknown_face_is_met(kind: str) -> None:
    encoder, face = (
        tiny_networks(0, dataclasses.replace(MODEL, encoder=kind)).eval().identity_encoder,
        face_tensor(3).flatten(0, 1),
    )
    made = face.flip(0).requires_grad_()
    assert unlike_features(encoder, face, face).item() == pytest.approx(0, abs=1e-6)
    layers = encoder.layers(face)
    assert [x.shape[-1] for x in layers] == sorted((x.shape[-1] for x in layers), reverse=True)
    assert torch.equal(layers[-1], encoder.depths(encoder.see(face))[0])
    expected = 0.0
    for a, b in zip(encoder.layers(made), layers, strict=True):
        a, b = double(a), double(b)
        cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        expected += 2 * (1 - cosine).mean()
    loss = unlike_features(encoder, made, face)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert loss.item() > 1e-3
    loss.backward()
    assert made.grad is not None
    assert made.grad.flatten(1).any(1).all()
    assert unlike_features(encoder, made, torch.full_like(face, torch.nan)).item() == pytest.approx(0, abs=1e-6)
