"""Codes and sheets through the command line: every picture gets a row, and only input that is all bad fails."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facecycle.api import FaceCycle
from facecycle.apply import transform
from facecycle.apply.embed import embed
from facecycle.apply.faces import FaceReader
from facecycle.apply.inputs import find_items
from facecycle.apply.save import targets
from facecycle.apply.torch_networks import to_tensor
from facecycle.data.faceset import FaceSet
from facecycle.errors import FaceCycleError
from facecycle.model.weights import load_networks, save_weights
from tiny import MODEL, SIZE, face_picture, make_faceset, tiny_networks

WRITTEN = {"embed": "codes.npz", "cycle": "sheet.png"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("weights")
    save_weights(tiny_networks(), run / "weights.safetensors", MODEL, "CC0", {"stage": "identity"})
    return run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Five drawn faces, two of them larger, one in a folder of its own."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for index in range(4):
        face_picture(index, 0.3, size=SIZE * (1 + index % 2)).save(folder / f"{index}.png")
    face_picture(9).save(folder / "more/9.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def command(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``facecycle ARGUMENTS``."""
    from facecycle.cli import main

    monkeypatch.setattr(sys, "argv", ["facecycle", *map(str, arguments)])
    code = 0
    try:
        main()
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_folder_becomes_codes(pictures: Path, weights: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    out = tmp_path / "new/codes.npz"
    code, said, error = command(
        capsys, monkeypatch, "embed", pictures, "--weights", weights, "--out", out, "--cropped", "--batch-size", 2
    )
    assert (code, error) == (0, "")
    assert "5 faces, 16-d codes, 0 left out" in said
    with np.load(out, allow_pickle=False) as codes:
        assert codes["motion"].shape == codes["identity"].shape == (5, 16)
        assert codes["names"].tolist() == [
            str(pictures / name) for name in ("0.png", "1.png", "2.png", "3.png", "more/9.png")
        ]
        assert set(codes["status"].tolist()) == {"ok"}
        assert json.loads(str(codes["about"])) == {"crop": "facecycle-v1", "licence": "CC0", "weights": str(weights)}
        kept = {name: codes[name] for name in ("motion", "identity")}
    networks, _ = load_networks(weights)
    face = np.asarray(face_picture(2, 0.3))
    x = torch.from_numpy(face.copy()).permute(2, 0, 1)[None].float() / 255
    np.testing.assert_allclose(kept["motion"][2], networks.motion_encoder(x)[0], atol=1e-5)
    np.testing.assert_allclose(kept["identity"][2], networks.identity_encoder(x)[0], atol=1e-5)


def test_codes_do_not_depend_on_the_batch_size(pictures: Path, weights: Path) -> None:
    one, all_ = (embed([pictures], str(weights), cropped=True, device="cpu", batch_size=size) for size in (1, 64))
    np.testing.assert_allclose(one.motion, all_.motion, atol=1e-5)


def test_codes_are_made_where_faces_are(pictures: Path, weights: Path) -> None:
    devices = [inspect.signature(how).parameters["device"].default for how in (embed, FaceCycle.from_pretrained)]
    assert devices == ["auto", "auto"]
    one = embed(pictures, weights, cropped=True, device="cpu")
    other = FaceCycle.from_pretrained(weights, "cpu").embed(pictures, cropped=True)
    np.testing.assert_array_equal(one.motion, other.motion)


def test_a_source_is_read_once_and_never_written_over(
    pictures: Path, weights: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, person = [], transform.person
    monkeypatch.setattr(transform, "person", lambda *given: made.append(given) or person(*given))
    source, drivers = pictures / "0.png", [pictures / "1.png", pictures / "2.png"]
    before = source.read_bytes()
    options = ["--weights", weights, "--cropped", "--size", 32, "--device", "cpu"]
    for place, given in ((source, drivers[:1]), (pictures / "." / "0.png", drivers[:1])):
        code, _, error = command(capsys, monkeypatch, "translate", source, *given, *options, "--out", place)
        assert (code, error.strip().endswith("0.png: is an input; choose another place with --out")) == (2, True)
    made.clear()
    out = pictures.parent / "out"
    code, _, error = command(capsys, monkeypatch, "translate", source, *drivers, *options, "--out", out)
    assert (code, error) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == ["1.png", "2.png"]
    assert len(made) == 1
    for name in ("cycle", "embed"):
        shown = ["--out", source] if name == "cycle" else ["--out", out / "codes.npz", "--figure", source]
        code, _, error = command(capsys, monkeypatch, name, source, "--weights", weights, "--cropped", *shown)
        assert code == 2
        assert "0.png: is an input" in error
    assert source.read_bytes() == before


def test_a_rival_s_weights_draw_no_sheet(pictures: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    file, out = tmp_path / "weights.safetensors", tmp_path / "sheet.png"
    save_weights(tiny_networks(), file, MODEL, "CC0", {"method": "simclr"})
    code, _, error = command(capsys, monkeypatch, "cycle", pictures, "--weights", file, "--cropped", "--out", out)
    assert code == 2
    assert "trained by simclr, which makes no pictures: cycle needs others" in error
    assert not out.exists()


def test_one_bad_picture_gets_a_row_with_its_status(pictures: Path, weights: Path, tmp_path: Path, capsys, monkeypatch):
    (pictures / "2.png").write_bytes((pictures / "2.png").read_bytes()[:60])
    (pictures / "5.jpg").write_bytes(b"")
    out = tmp_path / "codes.npz"
    code, said, error = command(capsys, monkeypatch, "embed", pictures, "--weights", weights, "--out", out, "--cropped")
    assert code == 0
    assert "4 faces, 16-d codes, 2 left out" in said
    assert len(error.strip().splitlines()) == 2
    with np.load(out, allow_pickle=False) as codes:
        bad = codes["status"] != "ok"
        assert bad.tolist() == [False, False, True, False, True, False]
        assert np.isnan(codes["motion"][bad]).all()
        assert np.isfinite(codes["motion"][~bad]).all()


@pytest.mark.parametrize("options", [[], ["--cropped"]])
def test_a_single_bad_video_is_an_error_too(options: list[str], weights: Path, tmp_path: Path, capsys, monkeypatch):
    (tmp_path / "bad.mp4").write_text("no video")
    (tmp_path / "bad.png").write_text("no picture")
    out = tmp_path / "codes.npz"
    rest = [*options, "--weights", weights, "--out", out]
    code, _, error = command(capsys, monkeypatch, "embed", tmp_path / "bad.mp4", *rest)
    assert (code, error.count("\n"), out.exists()) == (2, 1, False)
    assert "bad.mp4: " in error
    code, _, error = command(capsys, monkeypatch, "embed", tmp_path, *rest)
    assert (code, error.count("\n"), out.exists()) == (2, 3, True)
    assert error.endswith("none of 2 pictures shows a face; check what was given\n")  # crops or not


@pytest.mark.parametrize("name", ["embed", "cycle"])
def test_a_single_bad_picture_is_an_error(name: str, weights: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    out = tmp_path / WRITTEN[name]
    code, _, error = command(
        capsys, monkeypatch, name, tmp_path / "bad.png", "--weights", weights, "--cropped", "--out", out
    )
    assert code == 2
    assert "bad.png: no picture" in error
    assert len(error.strip().splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize("name", ["embed", "cycle"])
def test_what_is_not_there_is_named(
    name: str, pictures: Path, weights: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    def refused(*arguments: object) -> str:
        code, _, error = command(capsys, monkeypatch, name, *arguments, "--cropped", "--out", tmp_path / WRITTEN[name])
        assert code == 2
        assert len(error.strip().splitlines()) == 1
        return error

    empty = tmp_path / "empty"
    empty.mkdir()
    assert "gone: no such file or folder" in refused(tmp_path / "gone", "--weights", weights)
    assert "empty: no pictures or videos there" in refused(empty, "--weights", weights)
    assert "holds no weights.safetensors" in refused(pictures, "--weights", empty)
    assert "device 'cuda:77' is not on this machine" in refused(pictures, "--weights", weights, "--device", "cuda:77")


def test_a_figure_that_cannot_be_drawn_is_refused_before_any_work(
    pictures: Path, weights: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    pytest.importorskip("matplotlib")
    figure, out = tmp_path / "figure.png", tmp_path / "codes.npz"
    rest = ["--weights", weights, "--cropped", "--figure", figure, "--out", out]
    for given, said in (
        ([pictures, "--plot", "curve"], f"a curve needs the frames of a video, and {pictures / '0.png'} is none"),
        ([pictures / "0.png"], f"a figure needs at least two faces, and {pictures / '0.png'} gives one"),
    ):
        code, _, error = command(capsys, monkeypatch, "embed", *given, *rest)
        assert (code, error) == (2, f"facecycle: {figure}: {said}\n")
        assert not out.exists()


def test_a_sheet_is_a_png(pictures: Path, weights: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    code, _, error = command(
        capsys, monkeypatch, "cycle", pictures, "--weights", weights, "--cropped", "--out", tmp_path / "sheet.jpg"
    )
    assert code == 2
    assert "sheet.jpg: written as .png" in error
    assert not (tmp_path / "sheet.jpg").exists()


@contextmanager
def nobody(folder: Path) -> Iterator[None]:
    """Without root's rights, but with a way to ``folder``."""
    for above in (folder, *folder.parents):
        if not above.stat().st_mode & 0o005:
            above.chmod(0o755)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can take its own rights away"
)


@needs_root
def test_a_folder_that_cannot_be_read_is_a_row_that_says_so(pictures: Path) -> None:
    (pictures / "more").chmod(0o700)
    with nobody(pictures.parent):
        rows = [shot for item in find_items(pictures, SIZE) for shot in item.shots()]
    assert [Path(row.name).name for row in rows] == ["0.png", "1.png", "2.png", "3.png", "more"]
    assert [row.status for row in rows] == ["ok"] * 4 + ["Permission denied"]


@needs_root
@pytest.mark.parametrize("name", ["x.npz", "x.csv", "x.parquet"])
def test_a_place_that_forbids_writing_is_named(name: str, pictures: Path, weights: Path, tmp_path: Path) -> None:
    codes = embed(pictures, weights, cropped=True, device="cpu")
    codes.save(tmp_path / name, {})
    closed = tmp_path / "closed"
    closed.mkdir()
    with nobody(closed), pytest.raises(PermissionError) as refused:
        codes.save(closed / name, {})
    assert refused.value.filename == str(closed / name)


def test_an_empty_name_is_not_the_current_folder(
    pictures: Path, weights: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(pictures)
    empty = tmp_path / "empty"
    empty.mkdir()
    calls = [
        ("embed", "", "--weights", weights),
        ("embed", ".", "--weights", ""),
        ("frontalize", "0.png", "--weights", weights, "--out", ""),
        ("export", weights, ""),
    ]
    for call in calls:
        code, _, error = command(capsys, monkeypatch, *call)
        assert (code, "an empty name; give a path" in error, error.count("\n")) == (2, True, 1), call
    assert len(list(pictures.iterdir())) == 6


def test_what_a_folder_holds_besides_is_told(pictures: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.HEIC", "b.heic", "README", ".hidden"):
        (pictures / name).touch()
    assert len(find_items(pictures, SIZE)) == 5
    assert caplog.messages == [f"{pictures}: 4 other files left out (.heic, .txt, no suffix)"]


def test_names_that_are_not_utf_8_are_written(
    pictures: Path, weights: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    import pyarrow.parquet

    folder = os.fsencode(tmp_path / "latin")
    os.mkdir(folder)
    for name in (b"caf\xe9.png", b"gar\xe7on.png"):
        with open(os.path.join(folder, name), "wb") as file:
            file.write((pictures / "0.png").read_bytes() if name.startswith(b"caf") else b"cut")
    options = ["--weights", weights, "--cropped"]
    for suffix in ("csv", "npz", "parquet"):
        code, _, _ = command(
            capsys, monkeypatch, "embed", tmp_path / "latin", *options, "--out", tmp_path / f"codes.{suffix}"
        )
        assert code == 0
    assert b"/caf\xe9.png,ok," in (tmp_path / "codes.csv").read_bytes()  # as the disk has it
    with np.load(tmp_path / "codes.npz") as codes:
        assert Path(str(codes["names"][0])).read_bytes() == (pictures / "0.png").read_bytes()
    names = pyarrow.parquet.read_table(tmp_path / "codes.parquet")["name"].to_pylist()
    assert [Path(name).name for name in names] == ["caf\ufffd.png", "gar\ufffdon.png"]
    pytest.importorskip("sklearn")
    code, said, _ = command(capsys, monkeypatch, "search", pictures / "0.png", tmp_path / "latin", *options)
    assert (code, said.endswith("caf\ufffd.png\n")) == (0, True)


def test_a_name_is_shown_on_one_line_and_written_as_it_is(
    pictures: Path, weights: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    import pyarrow.parquet

    pytest.importorskip("sklearn")
    folder = tmp_path / "odd"
    folder.mkdir()
    (odd := folder / "a\n\x1b[31mé\u3000b.png").write_bytes((pictures / "0.png").read_bytes())
    options = ["--weights", weights, "--cropped"]
    code, said, _ = command(capsys, monkeypatch, "search", pictures / "0.png", folder, *options)
    assert (code, said) == (0, f"1.000  {folder}/a\\n\\x1b[31mé\u3000b.png\n")
    command(capsys, monkeypatch, "embed", folder, *options, "--out", tmp_path / "codes.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "codes.parquet")["name"].to_pylist() == [str(odd)]


def test_links_do_not_change_where_results_are_written(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "elsewhere.png").touch()
    for name in ("here.png", "gone.png"):
        os.symlink(tmp_path / ("elsewhere.png" if name == "here.png" else "nowhere/x.png"), tmp_path / "photos" / name)
    items = find_items(tmp_path / "photos", SIZE)
    assert targets(items, tmp_path / "out") == [tmp_path / "out/gone.png", tmp_path / "out/here.png"]


def test_no_two_results_have_one_name(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a_2.jpg", "a.jpg", "a.png", "a.webp")]
    for path in paths:
        Image.new("RGB", (20, 20)).save(path)
    files = targets(find_items(paths, SIZE), tmp_path / "out")
    assert len(set(files)) == 4
    assert files[:2] == [tmp_path / "out/a_2.png", tmp_path / "out/a.png"]


def test_pictures_without_any_face_are_written_and_an_error(
    pictures: Path, weights: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    (tmp_path / "bad").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "bad" / name).write_bytes(b"cut")
    out = tmp_path / "codes.npz"
    code, _, error = command(
        capsys, monkeypatch, "embed", tmp_path / "bad", "--weights", weights, "--out", out, "--cropped"
    )
    assert code == 2
    assert (
        error.strip()
        .splitlines()[-1]
        .endswith(f"{out}: written, but none of 2 pictures shows a face; check what was given")
    )
    with np.load(out, allow_pickle=False) as codes:
        assert np.isnan(codes["motion"]).all()
        assert len(codes["status"]) == 2


def test_the_detector_finds_no_face_in_noise(weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    with pytest.raises(FaceCycleError, match=r"noise\.png: no face"):
        embed([tmp_path / "noise.png"], weights)


def test_the_cycle_sheet_shows_every_picture(
    pictures: Path, weights: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    (pictures / "3.png").write_bytes(b"cut")
    out = tmp_path / "new/sheet.png"
    code, said, error = command(capsys, monkeypatch, "cycle", pictures, "--weights", weights, "--cropped", "--out", out)
    assert (code, said.strip()) == (0, str(out))
    assert error.startswith("left out: ")
    with Image.open(out) as opened:
        sheet = np.asarray(opened.convert("RGB")).astype(int)
    side = 96  # 32 pixels, three times enlarged
    assert sheet.shape[0] >= 4 * side
    assert sheet.shape[1] >= 8 * side
    face = np.asarray(face_picture(0, 0.3).resize((side, side), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(sheet[18 : 18 + side, 4 : 4 + side] - face).max() <= 1


def test_bytes_become_the_unit_interval() -> None:
    crops = [np.full((SIZE, SIZE, 3), value, np.uint8) for value in (0, 51, 255)]
    tensor = to_tensor(np.stack(crops))
    assert tensor.dtype == torch.float32
    torch.testing.assert_close(tensor[:, 0, 0, 0], torch.tensor([0, 0.2, 1]))


def test_colour_layouts_of_one_picture_give_one_crop(tmp_path: Path) -> None:
    picture = face_picture(1).convert("L")
    picture.save(tmp_path / "grey.png")
    picture.convert("RGB").save(tmp_path / "rgb.png")
    picture.convert("RGBA").save(tmp_path / "rgba.png")
    reader = FaceReader([tmp_path / f"{name}.png" for name in ("grey", "rgb", "rgba")], SIZE, cropped=True)
    crops = [row.crop for row in reader]
    assert crops[0] is not None
    assert crops[0].dtype == np.uint8
    for crop in crops[1:]:
        np.testing.assert_array_equal(crop, crops[0])


def test_a_face_set_gives_its_crops_and_survives_a_damaged_one(weights: Path, tmp_path: Path) -> None:
    root = make_faceset(tmp_path / "set", [2, 2])
    codes = embed([root], weights, device="cpu")
    faces = FaceSet.open(root)
    assert codes.names == faces.columns["key"].tolist()
    assert codes.status == ["ok"] * 4
    networks, _ = load_networks(weights)
    crop = to_tensor(faces.image(1)[None, 4:36, 4:36])
    np.testing.assert_allclose(codes.motion[1], networks.motion_encoder(crop)[0], atol=1e-5)
    with open(root / "shards/00000.tar", "r+b") as tar:
        tar.seek(int(faces.columns["offset"][2]))
        tar.write(bytes(int(faces.columns["nbytes"][2])))
    damaged = embed([root], weights, device="cpu")
    assert [status == "ok" for status in damaged.status] == [True, True, False, True]
    assert np.isnan(damaged.motion[2]).all()
    np.testing.assert_allclose(damaged.motion[3], codes.motion[3], atol=1e-5)


def test_a_face_set_of_another_size_is_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(FaceCycleError, match="faces of 48 px, the networks want 32 px"):
        embed([make_faceset(tmp_path / "set", [2], size=48)], weights)
