"""When to stop early: asked to by a signal, or out of time."""

from __future__ import annotations

import signal
import time
from types import FrameType

import torch
import torch.distributed as dist

from facecycle.train.distributed import several


class Stop:
    """A wish to stop that the loop can ask for between two steps.

    SIGTERM and SIGINT set it (a second one acts as usual), so does the clock. Used as a context, it puts the former
    handlers back at its end.

    Args:
        minutes: from now on; None for no limit.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self.deadline = None if minutes is None else time.monotonic() + 60 * minutes
        self.signalled = False
        self._former: dict[int, object] = {}

    def __enter__(self) -> Stop:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._former[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self.signalled = True
        signal.signal(number, self._former[number])  # type: ignore[arg-type]

    def asked(self) -> bool:
        """True once it is time; all processes of a run hear the same answer."""
        asked = self.signalled or (self.deadline is not None and time.monotonic() >= self.deadline)
        if several():
            device = "cuda" if dist.get_backend() == "nccl" else "cpu"
            vote = torch.tensor(float(asked), device=device)
            dist.all_reduce(vote, dist.ReduceOp.MAX)
            return bool(vote)
        return asked
