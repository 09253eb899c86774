"""Writing one shard of a face set: a tar of JPEGs and, last of all, the columns that describe its rows.

A shard counts as written once its ``.npz`` exists. Until then its tar carries the name ``.tar.partial``, and a journal
beside it (``.journal``) says up to which byte it can be trusted, so that a killed writer goes on where it stopped.
"""

from __future__ import annotations

import io
import json
import math
import os
import tarfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, runtime_checkable

import numpy as np

from facecycle.data.files import disk_space, write_atomic

# dtype and shape of one entry; "label/..." columns are added as they come.
COLUMNS: dict[str, tuple[type, tuple[int, ...]]] = {
    "key": (np.str_, ()),
    "person": (np.str_, ()),
    "clip": (np.str_, ()),
    "frame": (np.int64, ()),
    "time": (np.float64, ()),
    "box": (np.float32, (4,)),
    "landmarks": (np.float32, (5, 2)),
    "crop": (np.float32, (3,)),
    "sharpness": (np.float32, ()),
    "score": (np.float32, ()),
    "status": (np.str_, ()),
    "shard": (np.int64, ()),
    "offset": (np.int64, ()),
    "nbytes": (np.int64, ()),
}

Row = dict[str, Any]


def shard_name(index: int, suffix: str) -> str:
    """``shards/00000.SUFFIX``."""
    return f"shards/{index:05d}.{suffix}"


def shard_file(root: Path, index: int, suffix: str) -> Path:
    """``ROOT/shards/00000.SUFFIX``."""
    return root / shard_name(index, suffix)


def shard_is_written(root: Path, index: int) -> bool:
    """Whether shard ``index`` is whole, so that its work need not be done again."""
    return shard_file(root, index, "npz").exists()


@runtime_checkable
class FrameSink(Protocol):
    """Takes the frames of a source: a shard's writer, or what carries them to it."""

    def add(self, key: str, jpeg: bytes, row: Row) -> None:
        """Take one frame; see `ShardWriter.add`."""
        ...


def _strict_json(row: Row) -> bytes:
    """For readers other than Python's, which know no NaN: what is not known is null."""

    def known(value: Any) -> Any:
        if isinstance(value, list):
            return [known(entry) for entry in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps({name: known(value) for name, value in row.items()}, allow_nan=False).encode()


class ShardWriter:
    """Writes the frames of one shard; use it as a context manager.

    ```
    with ShardWriter(root, 3) as shard:
        shard.add(key, jpeg, {"person": ..., "clip": ..., "frame": ..., ...})
    ```

    Leaving the block without an error makes the shard whole. With ``resume=True`` a writer takes up what an earlier
    one had committed (see `commit`); otherwise a half-written shard is begun anew. The bytes depend on the frames
    alone, never on how often the work was interrupted.

    Attributes:
        notes: what each `commit` noted, those of an earlier writer first. They become ``shards/00000.jsonl``.
        rows: the rows so far, likewise.
    """

    def __init__(self, root: str | Path, index: int, resume: bool = False) -> None:
        self.root, self.index = Path(root), index
        self.rows: list[Row] = []
        self.notes: list[Row] = []
        self._committed = 0  # rows
        partial = shard_file(self.root, index, "tar.partial")
        self._journal_path = shard_file(self.root, index, "journal")
        length, kept = self._read_journal(partial) if resume else (0, 0)
        self._tar: BinaryIO = open(partial, "r+b" if length else "wb")  # noqa: SIM115  (closed in __exit__)
        self._tar.truncate(length)
        self._tar.seek(length)
        with open(self._journal_path, "ab") as journal:
            journal.truncate(kept)
        self._keys = {row["key"] for row in self.rows}

    def add(self, key: str, jpeg: bytes, row: Row) -> None:
        """Append one frame.

        Args:
            key: unique in the shard, without dots (WebDataset ends a key at the first one).
            jpeg: the stored crop, compressed.
            row: ``person, clip, frame, time, box, landmarks, crop, sharpness, score`` and any ``label/NAME``
                (numbers or arrays of one shape throughout the face set); ``status`` is "ok" unless given.

        Raises:
            ValueError: a column is missing or unknown, or the key is not usable.
            FaceCycleError: the disk is full.
        """
        if not key or "." in key or key in self._keys:
            raise ValueError(f"key {key!r} is empty, taken or holds a dot")
        row = {"status": "ok", **row, "key": key, "shard": self.index, "nbytes": len(jpeg)}
        unknown = {name for name in row if not name.startswith("label/")} ^ (set(COLUMNS) - {"offset"})
        if unknown:
            raise ValueError(f"columns missing or unknown: {sorted(unknown)}")
        text = {name: _plain(value) for name, value in row.items()}
        with disk_space(self.root):
            text["offset"] = self._append(f"{key}.jpg", jpeg)
            self._append(f"{key}.json", _strict_json(text))
        self._keys.add(key)
        self.rows.append(text)

    def commit(self, note: Row | None = None) -> None:
        """Make all frames so far survive a kill; ``note`` says what they were (a source and its counts)."""
        with disk_space(self.root):
            self._tar.flush()
            entry = {"length": self._tar.tell(), "rows": self.rows[self._committed :], "note": note}
            with open(self._journal_path, "ab") as journal:
                journal.write(json.dumps(entry).encode() + b"\n")
        self._committed = len(self.rows)
        if note is not None:
            self.notes.append(note)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.close()

    def finish(self) -> None:
        """Make the shard whole."""
        try:
            self._finish()
        finally:
            self.close()

    def close(self) -> None:
        """Leave the shard as it is; another writer can take up what was committed."""
        with suppress(OSError):  # on a full disk closing fails as well; what it would have written is not trusted
            self._tar.close()

    def _append(self, name: str, data: bytes) -> int:
        """Add a member to the tar; returns where its bytes begin."""
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self._tar.write(info.tobuf(tarfile.PAX_FORMAT))
        offset = self._tar.tell()
        self._tar.write(data + b"\0" * (-len(data) % tarfile.BLOCKSIZE))
        return offset

    def _finish(self) -> None:
        with disk_space(self.root):
            self._tar.write(b"\0" * 2 * tarfile.BLOCKSIZE)
            self._tar.flush()
            os.fsync(self._tar.fileno())
            os.replace(shard_file(self.root, self.index, "tar.partial"), shard_file(self.root, self.index, "tar"))
        notes = "".join(json.dumps(note) + "\n" for note in self.notes)
        write_atomic(shard_file(self.root, self.index, "jsonl"), notes.encode())
        save_columns(shard_file(self.root, self.index, "npz"), stack_rows(self.rows))
        self._journal_path.unlink()

    def _read_journal(self, partial: Path) -> tuple[int, int]:
        """Take up what an earlier writer committed; returns the trusted lengths of the tar and of the journal."""
        length = kept = 0
        if not self._journal_path.exists():
            return length, kept
        whole = shard_file(self.root, self.index, "tar")
        if whole.exists():  # killed between the renaming of the tar and its commit
            os.replace(whole, partial)
        if not partial.exists():
            return length, kept
        size = partial.stat().st_size
        for line in self._journal_path.read_bytes().splitlines(keepends=True):
            # A torn last line, or one whose frames never reached the disk, ends what can be trusted.
            if not line.endswith(b"\n"):
                break
            entry = json.loads(line)
            if entry["length"] > size:
                break
            self.rows += entry["rows"]
            self.notes += [entry["note"]] if entry["note"] is not None else []
            length, kept = entry["length"], kept + len(line)
        self._committed = len(self.rows)
        return length, kept


def stack_rows(rows: list[Row]) -> dict[str, np.ndarray]:
    """Rows -> columns, with the dtypes of `COLUMNS`; labels become float32, int64, bool or text."""
    columns = {
        name: np.array([row[name] for row in rows], dtype).reshape(len(rows), *shape)
        for name, (dtype, shape) in COLUMNS.items()
    }
    for name in rows[0] if rows else ():
        if name not in columns:
            values = np.asarray([row[name] for row in rows])
            columns[name] = values.astype(np.float32) if values.dtype.kind == "f" else values
    return columns


def save_columns(path: Path, columns: dict[str, np.ndarray]) -> None:
    """Write columns as one compressed ``.npz`` without pickles, atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **columns)  # pyright: ignore[reportArgumentType]
    write_atomic(path, buffer.getvalue())


def load_columns(data: bytes) -> dict[str, np.ndarray]:
    """Read what `save_columns` wrote, from the file's bytes."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _plain(value: Any) -> Any:
    """A number, text or array as JSON can hold it."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
