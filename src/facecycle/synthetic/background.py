"""What stands behind the head: rooms, shelves, streets, greenery, skies and lights, out of focus."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

from facecycle.data.crop import Crop
from facecycle.synthetic.camera import PICTURE
from facecycle.synthetic.develop import blur

CANVAS = 96  # pixels of a background, which covers twice the picture's side about its centre
OUTDOORS = ("street", "greenery", "sky")


def _grey(rng: np.random.Generator, low: float, high: float, chroma: float = 0.12) -> np.ndarray:
    """A muted colour, linear RGB: most surfaces around us are nearly grey."""
    return np.clip(rng.uniform(low, high) * np.exp(rng.normal(0, chroma, 3)), 0.003, 1)


def _accent(rng: np.random.Generator) -> np.ndarray:
    """A saturated colour of middling brightness: spines of books, signs, cushions."""
    colour = rng.uniform(0.02, 0.12, 3)
    colour[rng.integers(3)] = rng.uniform(0.1, 0.4)
    return colour


def _rectangle(canvas: np.ndarray, rng: np.random.Generator, colour: np.ndarray, width: tuple, height: tuple) -> None:
    w, h = int(rng.uniform(*width) * CANVAS), int(rng.uniform(*height) * CANVAS)
    x, y = rng.integers(-w // 2, CANVAS), rng.integers(-h // 2, CANVAS)
    canvas[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)] = colour


def _ramp(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    t = np.linspace(0, 1, CANVAS)[:, None, None]
    return np.broadcast_to(top * (1 - t) + bottom * t, (CANVAS, CANVAS, 3)).astype(np.float32)


def _clouds(rng: np.random.Generator, grain: float, octaves: int = 3) -> np.ndarray:
    """Smooth noise about 0 with deviation about 1."""
    total = np.zeros((CANVAS, CANVAS, 1), np.float32)
    for k in range(octaves):
        cells = max(2, int(CANVAS / grain * 2**k)) + 2
        coarse = rng.standard_normal((cells, cells), dtype=np.float32)
        at = np.linspace(0, cells - 1.001, CANVAS)
        i, f = at.astype(int), (at % 1).astype(np.float32)
        rows = coarse[i] * (1 - f)[:, None] + coarse[i + 1] * f[:, None]
        total[..., 0] += (rows[:, i] * (1 - f) + rows[:, i + 1] * f) * 0.6**k
    return total


def room(rng: np.random.Generator) -> np.ndarray:
    """A wall lit from one side, a door or window, pictures, perhaps a lamp."""
    wall = _grey(rng, 0.1, 0.5, 0.08)
    canvas = _ramp(wall * rng.uniform(0.7, 1.1), wall * rng.uniform(0.5, 1.0)).copy()
    canvas *= np.linspace(rng.uniform(0.5, 1), rng.uniform(0.5, 1), CANVAS)[None, :, None]
    if rng.random() < 0.5:
        _rectangle(canvas, rng, _grey(rng, 0.02, 0.3, 0.2), (0.15, 0.35), (0.6, 1.2))
    if rng.random() < 0.4:
        _rectangle(canvas, rng, np.array([0.85, 0.93, 1.0]) * rng.uniform(0.7, 1.3), (0.15, 0.4), (0.3, 0.7))
    for _ in range(rng.integers(0, 4)):
        _rectangle(
            canvas, rng, _accent(rng) if rng.random() < 0.3 else _grey(rng, 0.02, 0.5), (0.06, 0.2), (0.06, 0.25)
        )
    return canvas


def shelves(rng: np.random.Generator) -> np.ndarray:
    """Boards with books and things."""
    canvas = _ramp(_grey(rng, 0.03, 0.25), _grey(rng, 0.03, 0.25)).copy()
    height = int(rng.uniform(0.14, 0.26) * CANVAS)
    for top in range(-int(rng.integers(height)), CANVAS, height):
        x = 0
        while x < CANVAS:
            w, h = int(rng.integers(2, 7)), int(rng.uniform(0.55, 0.9) * height)
            if rng.random() < 0.85:
                colour = _accent(rng) if rng.random() < 0.45 else _grey(rng, 0.02, 0.45, 0.2)
                canvas[max(0, top + height - h) : max(0, top + height), x : x + w] = colour
            x += w
        canvas[max(0, top + height - 3) : max(0, top + height)] = _grey(rng, 0.08, 0.12, 0.1) * [1.3, 1, 0.7]
    return canvas


def studio(rng: np.random.Generator) -> np.ndarray:
    """Paper, with a spot of light."""
    colour = _grey(rng, 0.02, 0.75, 0.06)
    y, x = np.mgrid[:CANVAS, :CANVAS] / CANVAS - rng.uniform(0.3, 0.7, (2, 1, 1))
    fall = np.exp(-(x**2 + y**2) / rng.uniform(0.1, 0.6))[..., None]
    return (colour * (0.45 + 0.7 * fall)).astype(np.float32)


def lights(rng: np.random.Generator) -> np.ndarray:
    """A dim place with lamps far out of focus."""
    canvas = _ramp(_grey(rng, 0.004, 0.06, 0.25), _grey(rng, 0.004, 0.06, 0.25)).copy()
    y, x = np.mgrid[:CANVAS, :CANVAS]
    radius = rng.uniform(2, 7.5)
    for _ in range(rng.integers(6, 30)):
        at, size = rng.uniform(0, CANVAS, 2), radius * rng.uniform(0.7, 1.2)
        disc = np.clip(size - np.hypot(x - at[0], y - at[1]), 0, 1)[..., None]
        canvas += disc * np.array([1.0, rng.uniform(0.5, 0.9), rng.uniform(0.15, 0.8)]) * rng.uniform(0.1, 0.7)
    return canvas


def street(rng: np.random.Generator) -> np.ndarray:
    """Houses with windows under a strip of sky, pavement below."""
    sky = np.array([0.55, 0.68, 0.85]) * rng.uniform(0.6, 1.2)
    canvas = _ramp(sky, sky * 1.1).copy()
    x = -int(rng.integers(20))
    while x < CANVAS:
        w, top = int(rng.integers(12, 40)), int(rng.uniform(-0.2, 0.5) * CANVAS)
        wall = _grey(rng, 0.06, 0.4, 0.15)
        canvas[max(0, top) :, max(0, x) : max(0, x + w)] = wall
        for wy in range(top + 3, CANVAS, 9):
            for wx in range(x + 2, x + w - 4, 6):
                if wx >= 0 and wy >= 0:
                    canvas[wy : wy + 5, wx : wx + 3] = wall * rng.uniform(0.15, 0.5) if rng.random() < 0.8 else sky
        x += w
    ground = int(rng.uniform(0.7, 1.0) * CANVAS)
    canvas[ground:] = _grey(rng, 0.08, 0.25, 0.05)
    return canvas


def greenery(rng: np.random.Generator) -> np.ndarray:
    """Leaves in light and shade, sky shining through."""
    leaf = np.array([rng.uniform(0.05, 0.16), rng.uniform(0.12, 0.24), rng.uniform(0.02, 0.07)])
    shade = np.exp(0.55 * _clouds(rng, rng.uniform(7, 20)))
    canvas = leaf * shade * np.linspace(rng.uniform(1.0, 1.8), rng.uniform(0.4, 1.0), CANVAS)[:, None, None]
    gaps = np.clip((_clouds(rng, rng.uniform(8, 27)) + np.linspace(0.3, -2, CANVAS)[:, None, None]) * 2, 0, 1)
    canvas = canvas * (1 - gaps) + gaps * np.array([0.75, 0.85, 0.95]) * rng.uniform(0.6, 1.1)
    for _ in range(rng.integers(0, 3)):
        x, w = rng.integers(CANVAS), rng.integers(2, 8)
        canvas[:, x : x + w] = np.array([0.09, 0.065, 0.045]) * rng.uniform(0.5, 1.5)
    return canvas.astype(np.float32)


def sky(rng: np.random.Generator) -> np.ndarray:
    """Sky with clouds over sea, sand, meadow or hills."""
    blue = np.array([0.28, 0.47, 0.80]) * rng.uniform(0.5, 1.1)
    canvas = _ramp(blue, np.array([0.72, 0.78, 0.85]) * rng.uniform(0.6, 1.1)).copy()
    cloud = np.clip(_clouds(rng, rng.uniform(20, 47)) * 0.6, 0, 1)
    canvas = canvas * (1 - cloud) + cloud * rng.uniform(0.6, 1.0)
    land = np.array([(0.05, 0.12, 0.18), (0.45, 0.38, 0.26), (0.10, 0.17, 0.04), (0.14, 0.13, 0.11)])[rng.integers(4)]
    x = np.arange(CANVAS)
    ridge = CANVAS * rng.uniform(0.45, 0.85) + rng.uniform(0, 5) * np.sin(x / rng.uniform(5, 20) + rng.uniform(0, 6))
    below = np.arange(CANVAS)[:, None] > ridge
    canvas[below] = (land * rng.uniform(0.7, 1.4) * np.exp(0.15 * _clouds(rng, 13)))[below]
    return canvas.astype(np.float32)


PAINTERS = {f.__name__: f for f in (room, shelves, studio, lights, street, greenery, sky)}


def sample_background(rng: np.random.Generator) -> tuple[str, Float[np.ndarray, "c c 3"]]:
    """A background's kind and its canvas (linear light)."""
    kind = str(rng.choice(list(PAINTERS), p=[0.28, 0.13, 0.16, 0.08, 0.12, 0.13, 0.10]))
    canvas = np.ascontiguousarray(PAINTERS[kind](rng), np.float32)
    canvas *= np.float32(rng.uniform(0.5, 1.1))
    blur(canvas, float(rng.uniform(0.2, 2.4)))
    return kind, canvas


@njit(cache=True, error_model="numpy")
@no_type_check
def _cut(canvas, left, top, step, out):
    limit = canvas.shape[0] - 1.001
    for row in range(out.shape[0]):
        y = min(max(top + row * step, 0.0), limit)
        j = int(y)
        fy = np.float32(y - j)
        for column in range(out.shape[1]):
            x = min(max(left + column * step, 0.0), limit)
            i = int(x)
            fx = np.float32(x - i)
            for c in range(3):
                upper = canvas[j, i, c] * (1 - fx) + canvas[j, i + 1, c] * fx
                lower = canvas[j + 1, i, c] * (1 - fx) + canvas[j + 1, i + 1, c] * fx
                out[row, column, c] = upper * (1 - fy) + lower * fy


def cut_background(canvas: Float[np.ndarray, "c c 3"], window: Crop, size: int) -> Float[np.ndarray, "size size 3"]:
    """The part of a background behind a window of the picture."""
    scale = CANVAS / (2 * PICTURE)
    left = (window.x - window.side / 2 + PICTURE / 2) * scale
    top = (window.y - window.side / 2 + PICTURE / 2) * scale
    step = window.side / size * scale
    out = np.empty((size, size, 3), np.float32)
    _cut(canvas, left + step / 2 - 0.5, top + step / 2 - 0.5, step, out)
    return out
