"""Identity taken off a neutral face, and put on a mean face: feature re-normalisation."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facecycle.model.layers import SLOPE, FaceFeatures, ResidualBlock, initialise
from facecycle.types import Code, Face


class Renormalise(nn.Module):
    """gamma(y) * InstanceNorm(features) + beta(y) (paper, section 3.2)."""

    def __init__(self, channels: int, code_dim: int) -> None:
        super().__init__()
        self.gamma = nn.Linear(code_dim, channels)
        self.beta = nn.Linear(code_dim, channels)

    def forward(self, features: Float[Tensor, "#b c h w"], code: Code) -> Float[Tensor, "b c h w"]:
        plain = F.instance_norm(features)
        return plain * self.gamma(code)[:, :, None, None] + self.beta(code)[:, :, None, None]


class IdentityTransfer(nn.Module):
    """Neutral face - identity -> mean face, and mean face + identity -> neutral face.

    One trunk serves both directions; each has its own re-normalisation.

    Args:
        widths: channels at full, half and quarter resolution; the published network has 64, 128, 256.
        blocks: residual blocks at a quarter of the resolution (published: 7).
        paint: channels at full resolution on the way out (published: 128).
        code_dim: length of the identity code.
    """

    def __init__(self, widths: tuple[int, int, int], blocks: int, paint: int, code_dim: int) -> None:
        super().__init__()
        _, middle, large = widths
        self.features = FaceFeatures(widths)
        self.removal = Renormalise(large, code_dim)
        self.restoration = Renormalise(large, code_dim)
        self.blocks = nn.Sequential(*[ResidualBlock(large) for _ in range(blocks)])
        self.up = nn.Sequential(
            nn.ConvTranspose2d(large, middle, 4, 2, 1), nn.LeakyReLU(SLOPE),
            nn.Conv2d(middle, middle, 3, padding=1), nn.LeakyReLU(SLOPE),
            nn.ConvTranspose2d(middle, paint, 4, 2, 1), nn.LeakyReLU(SLOPE),
        )  # fmt: skip
        self.rgb = nn.Conv2d(paint, 3, 1)
        initialise(self)
        nn.init.normal_(self.rgb.weight, 0, 0.02)
        for change in (self.removal, self.restoration):
            nn.init.normal_(change.gamma.weight, 0, 0.02)
            nn.init.normal_(change.beta.weight, 0, 0.02)
            nn.init.ones_(change.gamma.bias)

    def remove(self, neutral: Face, identity: Code) -> Face:
        """The mean face that is left of ``neutral``."""
        return self._draw(neutral, identity, self.removal)

    def restore(self, mean_face: Float[Tensor, "#b 3 h w"], identity: Code) -> Face:
        """The neutral face of whom ``identity`` describes; one mean face (``1 3 h w``) may serve many codes."""
        return self._draw(mean_face, identity, self.restoration)

    def _draw(self, face: Float[Tensor, "#b 3 h w"], code: Code, change: Renormalise) -> Face:
        deep, _ = self.features(face)
        return self.rgb(self.up(self.blocks(change(deep, code)))) + 0.5
