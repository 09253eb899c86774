"""The crop: one convention for where a face sits in its square, shared by training, evaluation and applications.

``facecycle-v1`` is a similarity transform without rotation: an upright square whose centre and side follow from five
landmarks. Roll stays in the picture on purpose, because head pose, roll included, belongs to the motion code; a crop
that levelled the eyes would hide it from every network downstream.

Coordinates are continuous, x to the right, y down: pixel ``i`` covers ``[i, i + 1)``, its centre is ``i + 0.5``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

CROP_NAME = "facecycle-v1"

# The eyes of a frontal face are about 1 / 1.15 as far apart as the eye line is from the mouth. Taking the larger of
# the two keeps the scale steady: yaw shortens the first distance, pitch the second.
EYES_TO_MOUTH = 1.15
SIDE = 3.1  # side of the square in units of that distance: forehead to just below the chin
CENTRE = 0.40  # how far from the eye line to the mouth the centre lies


@dataclass(frozen=True)
class Crop:
    """An upright square in a picture: centre ``(x, y)`` and ``side`` in picture pixels."""

    x: float
    y: float
    side: float

    def expand(self, margin: float) -> Crop:
        """The same square grown on all sides, so that its side is ``(1 + margin)`` times as long."""
        return Crop(self.x, self.y, self.side * (1 + margin))

    def to_crop(self, points: Float[np.ndarray, "*n 2"], size: int) -> Float[np.ndarray, "*n 2"]:
        """Picture coordinates -> coordinates in the crop drawn at ``size`` pixels."""
        return (points - np.array([self.x, self.y])) * (size / self.side) + size / 2

    def to_picture(self, points: Float[np.ndarray, "*n 2"], size: int) -> Float[np.ndarray, "*n 2"]:
        """Coordinates in the crop drawn at ``size`` pixels -> picture coordinates: the inverse of `to_crop`."""
        return (points - size / 2) * (self.side / size) + np.array([self.x, self.y])


def landmarks5_from_68(points: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "5 2"]:
    """The iBUG 68-point annotation reduced to the five points of face detectors.

    Returns image-left eye, image-right eye, nose tip, image-left and image-right mouth corner, in pixels.
    """
    return np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])


def fit_crop(landmarks: Float[np.ndarray, "5 2"]) -> Crop:
    """The ``facecycle-v1`` square of a face.

    Args:
        landmarks: two eye centres, nose tip, two mouth corners (each pair in either order), picture pixels.

    Raises:
        ValueError: a coordinate is not finite, or all points fall together.
    """
    if not np.isfinite(landmarks).all():
        raise ValueError("landmarks must be finite")
    eyes, mouth = landmarks[:2].mean(0), landmarks[3:].mean(0)
    unit = max(EYES_TO_MOUTH * float(np.linalg.norm(landmarks[0] - landmarks[1])), float(np.linalg.norm(mouth - eyes)))
    if unit <= 0:
        raise ValueError("landmarks fall together: no scale can be read from them")
    x, y = eyes + CENTRE * (mouth - eyes)
    return Crop(float(x), float(y), SIDE * unit)


def cut(picture: UInt8[np.ndarray, "h w 3"], crop: Crop, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Draw ``crop`` of ``picture`` at ``size`` x ``size`` pixels, anti-aliased; outside, the border is repeated."""
    height, width = picture.shape[:2]
    left, top = crop.x - crop.side / 2, crop.y - crop.side / 2
    # A little more than the square, in whole pixels, so that the resampling filter sees true neighbours.
    rim = int(np.ceil(2 * max(1.0, crop.side / size)))
    x0, y0 = int(np.floor(left)) - rim, int(np.floor(top)) - rim
    x1, y1 = int(np.ceil(left + crop.side)) + rim, int(np.ceil(top + crop.side)) + rim
    columns = np.clip(np.arange(x0, x1), 0, width - 1)
    rows = np.clip(np.arange(y0, y1), 0, height - 1)
    inside = x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height
    window = picture[y0:y1, x0:x1] if inside else picture[rows[:, None], columns]
    box = (left - x0, top - y0, left - x0 + crop.side, top - y0 + crop.side)
    image = Image.fromarray(np.ascontiguousarray(window))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box))
