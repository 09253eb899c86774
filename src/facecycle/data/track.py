"""Which faces of successive frames are one person's: tracks by overlap, cut at scene changes.

A track that ends too early costs a few pairs; one that goes from one person to another poisons the training. So
whatever is ambiguous ends all tracks involved, and what follows are new ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

SAME = 0.3  # overlap (intersection over union) from which two boxes are one face
NEAR = 0.1  # overlap from which a box might be that of another face
LOOK_CHANGE = 35.0  # mean absolute difference of two crops, of 255, from which they are two people's
LOOK_ALIKE = 0.5  # correlation of two crops below which they are two people's
HISTOGRAM_CHANGE = 0.4  # share of the pixels whose colour (of 64) is another one after a cut
PIXEL_CHANGE = 40.0  # mean absolute difference after a cut, of 255


def overlaps(a: Float[np.ndarray, "n 4"], b: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """Intersection over union of every box of ``a`` with every one of ``b`` (x, y, width, height)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    union = np.prod(a[:, 2:], axis=1)[:, None] + np.prod(b[:, 2:], axis=1)[None] - shared
    return shared / np.maximum(union, 1e-9)


@dataclass(frozen=True)
class Seen:
    """A face of a frame as far as tracking needs it: its box (x, y, width, height) and its crop in small."""

    box: Float[np.ndarray, " 4"]
    look: Float[np.ndarray, "s s 3"]

    def resembles(self, other: Seen) -> bool:
        """Whether both could be one person a moment apart: a cut between two faces in one place shows here."""
        if np.abs(self.look - other.look).mean() > LOOK_CHANGE:
            return False
        a, b = (seen.look.mean(axis=2) - seen.look.mean() for seen in (self, other))
        return bool((a * b).sum() >= LOOK_ALIKE * np.sqrt((a * a).sum() * (b * b).sum()))


class Tracker:
    """Gives each face the number of its track.

    Args:
        max_gap: seconds for which a track waits for its face to be seen again.
    """

    def __init__(self, max_gap: float) -> None:
        self.max_gap = max_gap
        self._last: dict[int, tuple[float, Seen]] = {}  # of the open tracks: when and what was seen last
        self._count = 0

    @property
    def open(self) -> list[int]:
        """The tracks that may go on."""
        return list(self._last)

    def update(self, time: float, faces: list[Seen], cut: bool) -> list[int]:
        """The track of each face of the frame at ``time``, in the order of ``faces``.

        Args:
            time: seconds, growing from call to call.
            faces: all faces of the frame.
            cut: whether a new scene begins with it.
        """
        last = {} if cut else {n: (t, seen) for n, (t, seen) in self._last.items() if time - t <= self.max_gap}
        tracks = list(last)
        boxes = [
            np.array([seen.box for seen in group]).reshape(-1, 4) for group in ([s for _, s in last.values()], faces)
        ]
        table = overlaps(*boxes)
        links = _links(table)
        numbers = []
        for index, face in enumerate(faces):
            track = tracks[links[index]] if index in links else None
            if track is None or not face.resembles(last[track][1]):
                track, self._count = self._count, self._count + 1
            numbers.append(track)
        # A track that saw nothing near it may wait; one that was near a face without getting it is over.
        self._last = {track: last[track] for track, row in zip(tracks, table, strict=True) if (row < NEAR).all()}
        self._last |= {track: (time, face) for track, face in zip(numbers, faces, strict=True)}
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
        change = np.abs(pixels - before).mean() / PIXEL_CHANGE
        # A slight change of light can move a plain wall into another bin.
        return bool(change > 1 or (other > HISTOGRAM_CHANGE and change > 1 / 3))
