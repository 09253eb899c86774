"""From one source to the rows of a face set: read, detect, track, crop, and keep what is worth keeping."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from facecycle.data.clips import ClipWriter, CropOptions
from facecycle.data.detect import Detector, Face, main_face
from facecycle.data.frames import Frame, ReadLog, read_frames
from facecycle.data.shards import FrameSink, Row
from facecycle.data.sources import Source
from facecycle.data.track import overlaps

ON_TRACK = 0.1  # overlap with the box of a track file from which a face is the speaker's


def extract_source(
    source: Source,
    index: int,
    shard: FrameSink,
    detector: Detector,
    options: CropOptions,
    on_frame: Callable[[], None] = lambda: None,
) -> Row:
    """Add all faces of a source to a shard.

    Args:
        source, index: what to read, and its place among all sources, for unique keys.
        shard: where the frames go.
        detector: finds the faces.
        options: what to keep.
        on_frame: called for every frame read; what it raises ends the work.

    Returns:
        Its row for ``sources.jsonl``. The status is "ok", "partial" (kept what came before or around damage), "empty"
        (nothing to keep) or "failed" (not readable).
    """
    started, log = time.perf_counter(), ReadLog()
    clips = ClipWriter(source, index, shard, options)
    frames = faces = 0
    try:
        for frame in read_frames(source, options.fps, log):
            on_frame()
            found = detector(frame.picture)
            frames, faces = frames + 1, faces + len(found)
            clips.add(frame, _choose(source, frame, found, options, clips.dropped))
    except MemoryError:
        log.problem = "its pictures are too large for the memory there is"
    clips.close()
    clips.dropped.update({"unreadable": log.unreadable, "off track": log.off_track})
    status, reason = _status(frames, clips, log)
    return {
        **{"name": source.name, "person": source.person, "status": status, "reason": reason},
        "frames": frames,
        "faces": faces,
        "kept": clips.kept,
        "dropped": {name: count for name, count in sorted(clips.dropped.items()) if count},
        "seconds": round(time.perf_counter() - started, 3),
    }


def _status(frames: int, clips: ClipWriter, log: ReadLog) -> tuple[str, str]:
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
