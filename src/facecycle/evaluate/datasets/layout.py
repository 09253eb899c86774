"""What the readers of published layouts share."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from facecycle.data.files import walk_files
from facecycle.data.pictures import PICTURE_SUFFIXES
from facecycle.errors import FaceCycleError

SHOWN = 6  # entries of a folder in an error


def picture_files(folder: Path) -> list[Path]:
    """Every picture under a folder, in file order.

    Raises:
        FaceCycleError: a folder in it cannot be read.
    """

    def failed(error: OSError) -> None:
        raise FaceCycleError(f"{error.filename}: {error.strerror}; mend that, or take the folder out") from None

    return [path for path in walk_files(folder, failed) if path.suffix.lower() in PICTURE_SUFFIXES]


def wrong_layout(data: Path, expected: str) -> FaceCycleError:
    """The error of a set that is laid out otherwise: what was expected, and what is there."""
    if data.is_dir():
        names = sorted(path.name + ("/" if path.is_dir() else "") for path in data.iterdir())
        found = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        return FaceCycleError(f"{data}: expected {expected}; found {found or 'an empty folder'}")
    return FaceCycleError(f"{data}: expected {expected}; found {'a file' if data.exists() else 'nothing'}")


def first_existing(places: Iterable[Path]) -> Path | None:
    """The first of some places that is there."""
    return next((place for place in places if place.exists()), None)


def read_lines(file: Path) -> list[str]:
    """The lines of a text file that hold anything.

    Raises:
        FaceCycleError: it cannot be read.
    """
    try:
        return [line.strip() for line in file.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise FaceCycleError(f"{file}: cannot be read ({error})") from None


def csv_rows(file: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and values of each row of a csv; what a short row lacks is empty.

    Raises:
        FaceCycleError: it cannot be read, or lacks one of the columns.
    """
    csv.field_size_limit(1 << 20)
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.DictReader(stream, skipinitialspace=True, restval="")
            if not set(columns) <= set(rows.fieldnames or ()):
                found = ", ".join(rows.fieldnames or ()) or "an empty file"
                raise FaceCycleError(f"{file}: expected columns {', '.join(columns)}; found {found}")
            for row in rows:
                yield rows.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FaceCycleError(f"{file}: cannot be read ({error})") from None
