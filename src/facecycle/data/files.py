"""Files that are either whole or absent, and disks that are full."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from facecycle.errors import FaceCycleError


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` so that ``path`` holds either what it held before or all of it, also after a crash.

    Raises:
        FaceCycleError: the disk is full.
    """
    partial = path.with_name(path.name + ".partial")
    with disk_space(path):
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)


def new_beside(path: Path) -> Path:
    """Create an empty hidden file in the folder of ``path``, of its suffix, under a name that nothing had before.

    What is written to it can take the place of ``path`` at the end, and no file of a user is in danger until then.

    Raises:
        OSError: it cannot be created; ``path`` is the file that the error names.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}.partial{path.suffix}")
    try:
        partial.touch(exist_ok=False)
    except OSError as error:
        error.filename = str(path)
        raise
    return partial


@contextmanager
def in_one_piece(path: Path) -> Iterator[Path]:
    """A new file to write to, which takes the place of ``path`` at the end; after an error it is gone.

    Raises:
        FaceCycleError: the disk is full.
        OSError: ``path`` cannot be written.
    """
    with disk_space(path):
        partial = new_beside(path)
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def check_suffix(path: Path, *suffixes: str) -> None:
    """Refuse a file to write whose name ends otherwise.

    Raises:
        FaceCycleError: it does.
    """
    if path.suffix.lower() not in suffixes:
        raise FaceCycleError(f"{path}: written as {', '.join(suffixes)}; choose such a suffix")


@contextmanager
def disk_space(path: Path) -> Iterator[None]:
    """Turn "no space left" below this point into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise FaceCycleError(
            f"{path}: the disk is full; free some space and run the same command again, finished work is kept"
        ) from error


def walk_files(folder: Path, failed: Callable[[OSError], None]) -> list[Path]:
    """All files below ``folder``, sorted, but hidden ones and those in hidden folders.

    Links are followed, but not round in a circle.
    ``failed`` is told of every folder that cannot be read, and of every pipe or device: reading it might never end.
    """
    files: list[Path] = []
    above = {str(folder): (os.path.realpath(folder),)}  # the folders that one was reached through
    for place, folders, names in os.walk(folder, onerror=failed, followlinks=True):
        for file in (Path(place, name) for name in names if not name.startswith(".")):
            if _is_special(file):
                failed(OSError(errno.EINVAL, "a pipe or a device, no file", str(file)))
            else:
                files.append(file)
        chain = above.pop(place)
        real = {name: os.path.realpath(os.path.join(place, name)) for name in folders}
        folders[:] = [name for name in folders if real[name] not in chain and not name.startswith(".")]
        above |= {os.path.join(place, name): (*chain, real[name]) for name in folders}
    return sorted(files)


def _is_special(file: Path) -> bool:
    try:
        kind = os.stat(file).st_mode
    except OSError:  # a link to nowhere: told when it is read
        return False
    return not stat.S_ISREG(kind)
