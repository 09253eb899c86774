"""What the rivals share: one stage, layers of their own in ``networks.head``, which no weights file keeps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from facecycle.losses.objective import Objective, add_up
from facecycle.model.networks import Networks
from facecycle.train.stage import Stage
from facecycle.train.truth import NOTHING, Known
from facecycle.types import Clip, Views


class RivalStage(Stage):
    """Learns the motion encoder and a head; the identity code is the same encoder unless a rival has two."""

    name = "motion"
    two_codes = False

    @classmethod
    def extend(cls, networks: Networks, config: Any) -> None:
        if not cls.two_codes:
            networks.identity_encoder = networks.motion_encoder
        networks.head = cls.build_head(config)

    @classmethod
    def build_head(cls, config: Any) -> nn.Module:
        """The layers that only training needs."""
        raise NotImplementedError

    def trained(self) -> list[nn.Module]:
        encoders: list[nn.Module] = [self.networks.motion_encoder]
        if self.two_codes:
            encoders.append(self.networks.identity_encoder)
        return [*encoders, self.head]

    def forward(
        self,
        clips: Clip,
        noise: torch.Generator | None = None,
        views: Views | None = None,
        known: Known = NOTHING,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The rival's own terms alone, of all frames: it has no others, which would see those beside the cycle."""
        cycle = self.cycle(clips, noise, views)
        with torch.autocast(clips.device.type, enabled=False):
            objective = self.objective(self.in_single_precision(cycle))
        return objective.total, objective.parts

    def cycle(self, clips: Clip, noise: torch.Generator | None = None, views: Views | None = None) -> Any:
        """What the rival makes of a batch; ``views`` are for one that `wants_views`."""
        raise NotImplementedError

    @property
    def head(self) -> Any:
        """The layers that only training needs."""
        assert self.networks.head is not None
        return self.networks.head

    def terms(self, cycle: Any) -> dict[str, Tensor]:
        """The named parts of the objective."""
        raise NotImplementedError

    def objective(self, cycle: Any) -> Objective:
        return add_up(**self.terms(cycle))
