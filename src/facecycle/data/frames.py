"""A source as a stream of frames, in order and one at a time: memory does not grow with its length."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from facecycle.data.pictures import PictureError, read_picture
from facecycle.data.sources import VOXCELEB_RATE, Source
from facecycle.errors import FaceCycleError

# Lists of other files and addresses: ffmpeg would follow them.
LISTS = frozenset({"concat", "hls", "dash", "sdp", "rtsp", "imf"})


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    Attributes:
        number: counts the frames of a video, or as the picture's name says.
        time: seconds from the first frame; NaN for photos.
        picture: upright RGB.
        box: where a track file says the face is (x, y, width, height in pixels); None if there is none.
    """

    number: int
    time: float
    picture: UInt8[np.ndarray, "h w 3"]
    box: Float[np.ndarray, " 4"] | None = None


@dataclass
class ReadLog:
    """What happened while reading, filled in by `read_frames`.

    Attributes:
        unreadable: pictures, or packets of a video, that could not be decoded.
        off_track: frames that the track file leaves out.
        problem: why the source is not whole; None if it is.
        note: something worth telling that is no fault.
    """

    unreadable: int = 0
    off_track: int = 0
    problem: str | None = None
    note: str | None = None


def read_frames(source: Source, fps: float, log: ReadLog) -> Iterator[Frame]:
    """The frames of ``source``, thinned to ``fps`` a second where they have times (0: all).

    Damage never raises: what could be read before it, or around it, is given, and ``log`` says what was lost.
    """
    if source.problem:
        log.problem = source.problem
    elif source.video:
        yield from _video_frames(source, fps, log)
    else:
        yield from _picture_frames(source, fps, log)


def as_file(path: str | Path) -> str:
    """How ffmpeg is told of a path: said to be a file, no colon in its name is taken for a protocol."""
    return f"file:{path}"


def _picture_frames(source: Source, fps: float, log: ReadLog) -> Iterator[Frame]:
    clock = _Clock(fps)
    for number, file in zip(source.numbers, source.files, strict=True):
        time = (number - source.numbers[0]) / source.rate if source.rate else math.nan
        if not clock.due(time):
            continue
        try:
            yield Frame(number, time, read_picture(file))
        except PictureError as error:
            log.unreadable += 1
            log.problem = log.problem or str(error)


class _Clock:
    """Chooses frames at a steady rate by their times, whatever rate they come at."""

    def __init__(self, fps: float) -> None:
        self.step, self.next = (1 / fps if fps else 0.0), 0.0

    def due(self, time: float) -> bool:
        if math.isnan(time) or not self.step:
            return True
        if time < self.next - 1e-6:
            return False
        self.next += self.step * (math.floor((time - self.next) / self.step + 1e-6) + 1)
        return True


def _video_frames(source: Source, fps: float, log: ReadLog) -> Iterator[Frame]:
    try:
        import av
        import av.error
    except ImportError:
        raise FaceCycleError(f"{source.files[0]}: reading videos needs PyAV: pip install 'facecycle[video]'") from None
    try:
        # Tags may be in any encoding.
        with av.open(as_file(source.files[0]), metadata_errors="replace") as container:
            if LISTS & set(container.format.name.split(",")):
                log.problem = "no video but a list of others"
                return
            if not container.streams.video:
                log.problem = "no pictures in it" + (", sound only" if container.streams.audio else "")
                return
            stream = _pictures(container)
            if stream.codec_context is None:
                log.problem = "cannot be opened as a video: its codec is not known here"
                return
            stream.codec_context.thread_count = 1  # the processes are the parallelism
            try:
                tracks = _Tracks.read(source.tracks, _seconds(stream, container)[0]) if source.tracks else None
            except OSError as error:
                log.problem = f"{source.tracks}: {error.strerror}"
                return
            yield from _decode(container, stream, _Clock(fps), tracks, log)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        log.problem = f"cannot be opened as a video: {getattr(error, 'strerror', None) or error}"


def _decode(container: Any, stream: Any, clock: _Clock, tracks: _Tracks | None, log: ReadLog) -> Iterator[Frame]:
    number, start, time, moment, longest, own = -1, None, 0.0, 0.0, 0.0, 0.0
    for number, frame in enumerate(_decoded(container, stream, log)):
        before, moment = moment, frame.time if frame.time is not None else number / float(stream.average_rate or 25)
        start, longest = (moment, 0.0) if start is None else (start, max(longest, moment - before))
        time, own = moment - start, _lasts(frame)
        if not clock.due(time):
            continue
        at = round(time * VOXCELEB_RATE)
        if tracks and at not in tracks:
            log.off_track += 1
            continue
        picture = _upright(frame, stream)
        box = tracks.box(at, picture.shape[1], picture.shape[0]) if tracks else None
        if tracks and box is None:
            log.note = "the track file is for another picture size: the main face was taken"
        yield Frame(number, time, picture, box)
    expected, slack = _seconds(stream, container)
    if number < 0:
        log.problem = log.problem or "no frame in it can be decoded"
    elif log.unreadable:
        log.problem = log.problem or f"damaged: {log.unreadable} packets could not be decoded"
    elif max(time, moment) + max(own, 2 * longest) < 0.9 * expected - slack:
        log.problem = f"cut short: pictures end at {time:.1f} of {expected:.1f} s"


def first_frame(path: str | Path) -> tuple[float, float]:
    """When the first frame of a video that can be decoded is shown, and for how long, in seconds; 0 where none says.

    By the clock that its sound goes by too. Headers may say another time: that of the sound, where pictures begin much
    later.
    """
    import av
    import av.error

    try:
        with av.open(as_file(path), metadata_errors="replace") as container:
            stream = _pictures(container)
            frame = next(_decoded(container, stream, ReadLog()), None) if stream.codec_context else None
            return (float(frame.time or 0.0), _lasts(frame)) if frame else (0.0, 0.0)
    except (av.error.FFmpegError, OSError, ValueError):
        return 0.0, 0.0


def _lasts(frame: Any) -> float:
    """For how long a frame is shown, in seconds; 0 if it does not say."""
    return float((frame.duration or 0) * (frame.time_base or 0))


def _pictures(container: Any) -> Any:
    """The stream of pictures that is read, where there is one."""
    return container.streams.best("video") or container.streams.video[0]  # not a cover


def _decoded(container: Any, stream: Any, log: ReadLog) -> Iterator[Any]:
    """All frames that can be decoded; damaged packets are counted and passed over."""
    import av.error

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError as error:
            log.problem = f"damaged: {error.strerror}"
            return
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            log.unreadable += 1


def _upright(frame: Any, stream: Any) -> UInt8[np.ndarray, "h w 3"]:
    """A decoded frame as people see it: turned as its side data says, with square pixels."""
    picture = frame.to_ndarray(format="rgb24")
    aspect = float(stream.sample_aspect_ratio or 1)
    if aspect > 0 and abs(aspect - 1) > 0.01:
        height, width = picture.shape[:2]
        picture = np.asarray(Image.fromarray(picture).resize((max(1, round(width * aspect)), height)))
    turns = round(frame.rotation / 90) % 4  # counter-clockwise, as rot90
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def _seconds(stream: Any, container: Any) -> tuple[float, float]:
    """How long the file says its pictures last (0 if it does not), and by how much that may be too long."""
    if stream.duration:
        return float(stream.duration * stream.time_base), 0.0
    tag = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))  # Matroska, by some writers
    if tag:
        return 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3]), 0.0
    sound_alone = 1.0 if container.streams.audio else 0.0  # it may go on after the pictures
    return (container.duration / 1e6 if container.duration else 0.0), sound_alone


@dataclass(frozen=True)
class _Tracks:
    """A VoxCeleb track file: after a header, rows of FRAME X Y W H, in pixels or in shares of the picture.

    Frames are counted at `VOXCELEB_RATE`, whatever the rate of the video.
    """

    numbers: Int[np.ndarray, " n"]
    boxes: Float[np.ndarray, "n 4"]

    @classmethod
    def read(cls, path: str, seconds: float) -> _Tracks | None:
        """Read a track file; None if it has no rows.

        The frames are numbered in the video they were found in. Where that is not this one (it is too short to hold
        them), it was cut to the track, and its first frame is the track's first.
        """
        rows = []
        for line in Path(path).read_text(errors="replace").splitlines():
            try:
                numbers = [float(word) for word in line.split()]
            except ValueError:
                continue  # the header
            if len(numbers) >= 5:
                rows.append(numbers[:5])
        if not rows:
            return None
        table = np.array(rows)
        first = 0 if round(seconds * VOXCELEB_RATE) > table[-1, 0] else table[0, 0]
        return cls((table[:, 0] - first).astype(np.int64), table[:, 1:])

    def __contains__(self, number: int) -> bool:
        at = int(np.searchsorted(self.numbers, number))
        return at < len(self.numbers) and int(self.numbers[at]) == number

    def box(self, number: int, width: int, height: int) -> Float[np.ndarray, " 4"] | None:
        """The box in a picture of this size; None if the boxes do not fit into it."""
        scale = np.array([width, height] * 2) if self.boxes.max() <= 2 else np.ones(4)
        x, y, w, h = box = self.boxes[np.searchsorted(self.numbers, number)] * scale
        inside = x + w / 2 < width and y + h / 2 < height and w <= 1.5 * width and h <= 1.5 * height
        return box if inside else None
