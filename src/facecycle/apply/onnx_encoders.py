"""Exported encoders on onnxruntime: no torch is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from facecycle.apply.encoders import CODES, About
from facecycle.data.crop import CROP_NAME
from facecycle.errors import FaceCycleError

FORMAT = "facecycle-onnx-2"


class OnnxEncoders:
    """The file that ``facecycle export`` wrote for the encoders.

    Args:
        path: ``encoders.onnx``.

    Raises:
        FaceCycleError: onnxruntime is missing, or the file is not readable, of another part, version or crop.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise FaceCycleError(f"{path}: needs onnxruntime: pip install 'facecycle[onnx]'") from None
        if not path.is_file():
            raise FaceCycleError(f"{path}: no such file; write one with `facecycle export`")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            metadata = self._session.get_modelmeta().custom_metadata_map
        except Exception as error:  # onnxruntime's own classes derive from nothing narrower
            reason = str(error).splitlines()[0][:200]
            raise FaceCycleError(f"{path}: not a readable ONNX file ({reason}); export it again") from None
        self.about = _about(path, metadata)
        size, dim = self.about.image_size, self.about.code_dim
        shapes = {x.name: x.shape[1:] for x in (*self._session.get_inputs(), *self._session.get_outputs())}
        if shapes != {"face": [3, size, size], **{name: [dim] for name in CODES}}:
            raise FaceCycleError(
                f"{path}: its metadata says faces of {size} px and codes of {dim} numbers, its networks differ; "
                "export it again"
            )

    def encode(self, crops: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "3 n d"]:
        """The motion, identity and expression codes of crops."""
        faces = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32) / np.float32(255)
        codes = self._session.run(CODES, {"face": faces})
        return np.stack([np.asarray(code) for code in codes])


def _table(text: str) -> dict[str, Any]:
    if not isinstance(table := json.loads(text), dict):
        raise ValueError("its trained is no table")
    return table


def _about(path: Path, metadata: dict[str, str]) -> About:
    if metadata.get("format") != FORMAT:
        raise FaceCycleError(
            f"{path}: format {metadata.get('format')!r}, this version reads {FORMAT!r}; export it again"
        )
    if metadata.get("part") != "encoders":
        raise FaceCycleError(f"{path}: holds the {metadata.get('part')}; give the exported encoders.onnx")
    try:
        about = About(
            int(metadata["image_size"]),
            int(metadata["code_dim"]),
            metadata["crop"],
            metadata["licence"],
            _table(metadata["trained"]),
            str(path),
        )
    except (KeyError, ValueError) as error:
        raise FaceCycleError(f"{path}: its metadata was changed ({error}); export it again") from None
    if about.crop != CROP_NAME:
        raise FaceCycleError(f"{path}: made for crop {about.crop!r}, this version cuts {CROP_NAME!r}; export it again")
    return about
