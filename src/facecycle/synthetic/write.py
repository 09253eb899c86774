"""``facecycle synth``: synthetic clips with their ground truth, as a face set."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facecycle.data.clips import sharpness
from facecycle.data.crop import landmarks5_from_68
from facecycle.data.faceset import alone, encode, finish_faceset, stored_size, write_faceset
from facecycle.data.shards import ShardWriter, shard_is_written
from facecycle.data.workers import KILLED
from facecycle.errors import FaceCycleError
from facecycle.processes import leave_with_parent
from facecycle.synthetic.clip import Clip, ClipOptions, Frame, clip_name
from facecycle.synthetic.person import create_person
from facecycle.synthetic.stream import LICENCE, check_size, name_people
from facecycle.synthetic.tracks import PoseRange

SHARD_FRAMES = 1000  # about; a shard is what a worker takes at a time
FEWEST_SHARDS = 16  # so that small sets keep several workers busy
QUALITY = 93  # of the stored JPEGs


@dataclass(frozen=True)
class SynthOptions:
    """What to draw; the frames follow from these alone."""

    people: int
    clips: int
    frames: int
    size: int
    margin: float
    seed: int
    split: str
    pose: PoseRange
    neutral: bool = False

    @property
    def rows_per_clip(self) -> int:
        """Frames and, where asked for, the neutral face."""
        return self.frames + self.neutral

    def check(self) -> None:
        """Raises FaceCycleError: a value out of range, named."""
        check_size(self.size, self.margin)
        for name in ("people", "clips", "frames"):
            if getattr(self, name) < 1:
                raise FaceCycleError(f"{name}={getattr(self, name)}: at least 1")
        name_people(range(1), self.seed, self.split)
        for name, limit in (("yaw", 90), ("pitch", 60), ("roll", 60)):
            value = getattr(self.pose, name)
            if not 0 <= value <= limit:
                raise FaceCycleError(f"{name}={value}: between 0 and {limit} degrees")
        if not 0 <= self.pose.use <= 1:
            raise FaceCycleError(f"use={self.pose.use}: between 0 and 1")

    @property
    def shards(self) -> list[range]:
        """Indices of the people in each shard; the plan does not depend on the number of workers."""
        per_shard = max(1, min(SHARD_FRAMES // (self.clips * self.rows_per_clip), -(-self.people // FEWEST_SHARDS)))
        return [range(a, min(a + per_shard, self.people)) for a in range(0, self.people, per_shard)]


def synth(
    out: str | Path,
    people: int = 100,
    clips: int = 4,
    frames: int = 8,
    size: int = 64,
    seed: int = 0,
    split: str = "train",
    margin: float = 0.25,
    pose: PoseRange | None = None,
    workers: int = 1,
    neutral: bool = False,
    tell: Callable[[int], None] | None = None,
) -> int:
    """Draw a face set of synthetic people.

    Args:
        out: its folder; one that was begun with the same options is gone on with.
        people, clips, frames: people, clips of each and frames of each clip.
        size, margin: see `facecycle.data.faceset`.
        seed, split: which people; see `PersonKey`.
        pose: how far heads turn.
        workers: processes.
        neutral: add to each clip a clean picture of the person without expression, frontal, in the clip's light
            (``label/neutral`` marks it): what `motion_loss.true_neutral` teaches.
        tell: called with the number of frames of every finished shard.

    Returns:
        Frames in the set.

    Raises:
        FaceCycleError: a value out of range, a folder that holds something else or that another process is writing, a
            full disk, a killed worker.
    """
    options = SynthOptions(people, clips, frames, size, margin, seed, split, pose or PoseRange(), neutral)
    options.check()
    if workers < 1:
        raise FaceCycleError(f"workers={workers}: at least 1")
    limits = {"yaw": options.pose.yaw, "pitch": options.pose.pitch, "roll": options.pose.roll}
    made: dict[str, Any] = {
        "people": people,
        "clips": clips,
        "frames": frames,
        "seed": seed,
        "split": split,
        "pose": limits,
    }
    # Sets with neither stay what they were.
    if options.pose.use != PoseRange.use:
        limits["use"] = options.pose.use
    if neutral:
        made["neutral"] = True
    root = write_faceset(out, size=size, margin=margin, licence=LICENCE, origin="synthetic", synthetic=made)
    tell = tell or (lambda count: None)
    todo = []
    with alone(root):
        for index, members in enumerate(options.shards):
            if shard_is_written(root, index):
                tell(len(members) * clips * options.rows_per_clip)
            else:
                todo.append(index)
        for index in _write_shards(root, options, todo, workers):
            tell(len(options.shards[index]) * clips * options.rows_per_clip)
        if todo or not (root / "manifest.npz").exists():
            finish_faceset(root, len(options.shards))
    return people * clips * options.rows_per_clip


def _write_shards(root: Path, options: SynthOptions, todo: list[int], workers: int):
    """Write shards, in this process or in spawned ones; yields each index when it is whole."""
    if workers == 1 or len(todo) < 2:
        for index in todo:
            write_shard(root, options, index)
            yield index
        return
    spawned = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(todo)), spawned, initializer=leave_with_parent)
    try:
        jobs = {pool.submit(write_shard, root, options, index): index for index in todo}
        for job in as_completed(jobs):
            job.result()
            yield jobs[job]
    except BrokenProcessPool:
        raise FaceCycleError(KILLED) from None
    finally:
        pool.shutdown(cancel_futures=True)


def write_shard(root: Path, options: SynthOptions, index: int) -> None:
    """Draw all frames of one shard."""
    with ShardWriter(root, index) as shard:
        for key in name_people(options.shards[index], options.seed, options.split):
            began = time.perf_counter()
            person = create_person(key)
            for number in range(options.clips):
                clip = Clip(person, (number,), ClipOptions(pose=options.pose))
                for k, (frame, extra) in enumerate(frames_of(clip, options)):
                    row = row_of(clip, frame, k, options.size) | extra
                    shard.add(f"{key}-{number:04d}-{k:04d}", encode(frame.picture, QUALITY), row)
            count = options.clips * options.rows_per_clip
            note: dict[str, Any] = {"name": str(key), "status": "ok", "reason": "", "frames": count, "faces": count}
            shard.commit(note | {"kept": count, "dropped": {}, "seconds": round(time.perf_counter() - began, 2)})


def frames_of(clip: Clip, options: SynthOptions) -> Iterator[tuple[Frame, dict[str, Any]]]:
    """A clip's frames, last of all its neutral face where asked for, and what their rows say of that."""
    stored, times = stored_size(options.size, options.margin), clip.times(options.frames)
    for moment in times:
        yield clip.frame(float(moment), stored, options.margin), {"label/neutral": False} if options.neutral else {}
    if options.neutral:
        yield clip.frame(float(times[-1]), stored, options.margin, clean=True, at_rest=True), {"label/neutral": True}


def row_of(clip: Clip, frame: Frame, number: int, size: int) -> dict[str, Any]:
    """A frame's row in the manifest, its ground truth as ``label/...`` columns."""
    crop = frame.crop
    row: dict[str, Any] = {
        "person": str(clip.person.key),
        "clip": clip_name(clip.person.key, clip.number),
        "frame": number,
        "time": round(frame.time, 4),
        "box": frame.box,
        "landmarks": landmarks5_from_68(frame.landmarks),
        "crop": np.array([crop.x, crop.y, crop.side]),
        "sharpness": sharpness(frame.picture, size),
        "score": 1.0,
    }
    labels = {
        "units": frame.state.units,
        "emotion": frame.emotion,
        "strength": frame.strength,
        "pose": frame.state.pose,
        "landmarks68": frame.landmarks,
        "light": clip.light.vector(),
        "camera": clip.camera.vector(),
        "background": clip.background_kind,
        "occluder": clip.occluder,
        "person": clip.person.vector(),
    }
    row |= {f"label/{name}": value for name, value in labels.items()}
    return {name: _rounded(value) for name, value in row.items()}


def _rounded(value: Any) -> Any:
    """Floats to five decimals: the JSON beside each picture would otherwise outweigh it."""
    if isinstance(value, np.ndarray):
        return np.round(value.astype(np.float64), 5).tolist()
    return round(value, 5) if isinstance(value, float) else value
