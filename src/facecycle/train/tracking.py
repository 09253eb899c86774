"""What a run writes down: ``metrics.jsonl`` always, TensorBoard where it is installed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facecycle.errors import FaceCycleError


class Tracker:
    """One line of JSON for every record; figures are told apart by stage, step and split.

    Args:
        run: the run's folder.
        active: False in all but one of several processes, which then write nothing.
    """

    def __init__(self, run: Path, active: bool = True) -> None:
        self.path, self.active = run / "metrics.jsonl", active
        self._board = None
        if active and importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(run / "tensorboard"))

    def write(self, stage: str, step: int, split: str, figures: Mapping[str, float]) -> None:
        """Append a record."""
        if not self.active:
            return
        record = {"stage": stage, "step": step, "split": split}
        record |= {name: float(f"{value:.6g}") for name, value in figures.items()}
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise FaceCycleError(
                f"{self.path}: what step {step} gave could not be written ({error.strerror}); "
                "free some room and go on with --resume"
            ) from error
        if self._board:
            for name, value in figures.items():
                self._board.add_scalar(f"{stage}/{split}/{name}", value, step)

    def rewind(self, stage: str, step: int) -> None:
        """Drop what a resumed run is about to write again: later records of this stage, and later stages."""
        if not (self.active and self.path.is_file()):
            return
        kept = [line for line in self.path.read_text().splitlines() if _stays(line, stage, step)]
        partial = self.path.with_suffix(".partial")
        partial.write_text("".join(line + "\n" for line in kept))
        partial.replace(self.path)

    def close(self) -> None:
        """Flush."""
        if self._board:
            self._board.close()


def _stays(line: str, stage: str, step: int) -> bool:
    try:
        record: dict[str, Any] = json.loads(line)
        if record["stage"] == stage:
            return record["step"] <= step
        return record["stage"] == "motion"
    except (ValueError, TypeError, KeyError):
        return False  # cut by a kill, or nothing of this program's
