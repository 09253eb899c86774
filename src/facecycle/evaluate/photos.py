"""Benchmark pictures -> crops in the package's one convention, in batches, with a checksum of all that decides them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from facecycle.data.crop import CROP_NAME, Crop, cut
from facecycle.data.faceset import FaceSet
from facecycle.data.files import write_atomic
from facecycle.data.pictures import PictureError, read_picture
from facecycle.errors import FaceCycleError
from facecycle.evaluate.datasets.layout import picture_files

DETECT = "detector"


@dataclass(frozen=True)
class Photo:
    """A picture and where its face is.

    Attributes:
        name: what reports call it.
        read: gives the bytes of its file.
        square: from the picture's width and height to the ``facecycle-v1`` square; None leaves it to the detector.
    """

    name: str
    read: Callable[[], bytes]
    square: Callable[[int, int], Crop] | None = None


def photo_of(path: Path, root: Path, square: Callable[[int, int], Crop] | None = None) -> Photo:
    """A file, named by its place under ``root``."""
    return Photo(path.relative_to(root).as_posix(), path.read_bytes, square)


def share(x: float, y: float, side: float) -> Callable[[int, int], Crop]:
    """A fixed square in shares of the picture's width (``x``), height (``y``) and width (``side``)."""
    return lambda width, height: Crop(x * width, y * height, side * width)


def pixels(crop: Crop) -> Callable[[int, int], Crop]:
    """A square known in pixels."""
    return lambda width, height: crop


WHOLE = share(0.5, 0.5, 1.0)


@dataclass
class Faces:
    """Crops of photos at ``size`` pixels, cut when asked for.

    Attributes:
        problems: name and reason of every picture that could not be used, filled as pictures are read.
        undetected: names of those in which the detector found no face; the whole picture is used for them.
    """

    photos: Sequence[Photo]
    size: int
    cache: Path | None = None
    problems: dict[str, str] = field(default_factory=dict)
    undetected: list[str] = field(default_factory=list)
    _checksum: str = ""
    _squares: dict[int, Crop] | None = None
    _digests: list[bytes] | None = None

    def __len__(self) -> int:
        return len(self.photos)

    @property
    def digests(self) -> list[bytes]:
        """SHA-256 of the bytes of every picture."""
        if self._digests is None:
            self._digests = [hashlib.sha256(_bytes(photo)).digest() for photo in self.photos]
        return self._digests

    @property
    def checksum(self) -> str:
        """Of the bytes of every picture, its square, the crop convention and the size."""
        if not self._checksum:
            total = hashlib.sha256(f"{CROP_NAME} {self.size}".encode())
            for photo, digest in zip(self.photos, self.digests, strict=True):
                square = photo.square(1000, 1000) if photo.square else DETECT
                total.update(f"{photo.name} {square}".encode())
                total.update(digest)
            self._checksum = total.hexdigest()
        return self._checksum

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "s s 3"]:
        """The crop of one photo.

        Raises:
            PictureError: it cannot be read.
        """
        photo = self.photos[index]
        picture = read_picture(photo.read(), photo.name)
        if photo.square is not None:
            return cut(picture, photo.square(picture.shape[1], picture.shape[0]), self.size)
        return cut(picture, self._detected(index, picture), self.size)

    def batches(self, batch_size: int) -> Iterator[tuple[list[int], Float[Tensor, "b 3 s s"]]]:
        """Rows and crops, RGB in [0, 1]; pictures that cannot be read are left out and noted in `problems`."""
        for start in range(0, len(self), batch_size):
            rows, crops = [], []
            for index in range(start, min(start + batch_size, len(self))):
                try:
                    crops.append(self[index])
                    rows.append(index)
                except (PictureError, OSError) as error:
                    name = self.photos[index].name
                    self.problems[name] = str(getattr(error, "strerror", None) or error).removeprefix(f"{name}: ")
            if rows:
                yield rows, torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
        self._keep_squares()

    def _detected(self, index: int, picture: UInt8[np.ndarray, "h w 3"]) -> Crop:
        known = self._load_squares()
        if index not in known:
            known[index] = find_square(picture) or Crop(np.nan, np.nan, np.nan)
        if not np.isfinite(known[index].side):
            name = self.photos[index].name
            if name not in self.undetected:
                self.undetected.append(name)
            return WHOLE(picture.shape[1], picture.shape[0])
        return known[index]

    def _file(self) -> Path | None:
        """Where detected squares are kept: they do not depend on the size of a crop."""
        if self.cache is None:
            return None
        unsized = replace(self, size=0, _checksum="", _digests=self.digests)
        return self.cache / f"squares-{unsized.checksum[:32]}.npy"

    def _load_squares(self) -> dict[int, Crop]:
        if self._squares is None:
            file = self._file()
            try:
                kept = np.load(file, allow_pickle=False) if file and file.is_file() else np.empty((0, 4))
            except (OSError, ValueError, EOFError) as error:
                raise FaceCycleError(f"{file}: kept squares are damaged ({error}); delete the file") from None
            self._squares = {int(row[0]): Crop(*map(float, row[1:])) for row in kept}
        return self._squares

    def _keep_squares(self) -> None:
        file = self._file() if self._squares else None
        if file and self._squares and not file.is_file():
            import io

            rows = [[index, square.x, square.y, square.side] for index, square in self._squares.items()]
            buffer = io.BytesIO()
            np.save(buffer, np.array(rows, np.float64))
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, buffer.getvalue())


def refuse_shared(faces: Faces, fitted: Collection[bytes], words: str) -> None:
    """No picture that is measured may be one that something was fitted on.

    Args:
        faces: what is measured.
        fitted: digests of the pictures of a fit.
        words: what that fit was, and the mend.

    Raises:
        FaceCycleError: one of them is, byte for byte.
    """
    if not fitted:
        return
    shared = [photo.name for photo, digest in zip(faces.photos, faces.digests, strict=True) if digest in fitted]
    if shared:
        raise FaceCycleError(f"{shared[0]} and {len(shared) - 1} more measured pictures are also in {words}: refused")


def find_square(picture: UInt8[np.ndarray, "h w 3"]) -> Crop | None:
    """The crop of the picture's main face by YuNet; its border is repeated first, so that faces that fill the
    picture are found too."""
    from facecycle.data.detect import main_face, shared_detector

    rim = round(0.3 * max(picture.shape[:2]))
    wide = np.pad(picture, ((rim, rim), (rim, rim), (0, 0)), mode="edge")
    faces = shared_detector()(wide)
    if not faces:
        return None
    crop = main_face(faces, wide.shape[1], wide.shape[0]).crop()
    return Crop(crop.x - rim, crop.y - rim, crop.side)


def faceset_photos(faces: FaceSet) -> list[Photo]:
    """The rows of a face set, cut to the crop without its margin."""
    square = pixels(Crop(faces.stored / 2, faces.stored / 2, float(faces.size)))
    return [Photo(str(faces.columns["key"][row]), lambda row=row: faces.jpeg(row), square) for row in range(len(faces))]


def folder_photos(folder: Path, square: Callable[[int, int], Crop] | None = None) -> list[Photo]:
    """Every picture under a folder, or every row of a face set.

    Raises:
        FaceCycleError: none there.
    """
    if (folder / "faceset.json").is_file():
        return faceset_photos(FaceSet.open(folder))
    files = picture_files(folder)
    if not files:
        raise FaceCycleError(f"{folder}: no pictures there; name a folder of photos or a face set")
    return [photo_of(path, folder, square) for path in files]


def _bytes(photo: Photo) -> bytes:
    try:
        return photo.read()
    except OSError as error:
        return str(error).encode()
