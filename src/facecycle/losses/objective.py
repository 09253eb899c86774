"""The two objectives: a cycle in, one number to minimise and its named parts out.

The motion stage (paper, section 3.1; symbols as in `facecycle.cycles.motion`, S = SSIM)::

    |I^-I| + |I0-I| + |Sw-I| + 1.5 |Dr-I|  +  5 [(1-S(I^,I)) + (1-S(I0,I)) + 1.5 (1-S(Dr,I))]
    + 1.5 [sym(N) + .5 sym(W(I,F))]  +  .01 style({N, Sw, Dr, I^}, I)  +  10 |mean F|

The last term is ours. Every other one stays as it is when all neutral faces are deformed alike, so the neutral frame
may drift anywhere; asking that faces move nowhere on average ties it down, and biases no single face.

The identity stage (section 3.2)::

    |I^-I| + .8 |Dir-I| + |N^-N|  +  5 [(1-S(I^,I)) + .8 (1-S(Dir,I))]  +  1.5 sym(N^)
    + .01 style({Dir, I^}, I)  +  hinge(|M_i - mean M| - .1)  +  5 |mean M - mean N|

The last term is ours too: without it the mean face is any one picture from which people can be rebuilt, and need not be
a face.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facecycle.config import IdentityLossConfig, MotionLossConfig
from facecycle.cycles.identity import IdentityCycle
from facecycle.cycles.motion import MotionCycle
from facecycle.losses.perceptual import PerceptualFeatures
from facecycle.losses.terms import SSIM, feature_distance, gram_distance, hinge, l1, symmetry
from facecycle.model.encoder import FaceEncoder
from facecycle.model.warp import sample
from facecycle.types import Code, Face, Flow, Scalar


@dataclass(frozen=True)
class Objective:
    """What is minimised, and what it is made of."""

    total: Scalar
    parts: dict[str, Scalar]
    """Weighted: they add up to the total."""


def motion_objective(cycle: MotionCycle, weights: MotionLossConfig, perceptual: PerceptualFeatures | None) -> Objective:
    """The motion stage's objective."""
    face, ssim = cycle.face, SSIM(cycle.face)
    return add_up(
        restored=weights.restored * l1(cycle.restored, face),
        redrawn=weights.redrawn * l1(cycle.redrawn, face),
        neutral_to_face=weights.neutral_to_face * l1(cycle.neutral_to_face, face),
        round_trip=weights.round_trip * l1(cycle.round_trip, face),
        ssim=weights.ssim
        * (
            weights.restored * (1 - ssim(cycle.restored))
            + weights.redrawn * (1 - ssim(cycle.redrawn))
            + weights.round_trip * (1 - ssim(cycle.round_trip))
        ),
        symmetry=weights.symmetry * (symmetry(cycle.neutral) + weights.warped_symmetry * symmetry(cycle.warped)),
        drift=weights.drift * cycle.mean_flow.abs().mean(),
        perceptual=weights.perceptual
        * style([cycle.neutral, cycle.neutral_to_face, cycle.round_trip, cycle.restored], face, perceptual),
    )


def identity_objective(
    cycle: IdentityCycle, weights: IdentityLossConfig, perceptual: PerceptualFeatures | None
) -> Objective:
    """The identity stage's objective."""
    face, ssim = cycle.face, SSIM(cycle.face)
    return add_up(
        restored=weights.restored * l1(cycle.restored, face),
        warped=weights.warped * l1(cycle.warped, face),
        neutral=weights.neutral * l1(cycle.restored_neutral, cycle.neutral),
        ssim=weights.ssim * (weights.restored * (1 - ssim(cycle.restored)) + weights.warped * (1 - ssim(cycle.warped))),
        symmetry=weights.symmetry * symmetry(cycle.restored_neutral),
        mean_face=weights.mean_face * hinge(cycle.mean_faces, cycle.mean_face, weights.mean_face_slack),
        anchor=weights.anchor * (cycle.mean_face - cycle.mean_neutral).abs().mean(),
        perceptual=weights.perceptual * style([cycle.warped, cycle.restored], face, perceptual),
    )


def true_neutral(made: Face, true: Face) -> Scalar:
    """How far neutral faces are from those that the generator drew: |N - N*| + 5 (1 - S(N, N*)).

    A true face that is not known is not a number, and counts as one that was met.
    """
    target = torch.where(true.isnan(), made.detach(), true)
    return l1(made, target) + 5 * (1 - SSIM(target)(made))


def unlikeness(encoder: Callable[[Face], Code], made: Face, true: Face) -> Scalar:
    """1 - cosine of what an encoder makes of two faces, on average; a true face that is not known counts as met."""
    target = torch.where(true.isnan(), made.detach(), true)
    with torch.no_grad():
        wanted = encoder(target)
    return (1 - F.cosine_similarity(encoder(made), wanted)).mean()


def unlike_features(encoder: FaceEncoder, made: Face, true: Face) -> Scalar:
    """How far what an encoder finds in a face is from what it finds in the true one, see `feature_distance`.

    A perceptual distance without a network that was trained on labelled pictures. Unknown faces as in `unlikeness`.
    """
    target = torch.where(true.isnan(), made.detach(), true)
    with torch.no_grad():
        wanted = encoder.layers(target)
    return feature_distance(encoder.layers(made), wanted)


def landmark_flow(to_neutral: Flow, face: Float[Tensor, "b n 2"], neutral: Float[Tensor, "b n 2"]) -> Scalar:
    """How far the flow leads astray at landmarks of the neutral face: |F(p) - (q - p)|, p there and q in the face.

    Args:
        to_neutral: F.
        face, neutral: the same landmarks in both, in normalised coordinates; those that are not numbers, or lie
            outside the neutral picture, count as met.
    """
    known = (neutral.abs() <= 1).all(-1, keepdim=True) & face.isfinite().all(-1, keepdim=True)
    found = sample(to_neutral, neutral[:, :, None])[..., 0].transpose(1, 2)
    return torch.where(known, found - (face - neutral), 0.0).abs().mean()


def style(pictures: list[Face], target: Face, perceptual: PerceptualFeatures | None) -> Tensor:
    """Sum over layers of the mean squared difference of Gram matrices, over all pictures against one target.

    The target's features are found once, without a graph.
    """
    if perceptual is None:
        return target.new_zeros(())
    with torch.no_grad():
        wanted = perceptual(target)
    found = perceptual(torch.cat(pictures))
    shares = [
        gram_distance(features, right.repeat(len(pictures), 1, 1, 1))
        for features, right in zip(found, wanted, strict=True)
    ]
    return torch.stack(shares).sum()


def add_up(**parts: Tensor) -> Objective:
    """The sum of the parts, and the parts."""
    return Objective(torch.stack(list(parts.values())).sum(), parts)
