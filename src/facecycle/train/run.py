"""A run's folder: its configuration, records, previews, checkpoints and weights."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric.plugins import Precision
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from facecycle import config as configuration
from facecycle.config import RunConfig
from facecycle.data.mixed import join_licences
from facecycle.errors import FaceCycleError
from facecycle.model.networks import Networks
from facecycle.model.weights import FILE, save_weights
from facecycle.train import checkpoint
from facecycle.train.tracking import Tracker

BEGUN_WITH = "begun-with.txt"  # until the first checkpoint, which holds it
# What a run's folder holds:
OWN = {BEGUN_WITH, "config.toml", "metrics.jsonl", "previews", "checkpoints", "tensorboard", FILE}


@dataclass(frozen=True)
class Learning:
    """What changes while a stage is trained, and a checkpoint holds."""

    networks: Networks
    averaged: AveragedModel
    optimizer: torch.optim.Optimizer
    precision: Precision
    """Which scales gradients, in half precision."""
    names: dict[Tensor, str]
    """Of the parameters."""


class Run:
    """Where a run keeps everything it makes::

        config.toml           reproduces the run
        metrics.jsonl         figures of every stage
        previews/             STAGE-STEP.png
        checkpoints/          STAGE-STEP/, the last few
        weights.safetensors   the averaged networks as they stand

    Args:
        folder: created if it is not there.
        config: the run's.
        resume: go on from the newest checkpoint.
        writes: False in all but one of several processes.
        init: the weights that it begins with, if any.

    Raises:
        FaceCycleError: the folder already holds a run, and ``resume`` was not asked for; or it was, of one that began
            with weights of which no checkpoint was written yet.
    """

    def __init__(
        self, folder: Path, config: RunConfig, resume: bool, writes: bool = True, init: Path | None = None
    ) -> None:
        self.folder, self.config, self.resume, self.writes = folder, config, resume, writes
        if writes:
            checkpoint.recover(self.checkpoints)
        if not resume and checkpoint.begun(self.checkpoints):
            raise FaceCycleError(f"{folder}: holds a run already; go on with --resume, or name another --run")
        if not resume and writes and not _is_free(folder):
            raise FaceCycleError(f"{folder}: holds other files, which a run would mix with; name a new --run")
        begun_with = folder / BEGUN_WITH
        if resume and not checkpoint.complete(self.checkpoints) and begun_with.is_file():
            command = begun_with.read_text("utf-8").strip()
            raise FaceCycleError(
                f"{folder}: stopped before its first checkpoint, and what it began with is nowhere else; "
                f"begin it again with {command}, without --resume"
            )
        if writes:
            _prepare(folder, config, init)
            if not resume:  # what is there is of a run that never reached a step
                (folder / "metrics.jsonl").unlink(missing_ok=True)
                for path in checkpoint.complete(self.checkpoints):
                    shutil.rmtree(path)
        newest = self.newest()
        self.inherited = [checkpoint.read_state(newest).licence] if newest else []
        self.tracker = Tracker(folder, writes)
        if resume:
            stage, _, step = newest.name.partition("-") if newest else ("motion", "", "0")
            self.tracker.rewind(stage, int(step))

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def restore(self, stage: str, learning: Learning) -> int:
        """Fill everything from the newest checkpoint of the stage; returns the steps it has seen (0: there is none)."""
        if not self.holds(stage):
            return 0
        found = checkpoint.complete(self.checkpoints, stage)
        state, tensors = checkpoint.load(found[-1])
        checkpoint.fill(learning.networks, tensors["networks"], found[-1])
        checkpoint.fill(learning.averaged.module, tensors["averaged"], found[-1])
        learning.averaged.n_averaged.fill_(state.averaged)
        checkpoint.unpack_optimizer(learning.optimizer, learning.names, tensors["optimizer"])
        if state.precision:  # torch refuses nothing
            learning.precision.load_state_dict(state.precision)
        return state.step

    def holds(self, stage: str) -> bool:
        """Is there a checkpoint of the stage to go on from?"""
        return self.resume and bool(checkpoint.complete(self.checkpoints, stage))

    def check_data(self, fingerprint: str) -> None:
        """Is a resumed run to learn from what it learnt from?

        Raises:
            FaceCycleError: no; an item's number would be another face, and somebody held out one who was learnt from.
        """
        newest = self.newest() if self.resume else None
        before = checkpoint.read_state(newest).data if newest else ""
        if before and before != fingerprint:
            raise FaceCycleError(
                f"{self.config.data.source}: not what {self.folder} has learnt from ({fingerprint}; it was {before}); "
                f"name that with --data, or begin a new run with --init {self.folder}"
            )

    def save(self, stage: str, step: int, learning: Learning, licence: str, data: str = "") -> None:
        """Write a checkpoint, and the averaged networks as ``weights.safetensors``.

        ``licence`` is that of the data; the terms of the weights that the run began with, `inherited`, come before it.
        ``data`` is their `Sources.fingerprint`.

        Raises:
            FaceCycleError: the weights are not finite any more, or the disk is full.
        """
        if not self.writes:
            return
        networks, averaged = learning.networks, learning.averaged
        self.check_finite(networks, step)
        licence = join_licences([*self.inherited, licence])
        state = checkpoint.State(stage, step, licence, int(averaged.n_averaged), learning.precision.state_dict(), data)
        tensors = {
            "networks": networks.state_dict(),
            "averaged": averaged.module.state_dict(),
            "optimizer": checkpoint.pack_optimizer(learning.optimizer, learning.names),
        }
        try:
            checkpoint.save(self.checkpoints, state, tensors, self.config.train.keep)
            trained = {"stage": stage, "step": step, "data": self.config.data.source}
            trained |= {"preset": self.config.preset, "method": self.config.method}
            save_weights(averaged.module, self.folder / FILE, self.config.model, licence, trained)  # type: ignore[arg-type]
            (self.folder / BEGUN_WITH).unlink(missing_ok=True)
        except OSError as error:
            raise FaceCycleError(
                f"{self.folder}: checkpoint at step {step} could not be written ({error.strerror}); "
                "free some room and go on with --resume"
            ) from error

    def check_finite(self, networks: Networks, step: int) -> None:
        """Refuse to go on with weights that are no numbers.

        Raises:
            FaceCycleError: naming the last good checkpoint.
        """
        if not all(bool(value.isfinite().all()) for value in networks.state_dict().values()):
            raise self.diverged("the weights are not finite", step)

    def newest(self) -> Path | None:
        """The last whole checkpoint."""
        found = checkpoint.complete(self.checkpoints)
        return found[-1] if found else None

    def diverged(self, what: str, step: int) -> FaceCycleError:
        """The error of a run that has left the range of numbers."""
        return FaceCycleError(
            f"{what} at step {step}; last good checkpoint: {self.newest() or 'none yet'}; "
            "lower the learning rate, or use train.precision=32-true"
        )


def _is_free(folder: Path) -> bool:
    """Does it hold nothing but what an aborted run has left?"""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not names:
        return True
    try:
        configuration.load(folder / "config.toml")
    except FaceCycleError:
        return False
    return names <= OWN


def _prepare(folder: Path, config: RunConfig, init: Path | None) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / BEGUN_WITH).unlink(missing_ok=True)
        if init is not None:  # first: a run that knows its configuration alone would begin with nothing
            (folder / BEGUN_WITH).write_text(f"--init {init}\n", "utf-8")
        configuration.save(config, folder / "config.toml")
    except OSError as error:
        raise FaceCycleError(f"{folder}: cannot hold a run ({error.strerror}); name another --run") from None
