"""Bytes -> the face in them, and the errors of bytes that hold none."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from facecycle.api import FaceCycle
from facecycle.apply.faces import PictureFace
from facecycle.data.pictures import FORMATS, PictureError, read_picture


class BadRequest(Exception):
    """A picture that cannot be used, with the HTTP status that says why."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class FaceFinder:
    """Finds the main face of a picture that came as bytes."""

    def __init__(self, fc: FaceCycle, most_pixels: int) -> None:
        self.fc, self.most_pixels = fc, most_pixels

    def find(
        self, data: bytes, name: str, cropped: bool = False, whole: bool = False, fine: int | None = None
    ) -> PictureFace:
        """The face of a picture; ``whole`` and ``fine`` as in `FaceReader`.

        Raises:
            BadRequest: 413 too many pixels, 415 no picture, 422 no face.
        """
        picture = self.read(data, name)
        row = next(iter(self.fc.read(picture, cropped=cropped, whole=whole, fine=fine)))
        if row.crop is None:
            mend = "send a picture that shows one, or a face crop with ?cropped=true"
            raise BadRequest(422, f"{name}: {row.status}; {mend}")
        return replace(row, name=name)

    def read(self, data: bytes, name: str) -> UInt8[np.ndarray, "h w 3"]:
        """The picture, its size known before any pixel is decoded."""
        if not data:
            raise BadRequest(415, f"{name}: empty; send a JPEG, PNG or WebP")
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
        except Image.DecompressionBombError:
            raise BadRequest(413, f"{name}: over the limit of {self.most_pixels:,} pixels") from None
        except Exception:  # Pillow's readers raise a dozen kinds on damage
            raise BadRequest(415, f"{name}: no picture; send a JPEG, PNG or WebP") from None
        if width * height > self.most_pixels:
            raise BadRequest(413, f"{name}: {width}x{height}, over the limit of {self.most_pixels:,} pixels")
        try:
            return read_picture(data, name)
        except PictureError as error:
            raise BadRequest(415, str(error)) from None
