"""Faces larger than the networks draw them: with the detail of the picture that they were made from."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facecycle.model.face_generator import Drawn
from facecycle.model.warp import resize, warp
from facecycle.types import Face, Fine

FULL = 0.5  # share of a pixel that is fetched, not painted, from which on its detail comes back whole


def enlarge(drawn: Drawn, fine: Fine) -> Fine:
    """A drawn face at the resolution of ``fine``, which is the face that it was drawn from.

    The networks move pixels where they can and paint the others, and a flow has no resolution of its own. So what they
    drew is enlarged, and what a picture of that size could not show is fetched from where they fetched pixels. Nothing
    is made up: a painted place stays soft.
    """
    return grow(drawn.face, fine) + brought_detail(drawn, fine)


def brought_detail(drawn: Drawn, fine: Fine) -> Float[Tensor, "b 3 H W"]:
    """What `enlarge` adds to an enlarged face; below 0 where that is too bright."""
    if drawn.shares is None or drawn.flow is None:
        return fine.new_zeros(fine.shape)
    brought = detail(warp(fine, drawn.flow, "bicubic").clamp(0, 1), drawn.face.shape[-1])
    kept = drawn.shares[:, 1:]
    fetched = kept.sum(1, keepdim=True)
    # Once a pixel is rather fetched than painted: half of a wrinkle is no wrinkle.
    whole = (fetched / FULL).clamp(max=1) / fetched.clamp(min=1e-3)
    kept = resize(kept * whole, *fine.shape[-2:])
    added = kept[:, :1] * brought
    return added if kept.shape[1] == 1 else added + kept[:, 1:] * brought.flip(-1)


def detail(fine: Fine, size: int) -> Float[Tensor, "b 3 H W"]:
    """What a picture of ``size`` pixels does not show of a larger one."""
    if fine.shape[-1] <= size:
        return fine.new_zeros(fine.shape)
    return fine - grow(F.adaptive_avg_pool2d(fine, size), fine)


def grow(face: Face, like: Fine) -> Fine:
    """``face`` at the resolution of another picture."""
    if face.shape[-2:] == like.shape[-2:]:
        return face
    return F.interpolate(face, like.shape[-2:], mode="bicubic", align_corners=False, antialias=True)
