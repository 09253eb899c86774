"""FAb-Net (Wiles, Koepke and Zisserman 2018): one frame of a clip is warped onto another by their two codes.

Flow from the codes of source and target together, L1 between the warped source and the target. Simplified: one
target for each source instead of several with a curriculum, and the flow decoder of this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from facecycle.config import RunConfig
from facecycle.cycles.motion import other_frame
from facecycle.losses.terms import l1
from facecycle.model.flow import FlowDecoder
from facecycle.model.layers import scaled
from facecycle.model.warp import resize, warp
from facecycle.train.methods.rival import RivalStage
from facecycle.train.stage import code_statistics
from facecycle.types import Clip, Code, Face, Flow, Views


@dataclass(frozen=True)
class Warped:
    """A frame, the clip's next one, and that one warped onto it."""

    face: Face
    source: Face
    motion: Code
    flow: Flow
    warped: Face


def pair_decoder(config: RunConfig) -> FlowDecoder:
    """Two codes, one after the other -> the field that warps one face onto the other."""
    model = config.model
    widths = scaled((256, 128, 64), model.flow_width)
    return FlowDecoder(widths, 2 * model.code_dim, model.image_size, "published")


def pair_flow(decoder: Any, of_source: Code, of_target: Code, size: int) -> Flow:
    """The field at the picture's size."""
    return resize(decoder.draw(torch.cat([of_source, of_target], 1)).float(), size, size)


class FabNetStage(RivalStage):
    """Learns one code of what differs between frames of a clip."""

    @classmethod
    def build_head(cls, config: RunConfig) -> nn.Module:
        return pair_decoder(config)

    def cycle(self, clips: Clip, noise: torch.Generator | None = None, views: Views | None = None) -> Warped:
        face, frames = clips.flatten(0, 1), clips.shape[1]
        motion = self.networks.motion_encoder(face)
        source = other_frame(face, frames)
        flow = pair_flow(self.head, other_frame(motion, frames), motion, face.shape[-1])
        return Warped(face, source, motion, flow, warp(source, flow))

    def terms(self, cycle: Warped) -> dict[str, Tensor]:
        return {"warped": l1(cycle.warped, cycle.face)}

    def check(self, cycle: Any) -> dict[str, Tensor]:
        copied = (cycle.source - cycle.face).abs().mean()
        return {
            "warped_l1": (cycle.warped - cycle.face).abs().mean(),
            "copied_l1": copied,
            **code_statistics(cycle.motion),
        }
