"""Pairs of photos, same person or not: LFW, CFP, CPLFW and any csv of pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from facecycle.errors import FaceCycleError
from facecycle.evaluate.datasets.layout import csv_rows, first_existing, read_lines, wrong_layout
from facecycle.evaluate.photos import Photo

FOLDS = 10
Entry = tuple[Path, Path, bool, int]  # two files, whether they show one person, the fold


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures.

    Attributes:
        photos: every picture that occurs, once.
        first, second: indices into ``photos``.
        same: whether the two show one person.
        fold: of each pair.
        problems: name -> reason of files that are missing, and how many pairs name them.
        listed: how many pairs the list has, with those that fell out.
    """

    photos: list[Photo]
    first: Int[np.ndarray, " p"]
    second: Int[np.ndarray, " p"]
    same: Bool[np.ndarray, " p"]
    fold: Int[np.ndarray, " p"]
    problems: dict[str, str]
    listed: int = 0


def read_lfw(data: Path) -> Pairs:
    """LFW, View 2: ``pairs.txt`` (ten folds) and ``lfw/<name>/<name>_NNNN.jpg``.

    Raises:
        FaceCycleError: another layout, or a list that is not the published one.
    """
    listed, images = (
        data / "pairs.txt",
        first_existing([data / "lfw", data / "lfw_funneled", data / "lfw-deepfunneled"]),
    )
    if not listed.is_file():
        raise wrong_layout(data, "pairs.txt and lfw/<name>/<name>_NNNN.jpg")
    images = images or data
    head, *lines = read_lines(listed) or [""]
    folds, size = (int(value) if value.isdecimal() else 0 for value in [*head.split(), "0", "0"][:2])
    if not folds or len(lines) != 2 * folds * size:
        raise FaceCycleError(
            f"{listed}: {len(lines)} pairs, its first line {head!r} promises 2 x folds x pairs of a fold"
        )

    def file(name: str, number: str) -> Path:
        if not number.isdecimal():
            raise FaceCycleError(f"{listed}: photo {number!r} of {name}: expected a number")
        return images / name / f"{name}_{int(number):04d}.jpg"

    entries: list[Entry] = []
    for index, line in enumerate(lines):
        words = line.split("\t") if "\t" in line else line.split()
        if len(words) == 3:
            entries.append((file(words[0], words[1]), file(words[0], words[2]), True, index // (2 * size)))
        elif len(words) == 4:
            entries.append((file(words[0], words[1]), file(words[2], words[3]), False, index // (2 * size)))
        else:
            raise FaceCycleError(f"{listed}: line {index + 2} {line!r}: expected 3 or 4 words")
    return _gather(data, entries)


def read_cfp(data: Path, kind: str) -> Pairs:
    """CFP: ``Protocol/Split/FF|FP/NN/same.txt`` and ``diff.txt``, ``Protocol/Pair_list_F.txt`` and ``_P.txt``.

    Args:
        data: the set's folder.
        kind: ``FF``, frontal with frontal, or ``FP``, frontal with profile.

    Raises:
        FaceCycleError: another layout.
    """
    protocol = data / "Protocol"
    folders = sorted((protocol / "Split" / kind).glob("[0-9]*"))
    if not folders or not (protocol / "Pair_list_F.txt").is_file():
        raise wrong_layout(
            data, f"Protocol/Split/{kind}/01../same.txt, Protocol/Pair_list_F.txt, Pair_list_P.txt, Data/Images/"
        )
    frontal, other = (_cfp_files(protocol, f"Pair_list_{side}.txt") for side in ("F", "F" if kind == "FF" else "P"))
    entries: list[Entry] = []
    for fold, folder in enumerate(folders):
        for name, same in (("same.txt", True), ("diff.txt", False)):
            for line in read_lines(folder / name):
                one, _, two = (word.strip() for word in line.partition(","))
                if one not in frontal or two not in other:
                    raise FaceCycleError(f"{folder / name}: pair {line} names a picture that the lists lack")
                entries.append((frontal[one], other[two], same, fold))
    return _gather(data, entries)


def _cfp_files(protocol: Path, name: str) -> dict[str, Path]:
    lines = [line.partition(" ") for line in read_lines(protocol / name)]
    return {number: protocol / path.strip().replace("\\", "/") for number, _, path in lines}


def read_cplfw(data: Path) -> Pairs:
    """CPLFW: ``pairs_CPLFW.txt``, two lines a pair (``name.jpg 1`` for one person, ``0`` for two), and ``images/``.

    Tenths of the same and tenths of the different pairs, in file order, make the folds.

    Raises:
        FaceCycleError: another layout.
    """
    listed, images = data / "pairs_CPLFW.txt", first_existing([data / "images", data / "aligned images"])
    if not listed.is_file() or images is None:
        raise wrong_layout(data, "pairs_CPLFW.txt and images/ or 'aligned images/'")
    lines, entries = [line.rsplit(maxsplit=1) for line in read_lines(listed)], []
    if len(lines) % 2:
        raise FaceCycleError(f"{listed}: {len(lines)} lines, a pair is two")
    for number, (one, two) in enumerate(zip(lines[::2], lines[1::2], strict=True)):
        if len(one) != 2 or one[1:] != two[1:] or one[1] not in ("0", "1"):
            raise FaceCycleError(
                f"{listed}: lines {2 * number + 1} and {2 * number + 2}: expected <picture> 0, or 1, twice"
            )
        entries.append((images / one[0], images / two[0], one[1] == "1", 0))
    return _gather(data, _into_folds(entries))


def read_pairs(data: Path) -> Pairs:
    """Any csv with columns ``first, second, same`` (1 or 0) and, if given, ``fold``; paths are relative to it.

    Raises:
        FaceCycleError: no csv, or other columns or values.
    """
    file = data / "pairs.csv" if data.is_dir() else data
    if not file.is_file():
        raise wrong_layout(data, "pairs.csv with columns first, second, same and perhaps fold")
    entries: list[Entry] = []
    folded = False
    for line, row in csv_rows(file, ("first", "second", "same")):
        folded = "fold" in row
        fold = row.get("fold", "0")
        if row["same"] not in ("0", "1") or not fold.isdecimal():
            raise FaceCycleError(
                f"{file}: line {line}: same={row['same']!r}, fold={fold!r}: expected 0 or 1, and a number"
            )
        entries.append((file.parent / row["first"], file.parent / row["second"], row["same"] == "1", int(fold)))
    return _gather(file.parent, entries if folded else _into_folds(entries))


def _into_folds(entries: Sequence[Entry]) -> list[Entry]:
    """`FOLDS` folds, or as many as there are pairs of the rarer kind: each must hold both."""
    kinds = [[entry for entry in entries if entry[2] is wanted] for wanted in (True, False)]
    folds = min(FOLDS, *map(len, kinds))
    return [(one, two, same, folds * i // len(alike)) for alike in kinds for i, (one, two, same, _) in enumerate(alike)]


def _gather(data: Path, entries: list[Entry]) -> Pairs:
    files = sorted({file for entry in entries for file in entry[:2]})
    there = {file: None for file in files if file.is_file()}
    order = {file: row for row, file in enumerate(there)}
    kept = [(one, two, same, fold) for one, two, same, fold in entries if one in order and two in order]
    uses = Counter(file for entry in entries for file in set(entry[:2]))
    problems = {_name(file, data): f"not there; pairs with it: {uses[file]}" for file in files if file not in order}
    if not kept:
        missing = next(iter(problems), "the list is empty")
        raise FaceCycleError(f"{data}: not one of {len(entries)} pairs has both pictures, such as {missing}")
    first, second = np.array([order[one] for one, *_ in kept]), np.array([order[two] for _, two, *_ in kept])
    same, fold = np.array([entry[2] for entry in kept]), np.array([entry[3] for entry in kept])
    photos = [Photo(_name(file, data), file.read_bytes) for file in order]
    return Pairs(photos, first, second, same, fold, problems, len(entries))


def _name(file: Path, data: Path) -> str:
    return file.relative_to(data).as_posix() if file.is_relative_to(data) else str(file)


READERS = {
    "lfw": read_lfw,
    "cfp-ff": lambda data: read_cfp(data, "FF"),
    "cfp-fp": lambda data: read_cfp(data, "FP"),
    "cplfw": read_cplfw,
    "pairs": read_pairs,
}
