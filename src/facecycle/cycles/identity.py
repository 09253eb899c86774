"""The identity cycle: a neutral face minus its identity is the mean face, nobody in particular, and back again.

The motion networks are finished and frozen. What is taken off a neutral face to reach one and the same mean face for
everybody is what tells people apart, and it must suffice to bring the person back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from facecycle.cycles.motion import batch_mean, other_frame, remove_motion, restore_motion
from facecycle.model.flow import FlowPair
from facecycle.model.networks import Networks
from facecycle.model.warp import warp
from facecycle.types import Clip, Code, Face


@dataclass(frozen=True)
class IdentityCycle:
    """Everything the identity stage makes of a batch; ``b`` counts frames, the frames of a clip lie together."""

    face: Face
    """I"""
    identity: Code
    """y, the identity code"""
    flow: FlowPair
    """F and B, from the frozen motion networks"""
    neutral: Face
    """N, likewise"""
    mean_faces: Face
    """M_i = N_i - y_i, one for each frame"""
    mean_face: Float[Tensor, "1 3 h w"]
    """Their average over the batch, ``1 3 h w``"""
    mean_neutral: Float[Tensor, "1 3 h w"]
    """The average neutral face of the batch"""
    restored_neutral: Face
    """N^ = mean face + y"""
    restored: Face
    """I^ = G(N^, B)"""
    warped: Face
    """Dir = W(N^, B)"""


def remove_identity(networks: Networks, neutral: Face, identity: Code) -> Face:
    """De-identity: the mean face."""
    return networks.identity_transfer.remove(neutral, identity)


def restore_identity(networks: Networks, mean_face: Float[Tensor, "#b 3 h w"], identity: Code) -> Face:
    """Re-identity: the neutral face of the person that ``identity`` describes."""
    return networks.identity_transfer.restore(mean_face, identity)


def identity_cycle(
    networks: Networks,
    clips: Clip,
    average: Callable[[Tensor], Tensor] = batch_mean,
    swap: bool = False,
) -> IdentityCycle:
    """There and back. Gradients reach the identity parts only.

    Args:
        networks: all five.
        clips: ``b k 3 h w``.
        average: the mean face of the whole batch; over several processes it must be the mean over all of them.
        swap: restore each frame by the identity code of the clip's next frame, so that a code that holds more than
            the frames share is of no use.
    """
    face = clips.flatten(0, 1)
    with torch.no_grad():
        _, flow, neutral = remove_motion(networks, face)
    identity = networks.identity_encoder(face)
    mean_faces = remove_identity(networks, neutral, identity)
    mean_face = average(mean_faces)
    giver = other_frame(identity, clips.shape[1]) if swap else identity
    restored_neutral = restore_identity(networks, mean_face, giver)
    return IdentityCycle(
        face=face,
        identity=identity,
        flow=flow,
        neutral=neutral,
        mean_faces=mean_faces,
        mean_face=mean_face,
        mean_neutral=average(neutral),
        restored_neutral=restored_neutral,
        restored=restore_motion(networks, restored_neutral, flow),
        warped=warp(restored_neutral, flow.to_face),
    )
