"""Real files for the tests: videos encoded on the fly, made of real faces where those are at hand."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from real import REAL

needs_real_faces = pytest.mark.skipif(not REAL.is_dir(), reason=f"no photographs at {REAL}; set FACECYCLE_REAL_FACES")

CODECS = {".mp4": "libx264", ".mov": "libx264", ".mkv": "libx264", ".webm": "libvpx", ".avi": "mpeg4"}


def portrait(index: int, smiling: bool = False) -> Image.Image:
    """The head of one of the 40 people of the London set, 300 pixels high."""
    folder = REAL / "london" / ("smiling_front" if smiling else "neutral_front")
    image = Image.open(sorted(folder.glob("*.jpg"))[index]).convert("RGB")
    width, height = image.size
    return image.crop((round(0.18 * width), round(0.05 * height), round(0.82 * width), height)).resize((200, 300))


def scene(
    people: Iterable[tuple[int, float, float]], shade: int = 90, size: tuple[int, int] = (640, 360)
) -> np.ndarray:
    """A frame with heads in it: (person, x, y) of each one's top left corner, later ones in front."""
    frame = Image.new("RGB", size, (shade, shade // 2 + 40, 200 - shade))
    for person, x, y in people:
        frame.paste(portrait(person), (round(x), round(y)))
    return np.asarray(frame)


def walk(count: int, person: int = 0, shade: int = 90) -> list[np.ndarray]:
    """One head going to and fro."""
    return [scene([(person, 220 + 120 * np.sin(k / 15), 20 + 20 * np.cos(k / 9))], shade) for k in range(count)]


def blobs(count: int, size: tuple[int, int] = (96, 64)) -> list[np.ndarray]:
    """Frames without a face, each another colour and place."""
    frames = []
    for k in range(count):
        frame = np.full((size[1], size[0], 3), (40 + 3 * k) % 256, np.uint8)
        frame[10:30, (5 * k) % 60 : (5 * k) % 60 + 20] = (200, 30, 60)
        frames.append(frame)
    return frames


def write_video(
    path: Path,
    frames: list[np.ndarray],
    rate: int = 25,
    times: list[float] | None = None,
    options: dict[str, str] | None = None,
    title: str = "",
) -> Path:
    """Encode frames; ``times`` in seconds makes the frame rate variable."""
    with av.open(str(path), "w", options=options or {}) as container:
        container.metadata.update({"title": title} if title else {})
        stream = container.add_stream(CODECS[path.suffix], rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000 if times else rate)
        if path.suffix != ".avi":
            stream.codec_context.gop_size = 5
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = round(times[index] * 1000) if times else index
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """A file with sound and no pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        for index in range(10):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 16000, index * 1024
            container.mux(stream.encode(samples))
        container.mux(stream.encode())
    return path


def colours(root: Path, people: int = 20, photos: int = 3) -> Path:
    """Photos that need no detector: ``person/photo.png``."""
    for person in range(people):
        folder = root / f"p{person:02d}"
        folder.mkdir(parents=True)
        for photo in range(photos):
            picture = np.random.Generator(np.random.Philox([person, photo])).integers(0, 255, (9, 9, 3), np.uint8)
            Image.fromarray(picture).resize((70, 70), Image.Resampling.BICUBIC).save(folder / f"{photo}.png")
    return root
