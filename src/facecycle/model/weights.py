"""Weights as one safetensors file that says what it is: model, crop, data licence, how far it was trained."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from facecycle import __version__
from facecycle.config import MOST_BLOCKS, ModelConfig, from_dict, to_dict
from facecycle.data.crop import CROP_NAME
from facecycle.errors import FaceCycleError, concerning
from facecycle.model.networks import Networks, build_networks

FORMAT = "facecycle-weights-1"
FILE = "weights.safetensors"
DEVICES = re.compile(r"cpu|cuda(:\d+)?|mps(:0)?")


@dataclass(frozen=True)
class Weights:
    """What a weights file holds beside its numbers."""

    model: ModelConfig
    crop: str
    licence: str
    """Of the data, hence of the weights."""
    trained: dict[str, Any]
    """Stages and their steps, the data's origin, the version that trained it."""


def save_weights(
    networks: Networks,
    path: Path,
    model: ModelConfig,
    licence: str,
    trained: Mapping[str, Any],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write the file in one piece: a reader sees the old one or the new one, never half of it.

    Args:
        networks: all of them.
        path: ends in ``.safetensors``.
        model: what builds such networks.
        licence: of the data.
        trained: stages and steps, the data's origin.
        dtype: float16 halves the file; codes then change in the third digit.
    """
    metadata = {
        "format": FORMAT,
        "model": json.dumps(to_dict(model)),
        "crop": CROP_NAME,
        "licence": licence,
        "trained": json.dumps({**trained, "version": __version__}),
    }
    kept = {name: tensor for name, tensor in networks.state_dict().items() if not name.startswith("head.")}
    state = {
        name: tensor.detach().to("cpu", dtype).clone().contiguous() for name, tensor in kept.items()
    }  # two may be one
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(to_bytes(state, metadata))  # by `save_file` nobody else could read it
    partial.replace(path)


def read_weights(path: str | Path) -> Weights:
    """What the file says of itself, without reading its numbers. Takes a file, or a run folder.

    Raises:
        FaceCycleError: no such file, not such a file, or one of another format or crop.
    """
    path = _locate(path)
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise FaceCycleError(f"{path}: not a readable safetensors file ({error}); copy or train it again") from None
    if metadata.get("format") != FORMAT:
        raise FaceCycleError(
            f"{path}: format {metadata.get('format')!r}, this version reads {FORMAT!r}; train it again"
        )
    if missing := {"model", "crop", "licence", "trained"} - metadata.keys():
        raise FaceCycleError(f"{path}: does not say its {min(missing)}; copy or train it again")
    if metadata["crop"] != CROP_NAME:
        raise FaceCycleError(f"{path}: trained on crop {metadata['crop']!r}, this version cuts {CROP_NAME!r}")
    with concerning(path):
        model = from_dict(_read_table(metadata, "model"), ModelConfig)
        return Weights(model, metadata["crop"], metadata["licence"], _read_table(metadata, "trained"))


def _read_table(metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        table = json.loads(metadata[name])
    except ValueError:
        table = None
    if not isinstance(table, dict):
        raise FaceCycleError(f"its {name} is no JSON table; copy or train it again")
    return table


def load_networks(path: str | Path, device: str | torch.device = "cpu") -> tuple[Networks, Weights]:
    """The networks of a weights file or run folder, ready for use: in evaluation mode, without gradients.

    Raises:
        FaceCycleError: of `read_weights` and `load_state`, or a device that is not on this machine, or none to work on.
    """
    if not DEVICES.fullmatch(str(device)):  # torch knows some that hold no numbers
        raise FaceCycleError(f"device {str(device)!r} is none that faces are made on: use cpu, cuda, cuda:N or mps")
    weights = read_weights(path)
    networks = build_networks(weights.model)
    load_state(networks, path)
    try:
        networks.to(device)
    except (RuntimeError, AssertionError):  # torch built without it, or no such word
        raise FaceCycleError(
            f"device {str(device)!r} is not on this machine: use cpu, or cuda where there is one"
        ) from None
    return networks.eval().requires_grad_(False), weights


def load_state(networks: Networks, path: str | Path, parts: Collection[str] = ()) -> None:
    """Fill networks of the same sizes from a weights file.

    Args:
        networks: to be filled.
        path: a file, or a run folder.
        parts: of these networks alone, such as ``motion_encoder``; all unless given. The others may differ in size.

    Raises:
        FaceCycleError: the file holds other sizes, or other tensors, or there is no such part.
    """
    path = _locate(path)
    expected = {name: x for name, x in networks.state_dict().items() if not name.startswith("head.")}
    model = read_weights(path).model  # what it was built without begins by doing nothing, or hardly anything
    lacks = (".eraser.",) * (not model.erase) + (".adjust.",) * (not model.generator_adjust)
    lacks += (".code_mirror.",) * (not model.equivariant) + ("expression.",) * (not model.expression)
    lacks += (".expression_code.",) * (not model.expression_code)
    more = range(model.identity_blocks - 1, MOST_BLOCKS - 1)
    lacks += tuple(f".deeper.{level}.{block}." for level in range(3) for block in more)
    expected = {name: x for name, x in expected.items() if not any(part in name for part in lacks)}
    known = list(dict.fromkeys(name.partition(".")[0] for name in expected))
    if strangers := set(parts) - set(known):
        raise FaceCycleError(f"no network is called {min(strangers)!r}: choose of {', '.join(known)}")
    if "flow_decoder" in parts:
        parts = {*parts, "expression"}  # which part of its flow
    wanted = {name for name in expected if name.partition(".")[0] in (parts or known)}
    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if not parts or name in wanted]  # noqa: SIM118
        state: dict[str, Tensor] = {name: file.get_tensor(name).float() for name in names}
    # What was found in closed form and is not wanted can be left out: nothing else was learnt with it.
    unwanted = (".code_mirror.",) * (networks.motion_encoder.code_mirror is None)
    unwanted += (".expression_code.",) * (networks.motion_encoder.expression_code is None)
    unwanted += ("expression.",) * (networks.expression is None)
    state = {name: x for name, x in state.items() if not any(part in name for part in unwanted)}
    if surplus := state.keys() - expected.keys():
        raise FaceCycleError(
            f"{path}: holds {min(surplus)}, which the model lacks; use the configuration the file was trained with"
        )
    for name in wanted:
        tensor = expected[name]
        if name not in state:
            raise FaceCycleError(f"{path}: holds no {name}; it was cut or changed")
        if state[name].shape != tensor.shape:
            raise FaceCycleError(
                f"{path}: {name} has shape {tuple(state[name].shape)}, the model wants {tuple(tensor.shape)}; "
                "use the configuration the file was trained with"
            )
        if not state[name].isfinite().all():
            raise FaceCycleError(f"{path}: {name} holds NaN or infinity; train it again, at a lower learning rate")
    networks.load_state_dict(state, strict=False)  # what is missing is checked above


def _locate(path: str | Path) -> Path:
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        hint = f"the folder holds no {FILE}" if path.is_dir() else "no such file"
        raise FaceCycleError(f"{path}: {hint}; give a run folder or a .safetensors file that facecycle train wrote")
    return file
