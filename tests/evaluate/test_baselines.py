"""Baselines: right answers on patterns that are known, names, and a PCA that sees no measured face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from evaluate.stub import paint
from facecycle.errors import FaceCycleError
from facecycle.evaluate import baselines
from facecycle.evaluate.baselines import Reduced, baseline_names, open_baseline
from facecycle.evaluate.features import compute, open_source
from facecycle.evaluate.photos import WHOLE, Faces, folder_photos
from facecycle.evaluate.tasks import Options, evaluate
from facecycle.evaluate.timm_source import TimmSource


def stripes(degrees: float, frequency: float = 0.13) -> torch.Tensor:
    """A grating of 64 px; at 0 degrees it changes from left to right."""
    y, x = np.mgrid[:64, :64]
    angle = np.radians(degrees)
    wave = 0.5 + 0.4 * np.sin(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)))
    return torch.from_numpy(wave).float().expand(1, 3, 64, 64).clone()


def noise(count: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((count, 3, 64, 64), np.float32))


def test_lbp_has_59_bins_in_64_cells_and_each_pixel_counts_once() -> None:
    found = baselines.lbp(noise())
    assert found.shape == (3, 59 * 64)
    np.testing.assert_allclose(found.reshape(3, 64, 59).sum(2), 1, atol=1e-5)
    flat = baselines.lbp(torch.full((1, 3, 64, 64), 0.4)).reshape(8, 8, 59)
    assert (flat[1:-1, 1:-1].max(2) == 1).all()  # one pattern: every neighbour is as bright
    brighter = baselines.lbp(noise() * 0.5 + 0.25)
    assert np.abs(brighter - found).mean() < 0.002  # a monotone change of grey values leaves patterns alone
    np.testing.assert_allclose(baselines.lbp_sqrt(noise()) ** 2, found, atol=1e-6)


def test_gabor_and_hog_answer_to_orientation() -> None:
    energy = [baselines.gabor(stripes(angle)).reshape(5, 8, 64).mean(2)[2] for angle in (0, 90)]
    assert energy[0].argmax() == 0
    assert energy[1].argmax() == 4  # of eight orientations
    assert baselines.gabor(stripes(0)).shape == (1, 2560)
    gradients = [baselines.hog(stripes(angle)).reshape(-1, 9).mean(0) for angle in (0, 90)]
    assert gradients[0].argmax() != gradients[1].argmax()
    assert baselines.hog(stripes(0)).shape == (1, 1764)
    assert baselines.pixels(stripes(0)).shape == (1, 1024)


def test_every_name_opens_or_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = baselines.Described
    monkeypatch.setattr(baselines, "Reduced", lambda inner, *_: plain(f"{inner.name} cut", baselines.pixels))
    monkeypatch.setattr(baselines, "_other_photos", lambda others: [])
    monkeypatch.setattr(baselines, "ImageNet", lambda: plain("imagenet", baselines.pixels))
    opened = {name: open_baseline(name) for name in baseline_names() if ":" not in name}
    assert None not in opened.values()
    assert opened["pixels-256"] == plain("pixels cut", baselines.pixels)
    assert {"lbp-sqrt-256", "gabor-256", "hog-256", "imagenet-256", "random-2"} <= set(opened)
    assert open_baseline("no-such-name") is None
    with pytest.raises(FaceCycleError, match=r"or a baseline: .*timm:NAME"):
        open_source("no-such-name")


def test_random_encoders_differ_by_seed_alone() -> None:
    one, again, other = (baselines.random_encoder(seed) for seed in (0, 0, 1))
    assert one.checksum == again.checksum != other.checksum
    assert one.features(noise(), "motion").shape == (3, 256)


def test_a_pca_is_fitted_on_other_faces_and_refuses_to_measure_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(260):
        paint(tmp_path / "others" / f"{i:03d}.png", tuple(rng.random(3)), unlike=i)
    for i in range(6):
        paint(tmp_path / "set" / f"{i}.png", tuple(rng.random(3)), unlike=300 + i)
    inner = baselines.Described("pixels", baselines.pixels)
    cut = Reduced(inner, Faces(folder_photos(tmp_path / "others", WHOLE), 64), None)
    measured = Faces(folder_photos(tmp_path / "set", WHOLE), 64)
    assert compute(cut, measured, "features").shape == (6, 256)
    (tmp_path / "set" / "planted.png").write_bytes((tmp_path / "others" / "007.png").read_bytes())
    with pytest.raises(FaceCycleError, match=r"planted\.png .*--others: refused"):
        compute(cut, Faces(folder_photos(tmp_path / "set", WHOLE), 64), "features")
    few = Faces(folder_photos(tmp_path / "set", WHOLE), 64)
    with pytest.raises(FaceCycleError, match="7 faces, a PCA of 256 dimensions needs"):
        Reduced(inner, few, None)


def test_imagenet_features() -> None:
    try:
        source = open_baseline("imagenet")
    except FaceCycleError as error:
        pytest.skip(str(error))
    assert source is not None
    found = source.features(noise(), "features")
    assert found.shape == (3, 1024)
    assert np.abs(found[0] - found[1]).max() > 0


def onnx_file(file: Path, batch: int | str, side: int | str) -> Path:
    """A model that gives the mean colour of each quarter of a picture."""
    from onnx import TensorProto, helper, save

    nodes = [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[32, 32], strides=[32, 32])]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, side, side])
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "quarters", [taken], [given])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    save(model, file)
    return file


@pytest.mark.parametrize(("batch", "side"), [("n", 64), (2, 64), (1, 64), ("n", "side")])
def test_any_onnx_model_by_its_file(batch: int | str, side: int | str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    file, faces = onnx_file(tmp_path / "model.onnx", batch, side), noise(5)
    source = open_source(str(file))
    assert (source.size, source.layers) == (64, ("y",))
    quarters = torch.nn.functional.avg_pool2d(faces, 32).flatten(1).numpy()
    np.testing.assert_allclose(source.features(faces, "y"), quarters, atol=1e-5)
    shifted = open_source(f"imagenet:{file}")
    assert shifted.checksum != source.checksum
    assert np.abs(shifted.features(faces, "y") - quarters).max() > 0.3
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(FaceCycleError, match="no ONNX model that can be run"):
        open_source(str(tmp_path / "bad.onnx"))


def test_a_timm_model_by_name_and_file(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", exc_type=ImportError)
    from safetensors.torch import save_file

    network = timm.create_model("resnet10t", pretrained=False)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    source = open_source(f"timm:resnet10t:{tmp_path / 'weights.safetensors'}")
    found = source.features(torch.rand(2, 3, source.size, source.size), "features")
    assert found.shape == (2, 512)
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(FaceCycleError, match="not the weights of resnet10t"):
        TimmSource("resnet10t", tmp_path / "other.safetensors")
    with pytest.raises(FaceCycleError, match="write it as timm:NAME:FILE"):
        TimmSource("resnet10t", tmp_path / "weights.pth")


def test_options_that_nothing_would_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FaceCycleError, match="--others: hog is fitted on no faces"):
        evaluate("hog", "folder", tmp_path, options=Options(others=tmp_path))
    with pytest.raises(FaceCycleError, match="--data: the task generation has no use for it"):
        evaluate("hog", "generation", tmp_path)
