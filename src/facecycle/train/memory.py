"""What a training step frees is kept for the next one."""

from __future__ import annotations

import ctypes
import os
import platform

# The parameters of mallopt(3) by their numbers in malloc.h of the GNU C library.
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
STEP = 1 << 28  # bytes that the heap grows by
CHOSEN = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Keep what this process frees for what it takes next, from now on, instead of giving it back to the system.

    A step on a CPU takes and frees hundreds of large tensors. By default the C library maps each of them anew, and the
    system fills every page with zeros when it is first touched: a good part of the step (docs/results.md). The most
    that was ever in use at once is held until the process ends.

    Returns:
        True where it could be asked for; False with another C library, and where the environment has already chosen
        (``MALLOC_TRIM_THRESHOLD_`` and the like, ``GLIBC_TUNABLES``).
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in CHOSEN):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(name, value) for name, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, -1), (TOP_PAD, STEP)))
