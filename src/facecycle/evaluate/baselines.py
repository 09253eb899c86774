"""Floors: what faces give without learning from them, under the same protocol and crop.

A name ending in ``-256`` is cut to 256 dimensions by a PCA fitted on other faces than those measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache as keep
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from facecycle.config import ModelConfig, PerceptualConfig
from facecycle.data.crop import CROP_NAME
from facecycle.errors import FaceCycleError
from facecycle.evaluate.features import CodeSource, FeatureSource, compute
from facecycle.evaluate.photos import Faces, Photo, folder_photos
from facecycle.model.networks import build_networks
from facecycle.types import LUMA

SIZE = 64
CUT = 256
OTHERS = 2000  # faces that a PCA is fitted on at most
CELLS = 8  # a side: texture is counted, and energy averaged, in 8 x 8 cells of 8 pixels
FREQUENCIES = (0.05, 0.08, 0.13, 0.2, 0.32)  # cycles a pixel
ORIENTATIONS = 8
RANDOM_SEEDS = (0, 1, 2)

Describe = Callable[[Float[Tensor, "b 3 h w"]], Float[np.ndarray, "b d"]]


def constant(faces: Float[Tensor, "b 3 h w"]) -> Float[np.ndarray, "b 1"]:
    """Nothing: a classifier answers the most frequent class, a regression the mean."""
    return np.zeros((len(faces), 1), np.float32)


def grey(faces: Float[Tensor, "b 3 h w"]) -> Float[np.ndarray, "b h w"]:
    """Luma (ITU-R BT.601), in [0, 1]."""
    return (faces * torch.tensor(LUMA)[:, None, None]).sum(1).numpy()


def pixels(faces: Float[Tensor, "b 3 h w"]) -> Float[np.ndarray, "b d"]:
    """Grey values at half the resolution."""
    return torch.nn.functional.avg_pool2d(torch.from_numpy(grey(faces))[:, None], 2).flatten(1).numpy()


def hog(faces: Float[Tensor, "b 3 h w"]) -> Float[np.ndarray, "b d"]:
    """Histograms of oriented gradients (Dalal and Triggs 2005): 9 orientations, cells of 8 px, blocks of 2 x 2."""
    feature = _skimage()
    return np.stack(
        [feature.hog(g, 9, (8, 8), (2, 2), block_norm="L2-Hys", feature_vector=True) for g in grey(faces)]
    ).astype(np.float32)


def lbp(faces: Float[Tensor, "b 3 h w"]) -> Float[np.ndarray, "b d"]:
    """Histograms of uniform local binary patterns, 8 neighbours at radius 1, 59 bins (Ahonen et al. 2006)."""
    feature, side = _skimage(), faces.shape[-1] // CELLS
    place = np.arange(faces.shape[-1]) // side
    cell = (place[:, None] * CELLS + place)[None] * 59
    bytes_ = np.rint(grey(faces) * 255).astype(np.uint8)  # equal neighbours must stay equal
    codes = np.stack([feature.local_binary_pattern(g, 8, 1, "nri_uniform") for g in bytes_]).astype(np.int64) + cell
    row = np.arange(len(codes))[:, None, None] * (59 * CELLS**2)
    counts = np.bincount((codes + row).ravel(), minlength=len(codes) * 59 * CELLS**2)
    return (counts.reshape(len(codes), -1) / side**2).astype(np.float32)


def lbp_sqrt(faces: Float[Tensor, "b 3 h w"]) -> Float[np.ndarray, "b d"]:
    """The same, square-rooted: Euclidean distances become Hellinger distances of histograms."""
    return np.sqrt(lbp(faces))


def gabor(faces: Float[Tensor, "b 3 h w"]) -> Float[np.ndarray, "b d"]:
    """Magnitudes of 40 Gabor filters (5 frequencies, 8 orientations), averaged in 8 x 8 cells."""
    size, rim = faces.shape[-1], faces.shape[-1] // 4
    pictures = torch.from_numpy(grey(faces))
    pictures = torch.nn.functional.pad(pictures[:, None], (rim,) * 4, mode="reflect")[:, 0]
    bank, found = torch.from_numpy(_gabor_bank(size + 2 * rim)), []
    for part in torch.fft.fft2(pictures - pictures.mean((1, 2), keepdim=True)).split(16):
        energy = torch.fft.ifft2(part[:, None] * bank).abs()[..., rim:-rim, rim:-rim]
        found.append(torch.nn.functional.adaptive_avg_pool2d(energy, CELLS).flatten(1))
    return torch.cat(found).float().numpy()


@keep
def _gabor_bank(side: int) -> Complex[np.ndarray, "f side side"]:
    try:
        from skimage.filters import gabor_kernel
    except ImportError:
        raise FaceCycleError(NEEDS) from None
    bank = []
    for frequency in FREQUENCIES:
        for k in range(ORIENTATIONS):
            kernel = gabor_kernel(frequency, np.pi * k / ORIENTATIONS)  # type: ignore[arg-type]
            kernel = kernel[tuple(slice(max(0, (n - side) // 2), max(0, (n - side) // 2) + side) for n in kernel.shape)]
            field = np.zeros((side, side), np.complex64)
            field[: kernel.shape[0], : kernel.shape[1]] = kernel - kernel.mean()
            bank.append(np.fft.fft2(np.roll(field, [-(n // 2) for n in kernel.shape], (0, 1))))
    return np.stack(bank).astype(np.complex64)


@dataclass
class Described:
    """A hand-made description as a feature source."""

    name: str
    describe: Describe
    size: int = SIZE
    crop: str = CROP_NAME
    layers: tuple[str, ...] = ("features",)
    checksum: str = ""

    def __post_init__(self) -> None:  # there are no weights: the name and a version of the code above
        self.checksum = hashlib.sha256(f"baseline 1 {self.name} {self.size}".encode()).hexdigest()

    def features(self, faces: Float[Tensor, "b 3 h w"], layer: str) -> Float[np.ndarray, "b d"]:
        return self.describe(faces)


class ImageNet:
    """MobileNetV2's features at a sixteenth of the resolution, its last block averaged over 2 x 2 cells."""

    name, size, crop, layers = "imagenet", SIZE, CROP_NAME, ("features",)

    def __init__(self) -> None:
        from facecycle.losses.perceptual import build_perceptual

        network = build_perceptual(PerceptualConfig("mobilenetv2"))
        assert network is not None
        self.network = network
        total = b"".join(tensor.numpy().tobytes() for tensor in network.state_dict().values())
        self.checksum = hashlib.sha256(total).hexdigest()

    @torch.inference_mode()
    def features(self, faces: Float[Tensor, "b 3 h w"], layer: str) -> Float[np.ndarray, "b d"]:
        return self.network(faces)[-1].flatten(1).numpy()


class Reduced:
    """Another source cut to 256 dimensions by a PCA fitted on other faces."""

    def __init__(self, inner: FeatureSource, others: Faces, cache: Path | None) -> None:
        try:
            from sklearn.decomposition import PCA
        except ImportError:
            raise FaceCycleError("PCA needs scikit-learn: pip install 'facecycle[eval]'") from None
        self.inner, self.size, self.crop = inner, inner.size, inner.crop
        self.name, self.layers = f"{inner.name}-{CUT}", inner.layers[:1]
        fitted_on = compute(inner, others, inner.layers[0], cache)
        fitted_on = fitted_on[np.isfinite(fitted_on).all(1)]
        if len(fitted_on) < CUT:
            raise FaceCycleError(f"--others: {len(fitted_on)} faces, a PCA of {CUT} dimensions needs that many or more")
        if fitted_on.shape[1] < CUT:
            raise FaceCycleError(f"{inner.name} has {fitted_on.shape[1]} dimensions: nothing to cut to {CUT}")
        self.pca = PCA(CUT, svd_solver="randomized", random_state=0).fit(fitted_on)
        self.fitted_on = frozenset(others.digests)  # none of them may be measured
        self.checksum = hashlib.sha256(f"{inner.checksum} {others.checksum} {CUT}".encode()).hexdigest()

    def features(self, faces: Float[Tensor, "b 3 h w"], layer: str) -> Float[np.ndarray, "b d"]:
        return self.pca.transform(self.inner.features(faces, layer)).astype(np.float32)


def random_encoder(seed: int, size: int = SIZE) -> CodeSource:
    """The published encoder as it is before training, for crops of ``size`` pixels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CodeSource(build_networks(ModelConfig(image_size=size)), size, f"random-{seed}")


DESCRIPTIONS: dict[str, Describe] = {
    "constant": constant, "pixels": pixels, "hog": hog, "gabor": gabor, "lbp": lbp, "lbp-sqrt": lbp_sqrt
}  # fmt: skip
NEEDS = "HOG, LBP and Gabor filters need scikit-image: pip install 'facecycle[eval]'"


def baseline_names() -> list[str]:
    """Every name that `open_baseline` knows."""
    cut = [f"{name}-{CUT}" for name in (*DESCRIPTIONS, "imagenet") if name != "constant"]
    seeds = [f"random-{seed}" for seed in RANDOM_SEEDS]
    models = ["imagenet", "imagenet:X.onnx", "timm:NAME:X.safetensors"]
    return [*DESCRIPTIONS, *cut, *seeds, *models]


def open_baseline(name: str, others: Path | None = None, cache: Path | None = None) -> FeatureSource | None:
    """The baseline of that name, or None.

    Args:
        name: see `baseline_names`.
        others: a folder of photos or a face set that the PCA of a ``-256`` is fitted on; synthetic people unless
            given.
        cache: where their features are kept.

    Raises:
        FaceCycleError: a package or file it needs is missing.
    """
    if name in DESCRIPTIONS:
        return Described(name, DESCRIPTIONS[name])
    if name == "imagenet":
        return ImageNet()
    if name.startswith("imagenet:"):
        from facecycle.evaluate.onnx_source import OnnxSource

        return OnnxSource(Path(name.partition(":")[2]), imagenet=True)
    if name.startswith("timm:"):
        from facecycle.evaluate.timm_source import TimmSource

        model, _, file = name.removeprefix("timm:").partition(":")
        return TimmSource(model, Path(file))
    if name in (f"random-{seed}" for seed in RANDOM_SEEDS):
        return random_encoder(int(name.partition("-")[2]))
    stem = name.removesuffix(f"-{CUT}")
    if stem != name and stem in (*DESCRIPTIONS, "imagenet") and stem != "constant":
        inner = open_baseline(stem)
        assert inner is not None
        return Reduced(inner, Faces(_other_photos(others), inner.size, cache), cache)
    return None


def _other_photos(others: Path | None) -> list[Photo]:
    photos = folder_photos(others) if others is not None else _synthetic_photos()
    return [photos[i] for i in np.unique(np.linspace(0, len(photos) - 1, min(OTHERS, len(photos))).astype(int))]


def _synthetic_photos(people: int = 100, frames: int = 5) -> list[Photo]:
    """Frames of synthetic training people, drawn when read; the checksum stands for all that decides them."""
    from facecycle.data.faceset import encode
    from facecycle.evaluate.photos import WHOLE
    from facecycle.synthetic.stream import SyntheticFaces

    stream = SyntheticFaces(people, clips_per_person=1, frames_per_item=frames, size=SIZE, margin=0.0)
    drawn: dict[int, np.ndarray] = {}

    def read(item: int, frame: int) -> bytes:
        if item not in drawn:
            drawn[item] = stream[0, item]
        return encode(np.ascontiguousarray(drawn[item][frame].transpose(1, 2, 0)), 95)

    return [
        Photo(f"synthetic {item}/{frame}", lambda item=item, frame=frame: read(item, frame), WHOLE)
        for item in range(people)
        for frame in range(frames)
    ]


def _skimage():
    try:
        from skimage import feature
    except ImportError:
        raise FaceCycleError(NEEDS) from None
    return feature
