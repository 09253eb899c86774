"""SimCLR (Chen et al. 2020): a picture must be found again among others by a disturbed view of it.

Two views of every frame, a projection of two layers, NT-Xent over all frames of the batch. Simplified: one view is the
lightly augmented frame that the cycles see, the other the disturbed one of `facecycle.train.views`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facecycle.config import RunConfig
from facecycle.losses.contrast import clip_contrast
from facecycle.train.distributed import whole_batch
from facecycle.train.methods.rival import RivalStage
from facecycle.train.stage import code_statistics
from facecycle.train.views import disturb
from facecycle.types import Clip, Code, Face, Views


@dataclass(frozen=True)
class SimclrViews:
    """Two views of each frame, and what becomes of them."""

    face: Face
    view: Face
    motion: Code
    """The code of the first view"""
    projected: Float[Tensor, "b p"]
    projected_view: Float[Tensor, "b p"]


class SimclrStage(RivalStage):
    """Learns one code for everything that tells two pictures apart."""

    wants_views = True

    @classmethod
    def build_head(cls, config: RunConfig) -> nn.Module:
        return nn.Sequential(nn.Linear(config.model.code_dim, 256), nn.ReLU(), nn.Linear(256, 128))

    def cycle(self, clips: Clip, noise: torch.Generator | None = None, views: Views | None = None) -> SimclrViews:
        if views is None:  # validation: the same disturbance every time
            views = disturb(clips, self.config.views, torch.Generator(clips.device).manual_seed(0))
        face, view = clips.flatten(0, 1), views.flatten(0, 1)
        codes = self.networks.motion_encoder(torch.cat([face, view]))
        projected = self.head(codes).chunk(2)
        return SimclrViews(face, view, codes[: len(face)], *projected)

    def terms(self, cycle: SimclrViews) -> dict[str, Tensor]:
        """NT-Xent (equation 1 of the paper), at the temperature of ``views.temperature``."""
        mine = torch.stack([cycle.projected, cycle.projected_view], 1)
        everyone = whole_batch(mine) if self.training else mine
        frame = torch.arange(len(everyone), device=mine.device).repeat_interleave(2)
        codes = mine.flatten(0, 1)
        term = clip_contrast(codes, frame[: len(codes)], everyone.flatten(0, 1), frame, self.config.views.temperature)
        return {"contrast": term}

    def check(self, cycle: Any) -> dict[str, Tensor]:
        likeness = nn.functional.normalize(cycle.projected) @ nn.functional.normalize(cycle.projected_view).T
        own = torch.arange(len(likeness), device=likeness.device)
        return {"found_again": (likeness.argmax(1) == own).float().mean(), **code_statistics(cycle.motion)}
