"""What the processes that this one begins have in common."""

from __future__ import annotations

import multiprocessing
import os
import threading


def leave_with_parent(*_: object) -> None:
    """End this process when the one that began it does, whatever ends that; called first thing in the new one."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # it was killed: nobody waits for what is done here, or is to find it written
