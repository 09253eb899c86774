"""Pictures -> remade faces, as crops or pasted back: what frontalize, deexpress, mean_face and translate share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from facecycle.apply.faces import OK, FaceReader, PictureFace
from facecycle.apply.paste import paste
from facecycle.apply.torch_networks import TorchNetworks
from facecycle.data.crop import Crop, cut
from facecycle.draw import to_uint8
from facecycle.errors import FaceCycleError

Verb = Callable[..., Float[Tensor, "b 3 h w"]]
DETAIL = 512  # pixels of a face that is pasted back with the picture's own detail
DETAILED = 16  # of these at a time: 200 MB


@dataclass(frozen=True)
class Faces:
    """Remade faces of ``n`` inputs; rows without a face are black, and ``status`` says why."""

    names: list[str]
    status: list[str]
    faces: UInt8[np.ndarray, "n s s 3"]
    """As large as the networks' crops; `DETAIL` pixels where they were pasted with the picture's own detail."""
    boxes: Float[np.ndarray, "n 4"]
    """x, y, width, height in picture pixels; NaN without a face."""
    times: Float[np.ndarray, " n"]
    """Seconds, of a video's frames; else NaN."""
    squares: list[Crop | None]
    """Where each crop lies in its picture; None where there is none."""
    pictures: list[UInt8[np.ndarray, "_ _ 3"] | None]
    """The whole pictures, each of its own size, with the faces pasted in, if that was asked for."""

    def __len__(self) -> int:
        return len(self.names)

    def images(self) -> list[Image.Image | None]:
        """The pictures where there are some, else the faces; None for inputs without a face."""
        return [
            Image.fromarray(face if whole is None else whole) if status == OK else None
            for status, face, whole in zip(self.status, self.faces, self.pictures, strict=True)
        ]


def remake_batches(
    networks: TorchNetworks, reader: FaceReader, verb: Verb, batch_size: int, detail: bool = False
) -> Iterator[Faces]:
    """Every face changed by ``verb``, by batches; pasted back if ``reader`` keeps whole pictures.

    ``detail``: the verb takes the faces of such pictures at `DETAIL` pixels too, and gives them back at that size.
    """
    detail = detail and reader.whole
    for rows in reader.batches(min(batch_size, DETAILED) if detail else batch_size):
        yield remake_rows(networks, rows, verb, DETAIL if detail else reader.size, detail)


@torch.inference_mode()
def remake_rows(networks: TorchNetworks, rows: list[PictureFace], verb: Verb, size: int, detail: bool = False) -> Faces:
    """One batch; ``size`` is that of the faces that the verb gives, ``detail`` as in `remake_batches`."""
    faces = np.zeros((len(rows), size, size, 3), np.uint8)
    found = [index for index, row in enumerate(rows) if row.crop is not None]
    if found:
        crops = np.stack([row.crop for row in rows if row.crop is not None])
        fine = [networks.tensor(np.stack([fine_crop(rows[index]) for index in found]))] if detail else []
        faces[found] = to_uint8(verb(networks.tensor(crops), *fine))
    return Faces(
        [row.name for row in rows],
        [row.status for row in rows],
        faces,
        np.stack([row.box for row in rows]).astype(np.float64),
        np.array([row.time for row in rows]),
        [row.square for row in rows],
        _pasted(rows, faces),
    )


def fine_crop(row: PictureFace) -> UInt8[np.ndarray, "d d 3"]:
    """The face as its picture shows it; enlarged, where there is no picture."""
    assert row.crop is not None
    if row.picture is None or row.square is None:
        return np.asarray(Image.fromarray(row.crop).resize((DETAIL, DETAIL), Image.Resampling.BICUBIC))
    return cut(row.picture, row.square, DETAIL)


def _pasted(rows: list[PictureFace], faces: np.ndarray) -> list[np.ndarray | None]:
    """Whole pictures with their faces; of several faces in one picture each row shows those up to its own."""
    pictures: list[np.ndarray | None] = []
    before: tuple[np.ndarray, np.ndarray] | None = None  # a picture and what it has become
    for row, face in zip(rows, faces, strict=True):
        if row.picture is None or row.square is None:
            pictures.append(row.picture)
            continue
        current = before[1] if before is not None and before[0] is row.picture else row.picture
        pasted = paste(current, face, row.square)
        pictures.append(pasted)
        before = (row.picture, pasted)
    return pictures


def concatenate_faces(batches: Sequence[Faces]) -> Faces:
    """All batches as one."""

    def together(name: str) -> list[Any]:
        return [entry for batch in batches for entry in getattr(batch, name)]

    faces, boxes, times = (np.concatenate([getattr(b, name) for b in batches]) for name in ("faces", "boxes", "times"))
    return Faces(together("names"), together("status"), faces, boxes, times, together("squares"), together("pictures"))


def one_crop(reader: FaceReader) -> PictureFace:
    """The first face of an input, where exactly one is needed.

    Raises:
        FaceCycleError: it has none.
    """
    row = next(iter(reader))
    if row.crop is None:
        raise FaceCycleError(f"{row.name}: {row.status}")
    return row
