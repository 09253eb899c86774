"""The shipped weights: found by name with no network, whole, small, and what their card says."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch.nn.functional as F

from facecycle import FaceCycle, FaceCycleError, hub, list_weights
from facecycle.apply.torch_networks import to_tensor
from facecycle.cli.weights import weights
from facecycle.evaluate.generation import compare_pictures
from facecycle.evaluate.rendered import render
from facecycle.hub import DEFAULT, SHIPPED, SUMS, find_weights
from facecycle.model.detail import detail
from tiny import face_picture

pytestmark = pytest.mark.skipif(
    not (SHIPPED / f"{DEFAULT}.safetensors").is_file(), reason="this checkout ships no weights"
)


@pytest.fixture(scope="module")
def fc() -> FaceCycle:
    return FaceCycle.from_pretrained(device="cpu")


def test_they_are_listed_with_licence_and_size() -> None:
    entry = next(entry for entry in list_weights() if entry.name == DEFAULT)
    assert entry.licence == "CC0-1.0"
    assert 1 < entry.megabytes < 16.8


def test_a_pipe_gets_their_paths_in_one_piece(capsys: pytest.CaptureFixture[str]) -> None:
    weights()
    assert str(SHIPPED / f"{DEFAULT}.safetensors") in capsys.readouterr().out


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in SHIPPED.iterdir():
        shutil.copy(file, tmp_path)
    data = bytearray((tmp_path / f"{DEFAULT}.safetensors").read_bytes())
    data[-100] ^= 1
    (tmp_path / f"{DEFAULT}.safetensors").write_bytes(data)
    monkeypatch.setattr(hub, "SHIPPED", tmp_path)
    monkeypatch.setattr(hub, "SUMS", tmp_path / "SHA256SUMS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing"))
    with pytest.raises(FaceCycleError, match="was changed or cut"):
        find_weights()


def test_a_file_among_the_shipped_ones_that_was_not_shipped_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in SHIPPED.iterdir():
        shutil.copy(file, tmp_path)
    mine = tmp_path / "mine.safetensors"
    shutil.copy(SHIPPED / f"{DEFAULT}.safetensors", mine)
    monkeypatch.setenv("FACECYCLE_WEIGHTS", str(tmp_path))
    assert find_weights("mine") == mine  # in a folder of one's own
    monkeypatch.setattr(hub, "SHIPPED", tmp_path)
    for name in ("mine", mine.name, mine):
        with pytest.raises(FaceCycleError, match=r"mine\.safetensors: .*keep weights of your own in another folder$"):
            find_weights(name)
    assert find_weights() == tmp_path / f"{DEFAULT}.safetensors"  # which spoils none of the others


def test_weights_that_not_everybody_may_use_lie_outside_the_package_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(__file__).parents[1] / "weights"
    sums = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())
    files = sorted(folder.glob("*.safetensors"))
    assert sorted(sums) == [file.name for file in files]
    monkeypatch.setenv("FACECYCLE_WEIGHTS", str(folder))
    listed = {entry.path: entry.licence for entry in list_weights()}
    for file in files:
        assert hashlib.sha256(file.read_bytes()).hexdigest() == sums[file.name]
        assert "research only" in listed[file]
        faces = [np.asarray(face_picture(k, size=64)) for k in range(2)]
        assert FaceCycle.from_pretrained(file.stem, device="cpu").embed(faces, cropped=True).identity.shape == (2, 256)


def test_an_empty_name_is_not_the_current_folder() -> None:
    with pytest.raises(FaceCycleError, match=r"^weights: an empty name"):
        find_weights("")


def test_their_expression_code_is_one_of_its_own_and_knows_left_from_right_by_its_first_numbers_alone(
    fc: FaceCycle,
) -> None:
    crops = [np.asarray(face_picture(k, 0.7, 0.5, 64)) for k in range(4)]
    codes, mirrored = (fc.embed(faces, cropped=True) for faces in (crops, [crop[:, ::-1] for crop in crops]))
    assert codes.expression.shape == codes.motion.shape
    apart = np.abs(codes.expression - mirrored.expression).max(0)
    assert apart[16:].max() < 1e-2 < apart[:16].max()
    assert codes.expression[:, 16:].std(0).mean() > 0.05


def test_their_threshold_was_measured(fc: FaceCycle) -> None:
    assert 0 < fc.about.trained["identity_threshold"] < 1
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    found = fc.compare(crops[0], crops[1], cropped=True)
    assert found.calibrated
    assert found.of_drawn_people
    assert "found on drawn people" in str(found)
    mine = fc.compare(crops[0], crops[1], cropped=True, threshold=0.9)
    assert not mine.of_drawn_people  # of whoever it was
    assert str(mine).endswith("(threshold 0.900)")


def test_a_changed_file_is_noticed_wherever_its_checksum_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "facecycle-synthetic.safetensors"
    shutil.copy(SHIPPED / file.name, file)
    monkeypatch.setenv("FACECYCLE_WEIGHTS", str(tmp_path))
    assert find_weights(file.stem) == file  # nothing says what it should be
    shutil.copy(SHIPPED / SUMS.name, tmp_path)
    assert find_weights(file.stem) == file
    with file.open("r+b") as changed:
        changed.seek(-1, 2)
        changed.write(b"\x99")
    for name in (file.stem, file):
        with pytest.raises(FaceCycleError, match="was changed or cut"):
            find_weights(name)
    others = file.rename(tmp_path / "mine.safetensors")
    assert find_weights(others) == others  # of which the list says nothing


def test_frontalized_people_they_never_saw_come_nearer_to_the_truth(fc: FaceCycle) -> None:
    truth = render(6, 4, 64, seed=9)
    made = fc.frontalize(list(truth.face), size=64, cropped=True).faces.astype(float)
    turned, true = truth.face.astype(float), truth.frontal.astype(float)
    assert np.abs(made - true).mean() < 0.7 * np.abs(turned - true).mean()


def test_larger_frontal_faces_have_detail_and_some_of_it_is_true(fc: FaceCycle) -> None:
    truth = render(6, 2, 128, seed=9)
    made = fc.frontalize(list(truth.face), size=128, cropped=True).faces
    shown, true, turned = (detail(to_tensor(x), 64).flatten(1) for x in (made, truth.frontal, truth.face))
    assert shown.norm() > 0.4 * true.norm()
    found, before = (F.cosine_similarity(x, true).mean() for x in (shown, turned))
    assert found > 0.04 > before


def test_an_expression_is_removed_and_taken_over_with_little_harm(fc: FaceCycle) -> None:
    truth = render(6, 4, 64, seed=9)
    source, driver = list(truth.face), truth.face[truth.driver]
    made = fc.deexpress(source, size=64, cropped=True).faces
    taken = [
        fc.translate(one, other, keep_pose=True, size=64, cropped=True).faces[0]
        for one, other in zip(source, driver, strict=True)
    ]
    for pictures, true in ((made, truth.neutral), (np.stack(taken), truth.expressed)):
        rows = compare_pictures(pictures, true, "made") | compare_pictures(truth.face, true, "untouched")
        assert rows["made SSIM"].mean() > rows["untouched SSIM"].mean()
        assert rows["made L1"].mean() < 1.1 * rows["untouched L1"].mean()
