"""From linear light to a picture: background, exposure, defocus, noise, tone curve."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float, UInt8
from numba import njit

_STEPS = 4096


def _tone_table() -> np.ndarray:
    """Linear light (0 .. 4 in `_STEPS` steps) -> sRGB 0 .. 255 after a mild shoulder that keeps highlights."""
    x = np.arange(_STEPS + 1) * (4 / _STEPS)
    x = np.clip(x / (1 + 0.18 * x), 0, 1)
    return (np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055) * 255).astype(np.float32)


TONE = _tone_table()


@njit(cache=True, error_model="numpy")
@no_type_check
def _develop(rgb, alpha, background, gain, table, grain, strength, out):
    height, width = alpha.shape
    top = np.float32(table.shape[0] - 1.001)
    for y in range(height):
        for x in range(width):
            behind = 1 - alpha[y, x]
            for c in range(3):
                light = (rgb[y, x, c] * gain + background[y, x, c] * behind) * np.float32(1024)
                light = min(max(light, np.float32(0)), top)
                k = int(light)
                share = light - k
                value = table[k] * (1 - share) + table[k + 1] * share + grain[y, x, c] * strength
                out[y, x, c] = np.uint8(min(max(value + np.float32(0.5), np.float32(0)), np.float32(255)))


@njit(cache=True, error_model="numpy")
@no_type_check
def _blur(picture, weights, scratch):
    """Separable blur of h w c in place; borders repeat."""
    height, width, channels = picture.shape
    reach = weights.shape[0] - 1
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                total = weights[0] * picture[y, x, c]
                for k in range(1, reach + 1):
                    total += weights[k] * (picture[y, max(0, x - k), c] + picture[y, min(width - 1, x + k), c])
                scratch[y, x, c] = total
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                total = weights[0] * scratch[y, x, c]
                for k in range(1, reach + 1):
                    total += weights[k] * (scratch[max(0, y - k), x, c] + scratch[min(height - 1, y + k), x, c])
                picture[y, x, c] = total


def blur(picture: Float[np.ndarray, "h w c"], deviation: float) -> None:
    """Gaussian blur in place; ``deviation`` in pixels, nothing below 0.15."""
    if deviation < 0.15:
        return
    reach = max(1, round(2.5 * deviation))
    weights = np.exp(-0.5 * (np.arange(reach + 1) / deviation) ** 2)
    weights /= weights[0] + 2 * weights[1:].sum()
    _blur(picture, weights.astype(np.float32), np.empty_like(picture))


def develop(
    rgb: Float[np.ndarray, "h w 3"],
    alpha: Float[np.ndarray, "h w"],
    background: Float[np.ndarray, "h w 3"],
    *,
    gain: float = 1.0,
    defocus: float = 0.0,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Compose, expose and quantise.

    Args:
        rgb: linear light premultiplied by ``alpha``; background: linear light, exposed already.
        gain: exposure of ``rgb``.
        defocus: blur of the whole, pixels.
        noise: standard deviation in sRGB units (0 .. 1), drawn from ``rng``.
    """
    if defocus >= 0.15:
        whole = np.ascontiguousarray(rgb * np.float32(gain) + background * (1 - alpha[..., None]), np.float32)
        blur(whole, defocus)
        rgb, alpha, gain = whole, np.ones_like(alpha), 1.0
    out = np.empty(rgb.shape, np.uint8)
    grain, strength = np.zeros(rgb.shape, np.float32), np.float32(noise * 255)
    if rng is not None and noise > 0:
        grain = rng.standard_normal(rgb.shape, dtype=np.float32)
    _develop(rgb, alpha, background, np.float32(gain), TONE, grain, strength, out)
    return out
