"""prepare on a real Ray cluster: the same face set as on one machine, whatever is lost on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from facecycle.data import cluster
from facecycle.data.clips import CropOptions
from facecycle.data.prepare import prepare
from facecycle.errors import FaceCycleError

from .media import blobs, write_video
from .test_prepare import WHOLE, colours, committed, content, kill_after

pytest.importorskip("ray", reason="Ray is absent: pip install 'facecycle[cluster]'")

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")

DRIVER = """
import sys
from pathlib import Path
from facecycle.data.clips import CropOptions
from facecycle.data.prepare import prepare
options = CropOptions(detector="none", min_face=8, min_change=0, fps=0)
prepare([Path(sys.argv[1])], Path(sys.argv[2]), options, engine="ray", workers=2, address=sys.argv[3])
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of this machine with two workers; `prepare` in this process uses it as it is."""
    with cluster.connected(workers=2) as ray:
        yield ray.get_runtime_context().gcs_address


def sources(root: Path) -> list[dict]:
    """``sources.jsonl`` without what depends on the clock."""
    rows = [json.loads(line) for line in (root / "sources.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


class Killer(threading.Thread):
    """Kills the workers of this process's cluster that are at work on a source, ``limit`` of them at most."""

    def __init__(self, limit: int) -> None:
        super().__init__(daemon=True)
        self.limit, self.killed, self.over = limit, 0, threading.Event()

    def run(self) -> None:
        while self.killed < self.limit and not self.over.wait(0.01):
            for process in [p for p in _children(_children([os.getpid()])) if "_extract" in _command(p)]:
                if self.killed < self.limit:
                    os.kill(process, signal.SIGKILL)
                    self.killed += 1

    def __enter__(self) -> Killer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


def _children(parents: list[int]) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        found += [int(folder.name)] if parent in parents else []
    return found


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


@needs_proc
def test_the_face_set_is_that_of_one_machine_though_a_worker_is_lost(address: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # relative paths mean the same to the workers
    for name, frames in {"a.mp4": 12, "b.mkv": 120, "c.avi": 8, "d/e.webm": 20}.items():
        Path("in", name).parent.mkdir(parents=True, exist_ok=True)
        write_video(Path("in", name), blobs(frames))
    Path("in/empty.mp4").write_bytes(b"")
    Path("in/gone.mp4").symlink_to("nowhere")
    told: list[str] = []
    with Killer(1) as killer:
        report = prepare([Path("in")], Path("ray"), WHOLE, engine="ray", tell=lambda what, value: told.append(what))
    assert killer.killed == 1
    prepare([Path("in")], Path("local"), WHOLE, workers=1)
    assert content(Path("ray")) == content(Path("local"))
    assert sources(Path("ray")) == sources(Path("local"))
    assert report.statuses == {"ok": 4, "failed": 2}
    assert told.count("source") == 6
    # What is finished is not touched again; no cluster is asked for it.
    again = prepare([Path("in")], Path("ray"), WHOLE, engine="ray", address="127.0.0.1:1")
    assert again == report


def test_killed_and_gone_on_with(address: str, tmp_path: Path) -> None:
    root, out = colours(tmp_path / "in", people=24, photos=8), tmp_path / "killed"
    kill_after(5, out, DRIVER, str(root), str(out), address)
    before = committed(out)
    assert 5 <= before < 24
    resumed: list[int] = []
    prepare(
        [root], out, WHOLE, engine="ray",
        tell=lambda what, value: resumed.append(len(value)) if what == "resumed" else None,
    )  # fmt: skip
    assert sum(resumed) == before
    prepare([root], tmp_path / "whole", WHOLE, workers=1)
    assert content(out) == content(tmp_path / "whole")


@needs_proc
def test_sources_lost_for_good_are_named_and_gone_on_with(address: str, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "in").mkdir()
    film = write_video(tmp_path / "in/0.mp4", blobs(120))
    for name in ("1.mp4", "2.mp4"):
        shutil.copy(film, tmp_path / "in" / name)
    monkeypatch.setattr(cluster, "RETRIES", 0)
    lost = pytest.raises(
        FaceCycleError, match=r"^1 of the sources could not be done.*: in/\d\.mp4; .*the same command again"
    )
    with Killer(1), lost as told:
        prepare([tmp_path / "in"], tmp_path / "set", WHOLE, engine="ray")
    assert "\n" not in str(told.value)
    assert committed(tmp_path / "set") == 2  # the others went on
    prepare([tmp_path / "in"], tmp_path / "set", WHOLE, workers=1)  # either engine goes on
    prepare([tmp_path / "in"], tmp_path / "whole", WHOLE, workers=1)
    assert content(tmp_path / "set") == content(tmp_path / "whole")


@needs_proc
def test_a_machine_that_does_not_see_the_sources_is_named(address: str, tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", blobs(5))
    handle = os.open(tmp_path, os.O_RDONLY)
    try:  # a path that leads there in this process alone
        with pytest.raises(FaceCycleError, match=rf"^/proc/self/fd/{handle}/a.mp4: not seen by .*at the same paths$"):
            prepare([Path(f"/proc/self/fd/{handle}/a.mp4")], tmp_path / "set", WHOLE, engine="ray")
    finally:
        os.close(handle)


def test_a_machine_without_the_package_is_told_of(address: str) -> None:
    import ray

    def work() -> None:
        import facecycle.nosuchmodule  # noqa: F401  # pyright: ignore[reportMissingImports]

    with pytest.raises(ray.exceptions.RayTaskError) as raised:
        ray.get(ray.remote(work).remote())
    told = str(cluster._own_error(raised.value))
    assert told.startswith("a machine of the cluster lacks a package (No module named 'facecycle.nosuchmodule')")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "dask"], "engine='dask': not known; choose from local, ray"),
        (["--address", "10.0.0.1:6379"], "is for a Ray cluster; add --engine ray"),
    ],
)
def test_mistakes_are_one_line(options: list[str], message: str, tmp_path: Path, capsys, monkeypatch) -> None:
    assert message in mistake(tmp_path, options, capsys, monkeypatch)


def test_ray_that_is_missing_is_named_with_its_extra(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'facecycle[cluster]'" in mistake(tmp_path, ["--engine", "ray"], capsys, monkeypatch)


def test_an_address_where_nobody_answers() -> None:
    started = time.monotonic()
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1", "nonsense"):
        with pytest.raises(FaceCycleError, match="no Ray cluster to work on"), cluster.connected(address=address):
            pass
    assert time.monotonic() - started < 10


def mistake(place: Path, options: list[str], capsys, monkeypatch) -> str:
    """The one line that ``facecycle prepare`` answers with."""
    from facecycle.cli import main

    write_video(place / "a.mp4", blobs(2))
    arguments = ["prepare", str(place / "a.mp4"), str(place / "set"), "--detector", "none", *options]
    monkeypatch.setattr(sys, "argv", ["facecycle", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert len(error.strip().splitlines()) == 1
    assert not (place / "set").exists()
    return error


def test_another_version_on_a_machine_is_refused(tmp_path: Path) -> None:
    from facecycle.data.sources import Source

    order = cluster.Order(Source("a", "a", ()), 0, CropOptions(), str(tmp_path), False, "0.0.0")
    with pytest.raises(FaceCycleError, match=r"0\.0\.0 here; install the same everywhere"):
        cluster._extract(order)
