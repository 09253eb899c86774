"""What is solved for instead of learnt, at the end of the motion stage and at the end of the identity encoder."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from facecycle.config import RunConfig
from facecycle.data.mixed import MixedClips
from facecycle.data.pairs import ClipDataset, FacePairs, Key
from facecycle.data.truth import VALUES
from facecycle.errors import FaceCycleError
from facecycle.model.discriminant import Scatter, fit_discriminant
from facecycle.model.encoder import FaceEncoder, read_codes, with_mirrored
from facecycle.model.eraser import Eraser
from facecycle.model.expression import ExpressionField
from facecycle.model.expression_code import ExpressionCode
from facecycle.model.mirror import CodeMirror
from facecycle.model.networks import Networks
from facecycle.train.augment import centre
from facecycle.train.distributed import same_everywhere
from facecycle.train.views import disturb
from facecycle.types import Clip

AT = (0.35, 0.7)  # shares of the stage
AT_ONCE = 256  # pictures
FITTED = 60_000  # frames for the end of the identity encoder; half a gigabyte of features, in half precision
DESCRIBED = 12_000  # frames, twice what two layers find in one
FRAMES = 4000  # for the mirror, and for 52 face units: three times as many changed nothing


def check_truth(clips: ClipDataset, config: RunConfig, stage: str) -> None:
    """Can what the stage's end is asked for be found?

    Raises:
        FaceCycleError: the expression's part of the flow is wanted, and none of the data says what expressions are.
    """
    if stage == "motion" and config.model.expression and not _with_truth(clips):
        raise FaceCycleError(
            f"{config.data.source}: model.expression = true needs a face set that facecycle synth wrote; "
            "name one, or set model.expression=false"
        )


def forget_motion(networks: Networks, rest: tuple[str, ...] = ()) -> None:
    """Before the motion networks learn: what was found of other weights is of no use.

    What was found of networks that ``rest`` stays.
    """
    encoder, encoder_rests = networks.motion_encoder, "motion_encoder" in rest
    of_encoder = () if encoder_rests else (encoder.code_mirror, encoder.expression_code)
    of_flow = () if encoder_rests and "flow_decoder" in rest else (networks.expression,)
    for part in (*of_encoder, *of_flow):
        if part is not None:
            part.forget()


def unfinished(networks: Networks, clips: ClipDataset) -> bool:
    """Is there something that `finish_motion` would find?"""
    encoder, known = networks.motion_encoder, bool(_with_truth(clips))
    found = (encoder.code_mirror, encoder.expression_code, networks.expression if known else None)
    return any(part is not None and not part.fitted for part in found)


@torch.no_grad()
def finish_motion(
    networks: Networks, averaged: Networks, clips: ClipDataset, config: RunConfig, device: torch.device
) -> None:
    """Find what the averaged motion encoder makes of mirrored faces, its expression code, and which part of the flow
    is expression.

    On frames of the training set, always the same ones, and on the CPU, as `fit_end`. Both networks get what is found,
    in every process what the first one has found.
    What was found already stays, and expression is not looked for where nothing says what expressions are.
    """
    encoder, expression = averaged.motion_encoder, averaged.expression
    if encoder.code_mirror is not None and not encoder.code_mirror.fitted:
        spread = spread_out(clips, FRAMES, config, device)
        pairs = [encoder.both(part) for _, faces in spread for part in faces.flatten(0, 1).split(AT_ONCE)]
        mirror = CodeMirror(config.model.code_dim)
        mirror.fit(*(torch.cat(codes).float().cpu() for codes in zip(*pairs, strict=True)))
        same_everywhere(mirror, device)
        for each in (networks, averaged):
            assert each.motion_encoder.code_mirror is not None
            each.motion_encoder.code_mirror.load_state_dict(mirror.state_dict())
    if encoder.expression_code is not None and not encoder.expression_code.fitted:
        code = ExpressionCode(config.model.code_dim, *encoder.described)
        code.fit(*_described(encoder, clips, config, device))
        same_everywhere(code, device)
        for each in (networks, averaged):
            assert each.motion_encoder.expression_code is not None
            each.motion_encoder.expression_code.load_state_dict(code.state_dict())
    if expression is not None and not expression.fitted and _with_truth(clips):
        found = ExpressionField(config.model.code_dim)
        found.fit(*_expressions(averaged, _with_truth(clips), config, device))
        same_everywhere(found, device)
        for each in (networks, averaged):
            assert each.expression is not None
            each.expression.load_state_dict(found.state_dict())


def _described(
    encoder: FaceEncoder, clips: ClipDataset, config: RunConfig, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The motion codes of frames, and what both layers find in the same frames, disturbed.

    They are disturbed as the views of training are, but all grey and none covered, which makes the components those
    of faces of any camera.
    """
    mirror = encoder.code_mirror
    assert mirror is not None
    views = dataclasses.replace(config.views, grey=1.0, erase=0.0)
    draws = torch.Generator(device).manual_seed(config.train.seed)
    codes, described = [], []
    for _, clean in spread_out(clips, DESCRIBED, config, device):
        for frames in clean.split(max(1, AT_ONCE // clean.shape[1])):
            codes.append(mirror(*encoder.both(frames.flatten(0, 1))).cpu())
            seen = encoder.see(with_mirrored(disturb(frames, views, draws).flatten(0, 1)))
            described.append(ExpressionCode.describe(*encoder.depths(seen)).float().cpu())
    return torch.cat(codes), torch.cat(described)


def _expressions(
    networks: Networks, sets: list[FacePairs], config: RunConfig, device: torch.device
) -> tuple[Tensor, ...]:
    """Codes, fields, face units and poses of the same frames."""
    columns: list[list[Tensor]] = [[], [], [], []]
    everything = sum(len(part) for part in sets)
    for part in sets:
        for keys, faces in spread_out(part, math.ceil(FRAMES * len(part) / everything), config, device):
            motion = torch.cat([networks.motion_encoder.alone(x) for x in faces.flatten(0, 1).split(AT_ONCE)])
            rows = np.concatenate([part.rows(key) for key in keys])
            truth = [torch.from_numpy(part.faces.columns[name][rows]) for name in VALUES]
            for column, found in zip(columns, (motion, networks.flow_decoder.draw(motion), *truth), strict=True):
                column.append(found.cpu())
    return tuple(torch.cat(column) for column in columns)


def spread_out(
    clips: ClipDataset, frames: int, config: RunConfig, device: torch.device
) -> Iterator[tuple[list[Key], Clip]]:
    """Items from all over a set, with so many frames or a few more, 64 at a time, without their neutral faces."""
    items = min(len(clips), math.ceil(frames / config.data.frames_per_clip))
    chosen = torch.linspace(0, len(clips) - 1, items, dtype=torch.float64).long().unique().tolist()
    for start in range(0, len(chosen), 64):
        keys = [(0, item) for item in chosen[start : start + 64]]
        stored = torch.stack([torch.as_tensor(clips[key]) for key in keys])[:, : config.data.frames_per_clip]
        yield keys, centre(stored.to(device), config.model.image_size)


def _with_truth(clips: ClipDataset) -> list[FacePairs]:
    sets = clips.sets if isinstance(clips, MixedClips) else [clips]
    return [part for part in sets if isinstance(part, FacePairs) and part.has_truth]


def fitted_at(config: RunConfig, stage: str) -> list[int]:
    """After which steps both are fitted (0 in a stage of no steps); after the last of them the identity encoder rests.

    What is fitted last must be what is used: what the encoder learnt afterwards would tell of motion again, and a code
    that changed at the very end would be news to the identity transfer.
    """
    if "identity_encoder" in config.identity.rest:
        return []
    if stage != "identity" or not (config.model.discriminants or config.model.erase):
        return []
    return [math.ceil(share * config.identity.steps) for share in AT]


def encoder_rests(config: RunConfig, stage: str, step: int) -> bool:
    """Does the encoder of a stage stay as it is in a step, either throughout or since its end was fitted for good?"""
    throughout = f"{stage}_encoder" in getattr(config, stage).rest
    return throughout or step > max(fitted_at(config, stage), default=step)


def settle(networks: Networks, averaged: Networks, clips: ClipDataset, config: RunConfig, device: torch.device) -> None:
    """Go on from the averaged identity encoder, with its end fitted anew."""
    networks.identity_encoder.load_state_dict(averaged.identity_encoder.state_dict())
    fit_end(networks, clips, config, device)
    same_everywhere(end_of(networks.identity_encoder), device)
    averaged.identity_encoder.load_state_dict(networks.identity_encoder.state_dict())


@torch.no_grad()
def fit_end(networks: Networks, clips: ClipDataset, config: RunConfig, device: torch.device) -> None:
    """Fit the last layer and the eraser on frames of the training set, always the same ones.

    On the CPU, whatever the device: it takes double precision, which not every accelerator has.
    """
    sets = clips.sets if isinstance(clips, MixedClips) else [clips]
    encoded = [encode(networks, part, config, device, math.ceil(FITTED * len(part) / len(clips))) for part in sets]
    end = copy.deepcopy(end_of(networks.identity_encoder)).cpu()
    layer = end[0]
    assert isinstance(layer, nn.Linear)
    if config.model.discriminants:
        scatter, *others = [scatter_of(part) for part in encoded]
        for other in others:
            scatter.join(other)
        fit_discriminant(layer, scatter, config.model.discriminants)
    if config.model.erase:
        eraser = end[-1]
        assert isinstance(eraser, Eraser)
        codes = torch.cat([end[:-1](some.float()) for part in encoded for some in part.features.split(64)])
        eraser.fit(codes, torch.cat([part.motion for part in encoded]), config.model.erase)
    end_of(networks.identity_encoder).load_state_dict(end.state_dict())


@dataclasses.dataclass
class Encoded:
    """What both encoders find in the same frames of one set of faces.

    Attributes:
        features: what comes into the last layer of the identity encoder.
        motion: the motion code.
        clips: see `FacePairs.clips_within`; None where clips are not known.
    """

    features: Float[Tensor, "b k f"]
    motion: Float[Tensor, "b k d"]
    clips: Int[Tensor, "b k"] | None


def encode(networks: Networks, clips: ClipDataset, config: RunConfig, device: torch.device, frames: int) -> Encoded:
    """Items from all over one set of faces, with so many frames or a few more."""
    features: list[Tensor] = []
    motion: list[Tensor] = []
    numbers: list[Tensor] = []
    keep = end_of(networks.identity_encoder)[0].register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    half = config.train.precision == "bf16-mixed"
    try:
        for keys, shown in spread_out(clips, frames, config, device):
            faces = shown.flatten(0, 1)
            if config.train.channels_last:
                faces = faces.contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):  # as the encoder is trained
                codes, _, _ = read_codes(networks.motion_encoder, networks.identity_encoder, faces)
            motion.append(codes.float().unflatten(0, shown.shape[:2]))
            features[-1] = features[-1].unflatten(0, shown.shape[:2]).half()
            if isinstance(clips, FacePairs):
                numbers.append(torch.from_numpy(clips.clips_within(keys)))
    finally:
        keep.remove()
    return Encoded(torch.cat(features).cpu(), torch.cat(motion).cpu(), torch.cat(numbers) if numbers else None)


def scatter_of(encoded: Encoded) -> Scatter:
    """Of one set of faces."""
    scatter = Scatter(encoded.features.shape[-1])
    for start in range(0, len(encoded.features), 64):
        some = slice(start, start + 64)
        scatter.add(encoded.features[some].float(), None if encoded.clips is None else encoded.clips[some])
    return scatter


def end_of(encoder: nn.Module) -> nn.Sequential:
    """The last linear layer of an encoder, and what follows it."""
    code = encoder.get_submodule("code")
    assert isinstance(code, nn.Sequential)
    last = max(place for place, module in enumerate(code) if isinstance(module, nn.Linear))
    return nn.Sequential(*list(code)[last:])
