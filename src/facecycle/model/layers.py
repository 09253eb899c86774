"""The blocks that the networks share."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SLOPE = 0.1  # of every leaky ReLU, as published


def conv(channels_in: int, channels_out: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """A padded convolution and a leaky ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2), nn.LeakyReLU(SLOPE, inplace=True)
    )


class ResidualBlock(nn.Module):
    """Two convolutions beside an identity path, without normalisation (statistics of a face are part of it)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        inner = self.conv2(F.leaky_relu(self.conv1(x), SLOPE))
        return F.leaky_relu(x + inner, SLOPE)


class ChannelAttention(nn.Module):
    """Attention between channels: each position mixes its channels by how alike their maps are (paper, section 3.1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.value = nn.Conv2d(channels, channels, 1)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        where = self.query(x).flatten(2).softmax(-1)  # b c hw: each channel looks somewhere
        what = self.key(x).flatten(2)
        alike = what @ where.transpose(1, 2)  # b c c
        mixed = alike @ self.value(x).flatten(2).softmax(1)
        return F.leaky_relu(x + mixed.view_as(x), SLOPE)


class Upsample(nn.Module):
    """Twice the resolution: a transposed convolution and a convolution, each with a leaky ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels_in, channels_out, 4, 2, 1)
        self.refine = nn.Conv2d(channels_out, channels_out, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        return F.leaky_relu(self.refine(F.leaky_relu(self.up(x), SLOPE)), SLOPE)


class FaceFeatures(nn.Module):
    """A picture as features at a quarter (``deep``) and a half (``shallow``) of its resolution.

    The layers are those of VGG-19 up to its fifth convolution, which the paper takes pretrained and frozen; here they
    are trained with the rest, so that no weights of uncertain licence enter.
    """

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        small, middle, large = widths
        self.level0 = nn.Sequential(conv(3, small), conv(small, small), nn.MaxPool2d(2))
        self.level1 = conv(small, middle)
        self.level2 = nn.Sequential(conv(middle, middle), nn.MaxPool2d(2), conv(middle, large))

    def forward(self, face: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b c h4 w4"], Float[Tensor, "b c2 h2 w2"]]:
        shallow = self.level1(self.level0(face - 0.5))
        return self.level2(shallow), shallow


def scaled(channels: tuple[int, int, int], width: float) -> tuple[int, int, int]:
    """Channel counts times a width multiplier, in multiples of 8."""
    small, middle, large = (max(8, 8 * round(c * width / 8)) for c in channels)
    return small, middle, large


def initialise(module: nn.Module) -> None:
    """He initialisation by fan-in: a signal keeps its strength on the way, and so does what tells two codes apart.

    Transposed convolutions (4 x 4, stride 2) begin as a mixture of channels that is enlarged bilinearly: with
    independent taps the four pixels that come of one differ, and pictures begin, and often stay, under dots.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, SLOPE)
        elif isinstance(layer, nn.ConvTranspose2d):
            gain = math.sqrt(2 / (1 + SLOPE**2) / layer.in_channels)
            line = torch.tensor([0.25, 0.75, 0.75, 0.25])
            with torch.no_grad():
                layer.weight.copy_(gain * torch.randn(*layer.weight.shape[:2], 1, 1) * line[:, None] * line)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for layer in module.modules():
        if isinstance(layer, ResidualBlock):  # without normalisation each would double the variance
            nn.init.normal_(layer.conv2.weight, 0, 0.1 / math.sqrt(layer.conv2.weight[0].numel()))
