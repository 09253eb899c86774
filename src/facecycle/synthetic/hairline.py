"""Where hair grows: a line round the head, drawn in base-head coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facecycle.synthetic.atlas import smoothstep
from facecycle.synthetic.seeds import PersonKey, stream
from facecycle.synthetic.shape import Body

# Angle round the head (degrees from straight ahead, about x = 0, z = 0.45) -> height of the line.
ANGLES = np.array([0, 22, 38, 50, 60, 68, 76, 84, 92, 112, 130, 150, 180])
HEIGHTS = np.array([8.0, 7.98, 7.86, 7.72, 7.45, 7.02, 7.1, 7.36, 7.42, 7.36, 6.85, 6.6, 6.55])


@dataclass(frozen=True)
class Hairline:
    """Attributes:
    rise: how much higher than usual the line stands in front.
    temples: how far it recedes at the temples.
    peak: how far a widow's peak reaches down.
    thin: how bald the crown is, 0 .. 1.
    """

    rise: float
    temples: float
    peak: float
    thin: float

    def line(self, angle: np.ndarray) -> np.ndarray:
        """Height of the line at angles (degrees) from straight ahead, base-head decimetres."""
        line = np.interp(angle, ANGLES, HEIGHTS) + self.rise * smoothstep(60, 35, angle)
        return line + self.temples * np.exp(-(((angle - 34) / 12) ** 2)) - self.peak * np.exp(-((angle / 9) ** 2))

    def above(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Height above the line, base-head decimetres."""
        return y - self.line(np.degrees(np.abs(np.arctan2(x, z - 0.45))))

    def density(self, x: np.ndarray, y: np.ndarray, z: np.ndarray, soft: float = 0.07) -> np.ndarray:
        """How densely hair grows, 0 .. 1."""
        grown = smoothstep(-soft, soft, self.above(x, y, z))
        crown = smoothstep(0.75, 0.45, np.sqrt(x**2 + (z - 0.5) ** 2) * 0.9) * smoothstep(7.9, 8.2, y)
        return grown * (1 - self.thin * crown)


def sample_hairline(key: PersonKey, body: Body) -> Hairline:
    """Men recede with age; some have a widow's peak."""
    rng = stream(key, "hairline")
    aged = float(np.clip((body.age - 28) / 40, 0, 1)) if body.male else 0.0
    return Hairline(
        rise=float(rng.normal(0, 0.05) + 0.1 * aged * rng.random()),
        temples=float(max(0, rng.normal(0.03, 0.05)) + (0.22 * aged * rng.random() if body.male else 0)),
        peak=float(max(0, rng.normal(0.02, 0.04))),
        thin=float(aged * rng.random() ** 2),
    )
