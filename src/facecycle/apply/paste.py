"""A face back into the picture it was cut from: the inverse of the crop, with a soft rim."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from facecycle.data.crop import Crop

RIM = 0.25  # share of the half side over which the face fades into the picture


def paste(
    picture: UInt8[np.ndarray, "h w 3"], face: UInt8[np.ndarray, "s s 3"], square: Crop, rim: float = RIM
) -> UInt8[np.ndarray, "h w 3"]:
    """``face`` drawn into a copy of ``picture`` where ``square`` lies; what lies outside of the picture is left out."""
    height, width = picture.shape[:2]
    half = square.side / 2
    x0, y0 = max(0, int(np.floor(square.x - half))), max(0, int(np.floor(square.y - half)))
    x1, y1 = min(width, int(np.ceil(square.x + half))), min(height, int(np.ceil(square.y + half)))
    whole = picture.copy()
    if x1 <= x0 or y1 <= y0:
        return whole
    size = face.shape[0]
    scale = size / square.side  # Pillow's transform takes window coordinates to face coordinates, both continuous
    left, top = (x0 - square.x) * scale + size / 2, (y0 - square.y) * scale + size / 2
    # Outside its data Pillow draws black; one repeated pixel around keeps the resampling filter away from it.
    padded = Image.fromarray(np.pad(face, ((1, 1), (1, 1), (0, 0)), "edge"))
    drawn = padded.transform(
        (x1 - x0, y1 - y0),
        Image.Transform.AFFINE,
        (scale, 0, left + 1, 0, scale, top + 1),
        Image.Resampling.BICUBIC,
    )
    weight = soft_mask((np.arange(x0, x1) + 0.5 - square.x) / half, (np.arange(y0, y1) + 0.5 - square.y) / half, rim)
    window = whole[y0:y1, x0:x1]
    mixed = window + weight[..., None] * (np.asarray(drawn).astype(np.float32) - window)
    whole[y0:y1, x0:x1] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return whole


def soft_mask(x: Float[np.ndarray, " w"], y: Float[np.ndarray, " h"], rim: float = RIM) -> Float[np.ndarray, "h w"]:
    """1 inside, 0 at the edge of the square [-1, 1]^2, smooth in between; a square with round corners."""
    radius = (np.abs(x)[None, :] ** 4 + np.abs(y)[:, None] ** 4) ** 0.25
    t = np.clip((1 - radius) / rim, 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)
