"""A stage of training: which networks learn, from which cycle, towards which objective, and how it is checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facecycle.config import IdentityLossConfig, MotionLossConfig, RunConfig, StageConfig
from facecycle.cycles.identity import IdentityCycle, identity_cycle
from facecycle.cycles.motion import MotionCycle, batch_mean, motion_cycle, other_frame
from facecycle.data.truth import TRUE_VALUES
from facecycle.errors import FaceCycleError
from facecycle.losses.contrast import clip_contrast, dependence, frame_contrast
from facecycle.losses.objective import (
    Objective,
    identity_objective,
    landmark_flow,
    motion_objective,
    true_neutral,
    unlike_features,
    unlikeness,
)
from facecycle.losses.perceptual import PerceptualFeatures
from facecycle.losses.terms import SSIM, feature_distance
from facecycle.model.flow import FlowPair
from facecycle.model.networks import Networks
from facecycle.model.warp import cycle_error
from facecycle.train.distributed import whole_batch, whole_batch_mean
from facecycle.train.truth import NOTHING, Known
from facecycle.types import Clip, Views


class Stage(nn.Module):
    """A cycle and its objective as one module: clips in, what to minimise out.

    Being one module, it can be compiled, wrapped for several processes and cast as a whole.
    """

    name: str
    wants_views = False
    """Whether disturbed views are needed whatever the weight of the contrast term."""
    views_per_frame = 1
    """How many of them the contrast term compares."""

    @classmethod
    def extend(cls, networks: Networks, config: RunConfig) -> None:
        """Give the networks what only this stage's training needs."""

    def __init__(self, networks: Networks, config: RunConfig, perceptual: PerceptualFeatures | None) -> None:
        super().__init__()
        self.networks = networks
        self.config = config
        self.perceptual = perceptual
        if perceptual is not None:
            perceptual.half_precision = config.train.precision == "bf16-mixed"
        networks.requires_grad_(False)
        for part in self.trained():
            part.requires_grad_(True)
        self._let_rest(self.settings().rest)

    def _let_rest(self, names: tuple[str, ...]) -> None:
        parts = dict(self.networks.named_children())
        for name in names:
            if parts.get(name) not in self.trained():
                raise FaceCycleError(f"{self.name}.rest = {name!r}: this stage trains no network of that name")
            parts[name].requires_grad_(False)
        if not any(parameter.requires_grad for parameter in self.networks.parameters()):
            raise FaceCycleError(f"{self.name}.rest = {list(names)}: nothing is left to learn; let one network learn")

    def trained(self) -> list[nn.Module]:
        """The networks that this stage trains; the configuration may let some of them rest."""
        raise NotImplementedError

    def settings(self) -> StageConfig:
        """How they are optimised."""
        return getattr(self.config, self.name)

    def train(self, mode: bool = True) -> Stage:
        """Only what learns is ever in training mode."""
        super().train(False)
        self.training = mode
        for part in self.trained():
            part.train(mode)
        return self

    def average(self) -> Callable[[Tensor], Tensor]:
        """How a batch is averaged: over all processes, but for validation, which one process does alone."""
        return whole_batch_mean if self.training else batch_mean

    def gather(self, x: Tensor) -> Tensor:
        """The share of all processes, but for validation, likewise."""
        return whole_batch(x) if self.training else x

    def forward(
        self,
        clips: Clip,
        noise: torch.Generator | None = None,
        views: Views | None = None,
        known: Known = NOTHING,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective of a batch, and its named parts.

        Args:
            clips: ``b k 3 h w``; those that `DataConfig` names go round the cycle.
            noise: see `motion_cycle`.
            views: all frames disturbed, ``views_per_frame`` times, one after the other: for the terms on codes.
            known: what the generator knows of all frames.
        """
        stride = self.config.data.cycle_stride
        cycle = self.cycle(clips[::stride, : self.config.data.cycle_frames], noise)
        codes = self.encoder()(views.flatten(0, 1)).unflatten(0, views.shape[:2]) if views is not None else None
        with torch.autocast(clips.device.type, enabled=False):  # variances of half precision are no variances
            cycle = self.in_single_precision(cycle)
            objective = self.objective(cycle)
            terms = {} if known.neutral is None else self.picture_terms(cycle, known.neutral[::stride])
            terms |= {} if known.landmarks is None else self.flow_terms(cycle, known.landmarks[::stride])
            if codes is not None:
                terms |= self.code_terms(codes.float(), clips, known)
            return torch.stack([objective.total, *terms.values()]).sum(), {**objective.parts, **terms}

    def picture_terms(self, cycle: Any, neutral: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """What the pictures of the cycle are asked for where the truth is known, weighted."""
        return {}

    def flow_terms(self, cycle: Any, landmarks: Float[Tensor, "b k1 n 2"]) -> dict[str, Tensor]:
        """What the flow of the cycle is asked for, likewise."""
        return {}

    def code_terms(self, codes: Float[Tensor, "b v d"], clips: Clip, known: Known) -> dict[str, Tensor]:
        """What the codes of disturbed views are asked for beside the cycle, weighted."""
        return {"contrast": self.weight().contrast * self.contrast(codes, known)}

    def weight(self) -> MotionLossConfig | IdentityLossConfig:
        """The weights of the terms."""
        return getattr(self.config, f"{self.name}_loss")

    def encoder(self) -> nn.Module:
        """The encoder that learns."""
        return getattr(self.networks, f"{self.name}_encoder")

    def contrast(self, views: Float[Tensor, "b k d"], known: Known) -> Tensor:
        """Codes that belong together, among others."""
        raise NotImplementedError

    @staticmethod
    def in_single_precision(cycle: Any) -> Any:
        """The same cycle with every tensor in float32, for the losses."""

        def convert(value: Any) -> Any:
            return dataclasses.replace(value) if isinstance(value, FlowPair) else value.float()

        fields = dataclasses.fields(cycle)
        return dataclasses.replace(cycle, **{f.name: convert(getattr(cycle, f.name)) for f in fields})

    def cycle(self, clips: Clip, noise: torch.Generator | None = None) -> Any:
        """The stage's cycle over a batch."""
        raise NotImplementedError

    def objective(self, cycle: Any) -> Objective:
        """What the cycle is asked for."""
        raise NotImplementedError

    def check(self, cycle: Any) -> dict[str, Tensor]:
        """Figures of a held-out batch that the objective does not show."""
        raise NotImplementedError


class MotionStage(Stage):
    """Learns the motion code, the flow and the face generator."""

    name = "motion"
    views_per_frame = 2

    @classmethod
    def extend(cls, networks: Networks, config: RunConfig) -> None:
        if config.motion_loss.truth:
            networks.head = nn.Linear(config.model.code_dim, TRUE_VALUES)

    def trained(self) -> list[nn.Module]:
        return [*self.networks.motion_parts(), *([self.networks.head] if self.networks.head else [])]

    def picture_terms(self, cycle: MotionCycle, neutral: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        wanted = neutral.repeat_interleave(len(cycle.neutral) // len(neutral), 0)
        weight = self.config.motion_loss
        terms = {"true_neutral": weight.true_neutral * true_neutral(cycle.neutral, wanted)}
        encoder = self.networks.identity_encoder
        if weight.likeness:
            terms["likeness"] = weight.likeness * unlikeness(encoder, cycle.neutral, wanted)
        if weight.features:
            made, true = torch.cat([cycle.neutral, cycle.restored]), torch.cat([wanted, cycle.face])
            terms["features"] = 2 * weight.features * unlike_features(encoder, made, true)
        if weight.agreement:
            apart = feature_distance(encoder.layers(cycle.neutral), encoder.layers(cycle.other_neutral))
            terms["agreement"] = weight.agreement * apart
        return terms

    def flow_terms(self, cycle: MotionCycle, landmarks: Float[Tensor, "b k1 n 2"]) -> dict[str, Tensor]:
        frames = len(cycle.neutral) // len(landmarks)
        face, neutral = landmarks[:, :frames].flatten(0, 1), landmarks[:, -1].repeat_interleave(frames, 0)
        return {"landmarks": self.config.motion_loss.landmarks * landmark_flow(cycle.brought, face, neutral)}

    def code_terms(self, codes: Float[Tensor, "b v d"], clips: Clip, known: Known) -> dict[str, Tensor]:
        terms = super().code_terms(codes, clips, known)
        if known.values is None or self.networks.head is None:
            return terms
        wanted = known.values.repeat(1, self.views_per_frame, 1)
        error = torch.where(wanted.isnan(), 0.0, self.networks.head(codes) - wanted.nan_to_num()) ** 2
        units, pose = error[..., :-3].mean(), error[..., -3:].mean()
        return {**terms, "truth": self.config.motion_loss.truth * (units + pose)}

    def cycle(self, clips: Clip, noise: torch.Generator | None = None) -> MotionCycle:
        return motion_cycle(self.networks, clips, noise, self.average(), self.config.train.mirror)

    def objective(self, cycle: MotionCycle) -> Objective:
        return motion_objective(cycle, self.config.motion_loss, self.perceptual)

    def contrast(self, views: Float[Tensor, "b k d"], known: Known) -> Tensor:
        one, other = views.chunk(2, 1)
        temperature = self.config.views.temperature
        return (frame_contrast(one, other, temperature) + frame_contrast(other, one, temperature)) / 2

    def check(self, cycle: MotionCycle) -> dict[str, Tensor]:
        frames = min(self.config.data.frames_per_clip, self.config.data.cycle_frames)
        other_clip = cycle.neutral.roll(frames, 0)  # mostly of another person; of a lone clip it is the clip itself
        apart = {"neutral_l1_other_person": (cycle.neutral - other_clip).abs().mean()}
        return {
            "restored_l1": (cycle.restored - cycle.face).abs().mean(),
            "restored_ssim": SSIM(cycle.face)(cycle.restored),
            "copied_l1": (other_frame(cycle.face, frames) - cycle.face).abs().mean(),  # had nothing been learnt
            "neutral_l1_same_clip": (cycle.neutral - cycle.other_neutral).abs().mean(),
            **(apart if len(cycle.neutral) > frames else {}),
            "flow_cycle_px": cycle_error(cycle.flow.to_neutral, cycle.flow.to_face).mean(),
            "flow_px": _size_in_pixels(cycle.flow.to_neutral),
            **code_statistics(cycle.motion),
        }


class IdentityStage(Stage):
    """Learns the identity code and the identity transfer; the motion networks are frozen."""

    name = "identity"

    def trained(self) -> list[nn.Module]:
        return self.networks.identity_parts()

    def cycle(self, clips: Clip, noise: torch.Generator | None = None) -> IdentityCycle:
        return identity_cycle(self.networks, clips, self.average(), self.config.identity_loss.swap)

    def objective(self, cycle: IdentityCycle) -> Objective:
        return identity_objective(cycle, self.config.identity_loss, self.perceptual)

    def code_terms(self, codes: Float[Tensor, "b v d"], clips: Clip, known: Known) -> dict[str, Tensor]:
        terms, weight = super().code_terms(codes, clips, known), self.config.identity_loss.independence
        if not weight:
            return terms
        with torch.no_grad():
            motion = self.networks.motion_encoder(clips.flatten(0, 1)).unflatten(0, clips.shape[:2]).float()
        everyones = self.gather(codes), self.gather(motion)  # of fewer clips chance would leave more
        return {**terms, "independence": weight * dependence(*everyones)}

    def contrast(self, views: Float[Tensor, "b k d"], known: Known) -> Tensor:
        everyone = self.gather(views)
        # Clips are told apart by what is known: of few, or of a person with several, a batch holds one twice.
        whose = torch.arange(len(everyone), device=views.device) if known.whose is None else self.gather(known.whose)
        clip = whose.repeat_interleave(views.shape[1])
        return clip_contrast(
            views.flatten(0, 1),
            clip[: views.shape[0] * views.shape[1]],
            everyone.flatten(0, 1),
            clip,
            self.config.views.temperature,
        )

    def check(self, cycle: IdentityCycle) -> dict[str, Tensor]:
        return {
            "restored_l1": (cycle.restored - cycle.face).abs().mean(),
            "restored_ssim": SSIM(cycle.face)(cycle.restored),
            "neutral_l1": (cycle.restored_neutral - cycle.neutral).abs().mean(),
            "mean_face_spread": (cycle.mean_faces - cycle.mean_face).abs().mean(),
            "neutral_spread": (cycle.neutral - cycle.neutral.mean(0, keepdim=True)).abs().mean(),
            **code_statistics(cycle.identity),
        }


STAGES: dict[str, type[Stage]] = {"motion": MotionStage, "identity": IdentityStage}


def code_statistics(code: Tensor) -> dict[str, Tensor]:
    """Is the code alive? Its spread over a batch, and the number of directions it uses (Roy and Vetterli 2007)."""
    code = code.float()
    centred = code - code.mean(0)
    shares = torch.linalg.svdvals(centred) ** 2
    shares = shares / shares.sum().clamp(min=1e-12)
    entropy = -(shares * shares.clamp(min=1e-12).log()).sum()
    return {
        "code_std": centred.std(0).mean(),
        "code_rank": entropy.exp(),
        "code_saturated": (code.abs() > 0.99).float().mean(),
    }


def _size_in_pixels(flow: Tensor) -> Tensor:
    height, width = flow.shape[-2:]
    return (flow * flow.new_tensor([width / 2, height / 2]).view(1, 2, 1, 1)).norm(dim=1).mean()
