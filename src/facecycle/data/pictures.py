"""Opening one picture, whatever it is, as 8-bit RGB."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from facecycle.errors import FaceCycleError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"})

# Nothing that runs a foreign program (EPS) or that is no picture.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000")
MAX_PIXELS = 150_000_000  # 8K has 33 million; more than this is a mistake or an attack
BACKGROUND = (128, 128, 128)  # behind transparent pixels: grey makes no edge as hard as white or black would


class PictureError(FaceCycleError):
    """A picture that cannot be used; the message names it and says why."""


def read_picture(source: str | Path | bytes, name: str = "picture") -> UInt8[np.ndarray, "h w 3"]:
    """Open a picture by its content, whatever its name ends in.

    EXIF rotation is applied, transparency laid over grey, grey and CMYK turned to RGB, 16 bits scaled to 8, and of an
    animation the first frame taken.

    Args:
        source: a file, or the bytes of one.
        name: what to call it in an error, if ``source`` is bytes.

    Raises:
        PictureError: not readable, no picture, cut short, or larger than ``MAX_PIXELS``.
    """
    label = name if isinstance(source, bytes) else str(source)
    Image.init()  # so that every format named below is known to Pillow
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of oddities in the file; its size is checked here
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise PictureError(
                        f"{label}: {image.width}x{image.height} pixels, over the limit of {MAX_PIXELS:,}"
                    )
                return rgb_image(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        raise PictureError(f"{label}: over the limit of {MAX_PIXELS:,} pixels") from None
    except Image.UnidentifiedImageError:
        raise PictureError(f"{label}: no picture, or in a format that is not read") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow's readers raise on damage
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        mend = "save it anew" if getattr(error, "errno", None) is None else "check the path and who may read it"
        raise PictureError(f"{label}: {reason}; {mend}, or leave it out") from None


def rgb_image(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """An opened picture of any mode as 8-bit RGB: see `read_picture`."""
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        below = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        image = Image.alpha_composite(below, image.convert("RGBA"))
    return np.array(image.convert("RGB"))  # a copy: what Pillow lends is read-only


def _eight_bits(grey: np.ndarray) -> UInt8[np.ndarray, "h w"]:
    """16-bit integers, or floats in [0, 1], to 0..255."""
    scale = 255.0 if grey.dtype.kind == "f" else 255.0 / 65535.0
    return np.clip(np.rint(grey * scale), 0, 255).astype(np.uint8)
