"""``facecycle inspect``: what a face set holds, in numbers and as a sheet of faces."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from facecycle.data.faceset import FaceSet
from facecycle.data.files import check_suffix, disk_space
from facecycle.data.people import clips_of
from facecycle.data.truth import is_neutral
from facecycle.errors import FaceCycleError

SHEET_ROWS, SHEET_COLUMNS = 16, 12


@dataclass(frozen=True)
class InspectReport:
    """A face set in numbers.

    Attributes:
        meta: its ``faceset.json``.
        people, clips, frames: how many.
        neutral: how many neutral faces end clips; they are no frames.
        clip_lengths: frames per clip at the 0th, 25th, 50th, 75th and 100th percentile.
        single_clips: clips of one frame, which give no pair.
        largest_people: the people with most frames, with their number.
        labels: names of the labels it carries.
        statuses: its sources by status.
        dropped: faces and frames left out, by reason.
    """

    meta: dict[str, Any]
    people: int
    clips: int
    frames: int
    neutral: int
    clip_lengths: list[float]
    single_clips: int
    largest_people: list[tuple[str, int]]
    labels: list[str]
    statuses: Counter[str]
    dropped: Counter[str]


def inspect(faceset: str | Path, sheet: str | Path | None = None, margin: bool = False) -> InspectReport:
    """Count what is in a face set, and draw some of it.

    Args:
        faceset: its folder or URL.
        sheet: a picture to write: a row for each of some clips, frames in order.
        margin: draw the margin around the crops too.

    Raises:
        FaceCycleError: it is no face set that can be read.
    """
    if sheet is not None:
        check_suffix(Path(sheet), ".png", ".jpg")
    faces = FaceSet.open(faceset)
    clips, neutral = clips_of(faces), int(is_neutral(faces).sum())
    lengths = np.array([len(clip) for clip in clips])
    if sheet is not None:
        Path(sheet).parent.mkdir(parents=True, exist_ok=True)
        with disk_space(Path(sheet)):
            Image.fromarray(contact_sheet(faces, margin)).save(sheet)
    try:
        sources = [json.loads(line) for line in faces.store.read("sources.jsonl").splitlines()]
    except (FileNotFoundError, ValueError) as error:
        raise FaceCycleError(f"{faceset}/sources.jsonl: damaged or gone ({error}); copy the face set again") from None
    return InspectReport(
        meta=faces.meta,
        people=len(faces.people()),
        clips=len(clips),
        frames=len(faces) - neutral,
        neutral=neutral,
        clip_lengths=np.percentile(lengths, [0, 25, 50, 75, 100]).tolist(),
        single_clips=int((lengths == 1).sum()),
        largest_people=Counter(faces.columns["person"].tolist()).most_common(5),
        labels=sorted(name.removeprefix("label/") for name in faces.columns if name.startswith("label/")),
        statuses=Counter(row["status"] for row in sources if "status" in row),
        dropped=sum((Counter(row.get("dropped", {})) for row in sources), Counter()),
    )


def contact_sheet(faces: FaceSet, margin: bool = False) -> UInt8[np.ndarray, "h w 3"]:
    """Some clips, evenly chosen, one a row, with up to `SHEET_COLUMNS` of their frames, evenly chosen too."""
    clips = clips_of(faces)
    chosen = [clips[i] for i in np.unique(np.linspace(0, len(clips) - 1, SHEET_ROWS).astype(int))]
    columns = min(SHEET_COLUMNS, max(map(len, chosen)))
    rim = 0 if margin else (faces.stored - faces.size) // 2
    inner = slice(rim, faces.stored - rim)
    rows = [clip[np.unique(np.linspace(0, len(clip) - 1, columns).astype(int))].tolist() for clip in chosen]
    return tile([[picture[inner, inner] for picture in faces.images(row)] for row in rows])


def tile(rows: list[list[UInt8[np.ndarray, "s s 3"]]], gap: int = 2) -> UInt8[np.ndarray, "h w 3"]:
    """Rows of equal pictures -> one picture, ``gap`` white pixels around each; a row may be shorter than others."""
    size, step = rows[0][0].shape[0], rows[0][0].shape[0] + gap
    sheet = np.full((len(rows) * step + gap, max(map(len, rows)) * step + gap, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet[gap + y * step :, gap + x * step :][:size, :size] = picture
    return sheet
