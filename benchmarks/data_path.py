"""How many images a second the data path gives: decode, crop jitter, augmentation, batch.

    python benchmarks/data_path.py [FACESET] [--batch 32] [--seconds 5]

Without a face set, one of noise at 64 pixels is drawn first: noise makes larger JPEGs than faces, so that the figure
errs on the slow side. To reach: 3,000 images/s at 64 pixels on two cores.

On a machine that others use at the same time the wall clock says little; the cost in processor time still does.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from facecycle.config import AugmentConfig
from facecycle.data.faceset import FaceSet, ShardWriter, finish_faceset, write_faceset
from facecycle.data.pairs import FacePairs, PairLoader
from facecycle.data.prepare import cores
from facecycle.train.augment import augment

COLOURS = AugmentConfig(brightness=0.1, contrast=0.1, grey=0.1)  # everything switched on


def draw_faceset(root: Path, clips: int = 100, frames: int = 20) -> FaceSet:
    """Smooth noise, about as detailed as a photo."""
    write_faceset(root, size=64, margin=0.25, licence="CC0", origin="benchmark")
    generator = np.random.Generator(np.random.Philox(0))
    with ShardWriter(root, 0) as shard:
        for clip in range(clips):
            for frame in range(frames):
                small = Image.fromarray(generator.integers(0, 255, (24, 24, 3), np.uint8))
                buffer = io.BytesIO()
                small.resize((80, 80), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95, subsampling=0)
                zeros = {"box": np.zeros(4), "landmarks": np.zeros((5, 2)), "crop": np.zeros(3)}
                row = {"person": f"{clip}", "clip": f"{clip}", "frame": frame, "time": frame / 5, **zeros}
                shard.add(f"{clip}_{frame}", buffer.getvalue(), {**row, "sharpness": 0.0, "score": 1.0})
    finish_faceset(root, 1)
    return FaceSet.open(root)


def rate(step: Callable[[], int], seconds: float, clock: Callable[[], float] = time.perf_counter) -> float:
    """Images per second of ``clock`` that ``step`` gives, after a warm-up."""
    for _ in range(5):
        step()
    images, started, began = 0, time.perf_counter(), clock()
    while time.perf_counter() - started < seconds:
        images += step()
    return images / (clock() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faceset", nargs="?")
    parser.add_argument("--batch", type=int, default=32, help="pairs in a batch")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each row")
    options = parser.parse_args()
    here = cores()
    print(
        f"{platform.processor() or platform.machine()}, {platform.node()}, {here} cores, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        faces = FaceSet.open(options.faceset) if options.faceset else draw_faceset(Path(folder) / "set")
        nbytes = faces.columns["nbytes"].mean()
        print(
            f"{len(faces)} frames of {faces.stored} pixels, {nbytes:.0f} bytes each; batches of {options.batch} pairs"
        )
        generator = torch.Generator().manual_seed(0)
        for workers in (None, 0, 1, 2):  # None: the cost of this process alone, without threads
            torch.set_num_threads(max(1, here - workers) if workers is not None else 1)
            batches = iter(PairLoader(FacePairs(faces), options.batch, workers or 0))

            def decode(batches=batches) -> int:
                batch = next(batches)
                return batch.shape[0] * batch.shape[1]

            def whole(batches=batches) -> int:
                batch = augment(next(batches), faces.size, COLOURS, generator)
                return batch.shape[0] * batch.shape[1]

            if workers is None:
                cost = rate(whole, options.seconds, clock=time.process_time)
                print(
                    f"processor time: {1e6 / cost:.0f} us an image, all of it; two idle cores {2 * cost:,.0f} images/s"
                )
                continue
            decoded, both = rate(decode, options.seconds), rate(whole, options.seconds)
            print(f"workers {workers}: decoded and batched {decoded:,.0f} images/s, augmented as well {both:,.0f}")


if __name__ == "__main__":
    main()
