"""Contact sheets: what the generator draws, at a glance."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from facecycle.data.files import check_suffix, disk_space
from facecycle.data.inspect import tile
from facecycle.synthetic.clip import Clip, ClipOptions
from facecycle.synthetic.person import create_person
from facecycle.synthetic.stream import check_size, name_people


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
