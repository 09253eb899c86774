"""`FaceCycle`: the same codes from every kind of input, rows for bad ones, clips with the times of their source."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facecycle import FaceCycle, FaceCycleError
from facecycle.apply.paste import paste
from facecycle.data.crop import Crop, cut
from facecycle.data.pictures import read_picture
from facecycle.model.weights import save_weights
from tiny import MODEL, MOVING, QUIET, SIZE, face_picture, make_faceset, moving_networks, tiny_networks


@pytest.fixture(scope="module")
def fc(tmp_path_factory: pytest.TempPathFactory) -> FaceCycle:
    run = tmp_path_factory.mktemp("weights")
    save_weights(tiny_networks(), run / "weights.safetensors", MODEL, "CC0", {"stage": "identity"})
    return FaceCycle.from_pretrained(run, "cpu")


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> FaceCycle:
    """With networks that move pixels far."""
    run = tmp_path_factory.mktemp("moving")
    save_weights(moving_networks(), run / "weights.safetensors", MOVING, "CC0", {"stage": "identity"})
    return FaceCycle.from_pretrained(run, "cpu")


def test_every_kind_of_input_gives_the_same_codes(fc: FaceCycle, tmp_path: Path) -> None:
    picture = face_picture(3)
    picture.save(tmp_path / "a.png")
    array = np.array(picture)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    inputs = [tmp_path / "a.png", str(tmp_path / "*.png"), picture, array, array / 255.0, tensor, tensor.float() / 255]
    whole = (tmp_path / "a.png").read_bytes()
    inputs += [whole, io.BytesIO(whole)]
    codes = fc.embed(inputs, cropped=True)
    assert codes.status == ["ok"] * 9
    np.testing.assert_allclose(codes.motion, codes.motion[:1].repeat(9, 0), atol=1e-5)
    for several in (tmp_path.glob("*.png"), {tmp_path / "a.png"}, (x for x in [picture]), io.BytesIO(whole), whole):
        np.testing.assert_allclose(fc.embed(several, cropped=True).motion, codes.motion[:1], atol=1e-5)
    assert [item.name for item in fc.read(np.int64(7)).items] == ["webcam:7"]
    with pytest.raises(FaceCycleError, match="cannot read a picture from dict"):
        fc.embed({"a.png": whole}, cropped=True)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.full((32, 32, 3), np.nan), "NaN"),
        (np.full((32, 32, 3), 200.0), "divide it by 255"),
        (np.zeros((3, 32, 32), np.uint8), "H W C"),
        (torch.zeros(32, 32, 3), "C H W"),
        (np.zeros((32, 32, 3), np.int64), "int64"),
    ],
)
def test_bad_arrays_are_rows_in_a_batch_and_errors_alone(fc: FaceCycle, bad: object, said: str) -> None:
    codes = fc.embed([face_picture(0), bad], cropped=True)
    assert codes.status[0] == "ok"
    assert said in codes.status[1]
    with pytest.raises(FaceCycleError, match=said):
        fc.embed(bad, cropped=True)


def test_an_opened_picture_with_a_damaged_exif_block_is_turned_all_the_same(fc: FaceCycle) -> None:
    face, files = face_picture(0), []
    for tag, number, held in ((0x0128, 2, b"\x03\x00"), (0x011A, 72.5, b"\x05\x00")):  # resolution's unit, resolution
        exif = Image.Exif()
        exif[0x0112], exif[tag] = 6, number
        face.save(buffer := io.BytesIO(), "JPEG", quality=95, exif=exif)
        whole = buffer.getvalue()
        order = "little" if b"II*\x00" in whole else "big"
        entry = whole.index(tag.to_bytes(2, order) + int.from_bytes(held, "little").to_bytes(2, order))
        files.append(whole[: entry + 2] + (2).to_bytes(2, order) + whole[entry + 4 :])  # as text
    opened = [Image.open(io.BytesIO(file)) for file in files]
    codes = fc.embed([*opened, *(read_picture(file) for file in files)], cropped=True)
    assert codes.status == ["ok"] * 4
    np.testing.assert_array_equal(codes.motion[:2], codes.motion[2:])
    assert opened[0].getexif()[0x0112] == 6  # as it was


def test_translation_takes_many_drivers_and_checks_its_strengths(fc: FaceCycle) -> None:
    a, b = face_picture(0), face_picture(1, 0.5)
    assert fc.translate(a, b, cropped=True).faces.shape == (1, 256, 256, 3)
    assert fc.translate(a, b, size=SIZE, cropped=True).faces.shape == (1, SIZE, SIZE, 3)
    nobody = fc.translate(a, [b, a], identity=0.0, cropped=True)
    assert nobody.status == ["ok", "ok"]
    with pytest.raises(FaceCycleError, match="between 0 and 1"):
        fc.translate(a, b, motion=2.0, cropped=True)


def test_a_face_that_keeps_its_pose_takes_the_expression_alone(fc: FaceCycle) -> None:
    a, b = face_picture(0), face_picture(1, 0.5)
    kept = fc.translate(a, [a, b], keep_pose=True, size=SIZE, cropped=True).faces.astype(int)
    assert np.abs(kept[0] - np.asarray(a)).mean() < 2  # its own expression: itself
    calm = fc.translate(a, b, motion=0.0, keep_pose=True, cropped=True).faces
    np.testing.assert_allclose(calm, fc.deexpress(a, cropped=True).faces, atol=1)
    with pytest.raises(FaceCycleError, match="do not keep the pose"):
        fc.translate(a, b, identity=0.5, keep_pose=True, cropped=True)


@pytest.mark.parametrize("keep_pose", [False, True])
def test_as_much_of_another_s_motion_is_taken_over_as_is_asked_for(moving: FaceCycle, keep_pose: bool) -> None:
    source, drivers = face_picture(0), [face_picture(1, 0.8, 0.9), face_picture(2, -0.8, -0.9)]
    none, half, whole = (
        moving.translate(source, drivers, motion=motion, keep_pose=keep_pose, size=SIZE, cropped=True).faces.astype(int)
        for motion in (0.0, 0.5, 1.0)
    )
    np.testing.assert_array_equal(none[0], none[1])  # whoever drives
    away = [np.abs(made - none).mean() for made in (half, whole)]
    assert 1 < away[0] < away[1]
    if not keep_pose:
        mean, half_of_it = (
            moving.translate(source, drivers, identity=identity, size=SIZE, cropped=True).faces.astype(int)
            for identity in (0.0, 0.5)
        )
        assert 0 < np.abs(half_of_it - whole).mean() < np.abs(mean - whole).mean()


def test_large_faces_are_made_a_few_at_a_time_however_many_are_wanted(fc: FaceCycle) -> None:
    faces = [face_picture(0)] * 5
    for batches in (
        fc.remake_batches("frontalize", faces, size=1024, cropped=True),
        fc.translate_batches(faces[0], faces, size=1024, cropped=True),
    ):
        assert [len(batch) for batch in batches] == [4, 1]
    small = fc.remake_batches("frontalize", faces, size=SIZE, batch_size=3, cropped=True)
    assert [len(batch) for batch in small] == [3, 2]


def test_as_much_of_an_expression_stays_as_is_asked_for(moving: FaceCycle) -> None:
    face = face_picture(0, 0.4, 0.8)
    calm, half, whole, twice = (
        moving.deexpress(face, keep=keep, size=SIZE, cropped=True).faces[0].astype(int) for keep in (0.0, 0.5, 1.0, 2.0)
    )
    away = [np.abs(made - np.asarray(face)).mean() for made in (whole, half, calm, twice)]
    assert away[0] < 1 < away[1] < away[2]
    assert np.abs(twice - calm).mean() > 1
    for keep, size, said in ((3.0, SIZE, "between -1 and 2"), (0.0, 4096, "between 16 and 2048")):
        with pytest.raises(FaceCycleError, match=said):
            moving.deexpress(face, keep=keep, size=size, cropped=True)
    with pytest.raises(FaceCycleError, match="use deexpress"):
        moving.frontalize(face, keep=0.5, cropped=True)


def test_faces_are_as_large_as_asked_for_and_show_what_their_pictures_show(moving: FaceCycle) -> None:
    grain = np.random.default_rng(0).normal(0, 25, (2, 256, 256, 1))
    large = [np.asarray(face_picture(k, size=256)) for k in (0, 1)]
    large = [np.clip(x + g, 0, 255).astype(np.uint8) for x, g in zip(large, grain, strict=True)]
    for size in (20, SIZE, 100, 256):
        made = {
            "frontal": moving.frontalize(large, size=size, cropped=True).faces,
            "calm": moving.deexpress(large, size=size, cropped=True).faces,
            "moved": moving.translate(large[0], large, size=size, cropped=True).faces,
            "express": moving.translate(large[0], large, size=size, keep_pose=True, cropped=True).faces,
            "between": moving.interpolate(*large, size=size, steps=2, cropped=True).faces,
            "mean": moving.mean_face(large, size=size, cropped=True).faces,
        }
        assert {faces.shape for faces in made.values()} == {(2, size, size, 3)}
    rough = {name: np.abs(np.diff(faces.astype(int), axis=2)).mean() for name, faces in made.items()}
    assert min(rough.values()) == rough.pop("mean")
    assert min(rough.values()) > 3 * np.abs(np.diff(made["mean"].astype(int), axis=2)).mean()


def test_faces_of_a_face_set_are_made_too_and_pasted_nowhere(moving: FaceCycle, tmp_path: Path) -> None:
    root = make_faceset(tmp_path / "set", [2])
    made = moving.frontalize(root, size=48)
    assert made.faces.shape == (2, 48, 48, 3)
    assert made.faces.min() < 50 < made.faces.max()
    with pytest.raises(FaceCycleError, match="no picture to paste into"):
        moving.frontalize(root, paste=True)


def test_the_same_face_is_found_first(fc: FaceCycle) -> None:
    pytest.importorskip("sklearn")
    faces = [face_picture(k) for k in range(4)]
    assert fc.compare(faces[1], faces[1], cropped=True).same_person
    assert fc.search(faces[2], faces, cropped=True)[0][0] == "picture 2"
    for threshold in (1.5, float("nan")):
        with pytest.raises(FaceCycleError, match="threshold"):
            fc.compare(faces[1], faces[1], threshold=threshold, cropped=True)


def test_faces_as_alike_as_the_threshold_are_one_person_s_and_less_alike_ones_are_not(fc: FaceCycle) -> None:
    one, other = (fc.embed(face_picture(k), cropped=True) for k in (0, 1))
    found = fc.compare_codes(one, other).identity
    assert -1 < found < 1
    for threshold, same in ((np.nextafter(found, -2), True), (found, True), (np.nextafter(found, 2), False)):
        verdict = fc.compare_codes(one, other, float(threshold))
        assert verdict.same_person is same
        assert ("same person" if same else "different people") in str(verdict)


def test_of_codes_one_good_row_each_is_compared(fc: FaceCycle) -> None:
    codes = fc.embed([face_picture(0), np.zeros((32, 32, 3), np.int64)], cropped=True)
    good, bad = codes.row(0), codes.row(1)
    assert fc.compare_codes(good, good).same_person
    for one, other in ((codes, good), (good, codes)):
        with pytest.raises(FaceCycleError, match="codes of 2 faces: exactly one face is needed here"):
            fc.compare_codes(one, other)
    for one, other in ((bad, good), (good, bad)):
        with pytest.raises(FaceCycleError, match="picture 1: values of type int64"):
            fc.compare_codes(one, other)


def test_a_search_tells_what_it_could_not_look_at(fc: FaceCycle, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    face_picture(0).save(tmp_path / "face.png")
    (tmp_path / "bad.png").write_text("no picture")
    told: dict[str, str] = {}
    hits = fc.search(face_picture(0), tmp_path, on_bad=told.__setitem__, cropped=True)
    assert [name for name, _ in hits] == [str(tmp_path / "face.png")]
    assert told == {str(tmp_path / "bad.png"): "no picture, or in a format that is not read; use JPEG, PNG or WebP"}


def test_codes_are_written_by_name_and_what_cannot_be_is_refused_before_any_work(
    fc: FaceCycle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = fc.embed([face_picture(k) for k in range(3)], cropped=True)
    codes.save(str(tmp_path / "codes.npz"))
    with np.load(tmp_path / "codes.npz") as kept:
        np.testing.assert_array_equal(kept["motion"], codes.motion)
    assert codes.row(-1).names == codes.names[-1:]
    with pytest.raises(IndexError):
        codes.row(3)
    face_picture(0).save(tmp_path / "face.png")
    monkeypatch.setattr(type(fc.encoders), "encode", lambda self, crops: pytest.fail("worked in vain"))
    with pytest.raises(FaceCycleError, match=r"codes\.txt: codes are written as \.npz"):
        fc.embed(tmp_path / "face.png", out=tmp_path / "codes.txt", cropped=True)
    (tmp_path / "face.npz").symlink_to(tmp_path / "face.png")
    with pytest.raises(FaceCycleError, match=r"face\.npz: is an input"):
        fc.embed(tmp_path / "face.png", out=tmp_path / "face.npz", cropped=True)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda fc, face: fc.search(face, face, top=0, cropped=True), "top 0: at least 1"),
        (lambda fc, face: list(fc.remake_batches("one_crop", face)), "'one_crop': no such change; choose frontalize"),
        (lambda fc, face: fc.embed(face, batch_size=0), "batch_size=0: a whole number, at least 1"),
    ],
)
def test_values_that_cannot_be_are_said(fc: FaceCycle, call, said: str) -> None:
    with pytest.raises(FaceCycleError, match=said):
        call(fc, face_picture(0))


def test_values_that_are_no_numbers_are_said_where_no_types_are_enforced(fc: FaceCycle) -> None:
    program = f"""
import numpy as np
from facecycle import FaceCycle, FaceCycleError
fc, face = FaceCycle.from_pretrained({fc.about.source!r}, "cpu"), np.zeros(({SIZE}, {SIZE}, 3), np.uint8)
for call, value in (
    (fc.embed, {{"batch_size": 2.5}}),
    (fc.embed, {{"batch_size": "3"}}),
    (fc.frontalize, {{"batch_size": "3"}}),
    (fc.deexpress, {{"keep": "1"}}),
    (lambda one, **options: fc.compare(one, one, **options), {{"threshold": "0.5"}}),
    (lambda one, **options: fc.translate(one, one, **options), {{"identity": "x"}}),
    (lambda one, **options: fc.translate(one, one, **options), {{"motion": None, "keep_pose": True}}),
):
    try:
        call(face, cropped=True, **value)
    except FaceCycleError as error:
        print(error)
"""
    said = subprocess.run([sys.executable, "-c", program], env=QUIET, capture_output=True, text=True).stdout
    assert said.splitlines() == [
        "batch_size=2.5: a whole number, at least 1",
        "batch_size='3': a whole number, at least 1",
        "batch_size='3': a whole number, at least 1",
        "keep '1': give a share of the expression between -1 and 2",
        "threshold '0.5': similarities lie between -1 and 1",
        "identity 'x': give a strength between 0 and 1",
        "motion None: give a strength between 0 and 1",
    ]


def test_where_one_face_is_wanted_several_and_none_are_refused(fc: FaceCycle, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    face = face_picture(1)
    folder = tmp_path / "two"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        face_picture(0).save(folder / name)
    (tmp_path / "bad.png").write_text("no picture")
    verbs = {
        "query": lambda one: fc.search(one, face, cropped=True),
        "source": lambda one: fc.translate(one, face, cropped=True),
        "a": lambda one: fc.interpolate(one, face, cropped=True),
        "b": lambda one: fc.interpolate(face, one, cropped=True),
        "one": lambda one: fc.compare(one, face, cropped=True),
        "other": lambda one: fc.compare(face, one, cropped=True),
    }
    for verb in verbs.values():
        for several in (folder, [tmp_path / "bad.png", face], [face, tmp_path / "bad.png"]):
            with pytest.raises(FaceCycleError, match="exactly one face is needed here; give a single picture"):
                verb(several)
        with pytest.raises(FaceCycleError, match=r"bad\.png: no picture"):
            verb(tmp_path / "bad.png")


@pytest.mark.parametrize("threshold", ["x", 2, [0.5]])
def test_weights_whose_threshold_is_none_are_refused(tmp_path: Path, threshold: object) -> None:
    file = tmp_path / "weights.safetensors"
    save_weights(tiny_networks(), file, MODEL, "CC0", {"identity_threshold": threshold})
    with pytest.raises(FaceCycleError, match=r"weights\.safetensors: its identity_threshold is .*between -1 and 1"):
        FaceCycle.from_pretrained(file, "cpu")


def test_weights_that_are_nowhere_say_where_was_looked(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACECYCLE_WEIGHTS", str(tmp_path))
    with pytest.raises(FaceCycleError, match=str(tmp_path)):
        FaceCycle.from_pretrained("nowhere")


def test_pasting_undoes_cutting() -> None:
    picture = np.array(Image.fromarray(np.array(face_picture(0, size=96))).resize((160, 120)))
    square = Crop(80.3, 60.7, 64.0)
    again = paste(picture, cut(picture, square, 64), square)
    assert np.abs(again.astype(int) - picture).mean() < 1.5
    np.testing.assert_array_equal(again[:20], picture[:20])
