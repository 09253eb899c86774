"""A motion code as two flow fields: one that takes the face to its neutral face, one that takes it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from facecycle.model.layers import SLOPE, ChannelAttention, ResidualBlock, conv, initialise
from facecycle.model.warp import integrate, invert, mean_turned_back, reflect, resize, warp
from facecycle.types import Code, Field, Flow

DECODED = 16  # side of the field that the decoder draws; expression and pose are smooth


@dataclass(frozen=True)
class FlowPair:
    """Two fields that undo each other."""

    to_neutral: Flow
    """F: warp(face, to_neutral) moves the face to its neutral pose."""
    to_face: Flow
    """B: warp(neutral, to_face) moves it back."""


class FlowDecoder(nn.Module):
    """Motion code -> the two flow fields (paper, section 3.1).

    ``inverse`` says how the way back is found:

    - ``velocity``: the decoder draws a stationary velocity field v; the fields are exp(v) and exp(-v), inverse to each
      other by construction, and neither can fold;
    - ``fixed-point``: the decoder draws F as published, and B solves B(p) = -F(p + B(p));
    - ``published``: B = -warp(F, F), as in the released code; wrong to first order in the flow's gradient, kept so that
      its error can be measured.

    Args:
        widths: channels at 4, 8 and 16 pixels; the published network has 256, 128, 64.
        code_dim: length of the motion code.
        image_size: side of the fields returned for ``velocity``, which is integrated there.
        inverse: one of the names above.
    """

    def __init__(self, widths: tuple[int, int, int], code_dim: int, image_size: int, inverse: str) -> None:
        super().__init__()
        large, middle, small = widths
        self.image_size, self.inverse = image_size, inverse
        self.four = nn.Sequential(
            nn.Conv2d(code_dim, large * 16, 1), nn.PixelShuffle(4), nn.LeakyReLU(SLOPE),
            ChannelAttention(large), conv(large, large),
        )  # fmt: skip
        self.eight = nn.Sequential(
            conv(large, middle), ChannelAttention(middle), conv(middle, middle),
            ResidualBlock(middle), ResidualBlock(middle),
        )  # fmt: skip
        self.sixteen = conv(middle, small)
        self.field = nn.Conv2d(small, 2, 1, bias=False)
        initialise(self)
        nn.init.normal_(self.field.weight, 0, 0.002)  # begin near the identity: no motion, every face its own neutral

    def forward(self, motion: Code, mirrored: Code | None = None) -> FlowPair:
        """The fields of a face, from its code and, if given, that of the mirrored face, whose fields are the same."""
        return self.pair(self.draw(motion, mirrored))

    def draw(self, motion: Code, mirrored: Code | None = None) -> Field:
        """The decoder's own field, 16 x 16, within (-1, 1): half a picture at most."""
        return both_ways(self._draw, motion, mirrored)

    def _draw(self, motion: Code) -> Field:
        x = resize(self.four(motion[:, :, None, None]), 8, 8)
        x = resize(self.eight(x), DECODED, DECODED)
        return self.field(self.sixteen(x)).tanh().float()

    def pair(self, drawn: Field) -> FlowPair:
        """The two fields that a drawn one stands for."""
        size = self.image_size
        if self.inverse == "published":
            return FlowPair(resize(drawn, size, size), resize(-warp(drawn, drawn), size, size))
        field = resize(drawn, size, size)
        if self.inverse == "fixed-point":
            return FlowPair(field, invert(field))
        both = integrate(torch.stack([field, -field]).flatten(0, 1)).unflatten(0, (2, -1))
        return FlowPair(both[0], both[1])


def both_ways(draw: Callable[[Code], Field], motion: Code, mirrored: Code | None) -> Field:
    """What is drawn from the code of a face and, if given, from that of its mirror image: the average, turned back."""
    if mirrored is None:
        return draw(motion)
    return mean_turned_back(draw(torch.stack([motion, mirrored]).flatten(0, 1)), reflect)
