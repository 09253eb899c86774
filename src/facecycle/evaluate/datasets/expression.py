"""Expression sets: FER-2013, RAF-DB and plain class folders."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from facecycle.data.pictures import PICTURE_SUFFIXES
from facecycle.errors import FaceCycleError
from facecycle.evaluate.datasets.layout import csv_rows, first_existing, picture_files, read_lines, wrong_layout
from facecycle.evaluate.photos import WHOLE, Photo, photo_of, share

FER_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # 0..6 in the csv
RAF_CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")  # 1..7 in the lists
PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "publictest"),
    "test": ("test", "privatetest"),
}
# FER-2013 pictures are cut closer than facecycle-v1: the median over 600 training pictures in which YuNet finds the
# landmarks, in shares of the picture. What lies outside is the border repeated.
FER_SQUARE = share(0.50, 0.54, 1.22)


@dataclass(frozen=True)
class Labelled:
    """Pictures with a class each.

    Attributes:
        labels: indices into ``classes``.
        parts: "train", "validation" or "test" for each picture; where the set has no validation part, there is none.
        squares: where faces sit, in words.
        problems: name -> reason of entries that cannot be used.
        warning: what makes figures of it no published ones; empty if nothing.
    """

    photos: list[Photo]
    labels: Int[np.ndarray, " n"]
    classes: tuple[str, ...]
    parts: np.ndarray
    squares: str
    problems: dict[str, str]
    warning: str = ""


def read_fer2013(data: Path) -> Labelled:
    """FER-2013: the csv (``emotion, pixels, Usage``), or ``train|validation|test/<class>/`` folders.

    Raises:
        FaceCycleError: neither is there.
    """
    file = data if data.is_file() else first_existing(data / name for name in ("fer2013.csv", "icml_face_data.csv"))
    if file is not None:
        return _read_fer_csv(file)
    labelled = _read_parts(data, FER_SQUARE, "a stated square", "fer2013.csv, or train|validation|test/<class>/*.jpg")
    if "validation" in labelled.parts:
        return labelled
    both = "no validation part: test may be PublicTest and PrivateTest together; C is chosen on pictures of train"
    return replace(labelled, warning=both)


def _read_fer_csv(file: Path) -> Labelled:
    photos, labels, parts, problems = [], [], [], {}
    for number, (line, row) in enumerate(csv_rows(file, ("emotion", "pixels", "Usage"))):
        name, label = f"row {number}", row["emotion"].strip()
        if not label.isdecimal() or int(label) >= len(FER_CLASSES):
            raise FaceCycleError(
                f"{file}: line {line}: emotion {label!r}: expected 0 to 6; mend the row or take it out"
            )
        try:
            part, values = _part(row["Usage"]), np.array(row["pixels"].split(), np.uint8)
            if values.size != 48 * 48 or part is None:
                raise ValueError(f"{values.size} pixels, usage {row['Usage']!r}")
        except (ValueError, OverflowError) as error:
            problems[name] = f"not a row of FER-2013: {error}"
            continue
        photos.append(Photo(name, lambda values=values: _png(values.reshape(48, 48)), FER_SQUARE))
        labels.append(int(label))
        parts.append(part)
    if not photos:
        raise FaceCycleError(f"{file}: no usable row; {next(iter(problems.values()), 'it is empty')}")
    return Labelled(photos, np.array(labels), FER_CLASSES, np.array(parts), "a stated square", problems)


def _png(values: np.ndarray) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG", compress_level=0)
    return stream.getvalue()


def read_rafdb(data: Path) -> Labelled:
    """RAF-DB: the official ``basic`` folder, or ``DATASET/train|test/<1..7>/`` with ``train_labels.csv``.

    Raises:
        FaceCycleError: neither is there.
    """
    base = first_existing([data / "basic" / "EmoLabel", data / "EmoLabel"])
    if base is not None:
        lines = [line.split() for line in read_lines(base / "list_patition_label.txt")]
        images = base.parent / "Image" / "aligned"
        entries = [
            (line[0].partition("_")[0], images / f"{Path(line[0]).stem}_aligned.jpg", line[-1]) for line in lines
        ]
        return _raf(data, entries)
    lists = {part: data / f"{part}_labels.csv" for part in ("train", "test")}
    if all(file.is_file() for file in lists.values()):
        entries = [
            (part, data / "DATASET" / part / row["label"] / row["image"], row["label"])
            for part, file in lists.items()
            for _, row in csv_rows(file, ("image", "label"))
        ]
        return _raf(data, entries)
    official = "basic/EmoLabel/list_patition_label.txt with basic/Image/aligned/"
    raise wrong_layout(data, f"{official}, or train_labels.csv, test_labels.csv and DATASET/")


def _raf(data: Path, entries: list[tuple[str, Path, str]]) -> Labelled:
    photos, labels, parts, problems = [], [], [], {}
    for part, file, label in entries:
        name = file.relative_to(data).as_posix() if file.is_relative_to(data) else str(file)
        if label not in ("1", "2", "3", "4", "5", "6", "7"):
            raise FaceCycleError(f"{data}: label {label!r} of {name}: expected 1 to 7; mend the list")
        if part not in PARTS:
            problems[name] = f"part {part!r}: expected train or test"
        elif not (file.is_relative_to(data) and file.is_file()):
            problems[name] = "listed, but not there"
        else:
            photos.append(photo_of(file, data, WHOLE))
            labels.append(int(label) - 1)
            parts.append(part)
    if not photos:
        raise FaceCycleError(f"{data}: not one of {len(entries)} listed pictures can be used; {_first(problems)}")
    return Labelled(photos, np.array(labels), RAF_CLASSES, np.array(parts), "whole aligned pictures", problems)


def read_folder(data: Path) -> Labelled:
    """Class folders: ``train|validation|test/<class>/``, or ``<class>/`` alone, of which a random fifth is the test.

    Raises:
        FaceCycleError: fewer than two classes, or one that is in the test part alone.
    """
    return _read_parts(data, None, "the detector's", "class folders, within train|validation|test/ or alone")


def _read_parts(data: Path, square: Callable | None, squares: str, expected: str) -> Labelled:
    if not data.is_dir():
        raise wrong_layout(data, expected)
    inside = _folders(data)
    named = [(part, path) for path in inside if (part := _part(path.name))] or [("all", data)]
    classes = tuple(sorted({path.name for _, folder in named for path in _folders(folder)}))
    photos, labels, parts = [], [], []
    for part, folder in named:
        for label, name in enumerate(classes):
            for file in picture_files(folder / name) if (folder / name).is_dir() else []:
                photos.append(photo_of(file, data, square))
                labels.append(label)
                parts.append(part)
    if len(set(labels)) < 2 or not ({"all"} & set(parts) or {"train", "test"} <= set(parts)):
        raise wrong_layout(data, expected)
    tested, trained = (
        {label for label, part in zip(labels, parts, strict=True) if part == p} for p in ("test", "train")
    )
    if unknown := tested - trained:
        names = ", ".join(classes[label] for label in sorted(unknown))
        raise FaceCycleError(f"{data}: {names}: in the test part, but not in train; name its classes alike in both")
    return Labelled(photos, np.array(labels), classes, np.array(parts), squares, _passed_over(data, inside, named))


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _passed_over(data: Path, inside: list[Path], named: list[tuple[str, Path]]) -> dict[str, str]:
    """Pictures that lie in no class, and folders that are no part."""
    used = [folder for _, folder in named]
    problems = {}
    if used != [data]:
        problems = {folder.name: "no part: train, validation or test" for folder in inside if folder not in used}
    for folder in {data, *used}:
        for file in sorted(folder.iterdir()):
            if file.is_file() and file.suffix.lower() in PICTURE_SUFFIXES and not file.name.startswith("."):
                problems[file.relative_to(data).as_posix()] = "in no folder of a class"
    return problems


def _part(name: str) -> str | None:
    return next((part for part, names in PARTS.items() if name.strip().lower() in names), None)


def _first(problems: dict[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in list(problems.items())[:1]) or "the list is empty"


READERS = {"fer2013": read_fer2013, "rafdb": read_rafdb, "folder": read_folder}
