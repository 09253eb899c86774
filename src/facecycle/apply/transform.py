"""What the networks can do to faces: each verb on tensors. Faces are ``B 3 H W``, RGB in [0, 1].

``fine`` are always the same faces at another resolution, which the result then has: see `facecycle.model.detail`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facecycle.cycles.identity import remove_identity, restore_identity
from facecycle.cycles.motion import draw_neutral, motion_codes, read_motion
from facecycle.model.detail import enlarge, grow
from facecycle.model.face_generator import Drawn
from facecycle.model.flow import DECODED, FlowPair
from facecycle.model.networks import Networks
from facecycle.model.warp import compose, pixel_grid, resize, warp
from facecycle.types import Face, Field, Fine, Flow


@dataclass(frozen=True)
class Still:
    """A neutral face, and the same with its detail, where that was asked for."""

    face: Face
    fine: Fine | None = None

    def repeated(self, count: int) -> Still:
        """The one face so many times."""
        fine = None if self.fine is None else self.fine.expand(count, -1, -1, -1)
        return Still(self.face.expand(count, -1, -1, -1), fine)


def frontalize(networks: Networks, face: Face, fine: Fine | None = None) -> Fine:
    """N: without expression and pose."""
    drawn = draw_neutral(networks, face, flows(networks, face))
    return drawn.face if fine is None else enlarge(drawn, fine)


def deexpress(networks: Networks, face: Face, fine: Fine | None = None, keep: float = 0.0) -> Fine:
    """Without expression, in the pose it has: to the neutral face, and back as if it had no expression.

    ``keep``: how much of it stays; at 1 the face is as it was, beyond that its expression is stronger, below 0 it is
    the opposite one.
    """
    field, expression = split_field(networks, face)
    return nudge(networks, face, field, field - (1 - keep) * expression, fine)


def mean_face(networks: Networks, face: Face, fine: Fine | None = None) -> Fine:
    """M: what is left of a face without its motion and its identity; it has no detail, however large."""
    mean = remove_identity(networks, frontalize(networks, face), networks.identity_encoder(face))
    return mean if fine is None else grow(mean, fine)


def translate(
    networks: Networks,
    source: Face,
    driver: Face,
    identity: float = 1.0,
    motion: float = 1.0,
    fine: Fine | None = None,
) -> Fine:
    """The source's identity with the driver's expression and pose (paper, section 4.4).

    Args:
        networks: all five.
        source, driver: as many of one as of the other.
        identity: how much of the source's identity, in [0, 1]; at 0 it is the mean face that moves.
        motion: how much of the driver's motion, in [0, 1]; at 0 the face is neutral and frontal.
        fine: the source.
    """
    flow = flows(networks, driver).to_face
    return move(networks, person(networks, source, identity, fine), motion * flow)


def move(networks: Networks, still: Still, flow: Flow) -> Fine:
    """Neutral faces, each in the motion that its flow holds."""
    drawn = follow(networks, still.face, flow)
    return drawn.face if still.fine is None else enlarge(drawn, still.fine)


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
        fine: the source.
    """
    field, own = split_field(networks, source)
    _, other = split_field(networks, driver)
    return nudge(networks, source, field, field - own + motion * other, fine)


def person(networks: Networks, source: Face, identity: float = 1.0, fine: Fine | None = None) -> Still:
    """The source's neutral face with a share ``s`` of its identity ``y``; M at 0, N at 1.

    In between R(M, s y) + s (N - R(M, y)) + (1 - s) (M - R(M, 0)): what restoring identity misses at either end is
    added in proportion, and so is detail.
    """
    drawn = draw_neutral(networks, source, flows(networks, source))
    neutral, large = drawn.face, None if fine is None else enlarge(drawn, fine)
    if identity == 1:
        return Still(neutral, large)
    code = networks.identity_encoder(source)
    mean = remove_identity(networks, neutral, code)
    missed_there = neutral - restore_identity(networks, mean, code)
    missed_here = mean - restore_identity(networks, mean, torch.zeros_like(code))
    face = restore_identity(networks, mean, identity * code) + identity * missed_there + (1 - identity) * missed_here
    if large is None:
        return Still(face)
    return Still(face, grow(face, large) + identity * (large - grow(neutral, large)))


def interpolate(
    networks: Networks,
    ends: Float[Tensor, "2 3 h w"],
    steps: int = 9,
    fine: Float[Tensor, "2 3 H W"] | None = None,
    at_once: int = 16,
) -> Iterator[Fine]:
    """From one face to another, both codes on the straight line between theirs, ``at_once`` faces at a time."""
    flow = flows(networks, ends)
    drawn = draw_neutral(networks, ends, flow)
    code = networks.identity_encoder(ends)
    mean = remove_identity(networks, drawn.face, code)
    missed = drawn.face - restore_identity(networks, mean, code)
    detail = None if fine is None else enlarge(drawn, fine) - grow(drawn.face, fine)
    for share in torch.linspace(0, 1, steps, device=ends.device).split(at_once):

        def between(x: Tensor, share: Tensor = share) -> Tensor:
            return torch.lerp(x[:1], x[1:], share.view(-1, *[1] * (x.ndim - 1)))

        face = restore_identity(networks, between(mean), between(code)) + between(missed)
        large = None if detail is None else grow(face, detail) + between(detail)
        yield move(networks, Still(face, large), between(flow.to_face))


def follow(networks: Networks, face: Face, flow: Flow) -> Drawn:
    """A face moved along a flow."""
    generator = networks.face_generator
    return generator.draw(generator.move(generator.encode(face), flow))


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
        fine: what is fetched is as sharp as this.
    """
    decoder = networks.flow_decoder
    face, own, fine = (x.expand(len(wanted), -1, -1, -1) for x in (face, own, face if fine is None else fine))
    flow = compose(decoder.pair(own).to_neutral, decoder.pair(wanted).to_face)
    drawn = enlarge(follow(networks, face, flow), fine)
    far = F.adaptive_avg_pool2d(flow, DECODED).norm(dim=1, keepdim=True)
    far = resize(F.max_pool2d(far, 3, 1, 1), *fine.shape[-2:])
    fetched = warp(fine, flow, "bicubic").clamp(0, 1)
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
