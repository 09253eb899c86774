"""All five networks in PyTorch, behind pictures of bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from facecycle.apply.encoders import About
from facecycle.errors import FaceCycleError
from facecycle.model.encoder import read_codes
from facecycle.model.networks import Networks
from facecycle.model.weights import load_networks


class TorchNetworks:
    """The networks of a run folder or ``.safetensors`` file.

    Args:
        path: where the weights are.
        device: ``cpu``, ``cuda``, ``mps``, or ``auto``: the fastest that there is.

    Raises:
        FaceCycleError: unusable weights, exported ones, or no such device.
    """

    def __init__(self, path: Path, device: str = "auto") -> None:
        if path.suffix.lower() == ".onnx":
            raise FaceCycleError(
                f"{path}: holds the encoders only; give the run folder or .safetensors file that it was exported from"
            )
        self.device = torch.device(choose_device(device)) if device == "auto" else device
        self.networks: Networks
        self.networks, weights = load_networks(path, self.device)
        self.about = About(
            weights.model.image_size, weights.model.code_dim, weights.crop, weights.licence, weights.trained, str(path)
        )

    @property
    def makes_pictures(self) -> bool:
        """Whether all five were trained: rival methods teach the encoders, and leave the others as they began."""
        return self.about.trained.get("method", "facecycle") == "facecycle"

    def check_pictures(self, verb: str) -> None:
        """Refuse to make pictures with networks that nobody taught how.

        Raises:
            FaceCycleError: a rival method trained them.
        """
        if not self.makes_pictures:
            method = self.about.trained["method"]
            raise FaceCycleError(
                f"{self.about.source}: trained by {method}, which makes no pictures: {verb} needs others"
            )

    @torch.inference_mode()
    def encode(self, crops: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "3 n d"]:
        """The motion, identity and expression codes of crops."""
        codes = read_codes(self.networks.motion_encoder, self.networks.identity_encoder, self.tensor(crops))
        return torch.stack(codes).float().cpu().numpy()

    def tensor(self, crops: UInt8[np.ndarray, "n s s 3"]) -> Float[Tensor, "n 3 s s"]:
        """Crops as the networks want them, on their device."""
        return to_tensor(crops).to(self.device)


def to_tensor(crops: UInt8[np.ndarray, "n s s 3"]) -> Float[Tensor, "n 3 s s"]:
    """0..255 -> [0, 1]."""
    return torch.tensor(np.ascontiguousarray(crops)).permute(0, 3, 1, 2).float() / 255


def choose_device(device: str) -> str:
    """``auto`` as the fastest device that there is; another name as it is."""
    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
