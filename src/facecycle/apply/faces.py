"""Pictures as a user names them -> face crops as the networks want them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from facecycle.apply.inputs import OK, Item, Shot, StoredFace, find_items
from facecycle.apply.steady import Steady
from facecycle.data.crop import Crop, cut
from facecycle.data.detect import Detector, Face, main_face, shared_detector
from facecycle.data.track import SceneChange
from facecycle.errors import FaceCycleError

__all__ = ["OK", "FaceReader", "PictureFace", "one_crop"]

SMALLEST = 16.0  # pixels of a face's shorter side; a smaller one has nothing to read
CHOICES = ("largest", "all")
SIZE = 256  # pixels of a face that is made, where no other size is asked for
PASTED = 512  # of one that is pasted back into its picture


@dataclass(frozen=True)
class PictureFace:
    """A face of one picture, or why there is none."""

    name: str
    status: str
    """``ok``, ``no face``, or why the picture could not be read."""
    crop: UInt8[np.ndarray, "s s 3"] | None
    box: Float[np.ndarray, " 4"]
    """x, y, width, height in picture pixels; NaN without a face."""
    square: Crop | None = None
    """Where the crop lies in the picture; None for crops of a face set."""
    time: float = math.nan
    """Seconds, of a video's frame."""
    picture: UInt8[np.ndarray, "h w 3"] | None = None
    """The whole picture, where it was asked for."""
    fine: UInt8[np.ndarray, "d d 3"] | None = None
    """The crop again, larger or smaller, where it was asked for."""


class FaceReader:
    """Everything a user may name as pictures, opened one at a time; see `facecycle.apply.inputs`.

    Args:
        inputs: files, folders, globs, videos, webcams, face sets, PIL images, arrays, tensors, or a list of these.
        size: pixels of a crop.
        cropped: the pictures are face crops already.
        detector_weights: file of the face detector, where the installed one is not wanted.
        face: ``largest`` (the main face), ``all``, or the number of a face, from left to right.
        whole: keep each whole picture in its row, to paste a face back.
        fine: pixels of a second crop, if that is wanted.

    Raises:
        FaceCycleError: an input does not exist, nothing was found, or a face set is of another size, or has no pictures
            to keep.
    """

    def __init__(
        self,
        inputs: Any,
        size: int,
        cropped: bool = False,
        detector_weights: str | None = None,
        face: str | int = "largest",
        whole: bool = False,
        fine: int | None = None,
    ) -> None:
        if face not in CHOICES and not str(face).isdecimal():
            raise FaceCycleError(f"face {face!r}: give largest, all, or a number counted from the left, from 0")
        self.size, self.face, self.whole, self.fine = size, face, whole, fine
        self._detector_options = "none" if cropped else "yunet", detector_weights
        self._detector: Detector | None = None
        self.items: list[Item] = find_items(inputs, size)
        if whole and (stored := next((item for item in self.items if isinstance(item, StoredFace)), None)):
            raise FaceCycleError(
                f"{stored.name}: in a face set, which holds no picture to paste into; leave out --paste"
            )

    def __len__(self) -> int:
        """Inputs, a video counting as one."""
        return len(self.items)

    def __iter__(self) -> Iterator[PictureFace]:
        for item in self.items:
            yield from self.rows(item)

    def batches(self, batch_size: int) -> Iterator[list[PictureFace]]:
        """Rows by so many at a time.

        Raises:
            FaceCycleError: of fewer than one, or of no whole number.
        """
        check_batch_size(batch_size)
        batch = []
        for row in self:
            batch.append(row)
            if len(batch) == batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def rows(self, item: Item) -> Iterator[PictureFace]:
        """The faces of one input; a picture without a face gives one row that says so."""
        if isinstance(item, StoredFace):
            shot = next(item.shots())
            box = np.full(4, np.nan) if shot.picture is None else item.faces.columns["box"][item.row]
            crop = shot.picture
            fine = None if crop is None or self.fine is None else resized(crop, self.fine)
            yield PictureFace(shot.name, shot.status, crop, box, fine=fine)
            return
        steady, scene = (Steady(), SceneChange()) if item.moving else (None, None)
        for shot in item.shots():
            if steady and scene and shot.picture is not None and scene(shot.picture):
                steady.forget()
            yield from self._faces(shot, steady)

    def _faces(self, shot: Shot, steady: Steady | None) -> Iterator[PictureFace]:
        nothing = PictureFace(shot.name, shot.status, None, np.full(4, np.nan), time=shot.time)
        if shot.picture is None:
            yield nothing
            return
        whole = shot.picture if self.whole else None
        self._detector = self._detector or shared_detector(*self._detector_options)
        chosen = self._choose(shot.picture, self._detector(shot.picture), steady)
        if isinstance(chosen, str):
            yield replace(nothing, status=chosen, picture=whole)
            return
        squares = steady.update(shot.time, chosen) if steady else [face.crop() for face in chosen]
        for number, (face, square) in enumerate(zip(chosen, squares, strict=True)):
            name = f"{shot.name}@{number}" if self.face == "all" else shot.name
            crop = cut(shot.picture, square, self.size)
            fine = None if self.fine is None else cut(shot.picture, square, self.fine)
            yield PictureFace(name, OK, crop, face.box, square, shot.time, whole, fine)

    def _choose(self, picture: np.ndarray, faces: list[Face], steady: Steady | None) -> list[Face] | str:
        """The faces wanted, or why there are none."""
        if not faces:
            return "no face"
        large = [face for face in faces if face.size >= SMALLEST]
        if not large:
            widest = max(face.size for face in faces)
            return f"face too small: {widest:.0f} px, at least {SMALLEST:.0f} are needed"
        large.sort(key=lambda face: face.centre[0])
        if self.face == "all":
            return large
        if self.face == "largest":
            return [(steady and steady.recall(large)) or main_face(large, picture.shape[1], picture.shape[0])]
        index = int(self.face)
        return [large[index]] if index < len(large) else f"no face {index}: {len(large)} in the picture, counted from 0"


def check_batch_size(batch_size: Any) -> None:
    """Can so many faces be taken at a time?

    Raises:
        FaceCycleError: fewer than one, or no whole number.
    """
    if not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise FaceCycleError(f"batch_size={batch_size!r}: a whole number, at least 1")


def one_crop(reader: FaceReader) -> PictureFace:
    """The face of an input, where exactly one is needed.

    Raises:
        FaceCycleError: it has none, or several.
    """
    row, *others = islice(reader, 2)
    if others:
        raise FaceCycleError(f"{row.name}, {others[0].name}: exactly one face is needed here; give a single picture")
    if row.crop is None:
        raise FaceCycleError(f"{row.name}: {row.status}")
    return row


def resized(face: UInt8[np.ndarray, "s s 3"], size: int) -> UInt8[np.ndarray, "size size 3"]:
    """A square picture at another size."""
    if len(face) == size:
        return face
    return np.asarray(Image.fromarray(face).resize((size, size), Image.Resampling.BICUBIC))
