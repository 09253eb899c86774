"""An upload -> the face in it, and the errors of one that holds none."""

from __future__ import annotations

from dataclasses import replace

from starlette.datastructures import UploadFile

from facecycle.api import FaceCycle
from facecycle.apply.faces import PictureFace
from facecycle.data.pictures import PictureError, TooManyPixels, picture_size, read_picture


class BadRequest(Exception):
    """A picture that cannot be used, with the HTTP status that says why."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class FaceFinder:
    """Finds the main face of a picture that was sent."""

    def __init__(self, fc: FaceCycle, most_pixels: int) -> None:
        self.fc, self.most_pixels = fc, most_pixels

    def measure(self, file: UploadFile, name: str) -> int:
        """How many pixels a picture has, known before one is decoded.

        Raises:
            BadRequest: 413 too many pixels, 415 no picture.
        """
        if file.size == 0:
            raise BadRequest(415, f"{name}: empty; send a JPEG, PNG or WebP")
        try:
            width, height = picture_size(file.file, name, self.most_pixels)
        except PictureError as error:
            raise BadRequest(413 if isinstance(error, TooManyPixels) else 415, str(error)) from None
        return width * height

    def find(
        self, file: UploadFile, name: str, cropped: bool = False, whole: bool = False, fine: int | None = None
    ) -> PictureFace:
        """The face of a picture that was measured; ``whole`` and ``fine`` as in `FaceReader`.

        Raises:
            BadRequest: 415 a damaged picture, 422 no face.
        """
        try:
            picture = read_picture(file.file, name)
        except PictureError as error:
            raise BadRequest(415, str(error)) from None
        row = next(iter(self.fc.read(picture, cropped=cropped, whole=whole, fine=fine)))
        if row.crop is None:
            mend = "send a picture that shows one, or a face crop with ?cropped=true"
            raise BadRequest(422, f"{name}: {row.status}; {mend}")
        return replace(row, name=name)
