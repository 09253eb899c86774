"""Making shards of sources, in this process or in several that are spawned."""

from __future__ import annotations

import multiprocessing
import queue
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facecycle.data.clips import CropOptions
from facecycle.data.detect import build_detector
from facecycle.data.extract import extract_source
from facecycle.data.shards import ShardWriter
from facecycle.data.sources import Source
from facecycle.errors import FaceCycleError
from facecycle.processes import leave_with_parent

KILLED = "a worker process was killed (is memory short? try fewer --workers); run the same command again to go on"
KILLED_AT = "; what was being read, in case it is to blame and must be left out: "

Tell = Callable[[str, Any], None]
"""Called as the work goes on: with ("found", Found), ("resumed", rows), ("begun", name of a source), ("frames", count)
and ("source", row)."""


@dataclass(frozen=True)
class Task:
    """One shard's work."""

    out: Path
    shard: int
    first: int
    sources: list[Source]
    options: CropOptions


def _work(task: Task, tell: Tell, stopped: Callable[[], bool] = lambda: False) -> None:
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
            tell("begun", source.name)
            row = extract_source(source, index, shard, detector, options, on_frame)
            shard.commit(row)
            tell("frames", unsent)
            tell("source", row)
            unsent = 0


def run(tasks: list[Task], workers: int, tell: Tell) -> None:
    """Do all tasks, in up to ``workers`` processes; for one task or one worker, in this one.

    Raises:
        FaceCycleError: a full disk, or a worker that was killed. What is finished is kept.
    """
    if min(workers, len(tasks)) > 1:
        _run_in_processes(tasks, workers, tell)
        return
    for task in tasks:
        _work(task, tell)


def _run_in_processes(tasks: list[Task], workers: int, tell: Tell) -> None:
    # Spawned: a fork would copy the threads' locks of whatever the caller has imported.
    context = multiprocessing.get_context("spawn")
    news, stop = context.Queue(), context.Event()
    reading: dict[str, None] = {}

    def listen(what: str, value: Any) -> None:
        if what == "begun":
            reading[value] = None
        elif what == "source":
            reading.pop(value["name"], None)
        tell(what, value)

    pool = ProcessPoolExecutor(min(workers, len(tasks)), context, _begin_worker, (news, stop))
    futures: list[Future] = [pool.submit(_work_in_process, task) for task in tasks]
    try:
        while not all(future.done() for future in futures):
            _pass_on(news, listen, wait=0.1)
            for future in futures:
                if future.done():
                    future.result()
        _pass_on(news, listen, wait=0.05)
        for future in futures:
            future.result()
    except BrokenProcessPool:
        _pass_on(news, listen, wait=0.5)
        raise FaceCycleError(KILLED + (KILLED_AT + ", ".join(reading) if reading else "")) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _pass_on(news: Any, tell: Tell, wait: float) -> None:
    with suppress(queue.Empty):
        for _ in range(100):
            tell(*news.get(timeout=wait))


_worker: dict[str, Any] = {}  # set once in each worker process


def _begin_worker(news: Any, stop: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the main process, which sets `stop`
    news.cancel_join_thread()  # news that nobody waits for any more must not hold up the end
    _worker.update(news=news, stop=stop)
    leave_with_parent()
    one_thread()


def one_thread() -> None:
    """Keep OpenCV from running threads in this process: the processes are the parallelism."""
    try:
        import cv2
    except ImportError:  # the detector "none" does without
        return
    cv2.setNumThreads(1)


def _work_in_process(task: Task) -> None:
    _work(task, lambda what, value: _worker["news"].put((what, value)), _worker["stop"].is_set)
