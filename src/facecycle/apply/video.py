"""Remade frames -> a video with the times and the sound of the one they came from; one frame is in memory at a time."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from facecycle.apply.inputs import OK
from facecycle.apply.remake import Faces
from facecycle.data.files import disk_space, new_beside
from facecycle.data.frames import as_file, first_frame
from facecycle.draw import MADE
from facecycle.errors import FaceCycleError

TICKS = 90_000  # a second: exact for all usual frame rates
CODECS = {".mp4": "libx264", ".mov": "libx264", ".m4v": "libx264", ".mkv": "libx264", ".webm": "libvpx-vp9"}


class ClipWriter:
    """Writes a video frame by frame, each shown at its own time; the file appears when it is whole.

    The last frame is shown for as long as the one before it, a single one for as long as the first of ``source``.

    Args:
        path: ends in .mp4, .mov, .m4v, .mkv or .webm.
        source: the video that the frames are made of; its sound is copied, packet by packet.

    Raises:
        FaceCycleError: another suffix, PyAV is missing, or, later on, FFmpeg cannot write it.
    """

    def __init__(self, path: Path, source: Path | None = None) -> None:
        try:
            import av
        except ImportError:
            raise FaceCycleError(f"{path}: writing videos needs PyAV: pip install 'facecycle[video]'") from None
        if path.suffix.lower() not in CODECS:
            raise FaceCycleError(f"{path}: videos are written as {', '.join(CODECS)}; choose one of these suffixes")
        self._av, self.path = av, path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._partial = new_beside(path)  # PyAV opens it much later, and does not say which file it could not open
        self._container = av.open(as_file(self._partial), "w")
        self._container.metadata["comment"] = MADE
        self._stream: Any = None
        self._last, self._step = -1, 0  # the time of the last frame and how long after another it came, in ticks
        self.frames = 0
        self._source = source
        self._sound = _Sound.open(source, self._container) if source else None

    @property
    def note(self) -> str | None:
        """What became of the sound, where it could not be copied."""
        return self._sound.note if self._sound else None

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        try:
            if kind is None and self._stream is not None:
                if self.frames == 1 and self._source:
                    self._step = round(first_frame(self._source)[1] * TICKS)
                with self._writing():
                    for packet in self._stream.encode():
                        if packet.pts == self._last and self._step:  # nothing else says when it ends
                            packet.duration = self._step
                        self._container.mux(packet)
                    if self._sound:
                        self._sound.copy_until(None)
                    self._container.close()
                self._partial.replace(self.path)
        finally:
            try:
                with suppress(self._av.error.FFmpegError):  # closing writes the end, of what is given up too
                    self._container.close()
                if self._sound:
                    self._sound.close()
            finally:
                self._partial.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """FFmpeg's errors as one that says what to do."""
        try:
            with disk_space(self.path):
                yield
        except self._av.error.FFmpegError as error:
            raise FaceCycleError(
                f"{self.path}: cannot be written as a video ({error.strerror}); choose another suffix, such as .mkv"
            ) from error

    def add(self, picture: UInt8[np.ndarray, "h w 3"], time: float) -> None:
        """Show ``picture`` from ``time`` (seconds) on; all have the size of the first."""
        stream = self._stream = self._stream or self._begin(picture)
        height, width = stream.height, stream.width
        if picture.shape[0] != height or picture.shape[1] != width:
            picture = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        before, self._last = self._last, max(self._last + 1, round(time * TICKS))
        self._step = self._last - before if self.frames else 0
        frame.pts = self._last
        frame.time_base = Fraction(1, TICKS)
        with self._writing():
            self._container.mux(stream.encode(frame))
            if self._sound:
                self._sound.copy_until(time)
        self.frames += 1

    def _begin(self, picture: np.ndarray) -> Any:
        codec = CODECS[self.path.suffix.lower()]
        # Where frames are stored in another order than shown, an .mp4 of a variable rate says a wrong length.
        options = {"crf": "18", "bf": "0"} if codec == "libx264" else {}
        stream: Any = self._container.add_stream(codec, rate=30, options=options)
        # Chroma is stored for two by two pixels: both sides must be even.
        stream.height, stream.width = (side + side % 2 for side in picture.shape[:2])
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        return stream


class _Sound:
    """The sound of a video, copied as it is, kept level with the pictures."""

    def __init__(self, source: Any, stream: Any, target: Any, out: Any, start: float) -> None:
        self._source, self._target, self._out, self._start = source, target, out, start
        self._packets = source.demux(stream)
        self._waiting: Any = None
        self.note: str | None = None

    @classmethod
    def open(cls, path: Path, target: Any) -> _Sound | None:
        import av
        from av.error import FFmpegError

        try:
            source = av.open(as_file(path))
        except (OSError, FFmpegError):  # the reader of its pictures says what is wrong with it
            return None
        if not source.streams.audio or not source.streams.video:
            source.close()
            return None
        stream, start = source.streams.audio[0], first_frame(path)[0]
        if not _fits(path, target.format.name):
            sound = cls(source, stream, target, None, start)
            codec = stream.codec_context.name if stream.codec_context else "its codec"  # None: not known to FFmpeg
            mend = "; use .mkv" if _fits(path, "matroska") else ""
            sound.note = f"sound left out: {codec} does not fit this kind of file{mend}"
            return sound
        return cls(source, stream, target, target.add_stream_from_template(stream), start)

    def copy_until(self, time: float | None) -> None:
        """Copy what is heard up to ``time``; None: all the rest."""
        from av.error import FFmpegError

        while self._out is not None:
            try:
                packet = self._waiting or next(self._packets, None)
            except FFmpegError as error:
                self.note, packet = f"sound breaks off: {error.strerror}", None
            self._waiting = None
            if packet is None:
                self._out = None
                return
            if packet.dts is None:  # the mark of the end
                continue
            if time is not None and float(packet.dts * packet.time_base) - self._start > time:
                self._waiting = packet
                return
            shift = round(self._start / packet.time_base)
            packet.dts -= shift
            packet.pts = packet.pts - shift if packet.pts is not None else None
            packet.stream = self._out
            self._target.mux(packet)

    def close(self) -> None:
        self._source.close()


def _fits(path: Path, format: str) -> bool:
    """Whether a file of such a format takes the sound of a video.

    FFmpeg's lists of codecs promise more than its formats keep: of some sounds the header is refused, of others the
    end of a file that holds any. So the first packet is written to such a file in memory.
    """
    import av
    from av.error import FFmpegError

    try:
        with av.open(as_file(path)) as source, av.open(io.BytesIO(), "w", format=format) as trial:
            stream = source.streams.audio[0]
            out = trial.add_stream_from_template(stream)
            packet = next(source.demux(stream))
            if packet.dts is not None:  # else there is none
                packet.stream = out
                trial.mux(packet)
    except (FFmpegError, ValueError):
        return False
    return True


def write_clip(
    batches: Iterator[Faces],
    name: str,
    out: Path,
    source: Path | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> list[tuple[str, str]]:
    """Write the frames of the video ``name`` (its file: ``source``): whole pictures where there are some, else faces.

    A frame without a face shows the last one that had one, so that times, and sound, stay right.

    Returns:
        What went wrong, by name: the number of frames without a face, damage of the video, sound that did not fit.

    Raises:
        FaceCycleError: no frame had a face.
    """
    faces, faceless, remarks, last = 0, 0, [], None
    with ClipWriter(out, source) as clip:
        for batch in batches:
            for row, status in enumerate(batch.status):
                on_frame()
                if np.isnan(batch.times[row]):
                    remarks.append((batch.names[row], status))
                    continue
                faces += status == OK
                faceless += status != OK
                if status == OK or batch.pictures[row] is not None:
                    whole = batch.pictures[row]
                    last = batch.faces[row] if whole is None else whole
                if last is not None:
                    clip.add(last, float(batch.times[row]))
        if not faces:
            why = remarks[0] if remarks else (name, f"no face in any of {faceless} frames")
            raise FaceCycleError(": ".join(why))
    if clip.note:
        remarks.append((str(out), clip.note))
    if faceless:
        remarks.append((name, f"{faceless} frames without a face"))
    return remarks
