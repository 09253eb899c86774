"""A source whose features are known: the colours of a picture's corner, hence whatever a test paints there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from facecycle.data.crop import CROP_NAME

SIZE = 32


@dataclass
class Corner:
    """The mean colour of the picture's middle: three features."""

    name: str = "corner"
    checksum: str = "corner-1"
    crop: str = CROP_NAME
    size: int = SIZE
    layers: tuple[str, ...] = ("features",)
    broken: bool = False

    def features(self, faces: Float[Tensor, "b 3 h w"], layer: str) -> Float[np.ndarray, "b d"]:
        middle = faces[:, :, 12:20, 12:20].mean((2, 3)).numpy()
        return np.full_like(middle, np.nan) if self.broken else middle


class MiddleJudge:
    """In the place of the recogniser: a picture's code is the colour of its middle, of length 1."""

    def __init__(self, file: Path) -> None:
        pass

    def codes(
        self, pictures: UInt8[np.ndarray, "n s s 3"], aligned_by: UInt8[np.ndarray, "n s s 3"] | None = None
    ) -> Float[np.ndarray, "n 3"]:
        middle = pictures[:, 12:20, 12:20].mean((1, 2))
        return middle / np.linalg.norm(middle, axis=1, keepdims=True)


def paint(file: Path, colour: tuple[float, float, float], size: int = SIZE, unlike: int = 0) -> None:
    """A picture of one colour in [0, 1]; ``unlike`` changes a pixel at its rim, so that two are not the same."""
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = np.empty((size, size, 3), np.uint8)
    picture[:] = np.rint(np.array(colour) * 255)
    picture[0, unlike % size, 0] = unlike // size % 256
    picture[1, unlike % size, 1] = 7
    Image.fromarray(picture).save(file)
