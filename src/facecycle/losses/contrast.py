"""Terms that compare codes instead of pictures (van den Oord et al. 2018; Khosla et al. 2020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from facecycle.types import Scalar


def frame_contrast(codes: Float[Tensor, "b n d"], views: Float[Tensor, "b k d"], temperature: float = 0.1) -> Scalar:
    """Which frame of its clip does a code belong to? InfoNCE among the frames of one clip.

    All candidates show the same person in the same light and place, so nothing but expression and pose can answer.

    Args:
        codes: of the first ``n`` frames of each clip.
        views: of disturbed views of all ``k`` frames, in the same order.
        temperature: of the cosine similarities.

    Returns:
        Mean cross entropy, ``log k`` for codes that tell nothing.
    """
    likeness = F.normalize(codes, dim=-1) @ F.normalize(views, dim=-1).transpose(1, 2) / temperature
    wanted = torch.arange(codes.shape[1], device=codes.device).expand(codes.shape[0], -1)
    return F.cross_entropy(likeness.flatten(0, 1), wanted.flatten())


def clip_contrast(
    codes: Float[Tensor, "n d"],
    clips: Int[Tensor, " n"],
    others: Float[Tensor, "m d"],
    other_clips: Int[Tensor, " m"],
    temperature: float = 0.1,
) -> Scalar:
    """Which clip does a code belong to? Supervised contrast (Khosla et al. 2020, eq. 2) with clips for classes.

    The frames of a clip differ in expression and pose and share the person, so that is what the code must hold.

    Args:
        codes: the anchors.
        clips: the clip of each.
        others: what they are compared with: the anchors themselves first, in the same order, then any more. No anchor
            is compared with itself.
        other_clips: the clip of each of these.
        temperature: of the cosine similarities.

    Returns:
        Mean over the anchors of the average -log share of those that show the same clip.
    """
    likeness = F.normalize(codes, dim=-1) @ F.normalize(others, dim=-1).T / temperature
    itself = torch.eye(*likeness.shape, dtype=torch.bool, device=codes.device)
    same = (clips[:, None] == other_clips[None, :]) & ~itself
    log_share = likeness - likeness.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
    return -((log_share * same).sum(1) / same.sum(1).clamp(min=1)).mean()


def dependence(codes: Float[Tensor, "b k d"], others: Float[Tensor, "b k e"]) -> Scalar:
    """How much of what moves one code within a clip another one tells, linearly.

    The squared norm of the covariance of the two codes' deviations from their clip's mean (the Hilbert-Schmidt
    independence criterion with linear kernels, Gretton et al. 2005), where the first code has variance 1 over the
    batch in all its directions together, and the second within its clips. A code that is the same for all frames of
    a clip, or changes with other things, gives 0; about 1 / (b (k - 1)) is left to chance.

    Args:
        codes: of ``k`` frames of each clip, which should not tell of ``others``.
        others: of the same frames.
    """
    count = codes.shape[0] * (codes.shape[1] - 1)
    spread = (codes - codes.mean((0, 1))).square().sum(-1).mean()
    deviation, other = (x - x.mean(1, keepdim=True) for x in (codes, others))
    covariance = torch.einsum("bkd,bke->de", deviation, other) / count
    return covariance.square().sum() / (spread * other.square().sum() / count).clamp(min=1e-12)
