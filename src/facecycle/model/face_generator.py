"""A face moved along a flow: G(I, F). Moving happens to features, so that what was hidden can be filled in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facecycle.model.layers import FaceFeatures, ResidualBlock, Upsample, conv, initialise
from facecycle.model.warp import warp
from facecycle.types import Face, Flow


@dataclass(frozen=True)
class Features:
    """A face between the generator's two halves, and as it is."""

    deep: Float[Tensor, "b c h4 w4"]
    shallow: Float[Tensor, "b c2 h2 w2"]
    face: Face


class FaceGenerator(nn.Module):
    """Face and flow -> the face moved (paper, section 3.1).

    `encode` gives features at a quarter and a half of the resolution, `move` warps them and adds what a small network
    makes of the face's average (and of noise, in training, if asked), `draw` paints the face from them. They are
    apart because a cycle draws one face twice, moved and unmoved, and its features need to be found once.

    Args:
        widths: channels at full, half and quarter resolution; the published network has 64, 128, 256.
        blocks: residual blocks at a quarter of the resolution (published: 8).
        paint: channels at full resolution on the way out (published: 128).
        noise: add noise to the average before filling in, in training only.
        skip: choose at every pixel, softly, between what is painted, what the flow brought there, and what it brought to
            the mirrored place: the far side of a turned head is hidden, but the near side shows what it is like. The
            published network paints every pixel.
    """

    def __init__(self, widths: tuple[int, int, int], blocks: int, paint: int, noise: bool, skip: bool = False) -> None:
        super().__init__()
        _, middle, large = widths
        self.noise = noise
        self.features = FaceFeatures(widths)
        self.fill_deep = nn.Sequential(conv(large, large), conv(large, large))
        self.fill_shallow = nn.Sequential(conv(middle, middle), conv(middle, middle))
        self.blocks = nn.Sequential(conv(large, large), *[ResidualBlock(large) for _ in range(blocks)])
        self.to_half = Upsample(large, middle)
        self.to_full = Upsample(2 * middle, paint)
        self.rgb = nn.Conv2d(paint, 3, 3, padding=1)
        self.choose = nn.Conv2d(2 * paint, 3, 3, padding=1) if skip else None
        initialise(self)
        nn.init.normal_(self.rgb.weight, 0, 0.02)

    def encode(self, face: Face) -> Features:
        deep, shallow = self.features(face)
        return Features(deep, shallow, face)

    def move(self, features: Features, flow: Flow, generator: torch.Generator | None = None) -> Features:
        """Warp the features and fill in; ``generator`` draws the noise (none given: no noise)."""
        return Features(
            warp(features.deep, flow) + self.fill_deep(self._average(features.deep, generator)),
            warp(features.shallow, flow) + self.fill_shallow(self._average(features.shallow, generator)),
            warp(features.face, flow) if self.choose else features.face,
        )

    def draw(self, features: Features) -> Face:
        """Paint the face; values may leave [0, 1] a little, as those of any regression do."""
        x = self.to_half(self.blocks(features.deep))
        x = self.to_full(torch.cat([features.shallow, x], 1))
        painted = self.rgb(x) + 0.5
        if self.choose is None:
            return painted
        moved = features.face.to(painted)
        shares = self.choose(torch.cat([x, x.flip(-1)], 1)).softmax(1)
        return (shares[:, :, None] * torch.stack([painted, moved, moved.flip(-1)], 1)).sum(1)

    def forward(self, face: Face, flow: Flow | None = None, generator: torch.Generator | None = None) -> Face:
        """G(face, flow); without a flow, G(face): the face drawn where it is."""
        features = self.encode(face)
        return self.draw(features if flow is None else self.move(features, flow, generator))

    def _average(
        self, features: Float[Tensor, "b c h w"], generator: torch.Generator | None
    ) -> Float[Tensor, "b c h w"]:
        average = F.adaptive_avg_pool2d(features, 1).expand_as(features)
        if not (self.noise and self.training and generator is not None):
            return average
        noise = torch.randn(features.shape, generator=generator, device=generator.device)
        return average + noise.to(features)
