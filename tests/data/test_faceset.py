"""The face set on disk: what is written is read back, and nothing half-written is read as whole."""

import io
import json
import math
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facecycle.data.faceset import FaceSet, ShardWriter, decode, finish_faceset, write_faceset
from facecycle.data.shards import shard_file
from facecycle.errors import FaceCycleError


def jpeg(value: int, size: int = 80) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (value, 255 - value, 128)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def row(person: str, clip: str, frame: int) -> dict:
    return {
        "person": person,
        "clip": clip,
        "frame": frame,
        "time": frame / 25,
        "box": np.array([1.5, 2, 30, 40]),
        "landmarks": np.arange(10.0).reshape(5, 2),
        "crop": np.array([10, 20, 30.25]),
        "sharpness": 12.5,
        "score": 0.9,
        "label/units": np.arange(3, dtype=np.float32) / 7,
    }


def begin(root: Path) -> Path:
    return write_faceset(root, size=64, margin=0.25, licence="CC0", origin="synthetic")


def write(root: Path, shards: int = 2, per_shard: int = 6) -> Path:
    begin(root)
    for index in range(shards):
        with ShardWriter(root, index) as shard:
            for k in range(per_shard):
                shard.add(f"s{index}_{k}", jpeg(20 * k), row(f"p{index}", f"p{index}/{k % 2}", per_shard - k))
    finish_faceset(root, shards)
    return root


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    faces = FaceSet.open(write(tmp_path / "set"))
    assert len(faces) == 12
    assert (faces.size, faces.margin, faces.stored, faces.licence) == (64, 0.25, 80, "CC0")
    assert faces.people() == ["p0", "p1"]
    assert faces.jpeg(3) == jpeg(60)
    assert faces.image(3).shape == (80, 80, 3)
    np.testing.assert_array_equal(faces.columns["label/units"][5], np.arange(3, dtype=np.float32) / 7)
    np.testing.assert_array_equal(faces.columns["crop"][0], np.float32([10, 20, 30.25]))
    assert faces.columns["clip"][faces.clips()[0]].tolist() == ["p0/0"] * 3
    assert all((np.diff(faces.columns["frame"][clip]) > 0).all() for clip in faces.clips())


def test_the_tar_is_a_plain_webdataset(tmp_path: Path) -> None:
    write(tmp_path / "set")
    with tarfile.open(tmp_path / "set/shards/00001.tar") as tar:
        names = tar.getnames()
        assert names[:2] == ["s1_0.jpg", "s1_0.json"]
        member = tar.extractfile("s1_2.json")
        assert member is not None
        assert json.loads(member.read())["person"] == "p1"


def test_what_is_not_known_is_null_to_other_readers_and_pictures_of_another_size_are_damaged(tmp_path: Path) -> None:
    root = begin(tmp_path / "set")
    with ShardWriter(root, 0) as shard:
        shard.add("a", jpeg(1), {**row("p", "p/0", 0), "time": math.nan, "landmarks": np.full((5, 2), np.nan)})
        shard.add("b", jpeg(1, size=81), row("p", "p/0", 1))
    finish_faceset(root, 1)
    with tarfile.open(root / "shards/00000.tar") as tar:
        member = tar.extractfile("a.json")
        assert member is not None
        said = json.loads(member.read(), parse_constant=lambda name: pytest.fail(name))
    assert (said["time"], said["landmarks"]) == (None, [[None, None]] * 5)
    faces = FaceSet.open(root)
    assert np.isnan(faces.columns["time"][0])
    assert faces.image(0).shape == (80, 80, 3)
    with pytest.raises(FaceCycleError, match=r"00000\.tar: picture b is damaged \(81 x 81 pixels for 80\)"):
        faces.image(1)


def test_a_face_set_travels_to_another_process(tmp_path: Path) -> None:
    faces = FaceSet.open(write(tmp_path / "set"))
    faces.jpeg(0)
    assert pickle.loads(pickle.dumps(faces)).jpeg(7) == faces.jpeg(7)


def test_an_interrupted_shard_goes_on_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    for root, stop in ((begin(tmp_path / "whole"), False), (begin(tmp_path / "cut"), True)):
        with ShardWriter(root, 0, resume=True) as shard:
            shard.add("a", jpeg(1), row("p", "p/0", 0))
            shard.commit({"source": "first"})
            if not stop:
                shard.add("b", jpeg(2), row("p", "p/0", 1))
                shard.commit({"source": "second"})
    # The second writer dies with an uncommitted frame and a torn line in its journal.
    root = begin(tmp_path / "killed")
    shard = ShardWriter(root, 0, resume=True)
    shard.add("a", jpeg(1), row("p", "p/0", 0))
    shard.commit({"source": "first"})
    shard.add("junk", jpeg(3), row("p", "p/0", 9))
    shard._tar.close()
    with open(shard_file(root, 0, "journal"), "ab") as journal:
        journal.write(b'{"length": 99')
    with pytest.raises(FaceCycleError, match="not written"):
        finish_faceset(root, 1)
    with ShardWriter(root, 0, resume=True) as shard:
        assert shard.notes == [{"source": "first"}]
        shard.add("b", jpeg(2), row("p", "p/0", 1))
        shard.commit({"source": "second"})
    for suffix in ("tar", "npz", "jsonl"):
        assert shard_file(root, 0, suffix).read_bytes() == shard_file(tmp_path / "whole", 0, suffix).read_bytes()


def test_an_error_leaves_no_whole_shard(tmp_path: Path) -> None:
    root = begin(tmp_path / "set")
    with pytest.raises(ValueError, match="missing"), ShardWriter(root, 0) as shard:
        shard.add("a", jpeg(1), {"person": "p"})
    assert not list((root / "shards").glob("*.npz"))
    with pytest.raises(FaceCycleError, match="not finished"):
        FaceSet.open(root)


def test_a_row_must_be_complete_and_its_key_usable(tmp_path: Path) -> None:
    shard = ShardWriter(begin(tmp_path / "set"), 0)
    with pytest.raises(ValueError, match="score"):
        shard.add("a", jpeg(1), {k: v for k, v in row("p", "c", 0).items() if k != "score"})
    with pytest.raises(ValueError, match="dot"):
        shard.add("a.b", jpeg(1), row("p", "c", 0))
    shard._tar.close()


def test_other_options_are_refused(tmp_path: Path) -> None:
    begin(tmp_path / "set")
    begin(tmp_path / "set")  # the same ones go on
    with pytest.raises(FaceCycleError, match="begun with size=64, asked for 128"):
        write_faceset(tmp_path / "set", size=128, margin=0.25, licence="CC0", origin="synthetic")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda root: (root / "faceset.json").unlink(), "no face set"),
        (lambda root: (root / "faceset.json").write_text("{"), "damaged"),
        (lambda root: (root / "faceset.json").write_text('{"format": 9}'), "format 9"),
        (lambda root: (root / "faceset.json").write_text('{"format": 1, "crop": "other"}'), "crop 'other'"),
        (lambda root: (root / "faceset.json").write_text("[1]"), "damaged"),
        (lambda root: (root / "faceset.json").write_text('{"format": 1, "crop": "facecycle-v1"}'), "no licence"),
        (lambda root: np.savez(root / "manifest.npz", key=np.array(["a"])), "damaged .no column box"),
        (lambda root: (root / "manifest.npz").unlink(), "not finished"),
        (lambda root: (root / "manifest.npz").write_bytes(b"PK junk"), "damaged"),
        (lambda root: (root / "shards/00001.tar").unlink(), "missing"),
        (lambda root: (root / "shards/00001.tar").write_bytes(b"x"), "cut short"),
    ],
)
def test_damage_is_named(tmp_path: Path, harm, message: str) -> None:
    root = write(tmp_path / "set")
    harm(root)
    with pytest.raises(FaceCycleError, match=message):
        FaceSet.open(root)


def test_an_empty_set_is_named(tmp_path: Path) -> None:
    root = begin(tmp_path / "set")
    with ShardWriter(root, 0):
        pass
    finish_faceset(root, 1)
    with pytest.raises(FaceCycleError, match="holds no faces"):
        FaceSet.open(root)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    faces = FaceSet.open(write(tmp_path / "set"))
    with open(faces.path / "shards/00000.tar", "r+b") as tar:
        tar.seek(int(faces.columns["offset"][2]))
        tar.write(bytes(int(faces.columns["nbytes"][2])))
    with pytest.raises(FaceCycleError, match="picture s0_2 is damaged"):
        faces.image(2)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FaceCycleError, match="no face set"):
        begin(tmp_path)
    assert decode(jpeg(5)).dtype == np.uint8
