"""A motion code and that of the mirrored face made one: what a mirror does to codes, found in closed form."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facecycle.types import Code


class CodeMirror(nn.Module):
    """The average of a face's code and its mirror image's code, turned back.

    The motion of a mirrored face is the mirrored motion. What mirroring does to codes is near to a linear map that
    undoes itself; the nearest orthogonal one is fitted, not learnt. It begins by leaving a face's own code as it is.

    Args:
        code_dim: length of the code.
    """

    centre: Tensor
    turn: Tensor
    share: Tensor

    def __init__(self, code_dim: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(code_dim))
        self.register_buffer("turn", torch.eye(code_dim))
        self.register_buffer("share", torch.zeros(()))  # of the mirrored face's code

    def forward(self, own: Code, other: Code) -> Code:
        turned = self.centre + (other.float() - self.centre) @ self.turn
        return torch.lerp(own.float(), turned.float(), self.share)  # under autocast a product comes out in half

    @property
    def fitted(self) -> bool:
        """Was it found? Waits for the device."""
        return bool(self.share)

    @torch.no_grad()
    def forget(self) -> None:
        """Begin anew: a face's own code stays as it is."""
        self.centre.zero_()
        self.turn.copy_(torch.eye(len(self.turn)))
        self.share.zero_()

    @torch.no_grad()
    def fit(self, own: Code, other: Code) -> None:
        """Find it from the codes of faces and of their mirror images.

        The orthogonal involution Q that brings ``other`` nearest to ``own`` keeps or reverses each eigenvector of
        their cross-covariance, made symmetric: it maximises tr(Q C) among symmetric Q of eigenvalues 1 and -1.
        """
        own, other = own.double(), other.double()
        centre = (own.mean(0) + other.mean(0)) / 2
        covariance = (own - centre).T @ (other - centre)
        strength, axes = torch.linalg.eigh(covariance + covariance.T)
        self.centre.copy_(centre)
        self.turn.copy_(axes @ torch.where(strength < 0, -1.0, 1.0).diag().double() @ axes.T)
        self.share.fill_(0.5)
