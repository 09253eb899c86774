"""Concurrent requests share a batch: one thread runs the networks, others hand it faces."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

Work = Callable[[Sequence[Any]], Sequence[Any]]


@dataclass
class Job:
    """Something to be done to one item; jobs of one kind are done together."""

    kind: Hashable
    work: Work
    item: Any
    most: int | None
    done: Future = field(default_factory=Future)


class Batcher:
    """Collects jobs for a moment and does those of one kind at once.

    Args:
        batch: most items done together.
        wait: seconds the first job of a batch waits for company.
    """

    def __init__(self, batch: int = 32, wait: float = 0.004) -> None:
        self.batch, self.wait = batch, wait
        self.batches = 0
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="facecycle-batches", daemon=True)
        self._thread.start()

    def submit(self, kind: Hashable, work: Work, item: Any, most: int | None = None) -> Future:
        """Ask for ``work([item, ...])[0]``, on ``most`` items at a time where the batch is larger.

        Jobs of an equal ``kind`` must have interchangeable ``work``.
        """
        job = Job(kind, work, item, most)
        self._jobs.put(job)
        return job.done

    def close(self) -> None:
        """Finish what is waiting and stop."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            jobs, going_on = self._company(first)
            by_kind: dict[Hashable, list[Job]] = {}
            for job in jobs:
                by_kind.setdefault(job.kind, []).append(job)
            for alike in by_kind.values():
                step = alike[0].most or len(alike)
                for start in range(0, len(alike), step):  # who is ready need not wait; who gave up is passed over
                    part = alike[start : start + step]
                    self._do([job for job in part if job.done.set_running_or_notify_cancel()])
            if not going_on:
                return

    def _company(self, first: Job) -> tuple[list[Job], bool]:
        jobs, until = [first], time.monotonic() + self.wait
        while len(jobs) < self.batch:
            try:
                job = self._jobs.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if job is None:
                return jobs, False
            jobs.append(job)
        return jobs, True

    def _do(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        self.batches += 1
        try:
            results = jobs[0].work([job.item for job in jobs])
            for job, result in zip(jobs, results, strict=True):
                job.done.set_result(result)
        except Exception as error:  # whatever it is, it belongs to those who asked, not to this thread
            for job in jobs:
                if not job.done.done():
                    job.done.set_exception(error)
