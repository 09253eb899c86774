"""``facecycle prepare``: from folders of videos or photos to a face set.

The sources are sorted and split into shards by a plan that depends on them alone; worker processes take shard after
shard. A finished shard is never done again, and within a shard no finished source is (see `facecycle.data.shards`).
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import math
import multiprocessing
import os
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facecycle.data.clips import CropOptions
from facecycle.data.detect import build_detector
from facecycle.data.extract import extract_source
from facecycle.data.faceset import finish_faceset, shard_is_written, write_faceset
from facecycle.data.shards import Row, ShardWriter, shard_file
from facecycle.data.sources import Source, find_sources
from facecycle.errors import FaceCycleError

Tell = Callable[[str, Any], None]
"""Called with ("found", Found), ("resumed", rows), ("frames", count) and ("source", row) as the work goes on."""

SHARD_FRAMES = 2000  # about; a shard is what a worker takes at a time
FEWEST_SHARDS = 16  # so that small sets keep several workers busy
BYTES_PER_FRAME = 50_000  # of a video, to guess how long it takes


@dataclass(frozen=True)
class PrepareReport:
    """What became of the sources.

    Attributes:
        out: the face set.
        layouts: for each folder given, the layout used.
        ignored: files there that were neither videos nor pictures, or did not fit the layout.
        sources: the rows of ``sources.jsonl``.
    """

    out: Path
    layouts: dict[str, str]
    ignored: int
    sources: list[Row]

    def count(self, name: str) -> int:
        """Sum of a column: "frames", "faces" or "kept"."""
        return sum(row[name] for row in self.sources)

    @property
    def statuses(self) -> Counter[str]:
        """Sources by status."""
        return Counter(row["status"] for row in self.sources)

    @property
    def dropped(self) -> Counter[str]:
        """Faces and frames left out, by reason."""
        return sum((Counter(row["dropped"]) for row in self.sources), Counter())


def prepare(
    sources: list[Path],
    out: Path,
    options: CropOptions = CropOptions(),
    *,
    layout: str = "auto",
    pattern: str | None = None,
    frame_rate: float | None = None,
    licence: str = "unknown",
    workers: int | None = None,
    tell: Tell = lambda what, value: None,
) -> PrepareReport:
    """Make a face set of everything below ``sources``; go on where an earlier run stopped.

    Args:
        sources: folders, videos or pictures.
        out: the face set; a new folder, or one that the same call began.
        options: what to keep and how.
        layout, pattern, frame_rate: see `facecycle.data.sources.find_sources`.
        licence: terms of the pictures, kept in the face set and in what is trained on it.
        workers: processes; one per core unless given. The face set does not depend on their number.
        tell: is told what happens, for a progress bar.

    Raises:
        FaceCycleError: nothing to read, an option out of range or other than before, a full disk, a killed worker.
    """
    check_options(options)
    found = find_sources(sources, layout, pattern, frame_rate)
    tell("found", found)
    # Missing packages and weights are reported here, not by a worker.
    build_detector(options.detector, options.detector_weights, options.min_face)
    plan = plan_shards(found.sources)
    more = dataclasses.asdict(options) | {"layout": layout, "pattern": pattern, "frame_rate": frame_rate}
    more["sources"] = f"{len(found.sources)} in {len(plan)} shards, {_fingerprint(found.sources)}"
    write_faceset(out, licence=licence, origin="prepare", **more)
    with _alone(out):
        todo = [index for index in range(len(plan)) if not shard_is_written(out, index)]
        tell("resumed", [row for index in set(range(len(plan))) - set(todo) for row in _rows(out, index)])
        tasks = [_Task(out, index, plan[index].start, found.sources[plan[index]], options) for index in todo]
        if workers is None:
            workers = _cores()
        (_run_here if min(workers, len(tasks)) <= 1 else _run_processes)(tasks, workers, tell)
        if todo or not (out / "manifest.npz").exists():
            finish_faceset(out, len(plan))
    rows = [row for index in range(len(plan)) for row in _rows(out, index)]
    return PrepareReport(out, found.layouts, found.ignored, rows)


def check_options(options: CropOptions) -> None:
    """Refuse what makes no sense.

    Raises:
        FaceCycleError: names the option, its value and its range.
    """
    ranges = {
        "size": (64, 256),
        "margin": (0, 1),
        "fps": (0, 1000),
        "min_face": (8, 4096),
        "min_change": (0, 255),
        "max_frames": (2, 1_000_000),
        "quality": (50, 100),
    }
    for name, (low, high) in ranges.items():
        value = getattr(options, name)
        if not low <= value <= high:
            raise FaceCycleError(f"{name}={value}: must lie between {low} and {high}")


def plan_shards(sources: list[Source]) -> list[slice]:
    """Neighbouring sources, so many to a shard that all shards take about as long."""
    costs = [os.path.getsize(s.files[0]) / BYTES_PER_FRAME + 1 if s.video else len(s.files) + 1.0 for s in sources]
    count = min(max(math.ceil(sum(costs) / SHARD_FRAMES), FEWEST_SHARDS), len(sources))
    share, done, starts = sum(costs) / count, 0.0, [0]
    for index, cost in enumerate(costs):
        if index > starts[-1] and done + cost / 2 >= share * len(starts):
            starts.append(index)
        done += cost
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], len(sources)], strict=True)]


@dataclass(frozen=True)
class _Task:
    """One shard's work."""

    out: Path
    shard: int
    first: int
    sources: list[Source]
    options: CropOptions


def _work(task: _Task, tell: Tell, stopped: Callable[[], bool] = lambda: False) -> None:
    options = task.options
    detector = build_detector(options.detector, options.detector_weights, options.min_face)
    unsent = 0

    def on_frame() -> None:
        nonlocal unsent
        unsent += 1
        if unsent == 16:
            tell("frames", unsent)
            unsent = 0
        if stopped():
            raise KeyboardInterrupt

    with ShardWriter(task.out, task.shard, resume=True) as shard:
        tell("resumed", list(shard.notes))
        for index, source in enumerate(task.sources[len(shard.notes) :], task.first + len(shard.notes)):
            row = extract_source(source, index, shard, detector, options, on_frame)
            shard.commit(row)
            tell("frames", unsent)
            tell("source", row)
            unsent = 0


def _run_here(tasks: list[_Task], workers: int, tell: Tell) -> None:
    for task in tasks:
        _work(task, tell)


def _run_processes(tasks: list[_Task], workers: int, tell: Tell) -> None:
    # Spawned: a fork would copy the threads' locks of whatever the caller has imported.
    context = multiprocessing.get_context("spawn")
    news, stop = context.Queue(), context.Event()
    pool = ProcessPoolExecutor(min(workers, len(tasks)), context, _begin_worker, (news, stop))
    futures: list[Future] = [pool.submit(_work_in_process, task) for task in tasks]
    try:
        while not all(future.done() for future in futures):
            _pass_on(news, tell, wait=0.1)
            for future in futures:
                if future.done():
                    future.result()
        _pass_on(news, tell, wait=0.05)
        for future in futures:
            future.result()
    except BrokenProcessPool:
        raise FaceCycleError(
            "a worker process was killed (is memory short? try fewer --workers); run the same command again to go on"
        ) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _pass_on(news: Any, tell: Tell, wait: float) -> None:
    with suppress(queue.Empty):
        for _ in range(100):
            tell(*news.get(timeout=wait))


_worker: dict[str, Any] = {}  # set once in each worker process


def _begin_worker(news: Any, stop: Any) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the main process, which sets `stop`
    news.cancel_join_thread()  # news that nobody waits for any more must not hold up the end
    _worker.update(news=news, stop=stop)
    parent = multiprocessing.parent_process()

    def leave_with_parent() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)  # the main process was killed: nobody is to write into its face set any more

    threading.Thread(target=leave_with_parent, daemon=True).start()
    try:
        import cv2
    except ImportError:  # the detector "none" does without
        return
    cv2.setNumThreads(1)


def _work_in_process(task: _Task) -> None:
    _work(task, lambda what, value: _worker["news"].put((what, value)), _worker["stop"].is_set)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    with open(out / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FaceCycleError(f"{out}: another process is writing it; wait for it, or name another folder") from None
        yield


def _rows(out: Path, shard: int) -> list[Row]:
    return [json.loads(line) for line in shard_file(out, shard, "jsonl").read_text().splitlines()]


def _fingerprint(sources: list[Source]) -> str:
    """Changes when sources are added, removed or renamed."""
    names = json.dumps([(source.name, source.person, len(source.files)) for source in sources])
    return hashlib.sha256(names.encode()).hexdigest()[:12]
