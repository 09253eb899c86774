"""What the networks can do to faces: each verb on tensors. Faces are ``B 3 H W``, RGB in [0, 1]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facecycle.cycles.identity import remove_identity, restore_identity
from facecycle.cycles.motion import motion_codes, read_motion, remove_motion
from facecycle.model.flow import DECODED, FlowPair
from facecycle.model.networks import Networks
from facecycle.model.warp import compose, pixel_grid, resize, warp
from facecycle.types import Face, Field, Fine, Flow


def frontalize(networks: Networks, face: Face) -> Face:
    """N: without expression and pose."""
    return remove_motion(networks, face)[2]


def deexpress(networks: Networks, face: Face, fine: Fine | None = None) -> Fine:
    """Without expression, in the pose it has: to the neutral face, and back as if it had no expression.

    ``fine``: see `nudge`.
    """
    field, expression = split_field(networks, face)
    return nudge(networks, face, field, field - expression, fine)


def mean_face(networks: Networks, face: Face) -> Face:
    """M: what is left of a face without its motion and its identity."""
    return remove_identity(networks, frontalize(networks, face), networks.identity_encoder(face))


def translate(networks: Networks, source: Face, driver: Face, identity: float = 1.0, motion: float = 1.0) -> Face:
    """The source's identity with the driver's expression and pose (paper, section 4.4).

    Args:
        networks: all five.
        source, driver: as many of one as of the other.
        identity: how much of the source's identity, in [0, 1]; at 0 it is the mean face that moves.
        motion: how much of the driver's motion, in [0, 1]; at 0 the face is neutral and frontal.
    """
    flow = flows(networks, driver).to_face
    return networks.face_generator(person(networks, source, identity), motion * flow)


def express(
    networks: Networks,
    source: Float[Tensor, "#b 3 h w"],
    driver: Face,
    motion: float = 1.0,
    fine: Float[Tensor, "#b 3 H W"] | None = None,
) -> Fine:
    """The source in its own pose with the driver's expression: to the neutral face, and back with the other's.

    Args:
        networks: all five.
        source, driver: as many of one as of the other, or one source.
        motion: how much of the driver's expression, in [0, 1]; at 0 the face has none.
        fine: the source at another resolution, see `nudge`.
    """
    field, own = split_field(networks, source)
    _, other = split_field(networks, driver)
    return nudge(networks, source, field, field - own + motion * other, fine)


def person(networks: Networks, source: Face, identity: float = 1.0) -> Face:
    """The source's neutral face with a share ``s`` of its identity ``y``; M at 0, N at 1.

    In between R(M, s y) + s (N - R(M, y)) + (1 - s) (M - R(M, 0)): what restoring identity misses at either end is
    added in proportion.
    """
    neutral = frontalize(networks, source)
    if identity == 1:
        return neutral
    code = networks.identity_encoder(source)
    mean = remove_identity(networks, neutral, code)
    missed_there = neutral - restore_identity(networks, mean, code)
    missed_here = mean - restore_identity(networks, mean, torch.zeros_like(code))
    return restore_identity(networks, mean, identity * code) + identity * missed_there + (1 - identity) * missed_here


def interpolate(networks: Networks, a: Face, b: Face, steps: int = 9) -> Float[Tensor, "steps 3 h w"]:
    """From one face to another, both codes on the straight line between theirs; ``a`` and ``b`` are ``1 3 H W``."""
    (flow_a, neutral_a), (flow_b, neutral_b) = (remove_motion(networks, x)[1:] for x in (a, b))
    code_a, code_b = networks.identity_encoder(a), networks.identity_encoder(b)
    mean_a, mean_b = remove_identity(networks, neutral_a, code_a), remove_identity(networks, neutral_b, code_b)
    share = torch.linspace(0, 1, steps, device=a.device)[:, None, None, None]

    def between(x: Tensor, y: Tensor) -> Tensor:
        return torch.lerp(x, y, share.view(-1, *[1] * (x.ndim - 1)))

    missed = between(
        neutral_a - restore_identity(networks, mean_a, code_a), neutral_b - restore_identity(networks, mean_b, code_b)
    )
    neutral = restore_identity(networks, between(mean_a, mean_b), between(code_a, code_b)) + missed
    return networks.face_generator(neutral, between(flow_a.to_face, flow_b.to_face))


def flows(networks: Networks, face: Face) -> FlowPair:
    """F and B."""
    return read_motion(networks, face)[1]


def split_field(networks: Networks, face: Face) -> tuple[Field, Field]:
    """The field that the flow decoder draws of a face, and the part of it that is expression; the rest is pose.

    Networks that never found out which part that is take for it what no rigid head could do, see `rigid_part`.
    """
    _, codes = motion_codes(networks, face)
    field = networks.flow_decoder.draw(*codes)
    if networks.expression is None or not networks.expression.fitted:
        return field, field - rigid_part(field)
    return field, networks.expression(*codes)


# Of half a crop: moved less, a pixel is fetched, moved more, it is painted, and softly in between.
FETCHED, PAINTED = 1 / 64, 3 / 64


def nudge(
    networks: Networks,
    face: Float[Tensor, "#b 3 h w"],
    own: Float[Tensor, "#b 2 s s"],
    wanted: Field,
    fine: Float[Tensor, "#b 3 H W"] | None = None,
) -> Fine:
    """The face moved by what lies between two drawn fields, its own and another that is much like it.

    Both flows are followed at once, so that every pixel is fetched but once and hardly moves. Where it moves least it
    is not painted anew: that would only blur it.

    Args:
        networks: their flow decoder and generator are used.
        face: as many as there are wanted fields, or one.
        own: what `split_field` gives of each.
        wanted: the same with another expression.
        fine: the same faces at any resolution, which the result then has: what is fetched is as sharp as they are.
    """
    decoder = networks.flow_decoder
    face, own, fine = (x.expand(len(wanted), -1, -1, -1) for x in (face, own, face if fine is None else fine))
    flow = compose(decoder.pair(own).to_neutral, decoder.pair(wanted).to_face)
    drawn = networks.face_generator(face, flow)
    far = F.adaptive_avg_pool2d(flow, DECODED).norm(dim=1, keepdim=True)
    fetched = warp(fine, flow, "bicubic").clamp(0, 1)
    far, drawn = (resize(x.to(fetched), *fine.shape[-2:]) for x in (F.max_pool2d(far, 3, 1, 1), drawn))
    return torch.lerp(fetched, drawn, ((far - FETCHED) / (PAINTED - FETCHED)).clamp(0, 1))


# A head as an ellipsoid in the crop's normalised coordinates: half-axes across, along and into the picture.
ACROSS, ALONG, DEEP = 0.62, 0.85, 0.7


def rigid_part(flow: Flow) -> Flow:
    """The part of a flow that a head can make without moving a muscle: its least-squares fit by a rigid ellipsoid.

    Under weak perspective, where the points of a rigid body lie in one view is linear in their x, y and depth in
    another, whatever the turn (Ullman and Basri, PAMI 1991). So the fit is linear in 1, x, y and z, over the
    ellipsoid. Of a velocity the same holds for small turns, and nearly for larger ones.
    """
    height, width = flow.shape[-2:]
    x, y = pixel_grid(height, width, flow.device)[0].unbind(-1)
    depth = (1 - (x / ACROSS) ** 2 - (y / ALONG) ** 2).clamp(min=0).sqrt() * DEEP
    basis = torch.stack([torch.ones_like(x), x, y, depth], -1).flatten(0, 1).to(flow.dtype)
    head = (depth.flatten() > 0).to(flow.dtype)[:, None]
    solve = torch.linalg.pinv(basis * head)
    fit = basis @ (solve @ flow.flatten(2).transpose(1, 2))
    return fit.transpose(1, 2).unflatten(2, (height, width))
