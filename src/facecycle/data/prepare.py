"""``facecycle prepare``: from folders of videos or photos to a face set.

The sources are sorted and split into shards by a plan that depends on them alone; worker processes take shard after
shard, or the machines of a Ray cluster source after source (`facecycle.data.cluster`). A finished shard is never done
again, and within a shard no finished source is (see `facecycle.data.shards`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facecycle.data.clips import CropOptions
from facecycle.data.cluster import load_ray, run_on_cluster
from facecycle.data.detect import build_detector
from facecycle.data.faceset import alone, finish_faceset, shard_is_written, write_faceset
from facecycle.data.files import write_atomic
from facecycle.data.shards import Row, shard_file
from facecycle.data.sources import Source, find_sources
from facecycle.data.workers import Task, Tell, run
from facecycle.errors import FaceCycleError

ENGINES = ("local", "ray")
SHARD_FRAMES = 2000  # about; a shard is what a worker takes at a time
FEWEST_SHARDS = 16  # so that small sets keep several workers busy
BYTES_PER_FRAME = 50_000  # of a video, to guess how long it takes


@dataclass(frozen=True)
class PrepareReport:
    """What became of the sources.

    Attributes:
        out: the face set.
        layouts: for each folder given, the layout used.
        ignored: files there that were neither videos nor pictures, or did not fit the layout, by suffix.
        repeated: files that were met before, by a link or in two of the folders.
        sources: the rows of ``sources.jsonl``.
    """

    out: Path
    layouts: dict[str, str]
    ignored: Counter[str]
    repeated: int
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
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    options: CropOptions = CropOptions(),
    *,
    layout: str = "auto",
    pattern: str | None = None,
    frame_rate: float | None = None,
    licence: str = "unknown",
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    tell: Tell = lambda what, value: None,
) -> PrepareReport:
    """Make a face set of everything below ``sources``; go on where an earlier run stopped.

    Args:
        sources: folders, videos or pictures; or one of them.
        out: the face set; a new folder, or one that the same call began.
        options: what to keep and how.
        layout: how the folders are laid out; this and the next two as in `facecycle.data.sources.find_sources`.
        pattern: a regular expression for names of pictures.
        frame_rate: frames a second by which pictures are numbered.
        licence: terms of the pictures, kept in the face set and in what is trained on it.
        workers: processes, or with Ray sources at a time; one per core unless given.
        engine: "local", processes of this machine, or "ray", a cluster. The face set depends neither on it nor on
            ``workers``, and what one began another goes on with.
        address: of the Ray cluster; see `facecycle.data.cluster.run_on_cluster`.
        tell: is told what happens, for a progress bar.

    Raises:
        FaceCycleError: nothing to read, an option out of range or other than before, a full disk, a killed worker.
    """
    check_options(options)
    if workers is not None and workers < 1:
        raise FaceCycleError(f"workers={workers}: at least 1")
    check_engine(engine, address)
    out, given = Path(out), [sources] if isinstance(sources, str | Path) else sources
    found = find_sources([Path(source) for source in given], layout, pattern, frame_rate)
    tell("found", found)
    more = dataclasses.asdict(options) | {"layout": layout, "pattern": pattern, "frame_rate": frame_rate}
    write_faceset(out, licence=licence, origin="prepare", **more, sources=_fingerprint(found.sources))
    with alone(out):
        plan = _plan(out, found.sources)
        todo = [index for index in range(len(plan)) if not shard_is_written(out, index)]
        tell("resumed", [row for index in set(range(len(plan))) - set(todo) for row in _rows(out, index)])
        tasks = [Task(out, index, plan[index].start, found.sources[plan[index]], options) for index in todo]
        if engine == "ray" and tasks:
            run_on_cluster(tasks, workers, tell, address)
        else:
            run(tasks, cores() if workers is None else workers, tell)
        if todo or not (out / "manifest.npz").exists():
            finish_faceset(out, len(plan))
    rows = [row for shard in range(len(plan)) for row in _rows(out, shard)]
    return PrepareReport(out, found.layouts, found.ignored, found.repeated, rows)


def check_options(options: CropOptions) -> None:
    """Refuse what makes no sense before any work is done.

    Raises:
        FaceCycleError: an option is out of range, or a package or weights are missing.
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
    build_detector(options.detector, options.detector_weights, options.min_face)


def check_engine(engine: str, address: str | None) -> None:
    """Likewise.

    Raises:
        FaceCycleError: no such engine, an address that it has no use for, or Ray is not installed.
    """
    if engine not in ENGINES:
        raise FaceCycleError(f"engine={engine!r}: not known; choose from {', '.join(ENGINES)}")
    if engine == "ray":
        load_ray()
    elif address:
        raise FaceCycleError(f"address={address!r}: is for a Ray cluster; add --engine ray")


def plan_shards(sources: list[Source]) -> list[slice]:
    """Neighbouring sources, so many to a shard that all shards take about as long."""
    costs = [
        1 + (_size(source.files[0]) / BYTES_PER_FRAME if source.video else len(source.files)) for source in sources
    ]
    count = min(max(math.ceil(sum(costs) / SHARD_FRAMES), FEWEST_SHARDS), len(sources))
    share, done, starts = sum(costs) / count, 0.0, [0]
    for index, cost in enumerate(costs):
        if index > starts[-1] and done + cost / 2 >= share * len(starts):
            starts.append(index)
        done += cost
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], len(sources)], strict=True)]


def _plan(out: Path, sources: list[Source]) -> list[slice]:
    """Which sources make up each shard, as it was when the set was begun: a video may have another size by now."""
    file = out / "shards/plan.json"
    if not file.exists():
        write_atomic(file, json.dumps([part.start for part in plan_shards(sources)]).encode())
    starts = json.loads(file.read_text())
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], len(sources)], strict=True)]


def _size(file: str) -> int:
    try:
        return os.path.getsize(file)
    except OSError:  # a link to nowhere: told when it is read
        return 0


def cores() -> int:
    """Of this machine, those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _rows(out: Path, shard: int) -> list[Row]:
    return [json.loads(line) for line in shard_file(out, shard, "jsonl").read_text().splitlines()]


def _fingerprint(sources: list[Source]) -> str:
    """Changes when sources are added, removed or renamed."""
    names = json.dumps([(source.name, source.person, len(source.files)) for source in sources])
    return f"{len(sources)}, {hashlib.sha256(names.encode()).hexdigest()[:12]}"
