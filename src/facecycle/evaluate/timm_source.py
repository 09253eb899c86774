"""Features of any model that the package ``timm`` can build, with weights from a file on this machine."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from facecycle.data.crop import CROP_NAME
from facecycle.errors import FaceCycleError


class TimmSource:
    """A model's pooled features, before its classifier. Nothing is downloaded, no pickle is read.

    Args:
        model: what timm calls it.
        file: its weights, ``.safetensors``; a classifier's may lie among them.

    Raises:
        FaceCycleError: timm is missing, or knows no such model, or the file is not that model's.
    """

    crop, layers = CROP_NAME, ("features",)

    def __init__(self, model: str, file: Path) -> None:
        try:
            timm: Any = importlib.import_module("timm")
        except (ImportError, RuntimeError) as error:  # a torchvision of another torch raises the latter
            raise FaceCycleError(f"models of timm need that package: pip install timm ({error})") from None
        if not timm.is_model(model) or file.suffix != ".safetensors" or not file.is_file():
            raise FaceCycleError(f"timm:{model}:{file}: write it as timm:NAME:FILE.safetensors, a model and its file")
        network = timm.create_model(model, pretrained=False, num_classes=0)
        try:
            lacking = network.load_state_dict(load_file(file), strict=False).missing_keys
        except (RuntimeError, SafetensorError, OSError) as error:
            raise FaceCycleError(f"{file}: not the weights of {model} ({str(error).splitlines()[0]})") from None
        if lacking:
            raise FaceCycleError(f"{file}: not the weights of {model}, it lacks {lacking[0]}")
        settings = timm.data.resolve_model_data_config(network)
        self.network, self.size, self.name = network.eval(), int(settings["input_size"][-1]), f"timm:{model}:{file}"
        self.mean, self.deviation = (torch.tensor(settings[key])[:, None, None] for key in ("mean", "std"))
        self.checksum = hashlib.sha256(file.read_bytes() + f"{model} {settings}".encode()).hexdigest()

    @torch.inference_mode()
    def features(self, faces: Float[Tensor, "b 3 h w"], layer: str) -> Float[np.ndarray, "b d"]:
        return self.network((faces - self.mean) / self.deviation).flatten(1).numpy()
