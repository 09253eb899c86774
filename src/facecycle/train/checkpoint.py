"""Checkpoints: everything a run needs to go on as if it had never stopped, and not a pickle among it.

A checkpoint is a folder, written under another name and renamed when complete, so that a kill at any moment leaves
only whole ones. There is no random state to keep: all randomness is keyed by the seed and the step.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from facecycle import __version__
from facecycle.data.crop import CROP_NAME
from facecycle.errors import FaceCycleError

FORMAT = 1
LEAVING = ".leaving.partial"
PARTS = ("networks", "averaged", "optimizer")


@dataclass(frozen=True)
class State:
    """Where a run stands."""

    stage: str
    step: int
    """Steps done in this stage."""
    licence: str
    averaged: int
    """How many steps the averaged weights have seen."""
    precision: dict[str, float] = field(default_factory=dict)
    """How gradients are scaled, in half precision."""
    data: str = ""
    """What was learnt from (`Sources.fingerprint`); empty in checkpoints of older versions."""
    sums: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each part's file, likewise."""
    format: int = FORMAT
    crop: str = CROP_NAME
    version: str = __version__


def save(folder: Path, state: State, tensors: dict[str, dict[str, Tensor]], keep: int) -> Path:
    """Write ``folder/STAGE-STEP``, a safetensors file for each entry of ``tensors``; keep a stage's last ``keep``."""
    final = folder / f"{state.stage}-{state.step:08d}"
    partial = final.with_name(final.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    sums = {}
    for name, values in tensors.items():
        separate = {key: value.detach().cpu().clone().contiguous() for key, value in values.items()}  # two may be one
        content = to_bytes(separate)
        sums[name] = hashlib.sha256(content).hexdigest()
        (partial / f"{name}.safetensors").write_bytes(content)
    (partial / "state.json").write_text(json.dumps(asdict(replace(state, sums=sums)), indent=1))
    for file in partial.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    former = _aside(final) if final.exists() else None  # between here and the next line a kill is for `recover`
    partial.rename(final)
    for old in [former, *map(_aside, complete(folder, state.stage)[:-keep])]:
        if old is not None:
            shutil.rmtree(old)
    return final


def _aside(path: Path) -> Path:
    """Another name for what is deleted next: a kill half way through must not leave half a checkpoint."""
    leaving = path.with_name(path.name + LEAVING)
    shutil.rmtree(leaving, ignore_errors=True)
    return path.rename(leaving)


def recover(folder: Path) -> None:
    """Give a checkpoint its name that a kill has left whole but without: its state is written last."""
    for partial in folder.glob("*.partial"):
        whole = (partial / "state.json").is_file() and not partial.name.endswith(LEAVING)
        if whole and not (final := partial.with_suffix("")).exists():
            partial.rename(final)


def begun(folder: Path) -> bool:
    """Is there a checkpoint of more than no steps?"""
    return any(int(path.name.split("-")[1]) for path in complete(folder))


def complete(folder: Path, stage: str = "") -> list[Path]:
    """The whole checkpoints of a stage (or of all), oldest first; the motion stage comes before the identity stage."""
    named = [path for path in folder.glob(f"{stage}*-*") if path.name.partition("-")[2].isdigit()]
    found = [path for path in named if (path / "state.json").is_file()]
    return sorted(found, key=lambda path: (path.name.split("-")[0] != "motion", path.name))


def load(path: Path) -> tuple[State, dict[str, dict[str, Tensor]]]:
    """Read a checkpoint.

    Raises:
        FaceCycleError: it belongs to another format or crop, or cannot be read.
    """
    state = read_state(path)
    try:
        for name, wanted in state.sums.items():
            with (path / f"{name}.safetensors").open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != wanted:
                    raise ValueError(f"{name}.safetensors is not what was written")
        return state, {name: load_file(path / f"{name}.safetensors") for name in PARTS}
    except (OSError, ValueError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def read_state(path: Path) -> State:
    """Where the run of a checkpoint stood; raises as `load` does."""
    try:
        values = dict(json.loads((path / "state.json").read_text()))
        if values.get("format") != FORMAT:
            raise FaceCycleError(
                f"{path}: checkpoint format {values.get('format')}, this version reads {FORMAT}; "
                f"go on with facecycle {values.get('version')}, or start anew with --init"
            )
        if values["crop"] != CROP_NAME:
            raise FaceCycleError(f"{path}: trained on crop {values['crop']!r}, this version cuts {CROP_NAME!r}")
        state = State(**values)
        kinds = {
            "stage": str,
            "step": int,
            "licence": str,
            "averaged": int,
            "precision": dict,
            "data": str,
            "sums": dict,
        }
        for name, kind in kinds.items():
            value = getattr(state, name)
            if not isinstance(value, kind) or (kind is int and value < 0):
                raise TypeError(f"its {name} is {getattr(state, name)!r}")
        return state
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from error


def fill(module: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Fill a module from the part ``state`` of the checkpoint ``path``, which may lack a head that it had no use for.

    Raises:
        FaceCycleError: it holds other tensors.
    """
    try:
        missing, surplus = module.load_state_dict(state, strict=False)
        why = [f"no {name}" for name in missing if not name.startswith("head.")]
        why += [f"{name} besides" for name in surplus]
    except RuntimeError as error:
        why = [str(error).splitlines()[-1].strip()]
    if why:
        raise FaceCycleError(
            f"{path}: does not fit the configuration ({why[0]}); resume with the config.toml it was trained with"
        )


def _unreadable(path: Path, error: Exception) -> FaceCycleError:
    return FaceCycleError(f"{path}: unreadable checkpoint ({error}); remove it to go on from an older one")


def pack_optimizer(optimizer: torch.optim.Optimizer, names: dict[Tensor, str]) -> dict[str, Tensor]:
    """An optimizer's state as named tensors, ``parameter/quantity``."""
    packed = {}
    for parameter, quantities in optimizer.state.items():
        for quantity, value in quantities.items():
            packed[f"{names[parameter]}/{quantity}"] = torch.as_tensor(value)
    return packed


def unpack_optimizer(optimizer: torch.optim.Optimizer, names: dict[Tensor, str], packed: dict[str, Tensor]) -> None:
    """The inverse of `pack_optimizer`, for an optimizer over parameters of the same names."""
    by_name = {name: parameter for parameter, name in names.items()}
    for key, value in packed.items():
        name, quantity = key.rsplit("/", 1)
        if name not in by_name:
            raise FaceCycleError(f"checkpoint holds optimizer state for {name}, which this stage does not train")
        parameter = by_name[name]
        if quantity == "step":  # which Adam keeps on the CPU, unless it can be captured
            mine = value.to(parameter.device) if optimizer.defaults.get("capturable") else value
        else:  # laid out as the parameter is, which a fused Adam insists on
            mine = torch.empty_like(parameter.detach()).copy_(value)
        optimizer.state[parameter][quantity] = mine


def named(module: nn.Module) -> dict[Tensor, str]:
    """Parameter -> name."""
    return {parameter: name for name, parameter in module.named_parameters()}
