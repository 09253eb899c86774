"""Pictures -> remade faces, as crops or pasted back: what frontalize, deexpress, mean_face and translate share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from facecycle.apply import transform
from facecycle.apply.faces import OK, FaceReader, PictureFace, check_batch_size
from facecycle.apply.faces import one_crop as one_crop  # the page of the demo finds it here
from facecycle.apply.paste import paste
from facecycle.apply.torch_networks import TorchNetworks
from facecycle.data.crop import Crop
from facecycle.draw import to_uint8
from facecycle.errors import FaceCycleError

Verb = Callable[..., Float[Tensor, "b 3 h w"]]
VERBS = ("frontalize", "deexpress", "mean_face")
AT_ONCE = 2**22  # pixels of large faces: 64 of 256 pixels, 16 of 512; half a gigabyte


@dataclass(frozen=True)
class Faces:
    """Remade faces of ``n`` inputs; rows without a face are black, and ``status`` says why."""

    names: list[str]
    status: list[str]
    faces: UInt8[np.ndarray, "n s s 3"]
    """As large as was asked for."""
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


def verb_of(networks: TorchNetworks, name: str, keep: float = 0.0) -> Verb:
    """``frontalize``, ``deexpress`` or ``mean_face`` by these networks; ``keep`` is `transform.deexpress`'s.

    Raises:
        FaceCycleError: another verb; too much is kept, or too little, or anything by another than ``deexpress``.
    """
    if name not in VERBS:
        raise FaceCycleError(f"{name!r}: no such change; choose {', '.join(VERBS)}")
    if not -1 <= keep <= 2:
        raise FaceCycleError(f"keep {keep}: give a share of the expression between -1 and 2")
    verb = partial(getattr(transform, name), networks.networks)
    if name == "deexpress":
        return partial(verb, keep=keep)
    if keep:
        raise FaceCycleError(f"keep {keep}: {name} keeps no part of the expression; use deexpress")
    return verb


def remake_batches(networks: TorchNetworks, reader: FaceReader, verb: Verb, batch_size: int) -> Iterator[Faces]:
    """Every face changed by ``verb``, by batches; pasted back if ``reader`` keeps whole pictures.

    The verb is given the crops and, if ``reader`` cuts these, the finer ones, whose size its faces then have.
    """
    size, pasting = reader.size if reader.fine is None else reader.fine, Pasting()
    for rows in reader.batches(fitting(batch_size, size)):
        yield remake_rows(networks, rows, verb, size, pasting)


def fitting(batch_size: int, size: int) -> int:
    """How many faces of ``size`` pixels are made at a time, where ``batch_size`` are wanted."""
    check_batch_size(batch_size)
    return max(1, min(batch_size, AT_ONCE // size**2))


@torch.inference_mode()
def remake_rows(
    networks: TorchNetworks, rows: list[PictureFace], verb: Verb, size: int, pasting: Pasting | None = None
) -> Faces:
    """One batch; ``size`` is that of the faces that the verb gives, ``pasting`` remembers the batch before."""
    pasting = pasting or Pasting()
    faces = np.zeros((len(rows), size, size, 3), np.uint8)
    found = [index for index, row in enumerate(rows) if row.crop is not None]
    if found:
        both = ([row.crop for row in rows], [row.fine for row in rows])
        crops, fine = ([picture for picture in pictures if picture is not None] for pictures in both)
        faces[found] = to_uint8(verb(*(networks.tensor(np.stack(part)) for part in (crops, fine) if part)))
    return Faces(
        [row.name for row in rows],
        [row.status for row in rows],
        faces,
        np.stack([row.box for row in rows]).astype(np.float64),
        np.array([row.time for row in rows]),
        [row.square for row in rows],
        [pasting(row, face) for row, face in zip(rows, faces, strict=True)],
    )


class Pasting:
    """Faces into their whole pictures; of several faces in one picture each row shows those up to its own."""

    def __init__(self) -> None:
        self._before: tuple[np.ndarray, np.ndarray] | None = None  # a picture, and what it has become

    def __call__(self, row: PictureFace, face: UInt8[np.ndarray, "s s 3"]) -> UInt8[np.ndarray, "_ _ 3"] | None:
        """The picture with the face; as it is, without one; None where the row has no picture."""
        if row.picture is None or row.square is None:
            return row.picture
        current = self._before[1] if self._before is not None and self._before[0] is row.picture else row.picture
        pasted = paste(current, face, row.square)
        self._before = (row.picture, pasted)
        return pasted


def concatenate_faces(batches: Sequence[Faces]) -> Faces:
    """All batches as one."""

    def together(name: str) -> list[Any]:
        return [entry for batch in batches for entry in getattr(batch, name)]

    faces, boxes, times = (np.concatenate([getattr(b, name) for b in batches]) for name in ("faces", "boxes", "times"))
    return Faces(together("names"), together("status"), faces, boxes, times, together("squares"), together("pictures"))
