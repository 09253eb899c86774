"""The weights file: what is saved comes back, and a file that does not fit is refused by name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from facecycle.errors import FaceCycleError
from facecycle.model.weights import FILE, load_networks, load_state, read_weights, save_weights
from tiny import MODEL, tiny_networks


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / FILE
    save_weights(tiny_networks(3), path, MODEL, "CC0", {"stage": "motion", "step": 7})
    return path


def rewrite(path: Path, change: dict[str, str | None]) -> None:
    """The same tensors under other metadata."""
    with safe_open(path, "pt") as opened:
        metadata = {**opened.metadata(), **change}
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    save_file(tensors, path, {key: value for key, value in metadata.items() if value is not None})


def test_what_is_saved_comes_back(file: Path) -> None:
    for path in (file, file.parent):  # a run folder will do
        networks, about = load_networks(path)
        expected = tiny_networks(3).state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in networks.state_dict().items())
        assert (about.model, about.licence, about.crop) == (MODEL, "CC0", "facecycle-v1")
        assert about.trained["step"] == 7
    assert not networks.training
    assert not any(parameter.requires_grad for parameter in networks.parameters())
    assert [path.name for path in file.parent.iterdir()] == [FILE]


def test_weights_have_the_rights_of_any_other_file(file: Path) -> None:
    (beside := file.with_name("beside.txt")).write_text("")
    assert file.stat().st_mode == beside.stat().st_mode


def test_the_crop_and_format_of_another_version_are_refused(file: Path) -> None:
    rewrite(file, {"crop": "facecycle-v0"})
    with pytest.raises(FaceCycleError, match=r"weights\.safetensors: trained on crop 'facecycle-v0'"):
        read_weights(file)
    rewrite(file, {"format": "facecycle-weights-9"})
    with pytest.raises(FaceCycleError, match=r"format 'facecycle-weights-9'.*train it again"):
        load_networks(file)
    rewrite(file, {"format": None})
    with pytest.raises(FaceCycleError, match="format None"):
        load_networks(file)


@pytest.mark.parametrize("device", ["meta", "xpu", "cpu:1", "", torch.device("meta")])
def test_a_device_that_makes_no_faces_is_refused(file: Path, device: str | torch.device) -> None:
    with pytest.raises(FaceCycleError, match=rf"device '{device}' is none .*: use cpu, cuda, cuda:N or mps"):
        load_networks(file, device)


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, 0.999])
def test_a_cut_file_is_refused(file: Path, kept: float) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole)) if kept < 1 else int(kept)])
    with pytest.raises(FaceCycleError, match=r"weights\.safetensors: not a readable safetensors file"):
        load_networks(file)


def test_networks_of_other_sizes_are_refused(file: Path) -> None:
    other = dataclasses.replace(MODEL, code_dim=32)
    with pytest.raises(FaceCycleError, match=r"has shape .* the model wants .*configuration"):
        load_state(tiny_networks(0, other), file)
    deeper = dataclasses.replace(MODEL, generator_blocks=2)
    with pytest.raises(FaceCycleError, match=r"holds no face_generator\.blocks"):
        load_state(tiny_networks(0, deeper), file)
    rewrite(file, {"model": json.dumps(dataclasses.asdict(other))})
    with pytest.raises(FaceCycleError, match="has shape"):
        load_networks(file)


def test_more_than_the_model_holds_is_refused(file: Path) -> None:
    shallower = dataclasses.replace(MODEL, generator_blocks=2)
    save_weights(tiny_networks(0, shallower), file, shallower, "CC0", {})
    with pytest.raises(FaceCycleError, match=r"face_generator\.blocks\.2"):
        load_state(tiny_networks(), file)


@pytest.mark.parametrize("missing", ["crop", "model", "licence", "trained"])
def test_a_file_that_does_not_say_what_it_is_is_refused(file: Path, missing: str) -> None:
    rewrite(file, {missing: None})
    with pytest.raises(FaceCycleError, match=missing):
        read_weights(file)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model", "{cut", "model is no JSON table"),
        ("model", "[]", "model is no JSON table"),
        ("model", '{"depth": 3}', "unknown key depth"),
        ("trained", "yesterday", "trained is no JSON table"),
    ],
)
def test_a_damaged_description_is_an_error_that_names_the_file(file: Path, name: str, value: str, message: str) -> None:
    rewrite(file, {name: value})
    with pytest.raises(FaceCycleError, match=rf"{file.name}: .*{message}"):
        read_weights(file)


def test_weights_of_a_run_that_diverged_are_refused(file: Path) -> None:
    networks = tiny_networks()
    with torch.no_grad():
        next(networks.identity_encoder.parameters()).fill_(torch.nan)
    save_weights(networks, file, MODEL, "CC0", {})
    with pytest.raises(FaceCycleError, match=rf"{file.name}: identity_encoder\.\S+ holds NaN"):
        load_networks(file)


def test_absent_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FaceCycleError, match=r"gone: no such file; give a run folder"):
        load_networks(tmp_path / "gone")
    with pytest.raises(FaceCycleError, match=r"the folder holds no weights\.safetensors"):
        load_networks(tmp_path)
    (tmp_path / "notes.txt").write_text("weights? none")
    with pytest.raises(FaceCycleError, match=r"notes\.txt: not a readable safetensors file"):
        load_networks(tmp_path / "notes.txt")
