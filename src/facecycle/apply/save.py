"""Remade faces -> picture files and clips."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from facecycle.apply.inputs import OK, Item, PictureInMemory, StoredFace, refuse_inputs
from facecycle.apply.remake import Faces
from facecycle.apply.video import CODECS, write_clip
from facecycle.data.files import in_one_piece
from facecycle.draw import made, save_picture
from facecycle.errors import FaceCycleError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", *CODECS)
Remake = Callable[[Item], Iterator[Faces]]


def save_remade(
    items: list[Item],
    remake: Remake,
    out: Path,
    on_row: Callable[[], None] = lambda: None,
    sources: Sequence[Item] = (),
) -> list[tuple[str, str]]:
    """Write what ``remake`` makes of each input: a PNG for a picture, a clip with its sound for a video.

    Args:
        items: the inputs.
        remake: gives the rows of one input.
        out: for a single input a file (``.png``, ``.jpg``, ``.mp4``, ...); else, or without a suffix, a folder, in
            which names repeat those of the inputs.
        on_row: called for every row.
        sources: what else is read, such as the face that the inputs drive.

    Returns:
        (name, status) of what has no face or could not be read.

    Raises:
        FaceCycleError: no input that can be used, several inputs for one file, a folder that holds inputs, a suffix
            that is not written, or an input or source that would be written over.
    """
    if len(items) > 1 and out.suffix.lower() in SUFFIXES and not out.is_dir():
        raise FaceCycleError(f"{out}: {len(items)} inputs need a folder; give --out a name without {out.suffix}")
    if len(items) > 1 and out.is_dir() and any(out.samefile(folder) for folder in _folders(items)):
        raise FaceCycleError(f"{out}: holds the inputs, and would hold what is made of them too; name another --out")
    files = [out] if len(items) == 1 and out.suffix and not out.is_dir() else targets(items, out)
    refuse_inputs(files, [*items, *sources])
    taken = {Path(path).resolve() for path in (*files, *(item.name for item in (*items, *sources)))}
    bad: list[tuple[str, str]] = []
    written = 0
    for item, target in zip(items, files, strict=True):
        batches = remake(item)
        try:
            if item.moving:
                source = Path(item.name) if Path(item.name).is_file() else None
                bad += write_clip(batches, item.name, target, source, on_row)
                written += 1
            else:
                without, count = _save_pictures(batches, target, taken, on_row)
                bad += without
                written += count
        except FaceCycleError as error:
            if len(items) == 1:
                raise
            bad.append((item.name, str(error).removeprefix(f"{item.name}: ")))
    if bad and not written:
        first = ": ".join(bad[0])
        raise FaceCycleError(
            first if len(items) == 1 else f"none of {len(items)} inputs could be used; the first: {first}"
        )
    return bad


def _folders(items: list[Item]) -> set[Path]:
    return {Path(item.name).parent for item in items if Path(item.name).is_file()}


def targets(items: list[Item], folder: Path) -> list[Path]:
    """A file in ``folder`` for each input, below the deepest folder that all share; no two are alike."""
    paths = [_relative_name(item) for item in items]
    parents = [path.parent.parts for path in paths]
    shared = 0
    while all(len(parts) > shared and parts[shared] == parents[0][shared] for parts in parents):
        shared += 1
    taken: set[Path] = set()
    for index, (item, path) in enumerate(zip(items, paths, strict=True)):
        below = Path(*path.parts[shared:])
        keeps = item.moving and below.suffix.lower() in CODECS
        target = folder / below.with_suffix(below.suffix if keeps else ".mp4" if item.moving else ".png")
        plain, number = target, index
        while target in taken:  # a.jpg beside a.png
            target = plain.with_name(f"{plain.stem}_{number}{plain.suffix}")
            number += 1
        taken.add(target)
        paths[index] = target
    return paths


def _relative_name(item: Item) -> Path:
    if isinstance(item, PictureInMemory | StoredFace) or item.name.startswith("webcam:"):
        return Path(item.name.replace("/", "_").replace(":", "_").replace(" ", "_"))
    return Path(os.path.abspath(item.name))  # links keep their place


def _save_pictures(
    batches: Iterator[Faces], target: Path, taken: set[Path], on_row: Callable[[], None]
) -> tuple[list[tuple[str, str]], int]:
    """What has no face, and how many faces were written."""
    bad, whole = [], None
    number = 0
    for batch in batches:
        for row, status in enumerate(batch.status):
            on_row()
            if status != OK:
                bad.append((batch.names[row], status))
                continue
            whole = batch.pictures[row]
            if whole is None:
                _save(Image.fromarray(batch.faces[row]), target if not number else _beside(target, number, taken))
            number += 1
    if whole is not None:  # the last row shows all faces of the picture
        _save(Image.fromarray(np.ascontiguousarray(whole)), target)
    return bad, number


def _beside(target: Path, number: int, taken: set[Path]) -> Path:
    """Where a further face of a picture goes; ``g@1.jpg`` may be another input, and what is made of it ``g@1.png``."""
    while (path := target.with_name(f"{target.stem}@{number}{target.suffix}")).resolve() in taken:
        number += 1
    taken.add(path.resolve())
    return path


def _save(picture: Image.Image, path: Path) -> None:
    if path.suffix.lower() == ".png":
        save_picture(picture, path, **made(".png"))
        return
    if path.suffix.lower() not in (".jpg", ".jpeg", ".webp"):
        raise FaceCycleError(f"{path}: pictures are written as .png, .jpg or .webp; choose one of these suffixes")
    path.parent.mkdir(parents=True, exist_ok=True)
    with in_one_piece(path) as partial:
        picture.save(partial, quality=95, **made(path.suffix))
