"""How many frames a second ``facecycle prepare`` takes, with detection on every frame, and how much memory.

    python benchmarks/prepare.py [--photos FOLDER] [--seconds 20]

Draws videos of 640x360 pixels in which two heads move: of the portraits in FOLDER, or else synthetic ones. To reach:
25 frames/s on two cores, and memory that does not grow with the video's length.

On a machine that others use at the same time the wall clock says little; the cost in processor time still does.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image

from facecycle.data.pictures import read_picture
from facecycle.data.prepare import cores

RATE = 25


def heads(photos: Path | None) -> list[Image.Image]:
    """Portraits 200 pixels high."""
    if photos is None:
        from facecycle.synthetic.stream import SyntheticFaces

        faces = SyntheticFaces(people=4, clips_per_person=1, frames_per_item=2, size=128, seed=0)
        pictures = [faces[0, index][0].transpose(1, 2, 0) for index in range(4)]
    else:
        files = [file for file in sorted(photos.rglob("*")) if file.suffix.lower() in (".jpg", ".png")]
        pictures = [read_picture(file) for file in files[:4]]
    images = [Image.fromarray(np.ascontiguousarray(picture)) for picture in pictures]
    return [image.resize((round(200 * image.width / image.height), 200)) for image in images]


def draw(path: Path, portraits: list[Image.Image], seconds: float) -> Path:
    """A video in which the first two portraits move; its last one is another pair's scene."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for frame in frames(portraits, round(seconds * RATE)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def frames(portraits: list[Image.Image], count: int) -> Iterator[np.ndarray]:
    """Two heads on a textured wall."""
    noise = np.random.Generator(np.random.Philox(0)).integers(60, 160, (18, 32, 3), np.uint8)
    wall = Image.fromarray(noise).resize((640, 360), Image.Resampling.BICUBIC)
    for k in range(count):
        picture = wall.copy()
        for side, portrait in enumerate(portraits[:2]):
            x, y = 40 + 320 * side + 60 * np.sin(k / 20 + side), 80 + 60 * np.cos(k / 27 + side)
            picture.paste(portrait, (round(x), round(y)))
        yield np.asarray(picture)


def run(sources: list[Path], out: Path, workers: int) -> tuple[float, float, float]:
    """Seconds, processor seconds and peak memory in MiB of the largest process of a ``facecycle prepare``."""
    words = [*map(str, sources), str(out), "--fps", "0", "--min-change", "0", "--workers", str(workers)]
    code = "from facecycle.cli import main; main()"
    before, started = os.times(), time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, "prepare", *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds, after = time.perf_counter() - started, os.times()
    if status:
        raise SystemExit("prepare failed, see above")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, spent, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="portraits, searched below this folder")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a video")
    options = parser.parse_args()
    here = cores()
    print(
        f"{platform.processor() or platform.machine()}, {platform.node()}, {here} cores, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder, portraits = Path(name), heads(options.photos)
        videos = [draw(folder / f"{k}.mp4", portraits[k:] + portraits[:k], options.seconds) for k in range(2)]
        seconds, spent, _ = run(videos, folder / "set", workers=2)
        count = round(2 * options.seconds * RATE)
        print(
            f"{count} frames of 640x360, two faces each, all detected: {count / seconds:.0f} frames/s (two processes)"
        )
        print(f"processor time: {1000 * spent / count:.1f} ms a frame; two idle cores {2 * count / spent:.0f} frames/s")
        for length in (1, 4):
            video = draw(folder / f"long{length}.mp4", portraits, length * options.seconds)
            _, _, memory = run([video], folder / f"set{length}", workers=1)
            print(f"peak memory, one video of {length * options.seconds:.0f} s: {memory:.0f} MiB")


if __name__ == "__main__":
    main()
