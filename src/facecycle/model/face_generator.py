"""A face moved along a flow: G(I, F). Moving happens to features, so that what was hidden can be filled in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facecycle.model.layers import FaceFeatures, ResidualBlock, Upsample, conv, initialise
from facecycle.model.warp import compose, log_area, resize, warp
from facecycle.types import Face, Flow


@dataclass(frozen=True)
class Features:
    """A face between the generator's two halves."""

    deep: Float[Tensor, "b c h4 w4"]
    shallow: Float[Tensor, "b c2 h2 w2"]
    face: Face
    """The pixels themselves."""
    flow: Flow | None = None
    """How they were moved, if they were; an `Adjuster` has had its say."""
    frontal: bool = False
    """Were they moved to the front, where each half of a face shows what the other is like?"""
    half: Float[Tensor, "b c3 h2 w2"] | None = None
    """What is painted from, at half the resolution, where it had to be known before."""

    def first(self, count: int) -> Features:
        """Those of the first faces, not moved yet."""
        return Features(self.deep[:count], self.shallow[:count], self.face[:count])


@dataclass(frozen=True)
class Drawn:
    """A face as it was drawn, and where its pixels are from."""

    face: Face
    """Values may leave [0, 1] a little, as those of any regression do."""
    flow: Flow | None = None
    """How pixels were brought, if they were."""
    shares: Float[Tensor, "b k h w"] | None = None
    """How much of each pixel is painted, brought and, in a frontal face, mirrored, where there is a `Chooser`."""


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
        skip: choose at every pixel, softly, between what is painted, what the flow brought there and, in a frontal
            face, what it brought to the mirrored place, see `Chooser`. The published network paints every pixel.
        adjust: correct the flow of those pixels by what the moved face shows, see `Adjuster`.
    """

    def __init__(
        self,
        widths: tuple[int, int, int],
        blocks: int,
        paint: int,
        noise: bool,
        skip: bool = False,
        adjust: bool = False,
    ) -> None:
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
        initialise(self)
        nn.init.normal_(self.rgb.weight, 0, 0.02)
        # Without a norm features grow to 80, and the choice is made before it is learnt.
        self.norm = nn.GroupNorm(1, paint) if skip else nn.Identity()
        self.choose = Chooser(paint) if skip else None
        self.adjust = Adjuster(2 * middle) if skip and adjust else None

    def encode(self, face: Face) -> Features:
        deep, shallow = self.features(face)
        return Features(deep, shallow, face)

    def move(
        self, features: Features, flow: Flow, generator: torch.Generator | None = None, frontal: bool = False
    ) -> Features:
        """Warp the features and fill in; ``generator`` draws the noise (none given: no noise)."""
        deep = warp(features.deep, flow) + self.fill_deep(self._average(features.deep, generator))
        shallow = warp(features.shallow, flow) + self.fill_shallow(self._average(features.shallow, generator))
        if self.adjust is None:
            return Features(deep, shallow, warp(features.face, flow) if self.choose else features.face, flow, frontal)
        half = self._half(deep, shallow)
        flow = compose(flow, self.adjust(half, *flow.shape[-2:]))
        return Features(deep, shallow, warp(features.face, flow, "bicubic").clamp(0, 1), flow, frontal, half)

    def draw(self, features: Features) -> Drawn:
        """Paint the face."""
        half = self._half(features.deep, features.shallow) if features.half is None else features.half
        x = self.norm(self.to_full(half))
        painted = self.rgb(x) + 0.5
        return Drawn(painted, features.flow) if self.choose is None else self.choose(painted, x, features)

    def forward(
        self,
        face: Face,
        flow: Flow | None = None,
        generator: torch.Generator | None = None,
        frontal: bool = False,
    ) -> Face:
        """G(face, flow); without a flow, G(face): the face drawn where it is.

        ``frontal``: the flow brings the face to the front, as `FlowPair.to_neutral` does.
        """
        features = self.encode(face)
        return self.draw(features if flow is None else self.move(features, flow, generator, frontal)).face

    def _half(
        self, deep: Float[Tensor, "b c h4 w4"], shallow: Float[Tensor, "b c2 h2 w2"]
    ) -> Float[Tensor, "b c3 h2 w2"]:
        return torch.cat([shallow, self.to_half(self.blocks(deep))], 1)

    def _average(
        self, features: Float[Tensor, "b c h w"], generator: torch.Generator | None
    ) -> Float[Tensor, "b c h w"]:
        average = F.adaptive_avg_pool2d(features, 1).expand_as(features)
        if not (self.noise and self.training and generator is not None):
            return average
        noise = torch.randn(features.shape, generator=generator, device=generator.device)
        return average + noise.to(features)


class Adjuster(nn.Module):
    """Where pixels really are that a flow meant to bring.

    The flow is drawn from a code of expression and pose alone, which must not hold a person's own shape, so that it
    leads about a pixel astray. Once the features are moved, they show by how much. The pixels are fetched but once,
    along both flows, by cubic interpolation: each time they are read between two of them they lose sharpness.

    Args:
        channels: of the moved features, at half the resolution.
        reach: the farthest correction, in normalised coordinates (the picture is 2 wide).
    """

    def __init__(self, channels: int, reach: float = 0.15) -> None:
        super().__init__()
        self.reach = reach
        self.look = nn.Sequential(nn.GroupNorm(1, channels), conv(channels, 32), conv(32, 32), conv(32, 32))
        self.by = nn.Conv2d(32, 2, 3, padding=1)
        initialise(self)
        nn.init.normal_(self.by.weight, 0, 1e-3)  # begin with hardly any

    def forward(self, half: Float[Tensor, "b c h2 w2"], height: int, width: int) -> Float[Tensor, "b 2 height width"]:
        """The flow to be followed after the other one."""
        return resize(self.reach * self.by(self.look(half)).float().tanh(), height, width)


class Chooser(nn.Module):
    """Which pixels of a face are painted, which are those that a flow brought, and which those of its other half.

    The far side of a turned head is hidden, but the near side shows what it is like. A flow that makes the head frontal
    stretches the far side, so how much less a place is stretched than its mirror image says whom to believe: the
    choice begins as that rule, and is learnt on from there.

    Args:
        channels: of the features that the colours are painted from.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logits = nn.Conv2d(2 * (channels + 1), 3, 3, padding=1)
        nn.init.normal_(self.logits.weight, 0, 0.1 * self.logits.weight[0].numel() ** -0.5)
        self.logits.bias = nn.Parameter(torch.tensor([-2.0, 0.0, -1.0]))  # painted, brought, mirrored
        with torch.no_grad():
            self.logits.weight[2, [channels, -1], 1, 1] = torch.tensor([-4.0, 4.0])

    def forward(self, painted: Face, x: Float[Tensor, "b c h w"], features: Features) -> Drawn:
        brought = features.face.to(painted)
        candidates = [painted, brought, *([brought.flip(-1)] if features.frontal else [])]
        area = torch.zeros_like(x[:, :1]) if features.flow is None else self._area(features.flow, x)
        seen = torch.cat([x, area], 1)
        shares = self.logits(torch.cat([seen, seen.flip(-1)], 1))[:, : len(candidates)].softmax(1)
        return Drawn((shares[:, :, None] * torch.stack(candidates, 1)).sum(1), features.flow, shares)

    @staticmethod
    def _area(flow: Flow, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
        return log_area(resize(flow.detach().float(), *x.shape[-2:])).to(x)  # a cue: the flow need not please it
