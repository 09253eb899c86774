"""The faces of one source, crop by crop: gathered into clips, thinned, and written when their track ends."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from facecycle.data.crop import cut
from facecycle.data.detect import Face
from facecycle.data.faceset import encode, stored_size
from facecycle.data.frames import Frame
from facecycle.data.people import TRACK
from facecycle.data.shards import FrameSink, Row
from facecycle.data.sources import Source
from facecycle.data.track import SceneChange, Seen, Tracker

REMEMBERED = 32  # frames of a clip against which a new one is compared
RECENT = 9  # frames by whose times a video's rate is judged
SLOWEST = 1.0  # seconds between two frames of a video; farther apart, nobody knows who is who


@dataclass(frozen=True)
class CropOptions:
    """What decides which frames are kept and what they look like.

    Attributes:
        size: pixels of a crop as the networks see it, 64 to 256.
        margin: how much larger it is stored, for jitter in training.
        fps: frames taken per second of video; 0 takes all.
        min_face: pixels of the shorter side of a face's box below which it is left out.
        min_change: mean absolute difference (of 255, at 16x16 pixels) below which a frame is a duplicate.
        max_frames: of a clip; of longer ones every second, fourth, ... frame is kept.
        quality: of the JPEGs.
        detector: see `facecycle.data.detect.build_detector`.
        detector_weights: likewise.
    """

    size: int = 64
    margin: float = 0.25
    fps: float = 5.0
    min_face: float = 32.0
    min_change: float = 2.0
    max_frames: int = 200
    quality: int = 95
    detector: str = "yunet"
    detector_weights: str | None = None


class ClipWriter:
    """Takes the faces of a source frame by frame; writes each clip to the shard when its track ends.

    Args:
        source: whose faces come.
        index: its place among all sources, for unique keys.
        shard: where the frames go.
        options: what to keep.

    Attributes:
        kept: frames written.
        dropped: what was left out, by reason; others may add to it.
    """

    def __init__(self, source: Source, index: int, shard: FrameSink, options: CropOptions) -> None:
        self.source, self.index, self.shard, self.options = source, index, shard, options
        self.kept = 0
        self.dropped: Counter[str] = Counter()
        self._tracker = Tracker(max_gap=_gap(_interval(source, options.fps)))
        self._times: deque[float] = deque(maxlen=RECENT)
        self._slow = False
        self._fewest = 2 if source.video else 1  # of a video, a lone detection is no track
        self._scene = SceneChange()
        self._open: dict[int, _Clip] = {}

    def add(self, frame: Frame, faces: list[Face]) -> None:
        """Take the faces of the next frame."""
        crops = [crop for crop in (self._crop(frame, face) for face in faces) if crop]
        timed = not math.isnan(frame.time)
        tracks = [0] * len(crops)
        if self.source.video:
            self._keep_pace(frame.time)
        if timed:
            seen = [Seen(crop.face.box, crop.thumb) for crop in crops]
            tracks = self._tracker.update(frame.time, seen, self._scene(frame.picture))
            for track in sorted(self._open.keys() - self._tracker.open):
                self._write(self._open.pop(track))
        for track, crop in zip(tracks, crops, strict=True):
            name = f"{self.source.name}{TRACK}{track}" if timed else self.source.name
            clip = self._open.setdefault(track, _Clip(name, self.options, self.dropped))
            clip.add(crop, f"{self.index:06d}-{track:05d}-{frame.number:07d}")

    def close(self) -> None:
        """Write what is still open."""
        for clip in self._open.values():
            self._write(clip)

    def _keep_pace(self, time: float) -> None:
        """Follow faces from frame to frame of a slow video too, as long as that is safe."""
        self._times.append(time)
        if len(self._times) > 1:
            seen = float(np.median(np.diff(self._times)))
            self._tracker.max_gap = _gap(max(_step(self.options.fps), min(SLOWEST, seen)))
            self._slow = self._slow or seen > self._tracker.max_gap

    def _crop(self, frame: Frame, face: Face) -> _Crop | None:
        try:
            square = face.crop()
        except ValueError:
            self.dropped["bad landmarks"] += 1
            return None
        stored = stored_size(self.options.size, self.options.margin)
        picture = cut(frame.picture, square.expand(self.options.margin), stored)
        row = {
            "frame": frame.number,
            "time": frame.time,
            "box": face.box,
            "landmarks": face.landmarks,
            "crop": np.array([square.x, square.y, square.side]),
            "sharpness": sharpness(picture, self.options.size),
            "score": face.score,
        }
        return _Crop(face, picture, thumbnail(picture), row)

    def _write(self, clip: _Clip) -> None:
        if len(clip.entries) < self._fewest:
            self.dropped["too far apart" if self._slow else "lone"] += len(clip.entries)
            return
        for key, jpeg, row in clip.entries:
            self.shard.add(key, jpeg, {**row, "person": self.source.person, "clip": clip.name})
        self.kept += len(clip.entries)


def _interval(source: Source, fps: float) -> float:
    """Seconds between two frames taken, about; of a video, until its frames have told."""
    steps = np.diff(source.numbers)
    own = float(np.median(steps)) / source.rate if source.rate and len(steps) else 0.04
    return max(own, _step(fps))


def _step(fps: float) -> float:
    return 1 / fps if fps else 0.0


def _gap(interval: float) -> float:
    """Seconds for which a track waits: its face may be missed twice in a row."""
    return 0.1 + 3 * interval


@dataclass(frozen=True)
class _Crop:
    """A face as it would be stored."""

    face: Face
    picture: UInt8[np.ndarray, "s s 3"]
    thumb: Float[np.ndarray, "16 16 3"]
    row: Row


class _Clip:
    """The frames of one clip: no near duplicates, and at most ``max_frames``, evenly spread."""

    def __init__(self, name: str, options: CropOptions, dropped: Counter[str]) -> None:
        self.name, self.options, self.dropped = name, options, dropped
        self.entries: list[tuple[str, bytes, Row]] = []
        self._recent: deque[np.ndarray] = deque(maxlen=REMEMBERED)
        self._taken, self._stride = 0, 1

    def add(self, crop: _Crop, key: str) -> None:
        """Keep a crop, unless it shows nothing new."""
        options = self.options
        if any(np.abs(crop.thumb - other).mean() < options.min_change for other in self._recent):
            self.dropped["duplicate"] += 1
            return
        self._recent.append(crop.thumb)
        self._taken += 1
        if (self._taken - 1) % self._stride:
            self.dropped["limit"] += 1
            return
        self.entries.append((key, encode(crop.picture, options.quality), crop.row))
        if len(self.entries) > options.max_frames:
            self.dropped["limit"] += len(self.entries) // 2
            self.entries, self._stride = self.entries[::2], self._stride * 2


def thumbnail(picture: UInt8[np.ndarray, "s s 3"]) -> Float[np.ndarray, "16 16 3"]:
    """A crop at 16x16 pixels, values 0..255: enough to tell whether two show the same."""
    return np.asarray(Image.fromarray(picture).resize((16, 16), Image.Resampling.BOX), np.float32)


def sharpness(picture: UInt8[np.ndarray, "s s 3"], size: int) -> float:
    """Variance of the Laplacian of the inner ``size`` pixels, grey values 0..255: low where the face is blurred."""
    rim = (len(picture) - size) // 2
    grey = picture[rim : rim + size, rim : rim + size].astype(np.float32).mean(axis=2)
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    return float(laplacian.var())
