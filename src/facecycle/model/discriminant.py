"""The directions in which people differ most, beside how much one person varies: found in closed form."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

# Both chosen on validation data (docs/method.md).
RIDGE = 0.1  # of the features' mean variance, added to that within people: directions that hardly vary count for little
MOVING = 3.0  # how much more what moves within a clip counts, for that is expression and pose


class Scatter:
    """Variance within and between people, and within clips, gathered batch by batch.

    Args:
        size: number of features.
    """

    def __init__(self, size: int) -> None:
        self.frames = self.people = 0
        self.sum = torch.zeros(size, dtype=torch.float64)
        self.within = torch.zeros(size, size, dtype=torch.float64)
        self.moving = torch.zeros_like(self.within)
        self.squares = torch.zeros_like(self.within)

    def add(self, features: Float[Tensor, "b k f"], clips: Int[Tensor, "b k"] | None = None) -> None:
        """``k`` frames of each of ``b`` people; somebody may come again, in other frames.

        Args:
            features: of the frames.
            clips: frames of one person with the same number are of one clip; without, nothing is known of clips.
        """
        mean = features.mean(1)
        deviation = (features - mean[:, None]).flatten(0, 1)
        # Products in single precision: of a few hundred rows each, summed in double.
        self.within += deviation.T @ deviation
        self.squares += mean.T @ mean
        if clips is not None:
            share = (clips[:, :, None] == clips[:, None, :]).to(features.dtype)
            moved = (features - share / share.sum(-1, keepdim=True) @ features).flatten(0, 1)
            self.moving += moved.T @ moved
        self.sum += mean.double().sum(0)
        self.frames += len(deviation)
        self.people += len(mean)

    def join(self, other: Scatter) -> None:
        """Add another set of faces, each about its own average: what tells sets apart tells nobody apart."""
        apart = self.mean() - other.mean()
        share = self.people * other.people / (self.people + other.people)
        self.squares += other.squares - share * torch.outer(apart, apart)
        for name in ("frames", "people", "sum", "within", "moving"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def mean(self) -> Float[Tensor, " f"]:
        """The average face's features."""
        return self.sum / self.people

    def covariances(self) -> tuple[Float[Tensor, "f f"], Float[Tensor, "f f"]]:
        """Within people and between them, without bias; together, the features' covariance.

        Means of few frames vary more than people do, by a share of what varies within them (analysis of variance).
        """
        within = self.within / self.degrees
        means = self.squares / self.people - torch.outer(self.mean(), self.mean())
        return within, means - within * self.people / self.frames

    def unwanted(self) -> Float[Tensor, "f f"]:
        """The covariance within people, with what moves within a clip weighted by `MOVING` besides."""
        return (self.within + MOVING * self.moving) / self.degrees

    @property
    def degrees(self) -> int:
        """Degrees of freedom within people: each person's average takes one."""
        return max(1, self.frames - self.people)


@torch.no_grad()
def fit_discriminant(layer: nn.Linear, scatter: Scatter, directions: int) -> None:
    """Make a linear layer keep what tells people apart (Fisher 1936; for faces, Belhumeur et al. 1997).

    Its outputs span the ``directions`` that vary most between people for each unit of unwanted variance, which is
    1 in all of them. Within that span they are turned to lie as near as may be to what the layer gave before, and keep
    its strength: what was learnt from its code need not be learnt anew.
    """
    within, between = scatter.covariances()
    every = within + between
    ridge = RIDGE * every.diag().mean() + 1e-12
    root = torch.linalg.cholesky(scatter.unwanted() + ridge * torch.eye(len(every)))
    half = torch.linalg.solve_triangular(root, between, upper=False)
    whitened = torch.linalg.solve_triangular(root, half.T, upper=False)
    axes = torch.linalg.eigh((whitened + whitened.T) / 2)[1][:, -directions:]
    kept = torch.linalg.solve_triangular(root.T, axes, upper=True)
    former = layer.weight.double()
    left, _, right = torch.linalg.svd(kept.T @ every @ former.T, full_matrices=False)
    weight = (kept @ left @ right).T
    weight *= (strength(former, every) / strength(weight, every).clamp(min=1e-12)).sqrt()
    layer.weight.copy_(weight)
    if layer.bias is not None:
        layer.bias.copy_(-weight @ scatter.mean())


def strength(weight: Float[Tensor, "d f"], covariance: Float[Tensor, "f f"]) -> Float[Tensor, ""]:
    """Variance of a layer's outputs, summed."""
    return torch.einsum("df,fg,dg->", weight, covariance, weight)
