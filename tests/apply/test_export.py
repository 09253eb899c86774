"""Exported networks: the same numbers at any batch size, and codes from ONNX with no torch in the process."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from facecycle import FaceCycle
from facecycle.apply.cycle import cycle
from facecycle.apply.encoders import load_encoders
from facecycle.apply.export import PARTS, export
from facecycle.demo import demo
from facecycle.errors import FaceCycleError
from facecycle.model.weights import save_weights
from tiny import MODEL, face_picture, tiny_networks

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

WHOLE = dataclasses.replace(
    MODEL, generator_skip=True, generator_adjust=True, mirrored=True, equivariant=True, expression_code=True, erase=2
)
"""All that runtimes might do otherwise than PyTorch."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    networks = tiny_networks(0, WHOLE)
    assert networks.motion_encoder.code_mirror is not None
    assert networks.motion_encoder.expression_code is not None
    networks.motion_encoder.code_mirror.fit(torch.randn(40, MODEL.code_dim), torch.randn(40, MODEL.code_dim))
    described = torch.randn(40, sum(networks.motion_encoder.described))
    networks.motion_encoder.expression_code.fit(torch.randn(40, MODEL.code_dim), described)
    save_weights(networks, path, WHOLE, "CC0", {"stage": "identity"})
    return path


@pytest.fixture(scope="module")
def exported(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    parts = export(weights, folder, "onnx")
    assert [part.path.stem for part in parts] == list(PARTS)
    assert max(part.difference for part in parts) < 1e-4
    return folder


def test_torch_programs_equal_the_networks(weights: Path, tmp_path: Path) -> None:
    assert max(part.difference for part in export(weights, tmp_path, "torch")) < 1e-5


def test_onnx_codes_equal_those_of_torch(weights: Path, exported: Path) -> None:
    faces = [face_picture(k) for k in range(3)]
    onnx = FaceCycle.from_pretrained(exported / "encoders.onnx").embed(faces, cropped=True)
    here = FaceCycle.from_pretrained(weights, "cpu").embed(faces, cropped=True)
    np.testing.assert_allclose(onnx.motion, here.motion, atol=1e-4)
    np.testing.assert_allclose(onnx.identity, here.identity, atol=1e-4)
    np.testing.assert_allclose(onnx.expression, here.expression, atol=1e-3)


def test_onnx_codes_need_no_torch(exported: Path, tmp_path: Path) -> None:
    face_picture(0).save(tmp_path / "face.png")
    program = (
        "import sys; from facecycle import FaceCycle;"
        f"codes = FaceCycle.from_pretrained({str(exported / 'encoders.onnx')!r})"
        f".embed({str(tmp_path / 'face.png')!r}, cropped=True);"
        "assert codes.status == ['ok'], codes.status; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_exported_encoders_make_no_pictures_and_run_on_the_cpu_alone(exported: Path, tmp_path: Path) -> None:
    file = exported / "encoders.onnx"
    only = r"encoders\.onnx: holds the encoders only; give the run folder or \.safetensors file"
    with pytest.raises(FaceCycleError, match=only):
        cycle(face_picture(0), file, tmp_path / "sheet.png", cropped=True)
    with pytest.raises(FaceCycleError, match=only):
        export(file, tmp_path, "torch")
    with pytest.raises(FaceCycleError, match="holds the encoders only, which the page is not made with"):
        demo(FaceCycle.from_pretrained(file))
    for device in ("cuda", "nonsense"):
        with pytest.raises(FaceCycleError, match=rf"device '{device}': .*encoders\.onnx runs on the CPU"):
            load_encoders(file, device)


def test_of_a_rival_s_weights_the_encoders_alone_are_exported(tmp_path: Path) -> None:
    save_weights(tiny_networks(), tmp_path / "weights.safetensors", MODEL, "CC0", {"method": "simclr"})
    parts = export(tmp_path / "weights.safetensors", tmp_path / "out", "torch")
    assert [part.path.name for part in parts] == ["encoders.pt2"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["encoders.pt2"]


def test_a_tampered_file_is_refused(exported: Path, tmp_path: Path) -> None:
    broken = tmp_path / "encoders.onnx"
    broken.write_bytes((exported / "encoders.onnx").read_bytes()[:2000])
    with pytest.raises(FaceCycleError, match=r"encoders\.onnx"):
        FaceCycle.from_pretrained(broken)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("image_size", "48", "its metadata says faces of 48 px and codes of 16 numbers, its networks differ"),
        ("image_size", "-5", "its networks differ"),
        ("image_size", "1000000", "its networks differ"),
        ("code_dim", "128", "codes of 128 numbers, its networks differ"),
        ("trained", "[]", "its metadata was changed .its trained is no table"),
        ("trained", "3", "its metadata was changed .its trained is no table"),
        ("trained", '{"identity_threshold": "x"}', "its identity_threshold is 'x', no number between -1 and 1"),
        ("trained", '{"identity_threshold": NaN}', "its identity_threshold is nan, no number between -1 and 1"),
    ],
)
def test_metadata_that_the_networks_belie_is_refused(
    exported: Path, tmp_path: Path, name: str, value: str, said: str
) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported / "encoders.onnx")
    for entry in model.metadata_props:
        entry.value = value if entry.key == name else entry.value
    onnx.save(model, tmp_path / "encoders.onnx")
    with pytest.raises(FaceCycleError, match=rf"encoders\.onnx: .*{said}"):
        FaceCycle.from_pretrained(tmp_path / "encoders.onnx")


def test_an_unknown_format_names_the_known_ones(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(FaceCycleError, match="onnx, torch"):
        export(weights, tmp_path, "tflite")
