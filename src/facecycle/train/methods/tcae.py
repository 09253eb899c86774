"""TCAE (Li, Zeng, Shan and Chen 2019): twin codes, one that changes the expression alone, one that changes the pose.

The source is warped to the target's expression, then to its pose. Each step alone must be undone by the codes of the
source, and the expression's flow is kept small, so that pose does not hide in it. Simplified: an encoder for each code
instead of one with two outputs (so that budgets equal those of the other methods), flows by this package's decoder.
The motion code is the expression's, the identity code's place holds the pose's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from facecycle.config import RunConfig
from facecycle.cycles.motion import other_frame
from facecycle.losses.terms import l1
from facecycle.model.warp import warp
from facecycle.train.methods.fabnet import pair_decoder, pair_flow
from facecycle.train.methods.rival import RivalStage
from facecycle.train.stage import code_statistics
from facecycle.types import Clip, Code, Face, Flow, Views

SMALL = 0.1  # weight of the expression flow's mean length


@dataclass(frozen=True)
class TwinCycle:
    """Source to target by expression and then by pose, and each step undone."""

    face: Face
    """The target"""
    source: Face
    motion: Code
    """Of the target's expression"""
    expression_flow: Flow
    expression_changed: Face
    """The source with the target's expression"""
    expression_undone: Face
    pose_changed: Face
    """The source with the target's pose"""
    pose_undone: Face
    warped: Face
    """Both"""


class TcaeStage(RivalStage):
    """Learns an expression code and a pose code."""

    two_codes = True

    @classmethod
    def build_head(cls, config: RunConfig) -> nn.Module:
        return nn.ModuleDict({"expression": pair_decoder(config), "pose": pair_decoder(config)})

    def cycle(self, clips: Clip, noise: torch.Generator | None = None, views: Views | None = None) -> TwinCycle:
        face, frames = clips.flatten(0, 1), clips.shape[1]
        source, size = other_frame(face, frames), face.shape[-1]
        expression, pose = self.networks.motion_encoder(face), self.networks.identity_encoder(face)
        expression_0, pose_0 = other_frame(expression, frames), other_frame(pose, frames)
        by_expression, by_pose = self.head["expression"], self.head["pose"]
        flow = pair_flow(by_expression, expression_0, expression, size)
        turn = pair_flow(by_pose, pose_0, pose, size)
        changed, turned = warp(source, flow), warp(source, turn)
        return TwinCycle(
            face=face,
            source=source,
            motion=expression,
            expression_flow=flow,
            expression_changed=changed,
            expression_undone=warp(changed, pair_flow(by_expression, expression, expression_0, size)),
            pose_changed=turned,
            pose_undone=warp(turned, pair_flow(by_pose, pose, pose_0, size)),
            warped=warp(changed, turn),
        )

    def terms(self, cycle: TwinCycle) -> dict[str, Tensor]:
        return {
            "warped": l1(cycle.warped, cycle.face),
            "expression_undone": l1(cycle.expression_undone, cycle.source),
            "pose_undone": l1(cycle.pose_undone, cycle.source),
            "small": SMALL * cycle.expression_flow.abs().mean(),
        }

    def check(self, cycle: Any) -> dict[str, Tensor]:
        return {
            "warped_l1": (cycle.warped - cycle.face).abs().mean(),
            "copied_l1": (cycle.source - cycle.face).abs().mean(),
            **code_statistics(cycle.motion),
        }
