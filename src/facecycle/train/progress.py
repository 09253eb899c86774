"""The bar that one watches while a stage trains."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from torch import Tensor


class Progress:
    """Step, loss, images per second and time left; plain lines where there is no terminal.

    Args:
        stage: its name.
        start, steps: where it begins and ends.
        images: images in a step, over all processes.
        shown: False in all but one of several processes.
    """

    def __init__(self, stage: str, start: int, steps: int, images: int, shown: bool) -> None:
        self.images, self.start, self.steps, self.stage, self.shown = images, start, steps, stage, shown
        self.done, self.began, self.printed = 0, time.monotonic(), time.monotonic()
        console = Console()
        self.terminal = console.is_terminal
        self._bar = RichProgress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  {task.fields[speed]:.0f} images/s"),
            TimeRemainingColumn(),
            console=console,
            disable=not (shown and self.terminal),
        )
        self._task = self._bar.add_task(stage, total=steps, completed=start, loss=float("nan"), speed=0.0)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, loss: Tensor) -> None:
        """One step done."""
        self.done += 1
        if not self.shown:
            return
        now = time.monotonic()
        if self.terminal and (now - self.printed > 0.5 or self.start + self.done == self.steps):
            self.printed = now  # reading the loss waits for the device: twice a second is enough
            speed = self.speed()["images_per_second"]
            self._bar.update(self._task, completed=self.start + self.done, loss=float(loss), speed=speed)
        elif not self.terminal and now - self.printed > 30:
            self.printed = now
            step, speed = self.start + self.done, self.speed()["images_per_second"]
            left = (self.steps - step) * self.images / speed / 60
            print(
                f"{self.stage} {step}/{self.steps}  loss {float(loss):.4f}  {speed:.0f} images/s  {left:.1f} min left",
                flush=True,
            )

    def say(self, words: str) -> None:
        """A line of its own, for what keeps the next step waiting."""
        if self.shown:
            self._bar.console.print(
                f"{self.stage} {self.start + self.done}/{self.steps}  {words}", highlight=False, soft_wrap=True
            )

    def speed(self) -> dict[str, float]:
        """Images per second since this process began, everything included."""
        return {"images_per_second": self.done * self.images / max(time.monotonic() - self.began, 1e-9)}
