"""What of the identity encoder is solved for: its last layer and its eraser, and nothing else of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facecycle.config import RunConfig
from facecycle.data.faceset import FaceSet
from facecycle.data.pairs import FacePairs
from facecycle.model.discriminant import Scatter
from facecycle.train.closed_form import encode, end_of, fit_end, fitted_at, scatter_of, spread_out
from facecycle.train.launch import build_fabric
from facecycle.train.loop import train_step
from facecycle.train.optimizer import build_adam
from facecycle.train.stage import IdentityStage
from tiny import MODEL, face_tensor, make_faceset, tiny_config, tiny_networks


class Drawn:
    """Drawn faces as stored clips."""

    size, margin, stored, licence, crop = 32, 0.25, 40, "CC0", "facecycle-v1"

    def __len__(self) -> int:
        return 40

    def __getitem__(self, key: tuple[int, int]):
        wide = torch.nn.functional.pad(face_tensor(40)[key[1]], (4, 4, 4, 4), mode="replicate")
        return (255 * wide).to(torch.uint8).numpy()

    def whose(self, keys: Sequence[tuple[int, int]]) -> np.ndarray:
        return np.array([index for _, index in keys])


@torch.no_grad()
def test_the_identity_encoder_is_kept_from_telling_the_motion_code() -> None:
    config = tiny_config("none")
    config = dataclasses.replace(config, model=dataclasses.replace(MODEL, erase=12))
    networks = tiny_networks(0, config.model).eval()
    faces = face_tensor(40).flatten(0, 1)
    raw = networks.identity_encoder(faces)
    fit_end(networks, Drawn(), config, torch.device("cpu"))
    codes = networks.identity_encoder(faces)
    torch.testing.assert_close(codes, end_of(networks.identity_encoder)[-1](raw))
    assert (codes - raw).abs().max() > 1e-3
    motion = networks.motion_encoder(faces)

    def told(identity: Tensor) -> float:
        """The covariance with the motion code within people."""
        x, y = (
            (z - z.mean(1, keepdim=True)).flatten(0, 1) for z in (v.unflatten(0, (40, 2)) for v in (identity, motion))
        )
        return float((x.T @ y).norm())

    assert told(codes) < 0.2 * told(raw)


@torch.no_grad()
def test_the_end_of_the_identity_encoder_is_fitted_and_nothing_else() -> None:
    config = tiny_config("none")
    config = dataclasses.replace(config, model=dataclasses.replace(MODEL, discriminants=5))
    networks = tiny_networks(0, config.model).eval()
    before = {name: x.clone() for name, x in networks.state_dict().items()}
    fit_end(networks, Drawn(), config, torch.device("cpu"))
    changed = {name for name, x in networks.state_dict().items() if not torch.equal(x, before[name])}
    assert changed == {"identity_encoder.code.3.weight", "identity_encoder.code.3.bias"}
    assert int(torch.linalg.matrix_rank(end_of(networks.identity_encoder)[0].weight)) == 5
    clips = face_tensor(40)
    codes = networks.identity_encoder(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
    networks.load_state_dict(before)
    former = networks.identity_encoder(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
    assert told_apart(codes) > told_apart(former)


@torch.no_grad()
def test_clips_are_known_of_a_face_set_and_of_nothing_else(tmp_path: Path) -> None:
    config, networks = tiny_config("none"), tiny_networks().eval()
    pairs = FacePairs(FaceSet.open(make_faceset(tmp_path / "faces", [6, 6, 6])), 2)
    of_set, of_others = (encode(networks, clips, config, torch.device("cpu"), 36) for clips in (pairs, Drawn()))
    assert of_set.clips is not None
    assert of_set.clips.shape == of_set.features.shape[:2]
    assert (of_set.clips[:, 0] == of_set.clips[:, 1]).all()  # every person has one clip
    assert of_others.clips is None
    moving: list[Scatter] = [scatter_of(of_set), scatter_of(of_others)]
    torch.testing.assert_close(moving[0].moving, moving[0].within)
    assert not moving[1].moving.any()


class Many(Drawn):
    """More frames than single precision counts."""

    def __len__(self) -> int:
        return 2**25 + 2

    def __getitem__(self, key: tuple[int, int]):
        assert key[1] < len(self)
        return super().__getitem__((0, key[1] % 40))


def test_frames_are_spread_over_sets_of_any_size() -> None:
    found = [key for keys, _ in spread_out(Many(), 200, tiny_config("none"), torch.device("cpu")) for key in keys]
    assert found[0] == (0, 0)
    assert found[-1] == (0, len(Many()) - 1)


def told_apart(codes: Tensor) -> float:
    """Variance between people's means as a share of all."""
    return float(codes.mean(1).var(0).sum() / codes.flatten(0, 1).var(0).sum())


def test_once_it_is_fitted_for_good_the_encoder_is_as_one_that_rests_throughout() -> None:
    config = tiny_config("none", identity=10, clip_gradient=0.0)  # Adam makes whole steps of what rounding leaves
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(MODEL, discriminants=4, mirrored=True),
        identity_loss=dataclasses.replace(config.identity_loss, contrast=1.0, independence=1.0),
    )
    stored = torch.stack([torch.from_numpy(Drawn()[0, index]) for index in range(4)])

    def learn(config: RunConfig, steps: Sequence[int]) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        fabric, stage = build_fabric("cpu", "32-true"), IdentityStage(tiny_networks(0, config.model), config, None)
        model, optimizer = fabric.setup(stage.train(), build_adam(stage))
        told = [train_step(fabric, model, optimizer, stored, config, "identity", step) for step in steps]
        return [{"loss": loss, **parts} for loss, parts in told], stage.networks.state_dict()

    throughout = dataclasses.replace(config, identity=dataclasses.replace(config.identity, rest=("identity_encoder",)))
    at = fitted_at(config, "identity")[-1]
    found, expected = (learn(each, range(at + 1, 11)) for each in (config, throughout))
    torch.testing.assert_close(found, expected)
    before = tiny_networks(0, config.model).state_dict()
    changed = {name.split(".")[0] for name, value in before.items() if not torch.equal(value, found[1][name])}
    assert changed == {"identity_transfer"}
    (told,), _ = learn(config, [at])
    assert told.keys() - found[0][0].keys() == {"contrast", "independence"}
