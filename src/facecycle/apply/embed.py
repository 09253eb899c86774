"""Pictures -> motion, identity and expression codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from facecycle.apply.encoders import CODES, Encoders, load_encoders
from facecycle.apply.faces import OK, FaceReader, PictureFace
from facecycle.errors import FaceCycleError
from facecycle.hub import find_weights

ARRAYS = (*CODES, "boxes", "times")


@dataclass(frozen=True)
class Codes:
    """Codes of ``n`` faces; rows without a face hold NaN, and ``status`` says why."""

    names: list[str]
    status: list[str]
    motion: Float[np.ndarray, "n d"]
    identity: Float[np.ndarray, "n d"]
    expression: Float[np.ndarray, "n d"]
    """For telling expressions by a probe; the motion code where the weights have nothing better."""
    boxes: Float[np.ndarray, "n 4"]
    """x, y, width, height in picture pixels."""
    times: Float[np.ndarray, " n"]
    """Seconds, of a video's frames; else NaN."""

    def __len__(self) -> int:
        return len(self.names)

    def row(self, index: int) -> Codes:
        """One face's codes, as codes of one face; ``-1`` is the last.

        Raises:
            IndexError: there are not so many.
        """
        first = range(len(self))[index]
        at = slice(first, first + 1)
        return Codes(self.names[at], self.status[at], *(getattr(self, name)[at] for name in ARRAYS))

    def save(self, path: str | Path, about: dict[str, str] | None = None) -> None:
        """Write ``.npz``, ``.csv`` or ``.parquet``, by the suffix, and ``about`` beside the codes.

        Raises:
            FaceCycleError: another suffix, or a place that cannot be written to.
        """
        from facecycle.apply.tables import save_codes

        save_codes(iter([self]), Path(path), about or {})


def embed_batches(encoders: Encoders, reader: FaceReader, batch_size: int) -> Iterator[Codes]:
    """The codes of all faces, by batches: memory does not grow with their number."""
    for rows in reader.batches(batch_size):
        yield encode_rows(encoders, rows)


def encode_rows(encoders: Encoders, rows: list[PictureFace]) -> Codes:
    """The codes of one batch."""
    dim = encoders.about.code_dim
    codes = np.full((len(CODES), len(rows), dim), np.nan, np.float32)
    found = [index for index, row in enumerate(rows) if row.crop is not None]
    if found:
        crops = np.stack([row.crop for row in rows if row.crop is not None])
        codes[:, found] = encoders.encode(crops)
    return Codes(
        [row.name for row in rows],
        [row.status for row in rows],
        codes[0],
        codes[1],
        codes[2],
        np.stack([row.box for row in rows]).astype(np.float64),
        np.array([row.time for row in rows]),
    )


def concatenate(batches: Sequence[Codes]) -> Codes:
    """All batches as one."""
    names, status = ([text for batch in batches for text in getattr(batch, name)] for name in ("names", "status"))
    return Codes(names, status, *(np.concatenate([getattr(batch, name) for batch in batches]) for name in ARRAYS))


def refuse_single(reader: FaceReader, last: Codes, rows: int) -> None:
    """A single bad input, a picture or a video, is an error rather than ``rows`` without a face, which ``last`` ends.

    Raises:
        FaceCycleError: with its name and what is wrong.
    """
    if len(reader) != 1:
        return
    name, status = last.names[-1], last.status[-1]
    if rows > 1 and not np.isnan(last.times[-1]):  # the last row has no time where it says what is wrong with a video
        name, status = reader.items[0].name, f"no face in any of {rows} frames"
    raise FaceCycleError(f"{name}: {status}")


def embed_all(encoders: Encoders, reader: FaceReader, batch_size: int, out: str | Path | None = None) -> Codes:
    """All codes at once, written to ``out`` too if that is given.

    Raises:
        FaceCycleError: a single input without a face, or ``out`` is an input, or of a kind that is not written.
    """
    if out is not None:  # refused before any work
        from facecycle.apply.inputs import refuse_inputs
        from facecycle.apply.tables import writer_for

        writer_for(Path(out))
        refuse_inputs([Path(out)], reader.items)
    codes = concatenate(list(embed_batches(encoders, reader, batch_size)))
    if OK not in codes.status:
        refuse_single(reader, codes, len(codes))
    if out is not None:
        codes.save(out, about_codes(encoders))
    return codes


def embed(
    pictures: Any,
    weights: str | Path,
    out: str | Path | None = None,
    cropped: bool = False,
    device: str = "auto",
    batch_size: int = 64,
    detector_weights: str | None = None,
    face: str | int = "largest",
) -> Codes:
    """The codes of each picture's main face.

    Args:
        pictures: files, folders, globs, videos, face sets, arrays, ...: see `facecycle.apply.inputs`.
        weights: a run folder, a weights file, an exported ``.onnx`` file, or a name of `facecycle.list_weights`.
        out: where to write the codes: ``.npz``, ``.csv`` or ``.parquet``.
        cropped: the pictures are face crops already: no detector is run.
        device: where the networks run: ``cpu``, ``cuda``, ``mps``, or ``auto``.
        batch_size: pictures at a time.
        detector_weights: file of the face detector, where the installed one is not wanted.
        face: ``largest``, ``all``, or the number of a face from the left.

    Raises:
        FaceCycleError: nothing to read, unusable weights, or a single input without a face.
    """
    encoders = load_encoders(find_weights(weights), device)
    reader = FaceReader(pictures, encoders.about.image_size, cropped, detector_weights, face)
    return embed_all(encoders, reader, batch_size, out)


def about_codes(encoders: Encoders) -> dict[str, str]:
    """What a file of codes says beside them."""
    about = encoders.about
    return {"crop": about.crop, "licence": about.licence, "weights": about.source}
