"""Files that are either whole or absent, and disks that are full."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
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
