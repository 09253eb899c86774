"""Pictures that are already in memory -> 8-bit RGB, with their range and layout checked."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from facecycle.data.pictures import (
    DAMAGED,
    MAX_PIXELS,
    PictureError,
    read_picture,
    rgb_image,
    turn_upright,
    unit_to_bytes,
)


def is_tensor(x: object) -> bool:
    """Whether ``x`` is a torch tensor; asks its class, so that torch need not be loaded."""
    return type(x).__module__.partition(".")[0] == "torch" and hasattr(x, "detach")


def split_batch(x: Any) -> list[Any]:
    """A batch (four axes) as its pictures, one picture as itself.

    Raises:
        PictureError: another number of axes.
    """
    if x.ndim == 4:
        return list(x)
    if x.ndim in (2, 3):
        return [x]
    raise PictureError(f"picture of shape {tuple(x.shape)}: arrays are H W 3, H W or B H W 3, tensors 3 H W or B 3 H W")


def to_picture(x: Any, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Any of `facecycle.apply.inputs` that is in memory as 8-bit RGB: see `read_picture`.

    Arrays are ``H W`` or ``H W C``, tensors ``H W`` or ``C H W``; C is 1, 3 or 4.
    uint8 is 0..255, uint16 0..65535, floats [0, 1].

    Raises:
        PictureError: another layout, type or range, NaN, or too many pixels; says which and what to do.
    """
    if isinstance(x, bytes | io.IOBase):
        return read_picture(x, name)
    if isinstance(x, Image.Image):
        _check_pixels(name, *x.size)
        try:
            x = x.copy()  # theirs stays as it is
            turn_upright(x)
            return rgb_image(x, name)
        except DAMAGED as error:  # opened lazily, and damaged further down
            raise PictureError(f"{name}: {error}") from None
    if is_tensor(x):
        x = x.detach().cpu()
        x = (x.float() if x.is_floating_point() else x).numpy()
        if x.ndim == 3:
            if x.shape[0] not in (1, 3, 4):
                raise PictureError(f"{name}: shape {x.shape}; a tensor is C H W with 1, 3 or 4 channels: permute it")
            x = x.transpose(1, 2, 0)
    if x.ndim == 3 and x.shape[2] not in (1, 3, 4):
        raise PictureError(f"{name}: shape {x.shape}; an array is H W C with 1, 3 or 4 channels: transpose it")
    if 0 in x.shape:
        raise PictureError(f"{name}: shape {x.shape} holds no pixels")
    _check_pixels(name, x.shape[1], x.shape[0])
    x = x[..., 0] if x.ndim == 3 and x.shape[2] == 1 else x
    return rgb_image(Image.fromarray(_bytes(np.ascontiguousarray(x), name)), name)


def _bytes(x: np.ndarray, name: str) -> np.ndarray:
    if x.dtype == np.uint8:
        return x
    if x.dtype == np.uint16:
        return np.rint(x / 257.0).astype(np.uint8)
    if x.dtype.kind != "f":
        raise PictureError(f"{name}: values of type {x.dtype}; give uint8 in 0..255, or floats in [0, 1]")
    return unit_to_bytes(x, name)


def _check_pixels(name: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise PictureError(f"{name}: {width}x{height} pixels, over the limit of {MAX_PIXELS:,}; make it smaller")
