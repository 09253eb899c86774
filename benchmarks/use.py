"""What using weights costs: one crop, batches, a photo with detection, faces made, memory over a folder.

    python benchmarks/use.py [--weights facecycle-synthetic] [--memory]

To reach: one 64 px crop, both codes, on one core, 12 ms eager and 6 ms on onnxruntime; batches of 64 on two cores, 300
faces/s on onnxruntime; a photo of 640x480 to codes with detection on two cores, 40 ms; memory that does not grow with
the number of pictures. Every figure is a median; each part runs in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

PARTS = {"eager": 1, "onnx": 1, "batch": 2, "photo": 2, "faces": 1}  # and on how many cores


def median_ms(work: Callable[[], object], repeats: int) -> float:
    """Median milliseconds of a call, after a few to warm up."""
    for _ in range(5):
        work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def portrait(width: int = 640, height: int = 480) -> np.ndarray:
    """A synthetic head in a larger picture."""
    from facecycle.synthetic.stream import SyntheticFaces

    head = SyntheticFaces(1, 1, 1, 256, margin=1.0, seed=2)[0, 0][0].transpose(1, 2, 0)
    page = Image.new("RGB", (width, height), (110, 120, 130))
    page.paste(Image.fromarray(np.ascontiguousarray(head)), ((width - 256) // 2, (height - 256) // 2))
    return np.asarray(page)


def measure(part: str, weights: str, onnx: str) -> None:
    """One part, in this process."""
    from facecycle import FaceCycle

    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 64, 3), dtype=np.uint8)
    if part == "photo":
        fc, picture = FaceCycle.from_pretrained(weights, "cpu"), portrait()
        print(f"photo of 640x480 to codes with detection: {median_ms(lambda: fc.embed(picture), 30):.1f} ms")
        return
    if part == "faces":
        fc, faces = FaceCycle.from_pretrained(weights, "cpu"), [portrait()] * 16
        for size in (64, 256, 512):
            frontal, moved = (
                median_ms(partial(verb, batch_size=16, size=size), 3) / 16
                for verb in (partial(fc.frontalize, faces), partial(fc.translate, faces[0], faces))
            )
            print(f"a face of {size} px made, detection included: frontal {frontal:.1f} ms, translated {moved:.1f} ms")
        return
    fc = FaceCycle.from_pretrained(weights if part == "eager" else onnx, "cpu")
    if part == "batch":
        took = median_ms(lambda: fc.encoders.encode(crop), 20)
        print(f"batch of 64, both codes, onnxruntime: {64_000 / took:.0f} faces/s")
        return
    one = crop[:1]
    print(f"one crop, both codes, {part}: {median_ms(lambda: fc.encoders.encode(one), 100):.2f} ms")


def memory(weights: str, count: int) -> None:
    """Peak memory of embedding a folder of so many pictures."""
    from facecycle import FaceCycle

    with tempfile.TemporaryDirectory() as folder:
        picture = Image.fromarray(portrait(320, 320))
        for index in range(count):
            picture.save(Path(folder) / f"{index:05d}.jpg", quality=80)
        fc = FaceCycle.from_pretrained(weights, "cpu")
        for _ in fc.embed_batches(folder):
            pass
    print(f"{count} pictures: peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def video_memory(weights: str, count: int) -> None:
    """Peak memory of frontalizing a video of so many frames; the video is drawn by another process."""
    from facecycle import FaceCycle
    from facecycle.apply.save import save_remade

    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "in.mp4", Path(folder) / "out.mp4"
        draw = f"import use; use.draw_video({str(source)!r}, {count})"
        subprocess.run([sys.executable, "-c", draw], cwd=Path(__file__).parent, check=True)
        fc = FaceCycle.from_pretrained(weights, "cpu")
        save_remade(fc.read(source).items, lambda item: fc.remake_batches("frontalize", item, batch_size=16), out)
    print(f"video of {count} frames: peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def draw_video(path: str, count: int) -> None:
    """A synthetic head, the same few frames again and again."""
    import av

    from facecycle.synthetic.stream import SyntheticFaces

    frames = [np.ascontiguousarray(f.transpose(1, 2, 0)) for f in SyntheticFaces(1, 1, 16, 160, margin=1.0)[0, 0]]
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 160, 160, "yuv420p"
        for index in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frames[index // 8 % 16], format="rgb24")))
        container.mux(stream.encode())


def run(arguments: list[str], cores: int) -> None:
    """This script again, on so many cores."""
    threads = {"OMP_NUM_THREADS": str(cores), "OMP_WAIT_POLICY": "PASSIVE"}
    limit = ["taskset", "-c", ",".join(map(str, range(cores)))] if sys.platform == "linux" else []
    subprocess.run([*limit, sys.executable, __file__, *arguments], env={**os.environ, **threads}, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="facecycle-synthetic")
    parser.add_argument(
        "--memory",
        action="store_true",
        help="also measure memory over 500 and 10,000 pictures and frames (a quarter of an hour)",
    )
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--onnx", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part in PARTS:
        measure(options.part, options.weights, options.onnx)
        return
    if options.part:
        kind, _, count = options.part.partition(":")
        (video_memory if kind == "frames" else memory)(options.weights, int(count))
        return
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, weights {options.weights}", flush=True
    )
    from facecycle.apply.export import export
    from facecycle.hub import find_weights

    with tempfile.TemporaryDirectory() as folder:
        export(find_weights(options.weights), Path(folder), "onnx")
        onnx = str(next(Path(folder).glob("*encoders*.onnx")))
        for part, cores in PARTS.items():
            run(["--weights", options.weights, "--onnx", onnx, "--part", part], cores)
    if options.memory:
        for part in ("pictures:500", "pictures:10000", "frames:500", "frames:10000"):
            run(["--weights", options.weights, "--part", part], 2)


if __name__ == "__main__":
    main()
