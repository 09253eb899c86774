"""A face as a code. Motion and identity have an encoder each, of this one class."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facecycle.model.expression_code import ExpressionCode
from facecycle.model.layers import SLOPE, ChannelAttention, ResidualBlock, conv, initialise
from facecycle.model.mirror import CodeMirror
from facecycle.types import Code, Face


class FaceEncoder(nn.Module):
    """Face -> code: what every kind of encoder does with a face and its mirror image.

    Args:
        mirrored: make the code of the average of what is seen in a face and in its mirror image. A mirrored face is the
            same person's: such a code cannot tell left from right, so neither which way a head is turned.
    """

    code: nn.Sequential
    described: tuple[int, int]
    """How many values `ExpressionCode.describe` takes from each of both `depths`."""

    def __init__(self, mirrored: bool = False) -> None:
        super().__init__()
        self.mirrored = mirrored
        self.code_mirror: CodeMirror | None = None
        """Makes one code of two, where the configuration asks for it; `forward` in training sees each face once."""
        self.expression_code: ExpressionCode | None = None
        """What more there is to be told of an expression, likewise."""

    def forward(self, face: Face) -> Code:
        return self.read(self.look(face))

    def look(self, face: Face) -> Float[Tensor, "b2 c k k"]:
        """What `see` finds in the face and, where this encoder looks into the mirror, in its mirror image."""
        return self.see(with_mirrored(face) if self.looks_twice else face)

    def read(self, seen: Float[Tensor, "b2 c k k"]) -> Code:
        """The code, from what `look` found."""
        return self._from(self.features(seen))

    def _from(self, features: Float[Tensor, "b2 c k k"]) -> Code:
        if self.mirrored:
            return self.code(features.unflatten(0, (2, -1)).mean(0))
        codes = self.code(features)
        return self.code_mirror(*_halves(codes)) if self.code_mirror is not None and self.looks_twice else codes

    def read_expression(self, seen: Float[Tensor, "b2 c k k"]) -> tuple[Code, Code]:
        """The code, and the expression code; where there is none, the code in its place."""
        middle, features = self.depths(seen)
        code = self._from(features)
        if self.expression_code is None or not self.looks_twice:
            return code, code
        return code, self.expression_code(code, self.expression_code.describe(middle, features))

    @property
    def looks_twice(self) -> bool:
        """Does it look into the mirror?"""
        return self.mirrored or (self.code_mirror is not None and not self.training)

    def alone(self, face: Face) -> Code:
        """The code of a face that is seen once."""
        return self.code(self.features(self.see(face)))

    def both(self, face: Face) -> tuple[Code, Code]:
        """The codes of a face and of its mirror image, each by itself."""
        return _halves(self.alone(with_mirrored(face)))

    def see(self, face: Face) -> Float[Tensor, "b c k k"]:
        """What there is to be found in a face before anything is learnt, the same for all encoders of this kind."""
        return face

    def features(self, seen: Float[Tensor, "b c k k"]) -> Float[Tensor, "b c2 k2 k2"]:
        """What the code is made from."""
        return self.depths(seen)[1]

    def layers(self, face: Face) -> list[Float[Tensor, "b c k k"]]:
        """What it finds in a face on the way to its code, from pixels to parts: three layers, ever coarser."""
        raise NotImplementedError

    def depths(self, seen: Float[Tensor, "b c k k"]) -> tuple[Float[Tensor, "b c3 k3 k3"], Float[Tensor, "b c2 k2 k2"]]:
        """A layer at an eighth of the resolution, and the last before the code."""
        raise NotImplementedError


class Encoder(FaceEncoder):
    """Face -> code in (-1, 1) (paper, section 3.1 and table of its supplement; 4.24 M parameters at full width).

    A 7x7 stem at half resolution, then halves three times more, with channel attention twice and two residual blocks
    on the way; two linear layers and a tanh make the code.

    Args:
        widths: channels at 1/2, at 1/4 and 1/8, and at 1/16 of the resolution; the published network has 64, 128, 256.
        image_size: side of the face in pixels, a multiple of 16.
        code_dim: length of the code.
        norm: scale each code to a root mean square of 1 before the tanh. Without normalisation anywhere, a useful
            learning rate drives every unit into saturation within some tens of steps, where no gradient comes back.
        mirrored: see `FaceEncoder`.
    """

    def __init__(
        self, widths: tuple[int, int, int], image_size: int, code_dim: int, norm: bool = False, mirrored: bool = False
    ) -> None:
        super().__init__(mirrored)
        small, middle, large = widths
        self.stem = nn.Sequential(conv(3, small, stride=2, kernel=7), conv(small, small))
        self.level1 = nn.Sequential(conv(small, small), ChannelAttention(small), conv(small, small))
        self.level2 = nn.Sequential(
            conv(small, middle, stride=2), ChannelAttention(middle), conv(middle, middle),
            ResidualBlock(middle), ResidualBlock(middle),
        )  # fmt: skip
        self.level3 = nn.Sequential(conv(middle, middle, stride=2), conv(middle, middle))
        # One halving more for each doubling of the picture, so that the linear layers see 4 x 4 places or few more
        # (48 px: 3 x 3, 112 px: 7 x 7).
        self.level4 = nn.Sequential(conv(middle, large, stride=2), conv(large, large))
        halvings = max(0, (image_size // 64).bit_length() - 1)
        self.level5 = nn.Sequential(
            *[conv(large, large, stride=2) for _ in range(halvings)], conv(large, large), conv(large, middle)
        )
        side = math.ceil(image_size / 16 / 2**halvings)  # a strided convolution rounds up
        self.described = middle * side * side, middle * side * side
        last = nn.Linear(512, code_dim)
        self.code = nn.Sequential(
            nn.Flatten(),
            nn.Linear(middle * side * side, 512), nn.LeakyReLU(SLOPE), last,
            nn.RMSNorm(code_dim, elementwise_affine=False) if norm else nn.Identity(), nn.Tanh(),
        )  # fmt: skip
        initialise(self)
        nn.init.normal_(last.weight, 0, 0.02)  # well inside the tanh

    def layers(self, face: Face) -> list[Float[Tensor, "b c k k"]]:
        first = self.level1(
            self.stem((face - 0.5) / 0.25)
        )  # roughly zero mean and unit deviation, for any set of faces
        second = self.level2(first)
        return [first, second, self.level3(second)]

    def depths(self, seen: Face) -> tuple[Float[Tensor, "b c3 k3 k3"], Float[Tensor, "b c k k"]]:
        middle = self.layers(seen)[-1]
        return middle, self.level5(self.level4(middle))


def read_codes(motion: FaceEncoder, identity: FaceEncoder, face: Face) -> tuple[Code, Code, Code]:
    """The motion, identity and expression codes; encoders of one kind look at the face but once."""
    seen = motion.look(face)
    alike = type(motion) is type(identity) and motion.looks_twice == identity.looks_twice
    code, expression = motion.read_expression(seen)
    return code, identity.read(seen if alike else identity.look(face)), expression


def with_mirrored(face: Face) -> Float[Tensor, "b2 3 h w"]:
    """Faces, and after them their mirror images: one batch, which is faster and half the graph to export."""
    return torch.stack([face, face.flip(-1)]).flatten(0, 1)


def _halves(codes: Float[Tensor, "b2 d"]) -> tuple[Code, Code]:
    own, other = codes.unflatten(0, (2, -1))
    return own, other
