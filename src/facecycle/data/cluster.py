"""Making shards on a Ray cluster: a task for each source, wherever there is room, and one writer, here.

A task runs `extract_source`, as the worker processes of one machine do, and sends the crops back. This process writes
them, source after source in the order of the plan; so the shards are the same bit for bit, the cluster's machines need
to see the sources alone, and a kill leaves no second writer behind.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from facecycle import __version__
from facecycle.data.clips import CropOptions
from facecycle.data.detect import Detector, build_detector
from facecycle.data.extract import extract_source
from facecycle.data.shards import Row, ShardWriter
from facecycle.data.sources import Source
from facecycle.data.workers import Task, Tell, one_thread
from facecycle.errors import FaceCycleError

RETRIES = 3  # of a task whose worker or machine was lost
SENT_PER_CORE = 2  # tasks sent off or waiting to be written, so that no core waits for the next one
MOST_OPEN = 256  # shards; a process may hold about 1,000 files open
SHOWN = 5  # names in an error


@dataclass(frozen=True)
class Order:
    """One source's work, as it travels to another machine.

    Attributes:
        source, index: what to read, and its place among all sources.
        options: what to keep.
        folder: where relative paths begin.
        there: whether this machine sees the source's first file.
        version: of the package.
    """

    source: Source
    index: int
    options: CropOptions
    folder: str
    there: bool
    version: str


@dataclass
class Crops:
    """Frames of one source on their way to the shard's writer: the arguments of `ShardWriter.add`."""

    frames: list[tuple[str, bytes, Row]] = field(default_factory=list)

    def add(self, key: str, jpeg: bytes, row: Row) -> None:
        """Take one frame."""
        self.frames.append((key, jpeg, row))


def run_on_cluster(tasks: list[Task], workers: int | None, tell: Tell, address: str | None = None) -> None:
    """Do all tasks on a Ray cluster.

    Args:
        tasks: shards to write.
        workers: sources to work on at a time; None: as many as the cluster has cores.
        tell: is told what happens.
        address: of the cluster, as `ray.init` takes it; None: that of the environment's ``RAY_ADDRESS``, else a
            cluster of this machine alone that ends with the work.

    Raises:
        FaceCycleError: Ray is missing or cannot be reached, a machine does not see the sources or has another version,
            the disk is full, or sources could not be done because their workers were lost. What is finished is kept.
    """
    workers = max(1, workers) if workers is not None else None
    with connected(workers, address) as ray:
        lost, waiting = _Dispatch(ray, deque(tasks), workers, tell).run()
    if lost:
        names = ", ".join(lost[:SHOWN]) + (f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else "")
        after = f" ({waiting} after them in their shards wait)" if waiting else ""
        raise FaceCycleError(
            f"{len(lost)} of the sources could not be done, their workers were lost {RETRIES + 1} times: "
            f"{names}{after}; is memory short? run the same command again to go on, what is finished is kept"
        )


def load_ray() -> Any:
    """The module ``ray``, which is told to report nothing to anybody.

    Raises:
        FaceCycleError: it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when it starts
    try:
        import ray
    except ImportError:
        raise FaceCycleError("engine=ray needs Ray: pip install 'facecycle[cluster]'") from None
    return ray


@contextmanager
def connected(workers: int | None = None, address: str | None = None) -> Iterator[Any]:
    """The module ``ray``, connected to a cluster: see `run_on_cluster`.

    Raises:
        FaceCycleError: Ray is missing or cannot be reached.
    """
    ray = load_ray()
    if ray.is_initialized() and not address:  # by the caller, who will end it
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    alone = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
    logging.getLogger("ray").setLevel(logging.ERROR)  # what concerns the user becomes an error of ours
    try:
        _knock(address)
        ray.init(address, log_to_driver=False, configure_logging=False, **alone)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise FaceCycleError(
            f"address={address!r}: no Ray cluster to work on ({_first_line(error)}); "
            "start one with `ray start --head`, and set RAY_AUTH_MODE=token if it asks for a token"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nobody answers; Ray itself would try for minutes, and then end this process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


class _Shard:
    """A shard that is being written: its sources are sent off in order, and written in order."""

    def __init__(self, task: Task, tell: Tell) -> None:
        self.task, self.tell = task, tell
        self.writer = ShardWriter(task.out, task.shard, resume=True)
        tell("resumed", list(self.writer.notes))
        done = len(self.writer.notes)
        self.unsent = deque(enumerate(task.sources[done:], task.first + done))
        self.sent: deque[tuple[Any, Source]] = deque()

    def send(self, extract: Any) -> None:
        """Send off the next source."""
        index, source = self.unsent.popleft()
        there = bool(source.files) and os.path.exists(source.files[0])
        order = Order(source, index, self.task.options, os.getcwd(), there, __version__)
        self.sent.append((extract.remote(order), source))

    def write(self, frames: list[tuple[str, bytes, Row]], row: Row) -> None:
        """Take the crops of the first source sent."""
        for frame in frames:
            self.writer.add(*frame)
        self.writer.commit(row)
        self.tell("frames", row["frames"])
        self.tell("source", row)


class _Dispatch:
    """Keeps the cluster busy: a bounded number of sources sent off, taken from as many shards as possible.

    What was sent off for a shard that is given up is left to end by itself, and its result dropped: cancelling a task
    that ends in that moment aborts this whole process ("Tried to complete task that was not pending", Ray 2.60).
    """

    def __init__(self, ray: Any, tasks: deque[Task], workers: int | None, tell: Tell) -> None:
        self.ray, self.tasks, self.workers, self.tell = ray, tasks, workers, tell
        self.extract = ray.remote(num_cpus=1, max_retries=RETRIES)(_extract)
        self.open: list[_Shard] = []
        self.lost: list[str] = []
        self.waiting = 0

    def run(self) -> tuple[list[str], int]:
        """Do everything; returns the names of sources lost, and how many could not be written after them."""
        try:
            while self.tasks or self.open:
                self._send()
                heads = {shard.sent[0][0]: shard for shard in self.open if shard.sent}
                for ready in self.ray.wait(list(heads))[0] if heads else ():
                    self._take(heads[ready])
                for shard in [shard for shard in self.open if not shard.sent and not shard.unsent]:
                    shard.writer.finish()
                    self.open.remove(shard)
        finally:
            for shard in self.open:
                shard.writer.close()
        return self.lost, self.waiting

    def _send(self) -> None:
        limit = self.workers or SENT_PER_CORE * max(1, int(self.ray.cluster_resources().get("CPU", 1)))
        sent = sum(len(shard.sent) for shard in self.open)
        while sent < limit:
            if self.tasks and len(self.open) < min(limit, MOST_OPEN):
                self.open.append(_Shard(self.tasks.popleft(), self.tell))
            ready = [shard for shard in self.open if shard.unsent]
            if not ready:
                return
            min(ready, key=lambda shard: len(shard.sent)).send(self.extract)
            sent += 1

    def _take(self, shard: _Shard) -> None:
        """Write what has come for the first source that ``shard`` waits for."""
        result, source = shard.sent[0]
        try:
            frames, row = self.ray.get(result)
        except self.ray.exceptions.RayTaskError as error:  # something was raised there
            raise _own_error(error) from None
        except self.ray.exceptions.RayError:  # the worker, or its machine, is gone, and so were those after it
            self.lost.append(source.name)
            self.waiting += len(shard.sent) - 1 + len(shard.unsent)
            shard.writer.close()
            self.open.remove(shard)
            return
        shard.sent.popleft()
        shard.write(frames, row)


def _extract(order: Order) -> tuple[list[tuple[str, bytes, Row]], Row]:
    """One source, in a process of the cluster."""
    host = socket.gethostname()
    if order.version != __version__:
        raise FaceCycleError(f"facecycle {__version__} on {host}, {order.version} here; install the same everywhere")
    with suppress(OSError):
        os.chdir(order.folder)
    file = order.source.files[0] if order.source.files else ""
    if order.there and not os.path.exists(file):
        raise FaceCycleError(f"{file}: not seen by {host}; every machine must see the sources at the same paths")
    crops, options = Crops(), order.options
    detector = _detector(options.detector, options.detector_weights, options.min_face)
    row = extract_source(order.source, order.index, crops, detector, options)
    return crops.frames, row


@functools.lru_cache(maxsize=1)  # a process of the cluster does one source after the other
def _detector(name: str, weights: str | None, min_face: float) -> Detector:
    one_thread()
    return build_detector(name, weights, min_face)


def _own_error(error: Any) -> Exception:
    """What a task raised, as it would have been raised here."""
    if isinstance(error.cause, FaceCycleError):
        return FaceCycleError(str(error.cause))
    missing = re.search(r"No module named '[\w.]+'", str(error))  # also where this very module could not be loaded
    if missing:
        return FaceCycleError(f"a machine of the cluster lacks a package ({missing[0]}); install the same everywhere")
    return error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
