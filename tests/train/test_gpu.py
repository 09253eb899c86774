"""What can only be seen on a GPU; skipped where there is none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from facecycle.config import RunConfig, override, save
from facecycle.model.weights import load_networks
from facecycle.train import start
from facecycle.train.capture import WARM_UP
from tiny import face_tensor, make_faceset, records, tiny_config

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_both_stages_learn_on_a_gpu_and_their_codes_are_those_of_the_cpu(precision: str, tmp_path: Path) -> None:
    config = tiny_config(make_faceset(tmp_path / "faces", [4, 4, 4]), precision=precision)
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, mirrored=True, equivariant=True),
        motion_loss=dataclasses.replace(config.motion_loss, contrast=1.0),
        identity_loss=dataclasses.replace(config.identity_loss, contrast=1.0, independence=10.0),
    )
    save(config, tmp_path / "config.toml")
    assert start(run=tmp_path / "run", config=tmp_path / "config.toml", device="cuda")
    losses = [e["loss"] for e in records(tmp_path / "run") if e["split"] == "train"]
    assert len(losses) == 12
    assert torch.tensor(losses).isfinite().all()
    faces, codes = face_tensor(2).flatten(0, 1), []
    for device in ("cpu", "cuda"):
        networks, _ = load_networks(tmp_path / "run", device)
        with torch.inference_mode():
            codes.append(networks.motion_encoder(faces.to(device)).cpu())
    torch.testing.assert_close(codes[1], codes[0], atol=1e-2, rtol=0)


def losses_of(folder: Path, config: RunConfig, *changes: str) -> list[float]:
    folder.mkdir()
    save(override(config, list(changes)), folder / "config.toml")
    assert start(run=folder / "run", config=folder / "config.toml", device="cuda")
    return [e["loss"] for e in records(folder / "run") if e["split"] == "train"]


@pytest.mark.parametrize("method", ["facecycle", "simclr", "fabnet", "tcae"])
def test_a_captured_step_computes_what_its_operations_do(method: str, tmp_path: Path) -> None:
    config = tiny_config(make_faceset(tmp_path / "faces", [4, 4, 4]), precision="32-true")
    config = dataclasses.replace(
        config,
        method=method,
        model=dataclasses.replace(config.model, generator_noise=True),
        motion_loss=dataclasses.replace(config.motion_loss, contrast=1.0),
    )
    eager = losses_of(tmp_path / "eager", config, "train.capture=false")
    captured = losses_of(tmp_path / "captured", config)
    assert len(set(captured)) == len(captured) > WARM_UP + 2
    torch.testing.assert_close(torch.tensor(captured), torch.tensor(eager), atol=0, rtol=2e-3)


def test_a_step_is_captured_anew_once_the_encoder_rests(tmp_path: Path) -> None:
    config = tiny_config(make_faceset(tmp_path / "faces", [4, 4, 4]), motion=1, identity=20, precision="32-true")
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, discriminants=2),
        identity_loss=dataclasses.replace(config.identity_loss, contrast=1.0, independence=1.0),
    )
    eager = losses_of(tmp_path / "eager", config, "train.capture=false")
    captured = losses_of(tmp_path / "captured", config)
    told = [e for e in records(tmp_path / "captured/run") if e["stage"] == "identity" and e["split"] == "train"]
    assert [e["step"] for e in told if "contrast" in e] == list(range(1, 15))
    assert len(set(captured)) == len(captured) == 21
    torch.testing.assert_close(torch.tensor(captured), torch.tensor(eager), atol=0, rtol=2e-2)


def test_a_captured_run_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    config = tiny_config(make_faceset(tmp_path / "faces", [4, 4, 4]), precision="32-true", channels_last=True)
    whole = losses_of(tmp_path / "whole", config)
    save(config, tmp_path / "config.toml")
    run = tmp_path / "stopped"
    assert not start(run=run, config=tmp_path / "config.toml", device="cuda", minutes=1e-9)
    assert start(run=run, resume=True, device="cuda")
    # Not to the bit: what is scattered to pixels is added up in no fixed order, and the identity stage builds on it.
    stopped = [e["loss"] for e in records(run) if e["split"] == "train"]
    torch.testing.assert_close(torch.tensor(stopped), torch.tensor(whole), atol=0, rtol=1e-2)
