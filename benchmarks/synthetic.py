"""How fast synthetic faces are drawn, people created, and face sets written.

    python benchmarks/synthetic.py [--processes 2] [--people 8] [--frames 32]

Frames are drawn as `facecycle synth` draws them: 3 x 3 supersampling, shadows, alpha hair, occluders, camera faults,
JPEG, with the set-up of clips and the creation of people counted in. Every process is spawned and has one thread.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

CLIPS = 4  # of each person


def processor() -> str:
    """The machine's name for its processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def draw(first: int, people: int, frames: int, size: int) -> float:
    """Draw and compress ``frames`` frames each of some people; returns the processor time it took."""
    from facecycle.data.faceset import encode
    from facecycle.synthetic.clip import Clip
    from facecycle.synthetic.person import create_person
    from facecycle.synthetic.seeds import PersonKey

    began = time.process_time()
    for index in range(first, first + people):
        person = create_person(PersonKey("train", 99, index))
        for number in range(CLIPS):
            clip = Clip(person, (number,))
            for moment in clip.times(frames // CLIPS):
                encode(clip.frame(float(moment), size, 0.25).picture, 93)
    return time.process_time() - began


def frames_per_second(size: int, processes: int, people: int, frames: int) -> tuple[float, float]:
    """By the clock, and as if no other program used the cores; loading and compiling come before.

    On a machine that others use at the same time the clock says little; processor time still does.
    """
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for job in [pool.submit(draw, 1000 + k, 1, CLIPS, size) for k in range(2 * processes)]:
            job.result()
        began = time.perf_counter()
        jobs = [pool.submit(draw, k * people, people, frames, size) for k in range(processes)]
        busy = sum(job.result() for job in jobs) / processes
        count = processes * people * frames
        return count / (time.perf_counter() - began), count / busy


def seconds_per_person(count: int) -> tuple[float, float]:
    """Mean over ``count`` people, by the clock and in processor time."""
    from facecycle.synthetic.person import create_person
    from facecycle.synthetic.seeds import PersonKey

    create_person(PersonKey("train", 99, 0))
    began, busy = time.perf_counter(), time.process_time()
    for index in range(count):
        create_person(PersonKey("train", 99, index))
    return (time.perf_counter() - began) / count, (time.process_time() - busy) / count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--people", type=int, default=6, help="of each process")
    parser.add_argument("--frames", type=int, default=64, help="of each person")
    options = parser.parse_args()
    print(f"{processor()}, {multiprocessing.cpu_count()} cores, numpy {np.__version__}, {options.processes} processes")
    print(f"{'what':40s} {'clock':>8s} {'processor':>10s}  {'prototype':>9s}  {'goal':>6s}")
    rows = (("64 px", 64, "125-133", ">= 300"), ("64 px with its margin (80 px)", 80, "", ""))
    rows += (("128 px", 128, "53-96", ">= 120"), ("256 px", 256, "", ""))
    for name, size, study, asked in rows:
        rate, alone = frames_per_second(size, options.processes, options.people, options.frames)
        print(f"{name + ', frames/s':40s} {rate:8.0f} {alone:10.0f}  {study:>9s}  {asked:>6s}", flush=True)
    clock, alone = seconds_per_person(12)
    print(f"{'creating a person, seconds':40s} {clock:8.3f} {alone:10.3f}  {'0.8-1.1':>9s}  {'<= .25':>6s}")


if __name__ == "__main__":
    main()
