"""A code without what another code tells: the affine map that makes it so, and how it is found."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

# Of the greatest variance, added in whitening: directions that hardly vary here may do so on other faces.
RIDGE = 1e-3
OTHER_RIDGE = 1e-2  # less, and noise counts as much as what varies; more, and turned heads outweigh every smile


class Eraser(nn.Module):
    """Code -> the nearest code in which a few directions of something else cannot be read by a straight line.

    Least-squares concept erasure (Belrose et al., NeurIPS 2023, theorem 4.3): x - W^-1 P W (x - m), where W whitens the
    codes and P projects on the directions in which the whitened codes covary most with what is erased, whitened
    too. Nothing is learnt by gradients; it begins by erasing nothing.

    Args:
        code_dim: length of the code.
    """

    centre: Tensor
    kept: Tensor

    def __init__(self, code_dim: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(code_dim))
        self.register_buffer("kept", torch.eye(code_dim))

    def forward(self, code: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        return self.centre + (code - self.centre) @ self.kept.T

    @torch.no_grad()
    def fit(self, codes: Float[Tensor, "b k d"], others: Float[Tensor, "b k e"], directions: int) -> None:
        """Erase what moves with ``others`` within a person.

        Deviations from the person's own mean are what is compared: which person somebody is stays out of it.

        Args:
            codes: of ``k`` frames of each person, as they come into `forward`.
            others: what they should not tell, of the same frames.
            directions: how many are taken out, those of the greatest covariance first.
        """
        codes, others = codes.double(), others.double()
        every = codes.flatten(0, 1)
        root, axes = spread(every - every.mean(0), RIDGE)
        deviation, other = ((x - x.mean(1, keepdim=True)).flatten(0, 1) for x in (codes, others))
        scale, turned = spread(other, OTHER_RIDGE)
        covariance = (axes / root).T @ (deviation.T @ other) @ (turned / scale)
        told = torch.linalg.svd(covariance, full_matrices=False)[0][:, :directions]
        erased = (axes * root) @ told @ told.T @ (axes / root).T
        self.centre.copy_(every.mean(0))
        self.kept.copy_(torch.eye(len(erased), device=erased.device) - erased)


def spread(centred: Float[Tensor, "n d"], ridge: float) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """Deviations along the principal axes, and these as columns; ``ridge``, of the greatest variance, is added."""
    variance, axes = torch.linalg.eigh(centred.T @ centred / len(centred))
    return (variance + ridge * variance[-1]).sqrt(), axes
