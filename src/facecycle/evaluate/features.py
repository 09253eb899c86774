"""Faces -> features: of trained weights, of any layer of theirs, or of a baseline; computed once and kept."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from facecycle.data.crop import CROP_NAME
from facecycle.data.files import write_atomic
from facecycle.errors import FaceCycleError
from facecycle.evaluate.photos import Faces, refuse_shared
from facecycle.model.networks import Networks

MOST_VALUES = 4096  # of a layer: larger maps are averaged over cells until they fit
ENCODERS = {"motion": "motion_encoder", "identity": "identity_encoder"}


@runtime_checkable
class FeatureSource(Protocol):
    """Whatever turns faces into vectors.

    Attributes:
        name: as reports call it.
        checksum: of its weights and settings.
        crop: the crop convention it wants.
        size: pixels of a crop it wants.
        layers: what can be read of it; the first is its own choice where a task has none.
    """

    name: str
    checksum: str
    crop: str
    size: int
    layers: tuple[str, ...]

    def features(self, faces: Float[Tensor, "b 3 h w"], layer: str) -> Float[np.ndarray, "b d"]:
        """The features of RGB crops in [0, 1]."""
        ...


class CodeSource:
    """The codes of trained networks, and any layer of their encoders.

    Layers: ``motion``, ``identity``, ``expression`` where the weights have it, ``both`` (the first two, one after the
    other), and every module of an encoder by its path, such as ``motion.levels.1`` or ``identity.code.1``. A map of
    more than 4,096 values is averaged over a grid of cells, as fine as fits.
    """

    crop = CROP_NAME

    def __init__(self, networks: Networks, size: int, name: str) -> None:
        self.networks, self.size, self.name = networks.eval().requires_grad_(False), size, name
        encoders = (networks.motion_encoder, networks.identity_encoder)
        mirrors = [each.mirrored for each in (networks, *encoders)]
        total = hashlib.sha256(f"{networks} {mirrors}".encode())  # what holds no tensor decides too
        for key, tensor in sorted(networks.state_dict().items()):
            total.update(key.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        self.checksum = total.hexdigest()
        for encoder in encoders:
            nn.Module.to(encoder, memory_format=torch.channels_last)  # type: ignore[call-overload]
        inner = [
            f"{code}.{path}"
            for code, attribute in ENCODERS.items()
            for path, _ in getattr(networks, attribute).named_modules()
            if path and path.partition(".")[0] != "expression_code"  # no part of a pass: `expression` asks for it
        ]
        expression = ("expression",) if networks.motion_encoder.expression_code is not None else ()
        self.layers = ("motion", "identity", *expression, "both", *inner)

    @torch.inference_mode()
    def features(self, faces: Float[Tensor, "b 3 h w"], layer: str) -> Float[np.ndarray, "b d"]:
        faces = faces.contiguous(memory_format=torch.channels_last)
        if layer == "both":
            return np.concatenate([self.features(faces, code) for code in ENCODERS], 1)
        if layer == "expression":
            encoder = self.networks.motion_encoder
            return flatten(encoder.read_expression(encoder.look(faces))[1])
        code, _, path = layer.partition(".")
        encoder = getattr(self.networks, ENCODERS[code])
        return flatten(_read_layer(encoder, path, faces) if path else encoder(faces))


def _read_layer(encoder: nn.Module, path: str, faces: Tensor) -> Tensor:
    found: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        found.append(output)

    module = encoder.get_submodule(path)
    while isinstance(module, nn.Sequential):  # not called itself where its parts are; its last part says the same
        module = module[-1]
    hook = module.register_forward_hook(keep)
    try:
        encoder(faces)
    finally:
        hook.remove()
    return found[0][: len(faces)]  # what comes after them is their mirror images


def flatten(x: Tensor) -> Float[np.ndarray, "b d"]:
    """A layer's output as vectors; a map of more than 4,096 values is averaged over cells, as fine as fits."""
    if x.ndim == 4 and x[0].numel() > MOST_VALUES:
        cells = max(1, int((MOST_VALUES / x.shape[1]) ** 0.5))
        x = nn.functional.adaptive_avg_pool2d(x, cells)
    return x.flatten(1).float().cpu().numpy()


def open_source(weights: str, others: Path | None = None, cache: Path | None = None) -> FeatureSource:
    """The source that a name means.

    Args:
        weights: a run folder, a ``.safetensors`` file, a shipped name, an ``.onnx`` file, or a baseline of
            `facecycle.evaluate.baselines`.
        others: faces that a baseline's PCA is fitted on, where its name asks for one.
        cache: where features are kept.

    Raises:
        FaceCycleError: known as neither; says what there is.
    """
    from facecycle.evaluate.baselines import baseline_names, open_baseline
    from facecycle.evaluate.onnx_source import OnnxSource
    from facecycle.hub import find_weights
    from facecycle.model.weights import load_networks

    if not Path(weights).exists() and (baseline := open_baseline(weights, others, cache)) is not None:
        return baseline
    try:
        path = find_weights(weights)
    except FaceCycleError as error:
        raise FaceCycleError(f"{error}; or a baseline: {', '.join(baseline_names())}") from None
    if path.suffix == ".onnx":
        return OnnxSource(path)
    networks, about = load_networks(path)
    return CodeSource(networks, about.model.image_size, weights)


def choose_layer(source: FeatureSource, asked: str | None, usual: str) -> str:
    """The layer asked for; else the task's usual one, or the source's first.

    Raises:
        FaceCycleError: the source has no such layer.
    """
    if asked is None:
        return usual if usual in source.layers else source.layers[0]
    if asked not in source.layers:
        shown = [name for name in source.layers if name.count(".") < 2]
        inner = f" and {len(source.layers) - len(shown)} within these" if len(shown) < len(source.layers) else ""
        raise FaceCycleError(f"--layer {asked}: {source.name} has {', '.join(shown)}{inner}")
    return asked


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/facecycle/features``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facecycle" / "features"


def compute(
    source: FeatureSource,
    faces: Faces,
    layer: str,
    cache: Path | None = None,
    batch_size: int = 256,
) -> Float[np.ndarray, "n d"]:
    """The features of every face; rows of pictures that cannot be read hold NaN and are named in ``faces.problems``.

    Kept under the checksums of weights, data with crop, and layer: the second call reads them.

    Raises:
        FaceCycleError: the source gives values that are not finite, or was fitted on one of the pictures; or not one
            could be read.
    """
    refuse_shared(faces, getattr(source, "fitted_on", ()), "the faces that its PCA was fitted on, name other --others")
    file = None
    if cache is not None:
        key = hashlib.sha256(f"{source.checksum} {faces.checksum} {layer}".encode()).hexdigest()
        file = cache / f"{key[:40]}.npz"
        if file.is_file():
            return _load(file, faces)
    features = _compute(source, faces, layer, batch_size)
    if file is not None:
        buffer = io.BytesIO()
        notes = json.dumps({"problems": faces.problems, "undetected": faces.undetected})
        np.savez(buffer, features=features, notes=np.array(notes))
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, buffer.getvalue())
    return features


def _compute(source: FeatureSource, faces: Faces, layer: str, batch_size: int) -> Float[np.ndarray, "n d"]:
    features = None
    for rows, crops in faces.batches(batch_size):
        found = source.features(crops, layer)
        if not np.isfinite(found).all():
            worst = faces.photos[rows[int(np.flatnonzero(~np.isfinite(found).all(1))[0])]].name
            raise FaceCycleError(f"{source.name}, layer {layer}: not finite on {worst}; the weights have diverged")
        if features is None:
            features = np.full((len(faces), found.shape[1]), np.nan, np.float32)
        features[rows] = found
    if features is None:
        first = next(iter(faces.problems.values()), "there are none")
        raise FaceCycleError(f"not one of {len(faces)} pictures could be read: {first}")
    return features


def _load(file: Path, faces: Faces) -> Float[np.ndarray, "n d"]:
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
            notes = json.loads(str(kept["notes"]))
            features = kept["features"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FaceCycleError(f"{file}: kept features are damaged ({error}); delete the file") from None
    faces.problems.update(notes["problems"])
    faces.undetected[:] = notes["undetected"]
    return features
