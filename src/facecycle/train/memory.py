"""Memory that a step gives back is kept for the next one."""

from __future__ import annotations

import ctypes
import sys

# Of <malloc.h>; 0 maps of its own, and the heap's end is never cut off.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
SETTINGS = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1}


def keep_freed_memory() -> bool:
    """Have glibc's allocator hand large blocks out of what this process already has; True where it obeys.

    By default every block of 32 MB or more is a mapping that the kernel makes, fills with zeros page by page as it is
    first touched, and takes away again: a training step asks for hundreds of them, all of the sizes of the step before,
    and a fifth to a third of it went there on a virtual machine (benchmarks/README.md). The process keeps the most it
    ever needed until it ends, a tenth more than before. Other C libraries are left alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return all(library.mallopt(name, value) == 1 for name, value in SETTINGS.items())
