"""Features of any ONNX model by its file, the package's own exports among them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from facecycle.data.crop import CROP_NAME
from facecycle.errors import FaceCycleError
from facecycle.evaluate.features import flatten

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of the pixels that ImageNet models expect to have been taken out."""
OPEN_SIZE = 64  # pixels shown to a model that leaves its size open


class OnnxSource:
    """An ONNX model whose one input is RGB ``B 3 H W``; its outputs are the layers.

    Args:
        path: the file.
        imagenet: take ImageNet's mean and deviation out of the pixels first; else they go in as [0, 1].

    Raises:
        FaceCycleError: onnxruntime is missing, or the file is no such model.
    """

    crop = CROP_NAME

    def __init__(self, path: Path, imagenet: bool = False) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise FaceCycleError("ONNX models need onnxruntime: pip install 'facecycle[onnx]'") from None
        try:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class of its own for every mistake
            raise FaceCycleError(f"{path}: no ONNX model that can be run ({type(error).__name__})") from None
        taken = self._session.get_inputs()
        shape = taken[0].shape
        if len(taken) != 1 or len(shape) != 4 or shape[1] != 3:
            raise FaceCycleError(f"{path}: takes {[i.shape for i in taken]}; a model with one input B 3 H W is needed")
        self._input, self._imagenet = taken[0].name, imagenet
        self._batch = shape[0] if isinstance(shape[0], int) else None
        self.size = shape[2] if isinstance(shape[2], int) else OPEN_SIZE
        self.layers = tuple(output.name for output in self._session.get_outputs())
        self.name = f"imagenet:{path}" if imagenet else str(path)
        self.checksum = hashlib.sha256(_bytes(path) + str(imagenet).encode()).hexdigest()

    def features(self, faces: Float[Tensor, "b 3 h w"], layer: str) -> Float[np.ndarray, "b d"]:
        """One output of the model, flattened; a large map is averaged over cells, as layers of encoders are."""
        x = faces.numpy()
        if self._imagenet:
            mean, deviation = (np.array(values, np.float32)[:, None, None] for values in IMAGENET)
            x = (x - mean) / deviation
        parts = [x] if self._batch is None else np.split(x, range(self._batch, len(x), self._batch))
        found = [self._run(part, layer) for part in parts]
        return flatten(torch.from_numpy(np.concatenate(found)))

    def _run(self, x: Float[np.ndarray, "b 3 h w"], layer: str) -> np.ndarray:
        """A model of a fixed batch gets one that is filled up with zeros."""
        short = 0 if self._batch is None else self._batch - len(x)
        full = np.concatenate([x, np.zeros((short, *x.shape[1:]), np.float32)]) if short else x
        try:
            found = np.asarray(self._session.run([layer], {self._input: full})[0], np.float32)
        except Exception as error:
            raise FaceCycleError(f"{self.name}: cannot be run on {full.shape}: {error}") from None
        return found[: len(x)]


def _bytes(model: Path) -> bytes:
    """Of the file, and of those beside it that it keeps weights in: it holds their names."""
    graph = model.read_bytes()
    beside = sorted(file for file in model.parent.iterdir() if file != model and os.fsencode(file.name) in graph)
    return b"".join([graph, *(file.read_bytes() for file in beside if file.is_file())])
