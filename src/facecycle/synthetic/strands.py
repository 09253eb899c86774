"""The strand texture all people share: brightness and opacity of hair, in slots one below the other."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter

from facecycle.synthetic.atlas import smoothstep
from facecycle.synthetic.seeds import stream

WIDTH, HEIGHT = 512, 128  # of a slot, texels
LAYERS = 3  # of a shell; each lets more through than the one below
STRAIGHT, CURLY, CARDS = 0, LAYERS, 2 * LAYERS  # first slot of each kind
SLOTS = CARDS + 1


def _ranks(field: np.ndarray) -> np.ndarray:
    """Values -> their rank, 0 .. 1: any share of the texels can then be cut off exactly."""
    return (np.argsort(np.argsort(field.ravel(), kind="stable"), kind="stable") / field.size).reshape(field.shape)


def _field(name: str, along: float, across: float) -> np.ndarray:
    white = stream("strands", name).standard_normal((HEIGHT, WIDTH))
    return _ranks(gaussian_filter(white, [along, across], mode="wrap"))


@lru_cache(maxsize=1)
def strand_texture() -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    """Brightness and opacity, `SLOTS` slots high; once per process."""
    bright, alpha = [], []
    for name, along, across in (("straight", 9.0, 0.9), ("curly", 0.9, 1.6)):
        field = _field(name, along, across)
        for layer in range(LAYERS):
            t = layer / (LAYERS - 1)
            bright.append(0.42 + 0.22 * t + 0.36 * field)
            alpha.append(np.ones_like(field) if layer == 0 else np.clip((field - 0.15 - 0.5 * t) * 4 + 0.5, 0, 1))
    fine, coarse = _field("cards", 60.0, 1.0), _field("locks", 30.0, 4.0)
    down = np.linspace(0, 1, HEIGHT)[:, None]
    bright.append(0.3 + 0.4 * fine + 0.3 * coarse)
    alpha.append(np.clip((0.6 * fine + 0.4 * coarse - 0.18 - 0.55 * smoothstep(0.6, 1.0, down)) * 6 + 0.5, 0, 1))
    return tuple((np.concatenate(rows).clip(0, 1) * 255).astype(np.uint8) for rows in (bright, alpha))  # pyright: ignore[reportReturnType]


def in_slot(uv: Float[np.ndarray, "n 2"], slot: int) -> Float[np.ndarray, "n 2"]:
    """Coordinates within a slot (0 .. 1 both ways) -> texture coordinates."""
    out = uv.clip(0.002, 0.998)
    out[:, 1] = (slot + out[:, 1]) / SLOTS
    return out.astype(np.float32)
