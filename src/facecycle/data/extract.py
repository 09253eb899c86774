"""From one source to the rows of a face set: read, detect, track, crop, and keep what is worth keeping."""

from __future__ import annotations

import io
import math
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from facecycle.data.crop import cut
from facecycle.data.detect import Detector, Face, main_face
from facecycle.data.faceset import stored_size
from facecycle.data.frames import Frame, ReadLog, read_frames
from facecycle.data.shards import Row, ShardWriter
from facecycle.data.sources import Source
from facecycle.data.track import SceneChange, Tracker, overlaps

REMEMBERED = 32  # frames of a clip against which a new one is compared
ON_TRACK = 0.1  # overlap with the box of a track file from which a face is the speaker's


@dataclass(frozen=True)
class CropOptions:
    """What decides which frames are kept and what they look like.

    Attributes:
        size: pixels of a crop as the networks see it, 64 to 256.
        margin: how much larger it is stored, for jitter in training.
        fps: frames taken per second of video; 0 takes all.
        min_face: pixels of the shorter side of a face's box below which it is left out.
        min_change: mean absolute difference (of 255, at 16x16 pixels, grey) below which a frame is a duplicate.
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


def extract_source(
    source: Source,
    index: int,
    shard: ShardWriter,
    detector: Detector,
    options: CropOptions,
    on_frame: Callable[[], None] = lambda: None,
) -> Row:
    """Add all faces of a source to a shard.

    Args:
        source: what to read.
        index: its place among all sources, for unique keys.
        shard: where the frames go.
        detector: finds the faces.
        options: what to keep.
        on_frame: called for every frame read; what it raises ends the work.

    Returns:
        The source's row for ``sources.jsonl``: name, person, status, reason, frames, faces, kept, dropped, seconds.
        The status is "ok", "partial" (kept what came before or around damage), "empty" (nothing to keep) or "failed".
    """
    started, log = time.perf_counter(), ReadLog()
    clips = _Clips(source, index, shard, options)
    frames = faces = 0
    for frame in read_frames(source, options.fps, log):
        on_frame()
        found = detector(frame.picture)
        frames, faces = frames + 1, faces + len(found)
        clips.add(frame, _choose(source, frame, found, options, clips.dropped))
    clips.close()
    clips.dropped.update({"unreadable": log.unreadable, "off track": log.off_track})
    status, reason = _status(frames, clips, log)
    return {
        "name": source.name,
        "person": source.person,
        "status": status,
        "reason": reason,
        "frames": frames,
        "faces": faces,
        "kept": clips.kept,
        "dropped": {name: count for name, count in sorted(clips.dropped.items()) if count},
        "seconds": round(time.perf_counter() - started, 3),
    }


def _status(frames: int, clips: _Clips, log: ReadLog) -> tuple[str, str]:
    if clips.kept:
        return ("partial", log.problem) if log.problem else ("ok", log.note or "")
    if log.problem or not frames:
        return "failed", log.problem or "no frame in it"
    why = clips.dropped.most_common(1)
    return "empty", f"nothing kept of {frames} frames: {why[0][0]}" if why else "nothing kept"


def _choose(source: Source, frame: Frame, found: list[Face], options: CropOptions, dropped: Counter) -> list[Face]:
    """The faces of a frame that belong to the source and are large enough."""
    if not found:
        dropped["no face"] += 1
        return []
    if frame.box is not None:
        shares = overlaps(frame.box[None], np.stack([face.box for face in found]))[0]
        found = [found[int(shares.argmax())]] if shares.max() >= ON_TRACK else []
        dropped["off track"] += not found
    elif source.portrait:
        height, width = frame.picture.shape[:2]
        found = [main_face(found, width, height)]
    large = [face for face in found if face.size >= options.min_face]
    dropped["small"] += len(found) - len(large)
    return large


class _Clips:
    """The open clips of one source: faces come in frame by frame, each clip is written when its track ends."""

    def __init__(self, source: Source, index: int, shard: ShardWriter, options: CropOptions) -> None:
        self.source, self.index, self.shard, self.options = source, index, shard, options
        self.dropped: Counter[str] = Counter()
        self.kept = 0
        # Pictures come as slowly as they were taken; a face must be missed twice before its track ends.
        step = 1 / options.fps if options.fps and source.video else 1.0 if source.rate else 0.1
        self._tracker = Tracker(max_gap=0.1 + 2 * step)
        self._scene = SceneChange()
        self._open: dict[int, _Clip] = {}

    def add(self, frame: Frame, faces: list[Face]) -> None:
        """Take the faces of the next frame."""
        timed = not math.isnan(frame.time)
        tracks = [0] * len(faces)
        if timed:
            tracks = self._tracker.update(frame.time, faces, self._scene(frame.picture))
        for track, face in zip(tracks, faces, strict=True):
            name = f"{self.source.name}#{track}" if timed else self.source.name
            clip = self._open.setdefault(track, _Clip(name, self.options, self.dropped))
            try:
                clip.add(frame, face, f"{self.index:06d}-{track:05d}-{frame.number:07d}")
            except ValueError:
                self.dropped["bad landmarks"] += 1
        if timed:
            for track in self._open.keys() - self._tracker.open:
                self._write(self._open.pop(track), fewest=2)

    def close(self) -> None:
        """Write what is still open."""
        for clip in self._open.values():
            self._write(clip, fewest=2 if self.source.video else 1)

    def _write(self, clip: _Clip, fewest: int) -> None:
        if len(clip.entries) < fewest:  # a lone detection is no track
            self.dropped["lone"] += len(clip.entries)
            return
        for key, jpeg, row in clip.entries:
            self.shard.add(key, jpeg, {**row, "person": self.source.person, "clip": clip.name})
        self.kept += len(clip.entries)


class _Clip:
    """The frames of one clip: no near duplicates, and at most ``max_frames``, evenly spread."""

    def __init__(self, name: str, options: CropOptions, dropped: Counter[str]) -> None:
        self.name, self.options, self.dropped = name, options, dropped
        self.entries: list[tuple[str, bytes, Row]] = []
        self._recent: deque[np.ndarray] = deque(maxlen=REMEMBERED)
        self._seen, self._stride = 0, 1

    def add(self, frame: Frame, face: Face, key: str) -> None:
        """Crop a face and keep it, unless it shows nothing new.

        Raises:
            ValueError: its landmarks give no crop.
        """
        options, crop = self.options, face.crop()
        stored = stored_size(options.size, options.margin)
        picture = cut(frame.picture, crop.expand(options.margin), stored)
        thumb = np.asarray(Image.fromarray(picture).convert("L").resize((16, 16), Image.Resampling.BOX), np.float32)
        if any(np.abs(thumb - other).mean() < options.min_change for other in self._recent):
            self.dropped["duplicate"] += 1
            return
        self._recent.append(thumb)
        self._seen += 1
        if (self._seen - 1) % self._stride:
            self.dropped["limit"] += 1
            return
        row = {
            "frame": frame.number,
            "time": frame.time,
            "box": face.box,
            "landmarks": face.landmarks,
            "crop": np.array([crop.x, crop.y, crop.side]),
            "sharpness": sharpness(picture, options.size),
            "score": face.score,
        }
        self.entries.append((key, encode(picture, options.quality), row))
        if len(self.entries) > options.max_frames:
            before = len(self.entries)
            self.entries, self._stride = self.entries[::2], self._stride * 2
            self.dropped["limit"] += before - len(self.entries)


def sharpness(picture: UInt8[np.ndarray, "s s 3"], size: int) -> float:
    """Variance of the Laplacian of the inner ``size`` pixels, grey values 0..255: low where the face is blurred."""
    rim = (len(picture) - size) // 2
    grey = picture[rim : rim + size, rim : rim + size].astype(np.float32).mean(axis=2)
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    return float(laplacian.var())


def encode(picture: UInt8[np.ndarray, "s s 3"], quality: int) -> bytes:
    """JPEG with full colour resolution: at 64 pixels, halving it blurs eyes and lips."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
