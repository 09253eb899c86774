"""The motion cycle: a face minus its expression and pose is the person's neutral face, and back again.

Two frames of one clip show one person, so their neutral faces must be interchangeable: each frame is rebuilt from the
neutral face of the *other* frame and its own motion. Whatever differs between the frames has to travel in the code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from facecycle.model.encoder import with_mirrored
from facecycle.model.face_generator import Drawn, FaceGenerator, Features
from facecycle.model.flow import FlowPair
from facecycle.model.networks import Networks
from facecycle.model.warp import flip, mean_turned_back, reflect, warp
from facecycle.types import Clip, Code, Face, Flow


@dataclass(frozen=True)
class MotionCycle:
    """Everything the motion stage makes of a batch; ``b`` counts frames, the frames of a clip lie together."""

    face: Face
    """I"""
    motion: Code
    """z, the motion code"""
    flow: FlowPair
    """F and B"""
    brought: Flow
    """How pixels were brought to the neutral face: F, as far as the generator did not adjust it"""
    neutral: Face
    """N = G(I, F)"""
    other_neutral: Face
    """N~, the neutral face of another frame of the clip"""
    restored: Face
    """I^ = G(N~, B)"""
    redrawn: Face
    """I0 = G(I), no flow: the generator alone changes nothing"""
    warped: Face
    """W(I, F): the face moved pixel by pixel"""
    round_trip: Face
    """Dr = W(W(I, F)~, B): there with the other frame, back with this one"""
    neutral_to_face: Face
    """Sw = W(N~, B)"""
    mean_flow: Float[Tensor, "1 2 h w"]
    """The average of F over the batch"""


def motion_codes(networks: Networks, face: Face) -> tuple[Code, tuple[Code, Code | None]]:
    """The motion code, and the codes that fields are drawn from.

    These are of the face by itself and, for networks that look in the mirror (`ModelConfig.mirrored`), of its mirror
    image by itself.
    """
    encoder = networks.motion_encoder
    if not networks.mirrored and encoder.code_mirror is None:
        motion = encoder(face)
        return motion, (motion, None)
    own, other = encoder.both(face)
    motion = own if encoder.code_mirror is None else encoder.code_mirror(own, other)
    return motion, (own, other if networks.mirrored else None)


def read_motion(networks: Networks, face: Face) -> tuple[Code, FlowPair]:
    """The motion code and its flow fields.

    Networks that look in the mirror draw the fields of a face and of its mirror image, and take their average: what
    differs between the two, mirrored back, is error.
    """
    motion, codes = motion_codes(networks, face)
    return motion, networks.flow_decoder(*codes)


def remove_motion(networks: Networks, face: Face) -> tuple[Code, FlowPair, Face]:
    """De-expression: the motion code, its flow fields, and the neutral face; the mirror as in `read_motion`."""
    motion, flow = read_motion(networks, face)
    return motion, flow, draw_neutral(networks, face, flow).face


def draw_neutral(networks: Networks, face: Face, flow: FlowPair) -> Drawn:
    """The neutral face, and where its pixels are from; ``flow`` is that of the face."""
    seen = with_mirrored(face) if networks.mirrored else face
    features = networks.face_generator.encode(seen)
    return draw_frontal(networks.face_generator, features, flow.to_neutral, networks.mirrored)


def draw_frontal(
    generator: FaceGenerator,
    features: Features,
    to_neutral: Flow,
    mirrored: bool,
    noise: torch.Generator | None = None,
) -> Drawn:
    """`draw_neutral` from features that are found already.

    ``mirrored``: they are of the faces and then of their mirror images, and the average of both is given.
    """
    if not mirrored:
        return generator.draw(generator.move(features, to_neutral, noise, frontal=True))
    both = torch.stack([to_neutral, reflect(to_neutral)]).flatten(0, 1)
    drawn = generator.draw(generator.move(features, both, noise, frontal=True))
    return Drawn(
        mean_turned_back(drawn.face, flip),
        None if drawn.flow is None else mean_turned_back(drawn.flow, reflect),
        None if drawn.shares is None else mean_turned_back(drawn.shares, flip),
    )


def restore_motion(networks: Networks, neutral: Face, flow: FlowPair, noise: torch.Generator | None = None) -> Face:
    """Re-expression: a neutral face given the expression and pose that ``flow`` takes off."""
    return networks.face_generator(neutral, flow.to_face, noise)


def batch_mean(x: Tensor) -> Tensor:
    """The average over a batch in one process, ``1 ...``."""
    return x.mean(0, keepdim=True)


def motion_cycle(
    networks: Networks,
    clips: Clip,
    noise: torch.Generator | None = None,
    average: Callable[[Tensor], Tensor] = batch_mean,
    mirror: bool = False,
) -> MotionCycle:
    """There and back for ``k >= 2`` frames of each clip.

    Args:
        networks: only the motion parts are used.
        clips: ``b k 3 h w``, frames of one person each.
        noise: draws the generator's noise in training, where the model has any.
        average: the mean over the whole batch; over several processes it must be the mean over all of them.
        mirror: see each face in the mirror too, as `remove_motion` does for networks with `ModelConfig.mirrored`;
            otherwise by itself alone, at half the cost.
    """
    frames = clips.shape[1]
    face = clips.flatten(0, 1)
    generator = networks.face_generator

    if mirror:
        motion, flow = read_motion(networks, face)
    else:
        motion = networks.motion_encoder.alone(face)
        flow = networks.flow_decoder(motion)
    mirrored = mirror and networks.mirrored
    features = generator.encode(with_mirrored(face) if mirrored else face)
    drawn = draw_frontal(generator, features, flow.to_neutral, mirrored, noise)
    neutral = drawn.face
    redrawn = generator.draw(features.first(len(face))).face
    other_neutral = other_frame(neutral, frames)
    restored = restore_motion(networks, other_neutral, flow, noise)
    warped = warp(face, flow.to_neutral)
    return MotionCycle(
        face=face,
        motion=motion,
        flow=flow,
        brought=flow.to_neutral if drawn.flow is None else drawn.flow,
        neutral=neutral,
        other_neutral=other_neutral,
        restored=restored,
        redrawn=redrawn,
        warped=warped,
        round_trip=warp(other_frame(warped, frames), flow.to_face),
        neutral_to_face=warp(other_neutral, flow.to_face),
        mean_flow=average(flow.to_neutral),
    )


def other_frame(x: Tensor, frames: int) -> Tensor:
    """Give each frame the entry of the one before it in its clip, the first the last's: of two, the swap ``~``."""
    return x.unflatten(0, (-1, frames)).roll(1, dims=1).flatten(0, 1)
