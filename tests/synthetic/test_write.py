"""``facecycle synth``: a face set with its labels, the same for any number of workers, whole after a kill."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from facecycle.cli import app, commands  # noqa: F401
from facecycle.data.crop import landmarks5_from_68
from facecycle.data.faceset import FaceSet
from facecycle.data.mixed import MixedClips
from facecycle.data.pairs import FacePairs
from facecycle.data.truth import TRUE_VALUES
from facecycle.errors import FaceCycleError
from facecycle.synthetic import truth
from facecycle.synthetic.clip import Clip, ClipOptions
from facecycle.synthetic.occluders import OCCLUDERS
from facecycle.synthetic.person import create_person
from facecycle.synthetic.seeds import PersonKey
from facecycle.synthetic.sheet import draw_sheet
from facecycle.synthetic.write import synth

SMALL = {"people": 3, "clips": 1, "frames": 2, "size": 48, "seed": 11}


@pytest.fixture(scope="module")
def faceset(tmp_path_factory):
    root = tmp_path_factory.mktemp("synth") / "set"
    assert synth(root, **SMALL) == 6
    return root


def contents(root) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(root.rglob("*.tar")) + sorted(root.rglob("*.npz"))}


def test_it_is_a_face_set_with_ground_truth(faceset):
    faces = FaceSet.open(faceset)
    assert (len(faces), faces.size, faces.stored, faces.licence) == (6, 48, 60, "CC0-1.0")
    assert faces.meta["origin"] == "synthetic"
    assert faces.image(0).shape == (60, 60, 3)
    assert [len(c) for c in faces.clips()] == [2, 2, 2]
    columns = faces.columns
    shapes = {"units": (52,), "pose": (3,), "landmarks68": (68, 2), "light": (16,), "camera": (8,)}
    for name, shape in shapes.items():
        assert columns[f"label/{name}"].shape == (6, *shape)
    assert columns["label/person"].shape[0] == 6
    assert columns["label/emotion"].dtype.kind == "U"
    assert np.allclose(columns["landmarks"][3], landmarks5_from_68(columns["label/landmarks68"][3]), atol=0.01)
    assert (np.abs(columns["label/pose"]) <= [60, 30, 20]).all()


def test_any_number_of_workers_writes_the_same_shards(faceset, tmp_path):
    synth(tmp_path / "two", **SMALL, workers=2)
    one, two = contents(faceset), contents(tmp_path / "two")
    assert one.keys() == two.keys()
    assert one == two


def test_it_goes_on_where_it_stopped(faceset, tmp_path):
    shutil.copytree(faceset, tmp_path / "set")
    (tmp_path / "set" / "manifest.npz").unlink()
    for path in (tmp_path / "set" / "shards").glob("00001.*"):
        path.unlink()
    kept = (tmp_path / "set" / "shards" / "00000.npz").stat().st_mtime_ns
    told = []
    synth(tmp_path / "set", **SMALL, tell=told.append)
    assert told == [2, 2, 2]
    assert (tmp_path / "set" / "shards" / "00000.npz").stat().st_mtime_ns == kept
    assert contents(tmp_path / "set")["00001.tar"] == contents(faceset)["00001.tar"]


def test_a_kill_leaves_no_half_shard(faceset, tmp_path):
    root = tmp_path / "set"
    command = f"from facecycle.synthetic.write import synth; synth({str(root)!r}, **{SMALL!r})"
    process = subprocess.Popen([sys.executable, "-c", command])
    deadline = time.monotonic() + 60
    while not list(root.glob("shards/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for commit in root.glob("shards/*.npz"):
        assert commit.with_suffix(".tar").exists()
    synth(root, **SMALL)
    assert contents(root)["00002.tar"] == contents(faceset)["00002.tar"]
    assert len(FaceSet.open(root)) == 6


def test_a_full_disk_is_said_and_loses_nothing(tmp_path, monkeypatch):
    import errno

    from facecycle.data.shards import ShardWriter

    real = ShardWriter._append

    def full(self, name, data):
        if self.index == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, name, data)

    monkeypatch.setattr(ShardWriter, "_append", full)
    with pytest.raises(FaceCycleError, match="disk is full"):
        synth(tmp_path / "set", **SMALL)
    assert (tmp_path / "set" / "shards" / "00000.npz").exists()
    assert not (tmp_path / "set" / "shards" / "00001.npz").exists()
    monkeypatch.undo()
    assert synth(tmp_path / "set", **SMALL) == 6


def test_other_options_do_not_continue_a_set(faceset):
    with pytest.raises(FaceCycleError, match="begun with"):
        synth(faceset, **{**SMALL, "seed": 12})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 20}, "size=20"),
        ({"size": 600}, "size=600"),
        ({"people": 0}, "people=0"),
        ({"clips": -1}, "clips=-1"),
        ({"frames": 0}, "frames=0"),
        ({"seed": -1}, "seed=-1"),
        ({"workers": 0}, "workers=0"),
        ({"split": "all"}, "split 'all'"),
    ],
)
def test_impossible_options_are_named(tmp_path, changes, message):
    with pytest.raises(FaceCycleError, match=message):
        synth(tmp_path / "set", **{**SMALL, **changes})
    assert not (tmp_path / "set").exists()


def test_the_command_writes_and_draws(tmp_path):
    sheet = tmp_path / "sheet.png"
    options = ["--people", "1", "--clips", "1", "--frames", "2", "--size", "32", "--workers", "1"]
    result = CliRunner().invoke(app, ["synth", str(tmp_path / "set"), *options, "--sheet", str(sheet)])
    assert result.exit_code == 0, result.output
    assert sheet.exists()
    assert len(FaceSet.open(tmp_path / "set")) == 2


def test_a_sheet_can_be_drawn_alone(tmp_path):
    draw_sheet(tmp_path / "sheet.png", people=2, frames=2, size=32)
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    with pytest.raises(FaceCycleError, match=r"sheet\.txt: written as \.png, \.jpg"):
        draw_sheet(tmp_path / "sheet.txt", people=2, frames=2, size=32)


def test_pairs_know_what_is_true_of_their_frames(faceset):
    pairs = FacePairs(FaceSet.open(faceset), frames_per_item=2)
    assert pairs.has_truth
    keys = [(0, 0), (1, 3)]
    found = pairs.truth(keys)
    assert found.shape == (2, 2, TRUE_VALUES)
    columns = pairs.faces.columns
    pose = columns["label/pose"]
    wanted = (pose - pose.mean(0)) / (pose.std(0) + 0.02)
    rows = np.stack([pairs.rows(key) for key in keys])
    assert np.allclose(found[..., -3:], wanted[rows], atol=1e-5)
    units = columns["label/units"]
    assert np.allclose(found[..., :-3], ((units - units.mean(0)) / (units.std(0) + 0.02))[rows], atol=1e-4)


def test_sets_that_turn_heads_differently_are_learnt_on_one_scale(faceset, tmp_path):
    options = ["--people", "2", "--clips", "1", "--frames", "2", "--size", "48", "--yaw", "90", "--use", "0.9"]
    result = CliRunner().invoke(app, ["synth", str(tmp_path / "wide"), *options])
    assert result.exit_code == 0, result.output
    narrow, wide = (FacePairs(FaceSet.open(root), frames_per_item=2) for root in (faceset, tmp_path / "wide"))
    assert wide.faces.meta["synthetic"]["pose"] == {"yaw": 90.0, "pitch": 30.0, "roll": 20.0, "use": 0.9}
    mixed = MixedClips([narrow, wide])
    keys = [(0, k) for k in range(len(mixed))]
    table = np.concatenate([part.faces.columns["label/pose"] for part in (narrow, wide)])
    for part, at, found in ((*mixed._find(key)[:2], mixed.truth([key])[0, :, -3:]) for key in keys):
        wanted = part.faces.columns["label/pose"][part.rows(at)]
        assert np.allclose(found * (table.std(0) + 0.02) + table.mean(0), wanted, atol=1e-3)


def test_a_neutral_face_ends_each_clip_and_is_no_frame_of_it(faceset, tmp_path):
    root = tmp_path / "set"
    assert synth(root, **SMALL, neutral=True) == 9
    faces, plain = FaceSet.open(root), FaceSet.open(faceset)
    marked = faces.columns["label/neutral"]
    assert marked.sum() == 3
    assert np.array_equal(faces.columns["label/pose"][~marked], plain.columns["label/pose"])
    assert not faces.columns["label/pose"][marked].any()
    assert not faces.columns["label/units"][marked].any()
    pairs = FacePairs(faces, frames_per_item=2, neutral=True)
    assert (len(pairs), pairs.has_neutral) == (6, True)
    item, rows = pairs[0, 3], pairs.rows((0, 3))
    own = np.flatnonzero(marked & (faces.columns["clip"] == faces.columns["clip"][rows[0]]))
    assert item.shape[0] == 3
    assert not marked[rows].any()
    assert np.array_equal(item[2], faces.image(int(own[0])).transpose(2, 0, 1))
    assert pairs.has_landmarks
    marks = pairs.landmarks([(0, 3)])
    assert marks.shape == (1, 3, 68, 2)
    inner = marks[0] * faces.stored / faces.size  # of the crop without its margin
    crop, seen = faces.columns["crop"], faces.columns["label/landmarks68"]
    for row, found in zip([*rows, *own], inner, strict=True):
        assert np.allclose(found, (seen[row] - crop[row, :2]) / (crop[row, 2] / 2), atol=1e-4)
        assert np.abs(found).mean() < 0.7
    assert abs(inner[2, 30, 0]) < 0.1  # the tip of a nose that looks ahead
    without = FacePairs(plain, frames_per_item=2, neutral=True)
    assert not without.has_neutral
    assert not without.has_landmarks
    assert not without[0, 0][2].any()


def test_the_neutral_face_is_the_true_one_without_camera_faults(tmp_path):
    clip = Clip(create_person(PersonKey("train", 5, 0)), (0,))
    frame = clip.frame(1.0, 48, clean=True, at_rest=True)
    assert np.array_equal(frame.picture, truth.frontal(clip, 1.0, 48))
    assert (frame.emotion, frame.strength) == ("neutral", 0.0)


def test_nothing_comes_before_a_neutral_face_but_a_hat_stays(tmp_path):
    person = create_person(PersonKey("train", 3, 1))

    def at_rest(occluder: str) -> np.ndarray:
        clip = Clip(person, (0,), ClipOptions(occluder=occluder))
        return clip.frame(1.0, 48, clean=True, at_rest=True).picture.astype(int)

    bare = at_rest("none")
    for occluder in OCCLUDERS:
        differs = np.abs(at_rest(occluder) - bare).mean() > 0.1
        assert differs == (occluder == "hat")


def test_two_writers_of_one_set_are_refused_and_workers_leave_with_a_killed_parent(tmp_path):
    root = tmp_path / "set"
    words = ["-m", "facecycle", "synth", str(root), "--people", "40", "--clips", "2", "--frames", "6", "--workers", "2"]
    process = subprocess.Popen([sys.executable, *words, "--size", "64"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while not list(root.glob("shards/*.tar.partial")) and time.monotonic() < deadline:
        time.sleep(0.02)
    with pytest.raises(FaceCycleError, match="set: another process is writing it"):
        synth(root, people=40, clips=2, frames=6)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) >= 2
    process.kill()
    process.wait()
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_worker_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("facecycle.synthetic.write.write_shard", _dies)
    with pytest.raises(FaceCycleError, match="a worker process was killed"):
        synth(tmp_path / "set", people=4, clips=1, frames=2, size=48, workers=2)


def _dies(root, options, index):
    os.kill(os.getpid(), signal.SIGKILL)
