"""Faces larger than the networks draw them: with the detail of the picture that they were made from."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facecycle.model.face_generator import Drawn
from facecycle.model.warp import resize, warp
from facecycle.types import Fine

FULL = 0.5  # share of a pixel that is fetched, not painted, from which on its detail comes back whole
SHARP = 0.75  # share of their resolution up to which the networks' own faces are sharp


def enlarge(drawn: Drawn, fine: Fine) -> Fine:
    """A drawn face at the resolution of ``fine``, which is the face that it was drawn from.

    The networks move pixels where they can and paint the others, and a flow has no resolution of its own. So what they
    drew is enlarged, and its detail is fetched from where they fetched pixels. Nothing is made up: a painted place
    stays soft. A picture that is no larger than they draw has no more to give.
    """
    large, size = grow(drawn.face, fine), drawn.face.shape[-1]
    if drawn.shares is None or drawn.flow is None or fine.shape[-1] <= size:
        return large
    sharp = round(SHARP * size)
    brought = detail(warp(fine, drawn.flow, "bicubic").clamp(0, 1), sharp)
    kept = drawn.shares[:, 1:]
    share = kept.sum(1, keepdim=True)
    # Whole once a pixel is rather fetched than painted: half of a wrinkle is no wrinkle.
    kept = kept * (share / FULL).clamp(max=1) / share.clamp(min=1e-3)
    kept = resize(kept, *fine.shape[-2:])
    fetched = kept[:, :1] * brought
    if kept.shape[1] == 2:
        fetched = fetched + kept[:, 1:] * brought.flip(-1)
    return large + fetched - kept.sum(1, keepdim=True) * detail(large, sharp)


def detail(fine: Fine, size: int) -> Float[Tensor, "b 3 H W"]:
    """What a smaller picture, of ``size`` pixels, does not show."""
    small = F.adaptive_avg_pool2d(_where_possible(fine), size)
    return fine - grow(small.to(fine.device), fine)


def grow(face: Float[Tensor, "b 3 h w"], like: Float[Tensor, "_ 3 H W"]) -> Float[Tensor, "b 3 H W"]:
    """Faces at the resolution of another picture."""
    if face.shape[-2:] == like.shape[-2:]:
        return face
    face = _where_possible(face)
    return F.interpolate(face, like.shape[-2:], mode="bicubic", align_corners=False, antialias=True).to(like.device)


def _where_possible(x: Tensor) -> Tensor:
    # On Apple's devices torch averages over whole numbers of pixels alone, and may not filter while it resizes.
    return x.cpu() if x.device.type == "mps" else x
