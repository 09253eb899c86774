"""The terms of the objective, each a plain formula."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facecycle.types import Face, Scalar

WINDOW, SIGMA = 11, 1.5  # of SSIM (Wang et al. 2004)
C1, C2 = 0.01**2, 0.03**2  # its constants, for pixels in [0, 1]


def l1(x: Face, y: Face) -> Scalar:
    """Mean absolute difference."""
    return F.l1_loss(x, y)


def symmetry(x: Face) -> Scalar:
    """Mean absolute difference between the left half and the mirrored right half: 0 for a mirror-symmetric face."""
    half = x.shape[-1] // 2
    return F.l1_loss(x[..., :half], x[..., -half:].flip(-1))


def gram(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c c"]:
    """Second moments of the channels over positions (Gatys et al. 2016), divided by the number of positions."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[-1]


def gram_distance(x: Float[Tensor, "b c h w"], y: Float[Tensor, "b c h w"]) -> Scalar:
    """Mean squared difference of the Gram matrices of ``x`` and ``y``.

    Where there are fewer positions than channels the matrices themselves are never made: with D = x - y and S = x + y,
    positions by positions, ``|xx' - yy'|^2 = (<D'D, S'S> + <D'S, S'D>) / 2``, at a fraction of the work and memory.
    """
    channels, positions = x.shape[1], x.shape[2] * x.shape[3]
    if positions >= channels:
        return F.mse_loss(gram(x), gram(y))
    apart, together = ((part / channels**0.5).flatten(2) for part in (x - y, x + y))
    across = apart.transpose(1, 2) @ together
    square = (apart.transpose(1, 2) @ apart) * (together.transpose(1, 2) @ together) + across * across.transpose(1, 2)
    return square.sum((1, 2)).mean() / (2 * positions**2)


def feature_distance(x: list[Float[Tensor, "b _ _ _"]], y: list[Float[Tensor, "b _ _ _"]]) -> Scalar:
    """Squared distance of features scaled to length 1 at each place, the mean over places, summed over layers.

    As LPIPS (Zhang et al. 2018), whose channels are weighted besides: twice 1 - cosine at each place.
    """
    shares = [
        (F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square().sum(1).mean()
        for a, b in zip(x, y, strict=True)
    ]
    return torch.stack(shares).sum()


def hinge(x: Face, centre: Float[Tensor, "1 3 h w"], slack: float) -> Scalar:
    """Mean of what |x - centre| exceeds ``slack``: every picture is pulled to the centre, up to a tolerance."""
    return F.relu((x - centre).abs() - slack).mean()


class SSIM:
    """Structural similarity against one target, whose local statistics are computed once.

    The Gaussian window is separable, so local means are two products with a banded matrix, which is several times
    faster on CPU than the usual grouped convolution. Zero padding, as in the implementation the paper used.

    Args:
        target: pixels in [0, 1].
    """

    def __init__(self, target: Face) -> None:
        self.target = target
        self.rows, self.columns = _band(target, target.shape[-2]), _band(target, target.shape[-1])
        self.mean = self._blur(target)
        self.variance = self._blur(target * target) - self.mean**2

    def __call__(self, x: Face) -> Scalar:
        """The mean of the SSIM map of ``x`` against the target, at most 1."""
        mean = self._blur(x)
        variance = self._blur(x * x) - mean**2
        covariance = self._blur(x * self.target) - mean * self.mean
        luminance = (2 * mean * self.mean + C1) / (mean**2 + self.mean**2 + C1)
        structure = (2 * covariance + C2) / (variance + self.variance + C2)
        return (luminance * structure).mean()

    def _blur(self, x: Tensor) -> Tensor:
        return self.rows @ x @ self.columns.T


def _band(x: Tensor, size: int) -> Tensor:
    """The size x size matrix that averages along a line with the Gaussian window, as ``x`` in type and device."""
    offset = torch.arange(size, device=x.device)[None, :] - torch.arange(size, device=x.device)[:, None]
    window = torch.exp(-((torch.arange(WINDOW, device=x.device) - WINDOW // 2) ** 2).to(x.dtype) / (2 * SIGMA**2))
    weight = torch.exp(-(offset**2).to(x.dtype) / (2 * SIGMA**2)) / window.sum()
    return torch.where(offset.abs() <= WINDOW // 2, weight, 0.0)
