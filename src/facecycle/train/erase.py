"""What the motion code tells is taken out of the identity code, anew whenever the identity encoder has moved on."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from facecycle.config import RunConfig
from facecycle.data.pairs import ClipDataset
from facecycle.model.eraser import Eraser
from facecycle.model.networks import Networks
from facecycle.train.augment import centre

AT = (0.4, 0.8)  # shares of the stage
PEOPLE = 2000


def fitted_at(config: RunConfig, stage: str) -> list[int]:
    """After which steps the eraser is fitted; after the last of them the identity encoder rests.

    What is fitted last must be what is used: what the encoder learnt afterwards would tell of motion again, and an
    eraser fitted at the very end would be news to the identity transfer.
    """
    if stage != "identity" or not config.model.erase:
        return []
    return [math.ceil(share * config.identity.steps) for share in AT]


def erase(
    networks: Networks, averaged: Networks, clips: ClipDataset, config: RunConfig, device: torch.device, last: bool
) -> None:
    """Fit the eraser of both; the last time the encoder is the averaged one from here on."""
    if last:
        networks.identity_encoder.load_state_dict(averaged.identity_encoder.state_dict())
    fit_eraser(networks, clips, config, device)
    eraser_of(averaged.identity_encoder).load_state_dict(eraser_of(networks.identity_encoder).state_dict())


@torch.no_grad()
def fit_eraser(
    networks: Networks, clips: ClipDataset, config: RunConfig, device: torch.device, people: int = PEOPLE
) -> None:
    """Fit the eraser of the identity encoder on some people of the training set, always the same ones."""
    chosen = torch.linspace(0, len(clips) - 1, min(people, len(clips))).long().unique().tolist()
    motion: list[Tensor] = []
    identity: list[Tensor] = []
    for start in range(0, len(chosen), 64):
        stored = torch.stack([torch.as_tensor(clips[0, item]) for item in chosen[start : start + 64]])
        frames = centre(stored.to(device), config.model.image_size)
        faces = frames.flatten(0, 1)
        if config.train.channels_last:
            faces = faces.contiguous(memory_format=torch.channels_last)
        motion.append(networks.motion_encoder(faces).unflatten(0, frames.shape[:2]))
        identity.append(unerased(networks.identity_encoder, faces).unflatten(0, frames.shape[:2]))
    eraser_of(networks.identity_encoder).fit(torch.cat(identity), torch.cat(motion), config.model.erase)


def eraser_of(encoder: nn.Module) -> Eraser:
    """The eraser at the end of an encoder."""
    eraser = encoder.get_submodule("code.eraser")
    assert isinstance(eraser, Eraser)
    return eraser


def unerased(encoder: nn.Module, faces: Tensor) -> Tensor:
    """The code before its eraser."""
    seen: list[Tensor] = []
    hook = eraser_of(encoder).register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    try:
        encoder(faces)
    finally:
        hook.remove()
    return seen[0]
