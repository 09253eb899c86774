"""Networks of one run among those of another, as the chain behind the shipped weights takes them."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from facecycle.errors import FaceCycleError
from facecycle.model.weights import load_networks, read_weights, save_weights
from tiny import MODEL, tiny_networks

TOOL = Path(__file__).parents[1] / "tools" / "mix_weights.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mix_weights", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    model = dataclasses.replace(MODEL, equivariant=True)
    files = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    for seed, (file, licence) in enumerate(zip(files, ("CC0-1.0", "research only"), strict=True)):
        networks = tiny_networks(seed, model)
        mirror = networks.motion_encoder.code_mirror
        assert mirror is not None
        mirror.fit(*torch.randn(2, 50, model.code_dim))
        save_weights(networks, file, model, licence, {"stage": "identity", "step": 3})
    return files


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_the_named_networks_lie_on_the_way_and_no_others(
    tool: ModuleType, runs: tuple[Path, Path], tmp_path: Path, share: float
) -> None:
    tool.mix(tmp_path / "out", *runs, ["motion_encoder", "identity_transfer"], share)
    one, other, mixed = (load_file(file) for file in (*runs, tmp_path / "out" / "weights.safetensors"))
    for name, value in mixed.items():
        if ".code_mirror." in name and share < 1:
            continue
        named = name.startswith(("motion_encoder.", "identity_transfer."))
        wanted = one[name].lerp(other[name], share) if named else one[name]
        torch.testing.assert_close(value, wanted)
    networks, _ = load_networks(tmp_path / "out")
    mirror = networks.motion_encoder.code_mirror
    assert mirror is not None
    assert mirror.fitted == (share == 1)  # between two networks it is of neither
    about = read_weights(tmp_path / "out")
    assert about.licence == "CC0-1.0; research only"
    assert "motion_encoder,identity_transfer" in about.trained["mixed"]


@pytest.mark.parametrize("swapped", [False, True])
def test_an_identity_encoder_comes_with_its_blocks(tool: ModuleType, tmp_path: Path, swapped: bool) -> None:
    gabor = dataclasses.replace(MODEL, encoder="gabor")
    files = tmp_path / "plain.safetensors", tmp_path / "deep.safetensors"
    for file, blocks in zip(files, (1, 2), strict=True):
        model = dataclasses.replace(gabor, identity_blocks=blocks)
        save_weights(tiny_networks(blocks, model), file, model, "CC0-1.0", {})
    one, other = files[::-1] if swapped else files
    tool.mix(tmp_path / "out", one, other, ["identity_encoder"], 1.0)
    assert load_networks(tmp_path / "out")[1].model.identity_blocks == (1 if swapped else 2)
    before, after, mixed = (load_file(file) for file in (one, other, tmp_path / "out" / "weights.safetensors"))
    for name, value in mixed.items():
        torch.testing.assert_close(value, (after if name.startswith("identity_encoder.") else before)[name])
    with pytest.raises(FaceCycleError, match="nothing between"):
        tool.mix(tmp_path / "half", one, other, ["identity_encoder"], 0.5)


def test_what_cannot_be_mixed_is_refused(tool: ModuleType, runs: tuple[Path, Path], tmp_path: Path) -> None:
    one, other = runs
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(FaceCycleError, match="share"):
            tool.mix(tmp_path / "out", one, other, ["motion_encoder"], share)
    with pytest.raises(FaceCycleError, match="'eyes'"):
        tool.mix(tmp_path / "out", one, other, ["eyes"], 1.0)
    wide = tmp_path / "wide.safetensors"
    model = dataclasses.replace(MODEL, code_dim=2 * MODEL.code_dim)
    save_weights(tiny_networks(0, model), wide, model, "CC0", {})
    with pytest.raises(FaceCycleError, match="shape"):
        tool.mix(tmp_path / "out", one, wide, ["motion_encoder"], 1.0)
    assert not (tmp_path / "out").exists()
