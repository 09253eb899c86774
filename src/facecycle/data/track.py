"""Which faces of successive frames are one person's: tracks by overlap, cut at scene changes.

A track that ends too early costs a few pairs; one that goes from one person to another poisons the training. So
whatever is ambiguous ends all tracks involved, and what follows are new ones.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from facecycle.data.detect import Face

SAME = 0.3  # overlap (intersection over union) from which two boxes are one face
NEAR = 0.1  # overlap from which a box might be that of another face
HISTOGRAM_CHANGE = 0.4  # share of the pixels whose colour (of 64) is another one after a cut
PIXEL_CHANGE = 40.0  # mean absolute difference after a cut, of 255


def overlaps(a: Float[np.ndarray, "n 4"], b: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """Intersection over union of every box of ``a`` with every one of ``b`` (x, y, width, height)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    union = np.prod(a[:, 2:], axis=1)[:, None] + np.prod(b[:, 2:], axis=1)[None] - shared
    return shared / np.maximum(union, 1e-9)


class Tracker:
    """Gives each face the number of its track.

    Args:
        max_gap: seconds for which a track waits for its face to be seen again.
    """

    def __init__(self, max_gap: float) -> None:
        self.max_gap = max_gap
        self._boxes: dict[int, np.ndarray] = {}  # of the open tracks
        self._seen: dict[int, float] = {}
        self._count = 0

    @property
    def open(self) -> list[int]:
        """The tracks that may go on."""
        return list(self._boxes)

    def update(self, time: float, faces: list[Face], cut: bool) -> list[int]:
        """The track of each face of the frame at ``time``, in the order of ``faces``.

        Args:
            time: seconds, growing from call to call.
            faces: all faces of the frame.
            cut: whether a new scene begins with it.
        """
        tracks = [track for track in self._boxes if not cut and time - self._seen[track] <= self.max_gap]
        numbers: list[int] = []
        went_on = {}
        if tracks and faces:
            table = overlaps(np.stack([self._boxes[track] for track in tracks]), np.stack([face.box for face in faces]))
            went_on = _links(table)
        for index, _ in enumerate(faces):
            if index in went_on:
                numbers.append(tracks[went_on[index]])
            else:
                numbers.append(self._count)
                self._count += 1
        # A track that was near a face without getting it is over; one that saw nothing near it may wait.
        waiting = {}
        if tracks:
            quiet = table.max(axis=1) < NEAR if faces else np.ones(len(tracks), bool)
            waiting = {track: self._boxes[track] for track, still in zip(tracks, quiet, strict=True) if still}
        self._boxes = waiting | {track: face.box for track, face in zip(numbers, faces, strict=True)}
        self._seen = {track: self._seen[track] for track in waiting} | dict.fromkeys(numbers, time)
        return numbers


def _links(table: Float[np.ndarray, "tracks faces"]) -> dict[int, int]:
    """Face -> track where nothing else comes into question for either."""
    near = table >= NEAR
    links = {}
    for face in np.flatnonzero(near.sum(axis=0) == 1).tolist():
        track = int(np.argmax(near[:, face]))
        if near[track].sum() == 1 and table[track, face] >= SAME:
            links[face] = track
    return links


class SceneChange:
    """Tells whether a frame begins a new scene: its colours, or nearly all of its pixels, are others."""

    def __init__(self) -> None:
        self._pixels: np.ndarray | None = None
        self._colours = np.zeros(64)

    def __call__(self, picture: UInt8[np.ndarray, "h w 3"]) -> bool:
        height, width = picture.shape[:2]
        rows = np.linspace(0, height - 1, 36).astype(int)
        pixels = picture[rows][:, np.linspace(0, width - 1, 64).astype(int)]
        bins = (pixels >> 6).reshape(-1, 3) @ np.array([16, 4, 1])
        colours = np.bincount(bins, minlength=64) / len(bins)
        pixels = pixels.astype(np.float32)
        before, self._pixels = self._pixels, pixels
        other, self._colours = np.abs(colours - self._colours).sum() / 2, colours
        if before is None:
            return False
        return bool(other > HISTOGRAM_CHANGE or np.abs(pixels - before).mean() > PIXEL_CHANGE)
