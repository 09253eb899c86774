"""What can only be seen on a GPU; skipped where there is none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from facecycle.config import save
from facecycle.model.weights import load_networks
from facecycle.train import start
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
