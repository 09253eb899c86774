"""The networks as files for other runtimes: encoders, frontalizer, translator, as ONNX or torch.export programs."""

from __future__ import annotations

import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from facecycle.apply import transform
from facecycle.apply.encoders import CODES, PIXELS, About
from facecycle.apply.onnx_encoders import FORMAT
from facecycle.apply.torch_networks import TorchNetworks
from facecycle.data.files import in_one_piece
from facecycle.errors import FaceCycleError
from facecycle.model.encoder import read_codes
from facecycle.model.networks import Networks

FORMATS = {"onnx": ".onnx", "torch": ".pt2"}
OPSET = 20
TRACED, CHECKED = 2, 5  # batch sizes
# A named Dim is refused: torch cannot prove (3 b - 1) // b == 2 for every b, which an upsampling asks for.
BATCH = torch.export.Dim.AUTO


@dataclass(frozen=True)
class Exported:
    """A file, and how far its results lie from PyTorch's at another batch size than it was traced with."""

    path: Path
    difference: float


class _Part(nn.Module):
    """An exported part: names of its inputs and outputs beside its networks."""

    inputs: tuple[str, ...] = ("face",)
    outputs: tuple[str, ...] = ("face_out",)

    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.networks = networks


class Encoders(_Part):
    """face -> motion, identity, expression."""

    outputs = CODES

    def forward(self, face: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        motion, identity, expression = read_codes(self.networks.motion_encoder, self.networks.identity_encoder, face)
        return motion, identity, expression if expression is not motion else motion.clone()  # each output its own


class Frontalizer(_Part):
    """face -> neutral."""

    outputs = ("neutral",)

    def forward(self, face: Tensor) -> Tensor:
        return transform.frontalize(self.networks, face)


class Translator(_Part):
    """source, driver -> the source's identity in the driver's expression and pose."""

    inputs = ("source", "driver")
    outputs = ("translated",)

    def forward(self, source: Tensor, driver: Tensor) -> Tensor:
        return transform.translate(self.networks, source, driver)


PARTS: dict[str, type[_Part]] = {"encoders": Encoders, "frontalizer": Frontalizer, "translator": Translator}


def export(weights: Path, out: Path, format: str = "onnx") -> list[Exported]:
    """Write every part into the folder ``out``, for any batch size, and compare each with PyTorch.

    Of weights that a rival method trained, the encoders alone: nobody taught the others.

    Args:
        weights: a run folder, or a ``.safetensors`` file.
        out: a folder; its files say of themselves what they take, their crop, licence and training.
        format: ``onnx`` (opset 20, weights inside) or ``torch`` (``torch.export``, ``.pt2``).

    Raises:
        FaceCycleError: another format, a missing package, or a file in place of the folder.
    """
    if format not in FORMATS:
        raise FaceCycleError(f"format {format!r}: choose one of {', '.join(FORMATS)}")
    if out.exists() and not out.is_dir():
        raise FaceCycleError(f"{out}: a file; name a folder, three files are written there")
    loaded = TorchNetworks(weights, "cpu")
    parts = PARTS if loaded.makes_pictures else ["encoders"]
    out.mkdir(parents=True, exist_ok=True)
    return [_export_part(name, loaded, out / f"{name}{FORMATS[format]}", format) for name in parts]


def _export_part(name: str, loaded: TorchNetworks, path: Path, format: str) -> Exported:
    part = PARTS[name](loaded.networks).eval()
    example, check = (_faces(len(part.inputs), count, loaded.about.image_size) for count in (TRACED, CHECKED))
    metadata = _metadata(name, part, loaded.about)
    with in_one_piece(path) as partial:
        results = (_to_onnx if format == "onnx" else _to_torch)(part, example, check, partial, metadata)
    with torch.inference_mode():
        expected = part(*check)
    expected = expected if isinstance(expected, tuple) else (expected,)
    return Exported(path, max(float(np.abs(a - b.numpy()).max()) for a, b in zip(results, expected, strict=True)))


def _to_onnx(
    part: _Part, example: tuple[Tensor, ...], check: tuple[Tensor, ...], path: Path, metadata: dict[str, str]
) -> list[Any]:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (the exporter needs it)
    except ImportError:
        raise FaceCycleError("exporting to ONNX needs: pip install 'facecycle[onnx]'") from None
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # of torchvision, which is not wanted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own deprecated calls
        program = torch.onnx.export(
            part,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=part.inputs,
            output_names=part.outputs,
            dynamic_shapes=tuple({0: BATCH} for _ in example),
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(metadata)
    program.save(path, external_data=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, {name: x.numpy() for name, x in zip(part.inputs, check, strict=True)}))


def _to_torch(
    part: _Part, example: tuple[Tensor, ...], check: tuple[Tensor, ...], path: Path, metadata: dict[str, str]
) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(part, example, dynamic_shapes=tuple({0: BATCH} for _ in example))
        torch.export.save(program, path, extra_files={"facecycle.json": json.dumps(metadata)})
        results = torch.export.load(path).module()(*check)
    return [x.numpy() for x in (results if isinstance(results, tuple) else (results,))]


def _metadata(name: str, part: _Part, about: About) -> dict[str, str]:
    return {
        "format": FORMAT,
        "part": name,
        "inputs": ", ".join(part.inputs),
        "outputs": ", ".join(part.outputs),
        "image_size": str(about.image_size),
        "code_dim": str(about.code_dim),
        "crop": about.crop,
        "pixels": PIXELS,
        "licence": about.licence,
        "trained": json.dumps(about.trained),
    }


def _faces(inputs: int, count: int, size: int) -> tuple[Tensor, ...]:
    """Smooth noise in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    small = (torch.rand(count, 3, 8, 8, generator=generator) for _ in range(inputs))
    return tuple(nn.functional.interpolate(x, (size, size), mode="bilinear") for x in small)
