"""Pictures as a user names them -> face crops as the networks want them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from facecycle.data.crop import cut
from facecycle.data.detect import Detector, main_face
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


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Files as given, and all pictures in the given folders, in order.

    Raises:
        FaceCycleError: a path does not exist, or nothing was found.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise FaceCycleError(f"{path}: no such file or folder")
        found += sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
    if not found:
        raise FaceCycleError(f"{', '.join(map(str, paths))}: no pictures there ({', '.join(sorted(SUFFIXES))})")
    return found


def read_face(path: Path, detector: Detector, size: int) -> PictureFace:
    """Open a picture, find its main face, and cut it at ``size`` pixels. Never raises for a bad picture."""
    nowhere = np.full(4, np.nan)
    try:
        picture = read_picture(path)
    except FaceCycleError as error:
        return PictureFace(str(path), str(error).removeprefix(f"{path}: "), None, nowhere)
    faces = detector(picture)
    if not faces:
        return PictureFace(str(path), "no face", None, nowhere)
    height, width = picture.shape[:2]
    face = main_face(faces, width, height)
    return PictureFace(str(path), OK, cut(picture, face.crop(), size), face.box)


def read_batches(
    paths: Iterable[Path], detector: Detector, size: int, batch_size: int
) -> Iterator[tuple[list[PictureFace], Float[Tensor, "n 3 size size"]]]:
    """Pictures in batches: every picture's row, and a tensor of the faces of those that have one."""
    remaining = iter(paths)
    while rows := [read_face(path, detector, size) for path in islice(remaining, batch_size)]:
        yield rows, to_tensor([row.crop for row in rows if row.crop is not None], size)


def to_tensor(crops: Sequence[UInt8[np.ndarray, "s s 3"]], size: int) -> Float[Tensor, "n 3 size size"]:
    """uint8 crops -> one float tensor, range [0, 1]."""
    if not crops:
        return torch.empty(0, 3, size, size)
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
