"""Light: a key, a fill, the sky above and the ground below."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float


def direction(azimuth: float, elevation: float) -> Float[np.ndarray, "3"]:
    """Unit vector towards a light; degrees, azimuth from the viewer towards image right."""
    a, e = np.radians((azimuth, elevation))
    return np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)], np.float32)


@dataclass(frozen=True)
class Light:
    """Attributes:
    key, fill: degrees azimuth (image right is positive) and elevation.
    key_colour, fill_colour, sky, ground: linear RGB.
    """

    key: tuple[float, float]
    key_colour: Float[np.ndarray, "3"]
    fill: tuple[float, float]
    fill_colour: Float[np.ndarray, "3"]
    sky: Float[np.ndarray, "3"]
    ground: Float[np.ndarray, "3"]

    @cached_property
    def frame(self) -> Float[np.ndarray, "3 3"]:
        """Rows: x, y and direction towards the key light, for its shadow map."""
        z = direction(*self.key)
        x = np.cross([0.0, 1.0, 0.0], z)
        x /= np.linalg.norm(x)
        return np.stack([x, np.cross(z, x), z]).astype(np.float32)

    @cached_property
    def scene(self) -> Float[np.ndarray, "18"]:
        """Directions and colours in the order of the shading kernels."""
        parts = (direction(*self.key), self.key_colour, direction(*self.fill), self.fill_colour, self.sky, self.ground)
        return np.concatenate(parts).astype(np.float32)

    def vector(self) -> Float[np.ndarray, "16"]:
        """The label: angles of key and fill, then the four colours."""
        colours = (self.key_colour, self.fill_colour, self.sky, self.ground)
        return np.concatenate([self.key, self.fill, *colours]).astype(np.float32)


def warm(amount: float) -> np.ndarray:
    """A white shifted towards red (positive) or blue, as colour temperature does."""
    return np.array([1 + amount, 1, 1 - 1.1 * amount])


def sample_light(rng: np.random.Generator, outdoors: bool) -> Light:
    """Light of a clip: near white, because a camera balances its whites; soft or hard, from anywhere in front."""
    azimuth, elevation = float(rng.normal(0, 29)), float(rng.uniform(8, 50))
    hard = rng.uniform(0.5, 1.35)
    tint = rng.normal(0.02, 0.07)
    key = warm(tint) * hard
    around = warm(-0.7 * tint + rng.normal(0, 0.04)) * rng.uniform(0.35, 0.8)
    ground = around * rng.uniform(0.3, 0.7) * np.array([1.04, 1.0, 0.94])
    if outdoors:
        around = around * np.array([0.94, 1.0, 1.08])
    side = azimuth + float(rng.choice([-1, 1]) * rng.uniform(70, 140))
    fill = warm(rng.normal(0, 0.09)) * rng.uniform(0.0, 0.6)
    colours = [c.astype(np.float32) for c in (key, fill, around, ground)]
    return Light((azimuth, elevation), colours[0], (side, float(rng.uniform(-5, 40))), *colours[1:])


@dataclass(frozen=True)
class Clothes:
    """Attributes:
    colours: 2 3, linear RGB.
    pattern: waves along the two axes of the texture map, and how much of the second colour they show.
    """

    colours: Float[np.ndarray, "2 3"]
    pattern: Float[np.ndarray, "3"]


PLAIN = Clothes(np.full((2, 3), 0.12, np.float32), np.zeros(3, np.float32))
