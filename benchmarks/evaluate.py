"""How long a measurement takes.

    python benchmarks/evaluate.py [--fer2013 FOLDER]

To reach, on two cores: a logistic probe on 28,709 x 256 features within 60 s; FER-2013 end to end, pictures to report,
with the published encoder (4.24 M parameters, untrained) within 4 minutes.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

import numpy as np

from facecycle.evaluate.probe import Split, fit_logistic
from facecycle.evaluate.tasks import Options, evaluate

ROWS, DIMENSIONS, CLASSES = 28_709, 256, 7


def probe_seconds() -> float:
    """Six strengths on features that tell the classes apart about as well as real ones do."""
    rng = np.random.default_rng(0)
    labels = rng.integers(CLASSES, size=ROWS + 2 * 3589)
    centres = 0.25 * rng.normal(size=(CLASSES, DIMENSIONS))
    features = (centres[labels] + rng.normal(size=(len(labels), DIMENSIONS))).astype(np.float32)
    rows = np.arange(len(labels))
    split = Split(rows[:ROWS], rows[ROWS : ROWS + 3589], rows[ROWS + 3589 :])
    began = time.perf_counter()
    fit_logistic(split, features, labels)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fer2013", type=Path, help="the set, for the whole way")
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    print(f"logistic probe, {ROWS} x {DIMENSIONS}, six strengths: {probe_seconds():.1f} s", flush=True)
    if options.fer2013:
        began = time.perf_counter()
        evaluate("random-0", "fer2013", options.fer2013, options=Options(cache=None))
        print(f"FER-2013 end to end, the published encoder: {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
