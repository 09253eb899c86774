"""Contact sheets: what the generator draws, at a glance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from facecycle.data.files import check_suffix, disk_space
from facecycle.synthetic.clip import Clip, ClipOptions
from facecycle.synthetic.person import create_person
from facecycle.synthetic.stream import check_size, name_people

GAP = 2  # pixels between pictures


def tile(rows: list[list[UInt8[np.ndarray, "s s 3"]]]) -> UInt8[np.ndarray, "h w 3"]:
    """Rows of equal pictures -> one picture."""
    size = rows[0][0].shape[0]
    sheet = np.full((len(rows) * (size + GAP), max(map(len, rows)) * (size + GAP), 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet[y * (size + GAP) :, x * (size + GAP) :][:size, :size] = picture
    return sheet


def draw_sheet(
    path: str | Path,
    people: int = 8,
    frames: int = 10,
    size: int = 96,
    seed: int = 0,
    split: str = "train",
    margin: float = 0.25,
    options: ClipOptions | None = None,
) -> None:
    """Write a contact sheet: a row for each person, frames of one clip in order of time.

    Raises:
        FaceCycleError: a size out of range, nobody asked for, another suffix than .png or .jpg, or a full disk.
    """
    check_size(size, margin)
    check_suffix(Path(path), ".png", ".jpg")
    rows = []
    for key in name_people(people, seed, split):
        clip = Clip(create_person(key), (0,), options)
        rows.append([clip.frame(float(t), size, margin).picture for t in clip.times(frames)])
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with disk_space(Path(path)):
        Image.fromarray(tile(rows)).save(path)
