"""What the shading kernels share: the scene as one vector, the columns of vertices, small functions."""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

from facecycle.synthetic.light import Clothes, Light

# What a vertex hands to the samples of its triangles, by column.
AMBIENT, KEY, FACING, GLINT, SHEEN, FILL_GLINT, SHADOW, UV, SLOPE, CREASE, CLOTH, NORMAL, OPEN = (
    *(0, 3, 6, 7, 8, 9, 10, 13, 15, 17, 18, 19, 22),
)
COLUMNS = 24
ZERO, HALF, ONE, TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
BYTE = np.float32(1 / 255)
SHARPNESS = np.float32(24)  # per decimetre: how fast a shadow sets in behind what casts it
BIAS = np.float32(0.035)  # decimetres by which a surface does not shade itself


# What the kernels know of the surroundings: one flat vector, by place. (A tuple of arrays would be counted in and out
# at every access, which costs more than the shading.)
TO_KEY, KEY_COLOUR, TO_FILL, FILL_COLOUR, SKY, GROUND, CAMERA, UP, FRAME, ORIGIN, SCATTER, FABRIC, FABRIC_2, PATTERN = (
    *(0, 3, 6, 9, 12, 15, 18, 21, 24, 33, 37, 40, 43, 46),
)


def scene_vector(
    light: Light, camera: np.ndarray, up: np.ndarray, origin: np.ndarray, scatter: np.ndarray, clothes: Clothes
) -> Float[np.ndarray, "49"]:
    """Flatten the surroundings.

    Args:
        light: key, fill, sky and ground.
        camera: position of the lens; up: the head's y axis.
        origin: of the shadow map: left, bottom, pixels per decimetre, reference height.
        scatter: how far light wraps round the skin, per channel.
        clothes: their colours and pattern.
    """
    parts = (light.scene, camera, up, light.frame.ravel(), origin, scatter, clothes.colours.ravel(), clothes.pattern)
    return np.concatenate(parts).astype(np.float32)


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def half_dot(nx, ny, nz, lx, ly, lz, vx, vy, vz):
    """Cosine between the normal and the direction half way between light and viewer, at least 0."""
    hx, hy, hz = lx + vx, ly + vy, lz + vz
    length = math.sqrt(hx * hx + hy * hy + hz * hz) + np.float32(1e-9)
    return max(ZERO, (nx * hx + ny * hy + nz * hz) / length)


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def power16(x):
    x = x * x
    x = x * x
    x = x * x
    return x * x
