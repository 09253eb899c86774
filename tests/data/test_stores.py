"""Face sets by URL: what lies in a store is read as from a folder, in this process and in others."""

from __future__ import annotations

import dataclasses
import itertools
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest

from facecycle.apply.inputs import StoredFace, find_items
from facecycle.data.faceset import FaceSet, write_faceset
from facecycle.data.inspect import inspect
from facecycle.data.pairs import FacePairs, PairLoader
from facecycle.data.stores import is_url
from facecycle.errors import FaceCycleError
from tiny import QUIET, SIZE, make_faceset, records, tiny_config, train_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_faceset(tmp_path_factory.mktemp("faces") / "set", [6, 5, 4, 6])


@pytest.fixture
def memory(folder: Path) -> Iterator[str]:
    """The same face set in this process's memory."""
    store = fsspec.filesystem("memory")
    store.put(str(folder), "/faces", recursive=True)
    yield "memory://faces"
    store.rm("/faces", recursive=True)


class RangeHandler(SimpleHTTPRequestHandler):
    """Serves files, and parts of them where ``ranges`` says so; lists no folders."""

    ranges = True
    refusal = 404

    def log_message(self, *_: object) -> None:
        pass

    def list_directory(self, path: object) -> None:
        self.send_error(self.refusal)

    def do_GET(self) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        file = Path(self.translate_path(self.path))
        if not (wanted and self.ranges and file.is_file()):
            return super().do_GET()
        part = file.read_bytes()[int(wanted[1]) : int(wanted[2]) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        return None


@pytest.fixture(params=[(True, 403), (True, 404), (False, 404)], ids=["ranges", "unlisted", "whole"])
def web(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[str, bool]]:
    """The same face set behind a web server that gives parts of files, or does not; folders it will not list."""
    pytest.importorskip("aiohttp", reason="fsspec reads http:// through aiohttp, which is absent")
    handler = type("Handler", (RangeHandler,), dict(zip(("ranges", "refusal"), request.param, strict=True)))
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *arguments: handler(*arguments, directory=str(folder.parent))
    )  # fmt: skip
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{folder.name}", request.param[0]
    server.shutdown()
    thread.join()
    server.server_close()


def batches(faces: FaceSet, workers: int) -> list[np.ndarray]:
    loader = PairLoader(FacePairs(faces, seed=3), 6, workers)
    return [batch.numpy() for batch in itertools.islice(loader, 5)]


def test_a_url_is_told_from_a_path() -> None:
    assert all(map(is_url, ["s3://a/b", "memory://", "simplecache::s3://a/b", "gs://a"]))
    assert not any(map(is_url, ["faces", "/faces/a", "a:b", "./s3:/a", Path("s3://a/b"), "synthetic"]))


def test_a_store_reads_as_a_folder(folder: Path, memory: str) -> None:
    stored, faces = FaceSet.open(folder), FaceSet.open(memory)
    assert faces.path == memory
    assert faces.meta == stored.meta
    for name, column in stored.columns.items():
        np.testing.assert_array_equal(faces.columns[name], column)
    for row in (0, 7, len(faces) - 1):
        np.testing.assert_array_equal(faces.image(row), stored.image(row))
    assert inspect(memory) == inspect(folder)
    items = find_items(memory, SIZE)
    assert len(items) == len(stored)
    assert isinstance(items[0], StoredFace)


def test_the_same_batches_in_worker_processes_and_their_errors_are_one_line(folder: Path, tmp_path: Path) -> None:
    there, expected = shutil.copytree(folder, tmp_path / "there"), batches(FaceSet.open(folder), 0)
    faces = FaceSet.open(f"file://{there}")
    faces.image(0)  # what this process has opened is not handed on
    loader = iter(PairLoader(FacePairs(faces, seed=3), 6, workers=1))
    np.testing.assert_array_equal([next(loader).numpy() for _ in expected], expected)
    (there / "shards/00000.tar").unlink()
    missing = rf"^file://{there}/shards/00000.tar: missing; copy the face set again$"
    with pytest.raises(FaceCycleError, match=missing):
        list(itertools.islice(loader, 10))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_that_a_worker_cannot_open_is_one_line(folder: Path, tmp_path: Path, workers: int) -> None:
    there = shutil.copytree(folder, tmp_path / "there")
    loader = PairLoader(FacePairs(FaceSet.open(there), seed=3), 6, workers)
    (there / "shards/00000.tar").unlink()
    with pytest.raises(FaceCycleError, match=rf"^{there}/shards/00000.tar: cannot be read \(No such file") as told:
        next(iter(loader))
    assert "\n" not in str(told.value)


def test_chained_urls(folder: Path) -> None:
    faces = FaceSet.open(f"simplecache::file://{folder}")
    np.testing.assert_array_equal(faces.image(5), FaceSet.open(folder).image(5))


def test_a_forked_process_opens_the_store_anew(folder: Path) -> None:
    script = f"""
import os
from facecycle.data.faceset import FaceSet
faces = FaceSet.open("file://{folder}")
mine = faces.jpeg(3)
before = faces.store._opened
if not os.fork():
    os._exit(0 if faces.jpeg(3) == mine and faces.store._opened[0] != before[0] else 1)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=QUIET)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_web_server_with_and_without_parts_of_files(folder: Path, web: tuple[str, bool], tmp_path: Path) -> None:
    url, ranges = web
    expected = batches(FaceSet.open(folder), 0)
    if ranges:
        np.testing.assert_array_equal(np.stack(batches(FaceSet.open(url), 0)), np.stack(expected))
    else:
        with pytest.raises(FaceCycleError, match=r"00000\.tar: \d+ bytes came of \d+ asked for.*data\.cache=FOLDER"):
            FaceSet.open(url).image(0)
    np.testing.assert_array_equal(np.stack(batches(FaceSet.open(url, tmp_path), 0)), np.stack(expected))
    with pytest.raises(FaceCycleError, match="no face set; make one"):
        FaceSet.open(url + "-not-there")


def test_kept_shards_are_read_from_here(folder: Path, tmp_path: Path) -> None:
    there, cache = shutil.copytree(folder, tmp_path / "there"), tmp_path / "cache"
    faces = FaceSet.open(f"file://{there}", cache)
    assert not cache.exists()  # nothing was wanted yet
    expected = batches(faces, 2)
    (kept,) = cache.rglob("*.tar")
    assert kept.read_bytes() == (there / "shards/00000.tar").read_bytes()
    (there / "shards/00000.tar").write_bytes(bytes(kept.stat().st_size))
    np.testing.assert_array_equal(batches(FaceSet.open(f"file://{there}", cache), 0), expected)
    # Another face set at the same address is another one here.
    shutil.rmtree(there)
    other = FaceSet.open(f"file://{make_faceset(there, [3, 3])}", cache)
    np.testing.assert_array_equal(other.image(5), FaceSet.open(there).image(5))


def test_training_from_a_store_is_training_from_a_folder(folder: Path, tmp_path: Path) -> None:
    url, other = f"file://{folder}", make_faceset(tmp_path / "other", [4, 4, 4])
    config = tiny_config(f"{folder},{other}", motion=2, validate_every=2)
    assert train_tiny(tmp_path / "plain", config, stage="motion") is True
    data = dataclasses.replace(config.data, source=f"{url},{other}", cache=str(tmp_path / "cache"))
    assert train_tiny(tmp_path / "stored", dataclasses.replace(config, data=data), stage="motion") is True
    assert records(tmp_path / "stored") == records(tmp_path / "plain")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nosuch://bucket/faces", r"nosuch://bucket/faces: Protocol not known: nosuch; begin it with a protocol"),
        ("memory://not/there", "memory://not/there: no face set; make one"),
        ("file:///dev/null/faces", "no face set; make one"),
    ],
)
def test_a_wrong_address_is_one_line(url: str, message: str, capsys, monkeypatch) -> None:
    from facecycle.cli import main

    monkeypatch.setattr(sys, "argv", ["facecycle", "inspect", url])
    with pytest.raises(SystemExit) as ended:
        main()
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert re.search(message, error)
    assert len(error.strip().splitlines()) == 1


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(FaceCycleError, match=r"^s3://bucket/faces: a package is missing: Install s3fs .*$"):
        FaceSet.open("s3://bucket/faces")


def test_an_absent_object_is_named(memory: str) -> None:
    store, faces = fsspec.filesystem("memory"), FaceSet.open(memory)
    store.rm("/faces/shards/00000.tar")
    with pytest.raises(FaceCycleError, match=r"^memory://faces/shards/00000.tar: missing; copy the face set again"):
        faces.image(0)
    with pytest.raises(FaceCycleError, match=r"^memory://faces/shards/00000.tar: missing"):
        FaceSet.open(memory)
    store.rm("/faces/manifest.npz")
    with pytest.raises(FaceCycleError, match="not finished"):
        FaceSet.open(memory)


def test_face_sets_are_not_written_to_a_url() -> None:
    for root in ("s3://bucket/faces", Path("s3://bucket/faces")):
        with pytest.raises(FaceCycleError, match="are written to folders"):
            write_faceset(root, size=64, margin=0.25, licence="CC0", origin="drawn")
