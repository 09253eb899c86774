"""The camera: where the face stands in the picture, and what the sensor adds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from facecycle.synthetic.kernels import project

PICTURE = 320  # pixels: the side of the nominal picture that labels (boxes, crops, landmarks) refer to


@dataclass(frozen=True)
class Camera:
    """A pinhole that looks along -z at the head, and the faults of its pictures.

    Attributes:
        distance: from the lens to the head, decimetres; near cameras enlarge noses.
        focal: picture pixels per unit of tangent.
        centre: where the target of the gaze falls in the picture, pixels.
        target: the point of head space (decimetres) that falls there.
        blur: standard deviation of the defocus, in 64ths of the crop's side.
        noise: standard deviation of the sensor's noise, in sRGB units (0 .. 1).
        jpeg: quality of the camera's own compression, 0 for none.
        gain: exposure, multiplies linear light.
    """

    distance: float
    focal: float
    centre: tuple[float, float]
    target: tuple[float, float, float]
    blur: float = 0.0
    noise: float = 0.0
    jpeg: int = 0
    gain: float = 1.0

    @property
    def position(self) -> Float[np.ndarray, "3"]:
        """Where the lens is, head-space decimetres."""
        x, y, z = self.target
        return np.array([x, y, z + self.distance], np.float32)

    def vector(self) -> Float[np.ndarray, "8"]:
        """The label: distance, focal, centre x and y, blur, noise, jpeg, gain."""
        values = (self.distance, self.focal, *self.centre, self.blur, self.noise, self.jpeg, self.gain)
        return np.array(values, np.float32)

    def project(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Points -> picture x, y (pixels, y down) and 1 / distance."""
        out = np.empty(points.shape, np.float32)
        x, y, z = (np.float32(v) for v in self.position)
        project(points, x, y, z, np.float32(self.focal), np.float32(self.centre[0]), np.float32(self.centre[1]), out)
        return out
