"""What the optimizer is told: which weights at which rate, and how weights are averaged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from facecycle.config import StageConfig
from facecycle.model.encoder import Encoder
from facecycle.train.stage import Stage


def parameter_groups(stage: Stage) -> list[dict[str, Any]]:
    """What a stage trains, its encoder and the layers that make the code apart.

    A step of Adam moves every weight by the learning rate, hence an output of a linear layer by about the rate times
    its number of inputs. Before a tanh that saturates within ten steps, and a saturated code stays dead.
    """
    code = {id(p) for m in stage.trained() if isinstance(m, Encoder) for p in m.code.parameters()}
    encoder = {id(p) for p in stage.encoder().parameters()} - code
    trained = [parameter for parameter in stage.networks.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if id(p) not in code | encoder], "share": 1.0, "encoder": False},
        {"params": [p for p in trained if id(p) in encoder], "share": 1.0, "encoder": True},
        {"params": [p for p in trained if id(p) in code], "share": stage.settings().code_lr, "encoder": True},
    ]
    return [group for group in groups if group["params"]]


def build_adam(stage: Stage, captured: bool = False) -> torch.optim.Adam:
    """Adam over what a stage trains; ``captured``: fit to be recorded as part of a CUDA graph."""
    settings, groups = stage.settings(), parameter_groups(stage)
    betas = (settings.beta1, settings.beta2)
    if not captured:
        return torch.optim.Adam(groups, betas=betas, foreach=True)
    for group in groups:  # a number would be recorded as it was
        group["lr"] = torch.zeros((), device=group["params"][0].device)
    adam = torch.optim.Adam(groups, betas=betas, fused=True, capturable=True)
    adam._warned_capturable_if_run_uncaptured = True  # type: ignore[attr-defined]  # the first steps warm up uncaptured
    return adam


def set_rate(group: dict[str, Any], value: float) -> None:
    """Set the learning rate of a group of an optimizer."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(value)
    else:
        group["lr"] = value


def rate(settings: StageConfig, step: int) -> float:
    """The learning rate of a step (the first is 1)."""
    if settings.schedule == "steps":
        share = (step - 1) / settings.steps
        return [lr for lr, begins in zip(settings.lr, settings.lr_at, strict=True) if begins <= share][-1]
    warmup = min(settings.warmup, math.ceil(settings.steps / 2))
    if step <= warmup:
        return settings.lr[0] * step / warmup
    share = (step - warmup) / (settings.steps - warmup)
    return settings.lr[0] * 0.5 * (1 + math.cos(math.pi * share)) + 1e-8


def moving_average(decay: float, count: Tensor) -> Callable[[Any, Any, Any], None]:
    """An exponential moving average that forgets its first, untrained steps quickly.

    Args:
        decay: share of the average that a step keeps, in the long run.
        count: steps averaged so far, on the CPU: torch hands over a copy on the device, and reading it means waiting.
    """

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], _: Tensor) -> None:
        n = float(count)
        share = 1 - min(decay, (1 + n) / (10 + n))
        torch._foreach_lerp_(averaged, current, share)  # pyright: ignore[reportPrivateImportUsage]

    return update
