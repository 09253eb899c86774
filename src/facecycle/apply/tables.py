"""Codes on disk, written batch by batch: ``.npz``, ``.csv`` or ``.parquet``, by the suffix."""

from __future__ import annotations

import csv
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facecycle.apply.embed import ARRAYS, Codes
from facecycle.apply.encoders import CODES
from facecycle.apply.inputs import OK
from facecycle.data.files import in_one_piece
from facecycle.errors import FaceCycleError, as_utf8

CHUNK = 1 << 20


@dataclass
class Tally:
    """What was written: how many faces, the length of their codes, and what could not be used and why."""

    faces: int = 0
    dim: int = 0
    bad: list[tuple[str, str]] = field(default_factory=list)


def save_codes(batches: Iterator[Codes], path: Path, about: dict[str, str]) -> Tally:
    """Write all ``batches`` to ``path``, in one piece: after an error there is no file.

    Args:
        batches: as `facecycle.apply.embed.embed_batches` gives them.
        path: ends in ``.npz`` (opens without pickles), ``.csv`` or ``.parquet``.
        about: said beside the codes: in an ``.npz`` as the JSON text ``about``, in Parquet as metadata, not in CSV.

    Raises:
        FaceCycleError: another suffix, a missing package, a full disk, or what ``batches`` raises.
    """
    writer = writer_for(path)
    tally = Tally()
    path.parent.mkdir(parents=True, exist_ok=True)
    with in_one_piece(path) as partial, writer(partial, about) as write:
        for batch in batches:
            write(batch)
            tally.dim = batch.motion.shape[1]
            tally.faces += batch.status.count(OK)
            tally.bad += [(n, s) for n, s in zip(batch.names, batch.status, strict=True) if s != OK]
    return tally


def writer_for(path: Path) -> Callable[..., Any]:
    """The writer of a suffix; asked early, so that a wrong one is refused before any work.

    Raises:
        FaceCycleError: there is none.
    """
    if path.suffix.lower() not in WRITERS:
        raise FaceCycleError(f"{path}: codes are written as {', '.join(WRITERS)}; choose one of these suffixes")
    return WRITERS[path.suffix.lower()]


@contextmanager
def _npz(path: Path, about: dict[str, str]) -> Iterator[Callable[[Codes], None]]:
    """Arrays collect in unnamed files, since the header of an ``.npy`` comes first and holds the length."""
    names: list[str] = []
    status: list[str] = []
    with ExitStack() as stack:
        spools = {name: stack.enter_context(tempfile.TemporaryFile(dir=path.parent)) for name in ARRAYS}
        like: dict[str, np.ndarray] = {}

        def write(batch: Codes) -> None:
            names.extend(batch.names)
            status.extend(batch.status)
            for name in ARRAYS:
                like[name] = np.ascontiguousarray(getattr(batch, name))
                spools[name].write(like[name].tobytes())

        yield write
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, text in (("names", names), ("status", status), ("about", json.dumps(about))):
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.array(text), allow_pickle=False)
            for name, last in like.items():
                header = np.lib.format.header_data_from_array_1_0(last)
                header["shape"] = (len(names), *last.shape[1:])
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array_header_1_0(file, header)
                    spools[name].seek(0)
                    while chunk := spools[name].read(CHUNK):
                        file.write(chunk)


@contextmanager
def _csv(path: Path, about: dict[str, str]) -> Iterator[Callable[[Codes], None]]:
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:  # names as the disk has them
        table, begun = csv.writer(file), False

        def write(batch: Codes) -> None:
            nonlocal begun
            codes = np.concatenate([getattr(batch, name) for name in CODES], axis=1)
            if not begun:
                numbers = [f"{name}_{k}" for name in CODES for k in range(getattr(batch, name).shape[1])]
                table.writerow(["name", "status", "time", "x", "y", "width", "height", *numbers])
                begun = True
            for row, name in enumerate(batch.names):
                place = [_text(value, 3) for value in (batch.times[row], *batch.boxes[row])]
                table.writerow([name, batch.status[row], *place, *(_text(value, 6) for value in codes[row])])

        yield write


def _text(value: float | np.floating, digits: int) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}f}"


@contextmanager
def _parquet(path: Path, about: dict[str, str]) -> Iterator[Callable[[Codes], None]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise FaceCycleError("Parquet needs pyarrow: pip install 'facecycle[tables]'") from None
    writer: Any = None

    def write(batch: Codes) -> None:
        nonlocal writer
        names, status = ([as_utf8(text) for text in texts] for texts in (batch.names, batch.status))
        columns: dict[str, Any] = {"name": names, "status": status, "time": batch.times}
        for name in (*CODES, "boxes"):
            values = getattr(batch, name)
            columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema.with_metadata({"about": json.dumps(about)}))
        writer.write_table(table.cast(writer.schema))

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


WRITERS: dict[str, Callable[..., Any]] = {".npz": _npz, ".csv": _csv, ".parquet": _parquet}
