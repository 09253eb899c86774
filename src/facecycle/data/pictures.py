"""Opening one picture, whatever it is, as 8-bit RGB."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from facecycle.errors import FaceCycleError

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".jp2", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
)

# Nothing that runs a foreign program (EPS) or that is no picture.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000")
MAX_PIXELS = 150_000_000  # 8K has 33 million; more than this is a mistake or an attack
BACKGROUND = (128, 128, 128)  # behind transparent pixels: grey makes no edge as hard as white or black would

# What Pillow's readers raise on damage.
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, TypeError, struct.error)

Source = str | Path | bytes | IO[bytes] | io.IOBase  # the last two are open files: as declared, and as they are


@dataclass(frozen=True)
class UploadLimits:
    """What pictures from strangers may cost, for the service and the page alike.

    Attributes:
        bytes: of an upload.
        pixels: of a picture.
        seconds: that an answer may take.
    """

    bytes: int = 10_000_000
    pixels: int = 25_000_000
    seconds: float = 20.0


class PictureError(FaceCycleError):
    """A picture that cannot be used; the message names it and says why."""


class TooManyPixels(PictureError):
    """A picture that is larger than is taken."""


def picture_size(source: Source, name: str = "picture", most: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height as the header tells them: no pixel is decoded.

    Args:
        source: a file, open or not, or the bytes of one.
        name: what to call it in an error.
        most: pixels that are taken.

    Raises:
        TooManyPixels: more than that.
        PictureError: no picture.
    """
    try:
        with _opened(source, name, most) as image:
            return image.size
    except TooManyPixels:
        raise
    except Exception:  # Pillow's readers raise a dozen kinds on damage
        raise PictureError(f"{name}: no picture that can be read; use JPEG, PNG or WebP") from None


def read_picture(source: Source, name: str = "picture") -> UInt8[np.ndarray, "h w 3"]:
    """Open a picture by its content, whatever its name ends in.

    EXIF rotation is applied, transparency laid over grey, grey and CMYK turned to RGB, 16 bits scaled to 8, and of an
    animation the first frame taken.

    Args:
        source: a file, open or not, or the bytes of one.
        name: what to call it in an error, if ``source`` is no path.

    Raises:
        PictureError: not readable, no picture, cut short, larger than ``MAX_PIXELS``, or of values out of range.
    """
    label = str(source) if isinstance(source, str | Path) else name
    try:
        with _opened(source, label, MAX_PIXELS) as image:
            turn_upright(image)
            return rgb_image(image, label)
    except Image.UnidentifiedImageError:
        raise PictureError(f"{label}: no picture, or in a format that is not read; use JPEG, PNG or WebP") from None
    except DAMAGED as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        mend = "save it anew" if getattr(error, "errno", None) is None else "check the path and who may read it"
        raise PictureError(f"{label}: {reason}; {mend}, or leave it out") from None


@contextmanager
def _opened(source: Source, name: str, most: int) -> Iterator[Image.Image]:
    """A picture of at most so many pixels, none of them decoded yet."""
    Image.init()  # so that every format named above is known to Pillow
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of oddities in the file; its size is checked here
        try:
            file: Any = io.BytesIO(source) if isinstance(source, bytes) else source
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > most:
                    raise TooManyPixels(
                        f"{name}: {image.width}x{image.height} pixels, over the limit of {most:,}; make it smaller"
                    )
                yield image
        except Image.DecompressionBombError:
            raise TooManyPixels(f"{name}: over the limit of {most:,} pixels; make it smaller") from None


def turn_upright(image: Image.Image) -> None:
    """Apply the EXIF rotation in place: a copy of a large picture would be 100 MB."""
    with suppress(struct.error, TypeError):  # a damaged EXIF block cannot be written anew; pixels are turned
        ImageOps.exif_transpose(image, in_place=True)


def rgb_image(image: Image.Image, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """An opened picture of any mode as 8-bit RGB: see `read_picture`."""
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_eight_bits(np.asarray(image), name))
    if image.has_transparency_data:
        below = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        image = Image.alpha_composite(below, image.convert("RGBA"))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))  # a copy: what Pillow lends is read-only


def _eight_bits(grey: np.ndarray, name: str) -> UInt8[np.ndarray, "h w"]:
    """Integers of 16 or 32 bits, or floats in [0, 1], to 0..255."""
    if grey.dtype.kind == "f":
        return unit_to_bytes(grey, name)
    low, high = int(grey.min()), int(grey.max())
    if low < 0 or high > 65535:
        raise PictureError(f"{name}: values from {low} to {high}; integers must lie in 0..65535: scale them")
    if grey.dtype.itemsize == 4 and high <= 255:  # 8-bit values in a wide type: as 16-bit ones they would be black
        return grey.astype(np.uint8)
    return np.rint(grey * (255.0 / 65535.0)).astype(np.uint8)


def unit_to_bytes(x: np.ndarray, name: str) -> UInt8[np.ndarray, "..."]:
    """Floats in [0, 1] to 0..255.

    Raises:
        PictureError: NaN, or values beyond.
    """
    if not np.isfinite(x).all():
        raise PictureError(f"{name}: holds NaN or infinite values; give floats in [0, 1]")
    low, high = float(x.min()), float(x.max())
    if low < -1e-3 or high > 1 + 1e-3:
        mend = "divide it by 255, or give uint8" if low >= 0 else "undo its normalisation"
        raise PictureError(f"{name}: values from {low:.3g} to {high:.3g}; floats must lie in [0, 1]: {mend}")
    return np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)
