"""What turns crops into codes: the networks in PyTorch, or an exported file on onnxruntime. Loads neither by itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from facecycle.errors import FaceCycleError

CODES = ("motion", "identity", "expression")
"""In this order everywhere."""
PIXELS = "RGB, float32 in [0, 1], B C H W"


@dataclass(frozen=True)
class About:
    """What weights say of themselves."""

    image_size: int
    code_dim: int
    crop: str
    licence: str
    """Of the data, hence of the weights."""
    trained: dict[str, Any]
    source: str
    """Where they were read from."""

    def __post_init__(self) -> None:
        """Refuse a threshold that none can be.

        Raises:
            FaceCycleError: it is no number in [-1, 1].
        """
        limit = self.trained.get("identity_threshold")
        if limit is not None and not (isinstance(limit, int | float) and -1 <= limit <= 1):
            raise FaceCycleError(
                f"{self.source}: its identity_threshold is {limit!r}, no number between -1 and 1; copy or make it again"
            )


@runtime_checkable
class Encoders(Protocol):
    """What makes all codes."""

    @property
    def about(self) -> About: ...

    def encode(self, crops: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "3 n d"]:
        """The motion, identity and expression codes of crops."""
        ...


def load_encoders(path: Path, device: str = "auto") -> Encoders:
    """The encoders of a run folder, a ``.safetensors`` file, or an exported ``.onnx`` file.

    Raises:
        FaceCycleError: no such file, not such a file, or of another version; a device that it does not run on.
    """
    if path.suffix.lower() == ".onnx":
        if device not in ("auto", "cpu"):
            raise FaceCycleError(
                f"device {device!r}: {path} runs on the CPU; leave it out, or give the run folder or .safetensors file "
                "that it was exported from"
            )
        from facecycle.apply.onnx_encoders import OnnxEncoders

        return OnnxEncoders(path)
    from facecycle.apply.torch_networks import TorchNetworks

    return TorchNetworks(path, device)
