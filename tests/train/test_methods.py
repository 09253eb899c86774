"""Rivals: what learns, what they minimise, that they resume, and what their weights are good for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from facecycle import FaceCycle, FaceCycleError
from facecycle.losses.contrast import clip_contrast
from facecycle.train import start
from facecycle.train.methods import METHODS
from facecycle.train.methods.rival import RivalStage
from facecycle.train.stage import Stage
from tiny import face_picture, face_tensor, make_faceset, records, tiny_config, tiny_networks

RIVALS = ("simclr", "fabnet", "tcae")


def stage_of(method: str) -> Stage:
    kind, networks, config = METHODS[method]["motion"], tiny_networks(), tiny_config("none")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        kind.extend(networks, config)
    return kind(networks, dataclasses.replace(config, method=method), None)


@pytest.mark.parametrize("method", RIVALS)
def test_a_gradient_reaches_the_encoder_and_the_head_and_nothing_else(method: str) -> None:
    stage, clips = stage_of(method).train(), face_tensor(3)
    seen: list[int] = []
    stage.networks.motion_encoder.register_forward_pre_hook(lambda _, faces: seen.append(len(faces[0])))
    data = dataclasses.replace(
        stage.config.data, cycle_stride=3
    )  # is of the method's cycle: rivals have no other terms
    stage.config = dataclasses.replace(stage.config, data=data)
    total, parts = stage(clips, None, clips.flip(-2))
    assert sum(seen) == clips.shape[0] * clips.shape[1] * (2 if method == "simclr" else 1)
    total.backward()
    assert sum(part.item() for part in parts.values()) == pytest.approx(total.item(), rel=1e-5)
    reached = {k.split(".")[0] for k, v in stage.networks.named_parameters() if v.grad is not None and v.grad.any()}
    expected = {"motion_encoder", "head"} | ({"identity_encoder"} if method == "tcae" else set())
    assert reached == expected


def test_simclr_is_nt_xent() -> None:
    stage, clips = stage_of("simclr").eval(), face_tensor(2)
    cycle = stage.cycle(clips)
    z = F.normalize(torch.cat([cycle.projected, cycle.projected_view]).double(), dim=1)
    likeness, count = (z @ z.T / stage.config.views.temperature).exp(), len(cycle.face)
    total = 0.0
    for i in range(2 * count):
        others = likeness[i].sum() - likeness[i, i]
        total -= (likeness[i, (i + count) % (2 * count)] / others).log().item() / (2 * count)
    assert stage.objective(cycle).total.item() == pytest.approx(total, rel=1e-4)
    assert clip_contrast(torch.eye(2), torch.arange(2), torch.eye(2), torch.arange(2)).isfinite()


def test_warped_frames_come_from_the_other_frame() -> None:
    stage, clips = stage_of("fabnet").eval(), face_tensor(2)
    cycle = stage.cycle(clips)
    torch.testing.assert_close(cycle.source.unflatten(0, (2, 2)), clips.flip(1))
    assert stage.objective(cycle).total.item() == pytest.approx((cycle.warped - cycle.face).abs().mean().item())


def test_tcae_with_two_equal_frames_has_nothing_to_change() -> None:
    stage, clips = stage_of("tcae").eval(), face_tensor(2)[:, :1].expand(-1, 2, -1, -1, -1)
    cycle = stage.cycle(clips)
    torch.testing.assert_close(cycle.face, cycle.source)
    assert stage.check(cycle)["copied_l1"] == 0


@pytest.mark.parametrize("method", RIVALS)
def test_a_run_resumes_to_the_bit_and_its_weights_embed(method: str, tmp_path: Path) -> None:
    faces = make_faceset(tmp_path / "faces", [6, 5, 4, 6])
    config = dataclasses.replace(tiny_config(faces, motion=6), method=method)
    model = dataclasses.replace(  # as `facecycle` asks
        config.model, mirrored=True, equivariant=True, expression_code=True, expression=True, discriminants=4, erase=3
    )
    config = dataclasses.replace(config, model=model)
    from facecycle.config import load, save

    save(config, tmp_path / "config.toml")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert start(run=str(whole), config=str(tmp_path / "config.toml"), device="cpu")
    assert start(run=parts, config=tmp_path / "config.toml", device="cpu", minutes=0.0) is False
    assert start(run=parts, resume=True, device="cpu")
    asked = load(whole / "config.toml").model
    assert (asked.mirrored, asked.equivariant, asked.expression) == (False, False, False)
    assert (asked.expression_code, asked.discriminants, asked.erase) == (False, 0, 0)
    one, two = (load_file(run / "weights.safetensors") for run in (whole, parts))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not any(name.startswith("head") for name in one)
    key = "encoder.stem.0.0.weight"
    assert torch.equal(one[f"motion_{key}"], one[f"identity_{key}"]) == (method != "tcae")
    assert any(line["split"] == "validation" for line in records(whole))
    assert list((whole / "previews").glob("*.png"))

    fc = FaceCycle.from_pretrained(whole, "cpu")
    assert fc.embed(face_picture(0), cropped=True).motion.shape == (1, 16)
    with pytest.raises(FaceCycleError, match=f"trained by {method}, which makes no pictures"):
        fc.frontalize(face_picture(0), cropped=True)


def test_a_rival_has_no_identity_stage(tmp_path: Path) -> None:
    with pytest.raises(FaceCycleError, match="method simclr has no identity stage"):
        start(run=tmp_path / "run", data="synthetic", preset="smoke", method="simclr", stage="identity")
    with pytest.raises(FaceCycleError, match="method"):
        start(run=tmp_path / "run", data="synthetic", preset="smoke", method="magic")
    assert issubclass(METHODS["tcae"]["motion"], RivalStage)
