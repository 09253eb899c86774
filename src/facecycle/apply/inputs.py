"""Whatever a user may name as pictures -> items that are opened one at a time.

A file, a folder (searched through), a glob, a video, a webcam (its number, or ``webcam:0``), a face set (its folder or
URL), a PIL image, the bytes of a picture or a file opened for them, an array, a tensor, or a list, set or iterator of
these.
"""

from __future__ import annotations

import glob
import io
import logging
import math
import os
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from facecycle.apply.arrays import is_tensor, split_batch, to_picture
from facecycle.data.faceset import FaceSet
from facecycle.data.files import walk_files
from facecycle.data.frames import ReadLog, read_frames
from facecycle.data.pictures import PICTURE_SUFFIXES, read_picture
from facecycle.data.sources import VIDEO_SUFFIXES, Source
from facecycle.data.stores import is_url
from facecycle.data.truth import is_neutral
from facecycle.errors import FaceCycleError

OK = "ok"
LOG = logging.getLogger(__name__)  # a line on stderr, unless a program wants it elsewhere


@dataclass(frozen=True)
class Shot:
    """One picture, or why there is none."""

    name: str
    picture: UInt8[np.ndarray, "h w 3"] | None
    status: str = OK
    time: float = math.nan
    """Seconds from the beginning of the video; NaN for photos."""


@dataclass(frozen=True)
class PictureFile:
    """A picture on disk."""

    path: Path
    moving = False

    @property
    def name(self) -> str:
        return str(self.path)

    def shots(self) -> Iterator[Shot]:
        yield _shot(self.name, lambda: read_picture(self.path))


@dataclass(frozen=True)
class UnreadableFolder:
    """A folder among those searched that cannot be read."""

    path: Path
    problem: str
    moving = False

    @property
    def name(self) -> str:
        return str(self.path)

    def shots(self) -> Iterator[Shot]:
        yield Shot(self.name, None, self.problem)


@dataclass(frozen=True)
class PictureInMemory:
    """A PIL image, the bytes of a picture, an open file, an array or a tensor."""

    name: str
    value: Any
    moving = False

    def shots(self) -> Iterator[Shot]:
        yield _shot(self.name, lambda: to_picture(self.value, self.name))


@dataclass(frozen=True)
class StoredFace:
    """A row of a face set: a crop already."""

    faces: FaceSet
    row: int
    moving = False

    @property
    def name(self) -> str:
        return str(self.faces.columns["key"][self.row])

    def shots(self) -> Iterator[Shot]:
        rim = (self.faces.stored - self.faces.size) // 2
        inner = slice(rim, rim + self.faces.size)
        yield _shot(self.name, lambda: self.faces.image(self.row)[inner, inner])


@dataclass(frozen=True)
class VideoFile:
    """A video, streamed; damage becomes a last row that says what was lost."""

    path: Path
    moving = True

    @property
    def name(self) -> str:
        return str(self.path)

    def shots(self) -> Iterator[Shot]:
        log = ReadLog()
        for frame in read_frames(Source(self.name, self.name, (self.name,), video=True), 0, log):
            yield Shot(f"{self.name}#{frame.number:06d}", frame.picture, time=frame.time)
        if log.problem:
            yield Shot(self.name, None, log.problem)


@dataclass(frozen=True)
class Webcam:
    """A camera of this machine, until it is interrupted or unplugged."""

    index: int
    moving = True

    @property
    def name(self) -> str:
        return f"webcam:{self.index}"

    def shots(self) -> Iterator[Shot]:
        from facecycle.apply.webcam import webcam_frames

        for number, (time, picture) in enumerate(webcam_frames(self.index)):
            yield Shot(f"{self.name}#{number:06d}", picture, time=time)


Item = PictureFile | UnreadableFolder | PictureInMemory | StoredFace | VideoFile | Webcam


def find_items(inputs: Any, size: int) -> list[Item]:
    """Everything that ``inputs`` names, in order; nothing is opened yet but face sets.

    Raises:
        FaceCycleError: something does not exist, is of no known kind, or holds no pictures.
    """
    several = isinstance(inputs, list | tuple | Set | Iterator) and not isinstance(inputs, io.IOBase)
    inputs = list(inputs) if several else inputs  # an iterator gives its own once
    items: list[Item] = []
    for one in inputs if several else [inputs]:
        items += _items(one, size, len(items))
    if not items:
        named = ", ".join(map(str, inputs)) if several else str(inputs)
        suffixes = ", ".join(sorted(PICTURE_SUFFIXES | VIDEO_SUFFIXES))
        raise FaceCycleError(f"{named or 'nothing given'}: no pictures or videos there ({suffixes})")
    return items


def refuse_inputs(targets: Iterable[Path], items: Iterable[Item]) -> None:
    """What shall be written must not take the place of what is read.

    Raises:
        FaceCycleError: a target is one of the inputs.
    """
    names = {item.name for item in items}
    found = [os.stat(name) for name in names if os.path.exists(name)]
    inputs = {(file.st_dev, file.st_ino) for file in found}  # one file may have several names
    for target in targets:
        if target.exists() and (target.stat().st_dev, target.stat().st_ino) in inputs:
            raise FaceCycleError(f"{target}: is an input; choose another place with --out")


def _items(one: Any, size: int, count: int) -> Sequence[Item]:
    if isinstance(one, Item):
        return [one]
    if isinstance(one, str | Path):
        return _on_disk(one, size)
    if isinstance(one, int | np.integer) and not isinstance(one, bool):
        return [_webcam(str(one))]
    if isinstance(one, Image.Image | bytes | io.IOBase):
        return [PictureInMemory(f"picture {count}", one)]
    if isinstance(one, np.ndarray) or is_tensor(one):
        return [PictureInMemory(f"picture {count + k}", part) for k, part in enumerate(split_batch(one))]
    raise FaceCycleError(
        f"cannot read a picture from {type(one).__name__}: give a path, glob, PIL image, the bytes of a picture, "
        "array, tensor, webcam number, or a list of these"
    )


def _on_disk(named: str | Path, size: int) -> Sequence[Item]:
    text, path = str(named), Path(named)
    if not text:  # to Path the current folder
        raise FaceCycleError("an empty name; give a path")
    if is_url(named):
        if Path(str(named)).suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES:
            raise FaceCycleError(f"{named}: no such file; of addresses only face sets are read, so download it first")
        return _stored_faces(FaceSet.open(named), size)
    if text.startswith("webcam:") and text[7:].isdecimal():
        return [_webcam(text[7:])]
    if not path.exists():
        matches = sorted(glob.glob(text, recursive=True)) if glob.has_magic(text) else []
        if not matches:
            raise FaceCycleError(f"{text}: no such file or folder")
        return [item for match in matches for item in _on_disk(match, size)]
    if not path.is_dir():
        return [VideoFile(path) if path.suffix.lower() in VIDEO_SUFFIXES else PictureFile(path)]
    if os.path.isfile(path / "faceset.json"):  # False, too, where the folder cannot be read
        return _stored_faces(FaceSet.open(path), size)
    unreadable: list[Item] = []

    def failed(error: OSError) -> None:
        unreadable.append(UnreadableFolder(Path(error.filename), error.strerror or "cannot be read"))

    found = walk_files(path, failed)
    files = [file for file in found if file.suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES]
    if others := set(found) - set(files):
        kinds = ", ".join(sorted({file.suffix.lower() or "no suffix" for file in others}))
        word = "file" if len(others) == 1 else "files"
        LOG.warning("%s: %d other %s left out (%s)", path, len(others), word, kinds)
    return [
        *(VideoFile(file) if file.suffix.lower() in VIDEO_SUFFIXES else PictureFile(file) for file in files),
        *unreadable,
    ]


def _webcam(number: str) -> Webcam:
    if not number.isdecimal() or len(number) > 2:  # of others OpenCV crashes
        raise FaceCycleError(f"webcam:{number}: no such camera; give a number from 0 to 99")
    return Webcam(int(number))


def _stored_faces(faces: FaceSet, size: int) -> Sequence[Item]:
    if faces.size != size:
        raise FaceCycleError(f"{faces.path}: faces of {faces.size} px, the networks want {size} px")
    return [StoredFace(faces, int(row)) for row in np.flatnonzero(~is_neutral(faces))]


def _shot(name: str, read: Any) -> Shot:
    try:
        return Shot(name, read())
    except FaceCycleError as error:
        return Shot(name, None, str(error).removeprefix(f"{name}: "))
