"""A code for telling expressions: what the layers before a motion code say, found in closed form."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facecycle.types import Code

# Chosen on the validation part of FER-2013 (docs/results.md).
FIRST = 16  # numbers that come of the motion code
DEEP = 0.3  # what the deeper layer shares
ROUNDS = 8  # of power iteration; the exact components of 6,144 values take minutes


class ExpressionCode(nn.Module):
    """Motion code, and the layers that it was made from -> a code of the same length that says more of an expression.

    Its last layer costs a motion code much of what the layers before it tell. Here the first numbers are the motion
    code's principal components, and the others those of what two layers of the encoder find in a face and in its mirror
    image, on average, place by place: left from right is left to the first. Nobody is kept out of it: unlike the motion
    code it tells people apart. It begins as the motion code itself.

    Args:
        code_dim: length of both codes.
        middle, deep: how many values `describe` takes from each layer.
    """

    turn: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, code_dim: int, middle: int, deep: int) -> None:
        super().__init__()
        self.middle = middle
        self.register_buffer("turn", torch.eye(code_dim))
        self.register_buffer("weight", torch.zeros(code_dim, middle + deep))
        self.register_buffer("bias", torch.zeros(code_dim))

    def forward(self, motion: Code, described: Float[Tensor, "b v"]) -> Code:
        found = F.linear(described.float(), self.weight, self.bias)
        return (motion.float() @ self.turn + found).float()  # under autocast a product comes out in half

    @staticmethod
    def describe(middle: Float[Tensor, "b c k k"], deep: Float[Tensor, "b c2 k2 k2"]) -> Float[Tensor, "b2 v"]:
        """Both layers at the places of the deeper one; the second half of the batch is the first, mirrored."""
        places = F.adaptive_avg_pool2d(middle, (deep.shape[-2], deep.shape[-1]))
        return torch.cat([places, deep], 1).unflatten(0, (2, -1)).mean(0).flatten(1)

    @property
    def fitted(self) -> bool:
        """Was it found? Waits for the device."""
        return bool(self.weight.any())

    @torch.no_grad()
    def forget(self) -> None:
        """Begin anew, as the motion code."""
        self.turn.copy_(torch.eye(len(self.turn)))
        self.weight.zero_()
        self.bias.zero_()

    @torch.no_grad()
    def fit(self, motion: Float[Tensor, "n d"], described: Float[Tensor, "m v"]) -> None:
        """Find it from motion codes of faces, and from what `describe` says of faces, the same or others.

        The components keep their variances among each other; both parts have the variance of the motion code.
        """
        length = len(self.turn)
        first = min(FIRST, length // 2)
        count = min(length - first, *described.shape)
        motion, centre = motion.double(), motion.double().mean(0)
        variance, axes = torch.linalg.eigh(torch.cov(motion.T))
        turn, centre_described = axes.flip(1)[:, :first], described.mean(0).double()
        shares = torch.ones(described.shape[1])
        shares[self.middle :] = DEEP
        with torch.random.fork_rng(devices=[]):  # a randomised method (Halko et al. 2011), the same each time
            torch.manual_seed(0)
            _, strength, components = torch.pca_lowrank(described * shares, count, niter=ROUNDS)
        scale = (variance.sum() * len(described) / strength.double().square().sum()).sqrt()
        weight = scale * (shares[:, None] * components).double().T
        self.turn.zero_()
        self.turn[:, :first] = turn
        self.weight.zero_()
        self.weight[first : first + count] = weight
        self.bias.zero_()
        self.bias[:first] = -centre @ turn
        self.bias[first : first + count] = -weight @ centre_described
