"""Pictures as a user names them -> face crops as the networks want them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from facecycle.data.crop import cut
from facecycle.data.detect import Detector, build_detector, main_face
from facecycle.data.faceset import FaceSet
from facecycle.data.pictures import read_picture
from facecycle.errors import FaceCycleError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm"}
OK = "ok"


@dataclass(frozen=True)
class PictureFace:
    """The main face of one picture, or why there is none."""

    name: str
    status: str
    """``ok``, ``no face``, or why the picture could not be read."""
    crop: UInt8[np.ndarray, "s s 3"] | None
    box: Float[np.ndarray, " 4"]
    """x, y, width, height in picture pixels; NaN without a face."""


class FaceReader:
    """Everything a user may name as pictures, opened one at a time: files, folders of pictures, and face sets.

    Args:
        paths: files and folders; a folder that is a face set gives its crops, and needs no detector.
        size: pixels of a crop.
        cropped: the pictures are face crops already.
        detector_weights: file of the face detector, where the installed one is not wanted.

    Raises:
        FaceCycleError: a path does not exist, nothing was found, or a face set is of another size.
    """

    def __init__(
        self, paths: Sequence[Path], size: int, cropped: bool = False, detector_weights: str | None = None
    ) -> None:
        self.size, self._detector_options = size, ("none" if cropped else "yunet", detector_weights)
        self._detector: Detector | None = None
        self._items: list[Path | tuple[FaceSet, int]] = []
        for path in paths:
            self._items += self._found(path)
        if not self._items:
            raise FaceCycleError(f"{', '.join(map(str, paths))}: no pictures there ({', '.join(sorted(SUFFIXES))})")

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> PictureFace:
        item = self._items[index]
        return self._read(item) if isinstance(item, Path) else _stored_face(*item)

    def batches(self, batch_size: int) -> Iterator[tuple[list[PictureFace], Float[Tensor, "n 3 s s"]]]:
        """Every picture's row, and a tensor of the faces of those that have one."""
        for start in range(0, len(self), batch_size):
            rows = [self[index] for index in range(start, min(start + batch_size, len(self)))]
            yield rows, to_tensor([row.crop for row in rows if row.crop is not None], self.size)

    def _found(self, path: Path) -> Sequence[Path | tuple[FaceSet, int]]:
        if not path.exists():
            raise FaceCycleError(f"{path}: no such file or folder")
        if not path.is_dir():
            return [path]
        if (path / "faceset.json").is_file():
            faces = FaceSet.open(path)
            if faces.size != self.size:
                raise FaceCycleError(f"{path}: faces of {faces.size} px, the networks want {self.size} px")
            return [(faces, row) for row in range(len(faces))]
        return sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)

    def _read(self, path: Path) -> PictureFace:
        self._detector = self._detector or build_detector(*self._detector_options)
        nowhere = np.full(4, np.nan)
        try:
            picture = read_picture(path)
        except FaceCycleError as error:
            return PictureFace(str(path), str(error).removeprefix(f"{path}: "), None, nowhere)
        faces = self._detector(picture)
        if not faces:
            return PictureFace(str(path), "no face", None, nowhere)
        height, width = picture.shape[:2]
        face = main_face(faces, width, height)
        return PictureFace(str(path), OK, cut(picture, face.crop(), self.size), face.box)


def _stored_face(faces: FaceSet, row: int) -> PictureFace:
    key, rim = str(faces.columns["key"][row]), (faces.stored - faces.size) // 2
    try:
        crop = faces.image(row)[rim : rim + faces.size, rim : rim + faces.size]
    except FaceCycleError as error:
        return PictureFace(key, str(error), None, np.full(4, np.nan))
    return PictureFace(key, OK, crop, faces.columns["box"][row])


def to_tensor(crops: Sequence[UInt8[np.ndarray, "s s 3"]], size: int) -> Float[Tensor, "n 3 size size"]:
    """uint8 crops -> one float tensor, range [0, 1]."""
    if not crops:
        return torch.empty(0, 3, size, size)
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
