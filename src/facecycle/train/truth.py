"""What a stage is told by the generator, batch by batch, where its faces were generated."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from facecycle.config import RunConfig
from facecycle.data.mixed import MixedClips
from facecycle.data.pairs import ClipDataset, FacePairs, Key
from facecycle.errors import FaceCycleError
from facecycle.train.data import shows_neutral


class Known(NamedTuple):
    """What is known of a batch beside its pictures.

    Most of it the generator knows; None where it is not asked or has not drawn the faces.
    """

    values: Float[Tensor, "b k t"] | None = None
    """Face units and pose of all frames"""
    neutral: Float[Tensor, "b 3 h w"] | None = None
    """Each clip's true neutral face"""
    landmarks: Float[Tensor, "b k1 n 2"] | None = None
    """Of all frames, last of the neutral face"""
    whose: Int[Tensor, " b"] | None = None
    """Which clips belong together: equal numbers"""


NOTHING = Known()


def truth_of(clips: ClipDataset, config: RunConfig, stage: str) -> Callable[[list[Key]], Tensor] | None:
    """How to look up what the generator says of a batch, if the stage asks for it.

    Raises:
        FaceCycleError: it asks, and nothing of the data was generated, or faces are mirrored.
    """
    if stage != "motion" or not config.motion_loss.truth or config.method != "facecycle":
        return None
    if config.augment.mirror:
        raise FaceCycleError("motion_loss.truth knows no mirrored faces: set augment.mirror=0, or motion_loss.truth=0")
    if not isinstance(clips, FacePairs | MixedClips) or not clips.has_truth:
        raise FaceCycleError(
            f"{config.data.source}: motion_loss.truth = {config.motion_loss.truth} needs a face set that "
            "facecycle synth wrote; name one, or set motion_loss.truth=0"
        )
    return lambda keys: torch.from_numpy(clips.truth(keys))


def landmarks_of(clips: ClipDataset, config: RunConfig, stage: str) -> Callable[[list[Key]], Tensor] | None:
    """How to look up the landmarks of a batch and of its neutral faces, if the stage asks for them.

    Raises:
        FaceCycleError: it asks, and they are not known.
    """
    if stage != "motion" or not config.motion_loss.landmarks or config.method != "facecycle":
        return None
    if not shows_neutral(config) or not isinstance(clips, FacePairs | MixedClips) or not clips.has_landmarks:
        raise FaceCycleError(
            f"{config.data.source}: motion_loss.landmarks = {config.motion_loss.landmarks} needs true_neutral too, "
            "and a face set that facecycle synth --neutral wrote; name one, or set motion_loss.landmarks=0"
        )
    return lambda keys: torch.from_numpy(clips.landmarks(keys))
