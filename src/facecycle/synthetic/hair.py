"""Hair: style and colour, and the strands as meshes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from facecycle.synthetic.hairline import Hairline
from facecycle.synthetic.mesh import Mesh
from facecycle.synthetic.seeds import PersonKey, stream
from facecycle.synthetic.shape import Body


@dataclass(frozen=True)
class Hair:
    """Attributes:
    style: its name.
    colour: linear RGB.
    cover: how much of the scalp's skin it tints, 0 .. 1.
    meshes: shells and strands, in head space.
    texture: brightness of strands; alpha: how opaque they are.
    """

    style: str
    colour: Float[np.ndarray, 3]
    cover: float
    meshes: list[Mesh]
    texture: UInt8[np.ndarray, "h w"]
    alpha: UInt8[np.ndarray, "h w"]


def grow_hair(key: PersonKey, body: Body, hairline: Hairline) -> Hair:
    """TODO"""
    rng = stream(key, "hair")
    c = np.array([0.05, 0.035, 0.025], np.float32)
    one = np.full((1, 1), 255, np.uint8)
    return Hair("buzz", c, 0.9, [], one, one)
