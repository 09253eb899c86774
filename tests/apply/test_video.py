"""Videos of synthetic people: times, sound, rotation and damage come through; tables and figures; choices of faces."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import ExifTags, Image

from facecycle import FaceCycle, FaceCycleError
from facecycle.apply import video
from facecycle.apply.cycle import cycle
from facecycle.apply.figures import Sample, draw_figure
from facecycle.apply.inputs import Item, find_items
from facecycle.apply.remake import Faces
from facecycle.apply.save import save_remade
from facecycle.draw import MADE
from facecycle.model.weights import save_weights
from facecycle.synthetic.stream import SyntheticFaces
from tiny import MODEL, QUIET, tiny_networks

SIDE, RATE = 160, 10


@pytest.fixture(scope="module")
def fc(tmp_path_factory: pytest.TempPathFactory) -> FaceCycle:
    run = tmp_path_factory.mktemp("weights")
    save_weights(tiny_networks(), run / "weights.safetensors", MODEL, "CC0", {"stage": "identity"})
    return FaceCycle.from_pretrained(run, "cpu")


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """Two people, some moments each, with room around the head."""
    stream = SyntheticFaces(2, 1, 6, SIDE, margin=1.0, seed=3)
    return [np.ascontiguousarray(picture.transpose(1, 2, 0)) for who in (0, 1) for picture in stream[0, who]]


def write(
    path: Path,
    frames: list[np.ndarray],
    times: list[float],
    sound: str = "",
    layout: str = "mono",
    seconds: float = 0.75,
) -> Path:
    """A video, with a tone by the codec ``sound`` if one is named, from 0 to about ``seconds``."""
    tick = Fraction(1, RATE if path.suffix == ".avi" else 1000)  # an AVI's frames are as long as its ticks
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4" if path.suffix == ".avi" else "libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv420p"
        video.codec_context.time_base = tick
        audio = container.add_stream(sound, rate=16000, layout=layout) if sound else None
        for picture, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time / tick), tick
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None:
            context = audio.codec_context
            fit = av.AudioResampler(context.format, layout, 16000, context.frame_size or None)
            for index in range(1 + int(seconds * 16000 / 1024)):
                tone = 0.3 * np.sin(np.arange(1024) * 0.2, dtype=np.float32)[None]
                samples = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
                samples.sample_rate, samples.pts = 16000, index * 1024
                for part in fit.resample(samples):
                    container.mux(audio.encode(part))
            container.mux(audio.encode())
    return path


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


def frontalize(fc: FaceCycle, video: Path, out: Path, **options: bool) -> list[tuple[str, str]]:
    items = fc.read(video).items
    return save_remade(items, lambda item: fc.remake_batches("frontalize", item, size=64, **options), out)


def test_times_of_a_variable_rate_and_the_sound_are_kept(fc: FaceCycle, frames, tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.35, 0.4, 0.7, 0.72]
    source = write(tmp_path / "in.mp4", frames[:6], times, sound="aac")
    frontalize(fc, source, tmp_path / "out.mp4")
    np.testing.assert_allclose(times_of(tmp_path / "out.mp4"), times, atol=2e-3)
    with av.open(str(source)) as before, av.open(str(tmp_path / "out.mp4")) as after:
        packets = [[bytes(p) for p in c.demux(audio=0) if p.size] for c in (before, after)]
    assert len(packets[1]) >= 8
    assert packets[1] == packets[0][: len(packets[1])]  # copied, not encoded again


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("times", [[0.0, 1.0, 2.0], [0.0, 0.1, 0.2, 0.3, 0.9, 1.0, 2.0]])
def test_the_last_frame_lasts_as_long_as_the_one_before(tmp_path: Path, frames, suffix: str, times: list) -> None:
    with video.ClipWriter(tmp_path / f"out{suffix}") as clip:
        for picture, time in zip(frames, times, strict=False):
            clip.add(picture, time)
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        assert container.duration == pytest.approx(3e6, abs=2e3)
        *_, last = container.decode(video=0)
    assert last.time_base
    assert float(last.duration * last.time_base) == pytest.approx(1.0, abs=2e-3)
    np.testing.assert_allclose(times_of(tmp_path / f"out{suffix}"), times, atol=2e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_a_single_frame_lasts_as_long_as_the_source_s(fc: FaceCycle, frames, tmp_path: Path, suffix: str) -> None:
    source, out = write(tmp_path / "in.mp4", frames[:1], [0.0]), tmp_path / f"out{suffix}"
    frontalize(fc, source, out)
    with av.open(str(source)) as before, av.open(str(out)) as after:
        assert before.duration == pytest.approx(1e6 / RATE, abs=2e3)
        assert after.duration == pytest.approx(before.duration, abs=2e3)
    # Of several frames a face may be in one alone, the last.
    late = write(tmp_path / "late.mp4", [np.full_like(frames[0], 120), frames[0]], [0.0, 1 / RATE])
    frontalize(fc, late, out)
    with av.open(str(out)) as after:
        assert [float(f.duration * f.time_base) for f in after.decode(video=0)] == pytest.approx([1 / RATE], abs=2e-3)


def test_frames_of_one_time_are_shown_one_after_the_other(tmp_path: Path, frames) -> None:
    with video.ClipWriter(tmp_path / "out.mp4") as clip:
        for picture, time in zip(frames, [0.0, 0.1, 0.1, 0.05, 0.3], strict=False):
            clip.add(picture, time)
    times = times_of(tmp_path / "out.mp4")
    np.testing.assert_allclose(times, [0.0, 0.1, 0.1, 0.1, 0.3], atol=2e-3)
    assert (np.diff(times) > 0).all()


def test_frames_are_written_almost_as_they_are(tmp_path: Path, frames) -> None:
    with video.ClipWriter(tmp_path / "out.mp4") as clip:
        for number, picture in enumerate(frames):
            clip.add(picture, number / RATE)
    with av.open(str(tmp_path / "out.mp4")) as container:
        made = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    lost = np.mean([np.abs(one - other).mean() for one, other in zip(made, frames, strict=True)])
    assert lost < 4  # levels of 255; most of it because colours are stored for two by two pixels


def moments(path: Path) -> list[list[float]]:
    """The times of the pictures, and those of the sound, within a file."""
    with av.open(str(path)) as container:
        found: list[list[float]] = [[], []]
        for packet in container.demux():
            for frame in packet.decode():
                found[isinstance(frame, av.AudioFrame)].append(float(frame.time or 0.0))
    return found


@pytest.mark.parametrize("begin", [2.0, 8.0])  # so late that the header of the .mkv is not told
@pytest.mark.parametrize("out", ["out.mp4", "out.mkv"])
def test_sound_stays_level_with_pictures_that_begin_late(
    fc: FaceCycle, frames, tmp_path: Path, begin: float, out: str
) -> None:
    times = [begin + k / RATE for k in range(6)]
    source = write(tmp_path / "in.mkv", frames[:6], times, "aac", seconds=begin + 1)
    frontalize(fc, source, tmp_path / out)
    (shown, heard), (pictures, sound) = moments(source), moments(tmp_path / out)
    assert (shown[0], heard[0]) == pytest.approx((begin, 0.0), abs=2e-3)
    assert sound[-1] - pictures[-1] == pytest.approx(heard[-1] - shown[-1], abs=2e-3)


@pytest.mark.parametrize("name", ["10:31.mp4", "http:cc.mp4", "http:d/a.mp4"])
def test_a_colon_in_a_name_costs_no_sound_and_is_no_protocol(
    fc: FaceCycle, frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in.mp4", frames[:3], [0.0, 0.1, 0.2], sound="aac").rename("10:30.mp4")
    assert frontalize(fc, Path("10:30.mp4"), Path(name)) == []
    with av.open(f"file:{name}") as made:
        assert len(made.streams.audio) == 1


@pytest.mark.parametrize(
    ("name", "sound", "out"),
    [
        ("in.avi", "pcm_s16le", "out.mp4"),  # refused when the file is closed
        ("in.mkv", "pcm_s16le", "out.mp4"),
        ("in.mkv", "libopus", "out.mov"),  # refused by the header
        ("in.mkv", "flac", "out.mov"),
        ("in.mp4", "aac", "out.webm"),  # not in the list of its codecs
    ],
)
def test_sound_that_does_not_fit_is_left_out_with_a_word(
    fc: FaceCycle, frames, tmp_path: Path, name: str, sound: str, out: str
) -> None:
    source = write(tmp_path / name, frames[:8], [k / RATE for k in range(8)], sound, "stereo")
    remarks = frontalize(fc, source, tmp_path / out)
    assert len(remarks) == 1
    assert remarks[0][0] == str(tmp_path / out)
    assert "sound left out" in remarks[0][1]
    assert remarks[0][1].endswith("does not fit this kind of file; use .mkv")
    assert len(times_of(tmp_path / out)) == 8
    assert frontalize(fc, source, tmp_path / "kept.mkv") == []
    with av.open(str(tmp_path / "kept.mkv")) as kept:
        assert len(kept.streams.audio) == 1
    assert {path.name for path in tmp_path.iterdir()} == {name, out, "kept.mkv"}


def test_a_sound_of_no_known_codec_is_left_out(fc: FaceCycle, frames, tmp_path: Path) -> None:
    source = write(tmp_path / "in.avi", frames[:3], [0.0, 0.1, 0.2], "pcm_s16le")
    data = bytearray(source.read_bytes())
    place = data.rindex(b"strf") + 8  # the sound's WAVEFORMATEX, which begins with the codec's number
    data[place : place + 2] = b"\x77\x77"
    source.write_bytes(data)
    assert "sound left out" in frontalize(fc, source, tmp_path / "out.mp4")[0][1]


def test_a_clip_that_ffmpeg_refuses_is_one_error_and_leaves_nothing(
    fc: FaceCycle, frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "_fits", lambda *_: True)
    source = write(tmp_path / "in.mkv", frames[:3], [0.0, 0.1, 0.2], "pcm_s16le", "stereo")
    with pytest.raises(FaceCycleError, match=r"out\.mp4: cannot be written as a video .* choose another suffix"):
        frontalize(fc, source, tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


class Camera:
    """What OpenCV gives for a camera that never stops."""

    def __init__(self, picture: np.ndarray) -> None:
        self.picture, self.released = picture, False

    def read(self) -> tuple[bool, np.ndarray]:
        return True, self.picture

    def release(self) -> None:
        self.released = True


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_ends_a_recording_and_a_second_one_gives_it_up(
    fc: FaceCycle, frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, presses: int
) -> None:
    cv2 = pytest.importorskip("cv2")
    camera, before = Camera(frames[0]), signal.default_int_handler
    found = signal.signal(signal.SIGINT, before)  # what runs in the background is born deaf to it
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: camera)

    def remake(item: Item) -> Iterator[Faces]:
        for batch in fc.remake_batches("frontalize", item, size=64, batch_size=2):
            for _ in range(presses):  # as if networks ran: far from the camera
                signal.raise_signal(signal.SIGINT)
            yield batch

    out, items = tmp_path / "out.mp4", fc.read("webcam:0").items
    if presses == 1:
        assert save_remade(items, remake, out) == []
        assert len(times_of(out)) == 2
        assert camera.released
    else:
        with pytest.raises(KeyboardInterrupt):
            save_remade(items, remake, out)
        assert not list(tmp_path.iterdir())
    assert signal.signal(signal.SIGINT, found) is before


def test_a_video_leaves_room_on_the_sheet_and_what_is_cut_is_told(fc: FaceCycle, frames, tmp_path: Path) -> None:
    source = write(tmp_path / "long.mp4", frames[:6] * 3, [k / RATE for k in range(18)])
    Image.fromarray(frames[6]).save(tmp_path / "photo.png")
    (tmp_path / "bad.png").write_text("no picture")
    inputs, out = [source, tmp_path / "bad.png", tmp_path / "photo.png"], tmp_path / "sheet.png"
    left_out = cycle(inputs, Path(fc.about.source), out, cropped=True, device="cpu")
    assert left_out == [
        f"{tmp_path / 'bad.png'}: no picture, or in a format that is not read; use JPEG, PNG or WebP",
        f"{source}: all but its first 15 faces, a sheet holds 16",
    ]
    side, gap, head = 96, 4, 18
    with Image.open(out) as opened:
        sheet = np.asarray(opened.convert("RGB")).astype(int)
    assert sheet.shape[0] == 16 * (side + gap) + head + gap
    last = sheet[head + 15 * (side + gap) :][:side, gap : gap + side]
    photo = Image.fromarray(frames[6]).resize((32, 32), Image.Resampling.BOX).resize((side, side))
    assert np.abs(last - np.asarray(photo)).mean() < 8
    assert cycle(inputs[1:], Path(fc.about.source), out, cropped=True, device="cpu") == left_out[:1]


def test_an_input_is_never_written_over(fc: FaceCycle, frames, tmp_path: Path) -> None:
    face = tmp_path / "face.png"
    Image.fromarray(frames[0]).save(face)
    before = face.read_bytes()
    for out in (face, tmp_path):  # by its name, and by the place that a folder gives it
        with pytest.raises(FaceCycleError, match=r"face\.png: is an input"):
            frontalize(fc, face, out)
    (tmp_path / "hard.png").hardlink_to(face)
    (tmp_path / "soft.png").symlink_to(face)
    for name in ("hard.png", "soft.png"):  # and by another name of the same file
        with pytest.raises(FaceCycleError, match=rf"{name}: is an input"):
            frontalize(fc, face, tmp_path / name)
    assert face.read_bytes() == before


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_result_that_is_replaced_keeps_its_other_name_whole(
    fc: FaceCycle, frames, tmp_path: Path, suffix: str
) -> None:
    Image.fromarray(frames[0]).save(tmp_path / "face.png")
    (tmp_path / f"kept{suffix}").write_text("a user's")
    (tmp_path / f"out{suffix}").hardlink_to(tmp_path / f"kept{suffix}")
    frontalize(fc, tmp_path / "face.png", tmp_path / f"out{suffix}")
    assert (tmp_path / f"kept{suffix}").read_text() == "a user's"
    assert len(list(tmp_path.iterdir())) == 3


def test_no_file_of_a_user_is_taken_for_a_half_written_one(fc: FaceCycle, frames, tmp_path: Path) -> None:
    source = write(tmp_path / "w.partial.mp4", frames[:3], [0.0, 0.1, 0.2])
    others = [tmp_path / name for name in ("w.png.partial", "w.npz.partial")]
    for other in others:
        other.write_text("a user's")
    before = source.read_bytes()
    frontalize(fc, source, tmp_path / "w.mp4")
    Image.fromarray(frames[0]).save(tmp_path / "photo.jpg")
    frontalize(fc, tmp_path / "photo.jpg", tmp_path / "w.png")
    fc.embed(source, out=tmp_path / "w.npz")
    assert source.read_bytes() == before
    assert [other.read_text() for other in others] == ["a user's"] * 2
    assert len(list(tmp_path.iterdir())) == 7


def test_a_turned_video_is_set_upright(fc: FaceCycle, frames, tmp_path: Path) -> None:
    """A phone stores lying frames and says how to turn them; the face is found as if they stood."""
    upright = write(tmp_path / "upright.mp4", frames[:4], [k / RATE for k in range(4)])
    lying = write(
        tmp_path / "lying.mp4", [np.rot90(frame).copy() for frame in frames[:4]], [k / RATE for k in range(4)]
    )
    turn_by_header(lying)
    one, two = (fc.embed(path) for path in (upright, lying))
    assert one.status == two.status == ["ok"] * 4
    np.testing.assert_allclose(two.boxes, one.boxes, atol=6)


def turn_by_header(path: Path) -> None:
    """Write a quarter turn clockwise into the track header's matrix (ISO 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 4 + 20 + 16  # version and flags, times and ids, reserved to volume
    turned = [0, 0x10000, 0, -0x10000, 0, 0, SIDE << 16, 0, 0x40000000]
    data[place : place + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in turned)
    path.write_bytes(bytes(data))


def test_sound_without_pictures_is_an_error_that_names_the_file(fc: FaceCycle, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        audio = container.add_stream("aac", rate=16000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        samples.sample_rate, samples.pts = 16000, 0
        container.mux(audio.encode(samples))
        container.mux(audio.encode())
    with pytest.raises(FaceCycleError, match=r"sound\.mp4"):
        frontalize(fc, tmp_path / "sound.mp4", tmp_path / "out.mp4")


def test_a_file_that_is_no_video_is_named(fc: FaceCycle, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video at all" * 50)
    with pytest.raises(FaceCycleError, match=r"bad\.mp4"):
        frontalize(fc, tmp_path / "bad.mp4", tmp_path / "out.mp4")


def test_a_cut_video_gives_what_is_whole(fc: FaceCycle, frames, tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    write(source, [frame for frame in frames[:6] for _ in range(10)], [k / RATE for k in range(60)])
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 2 // 3])
    frontalize(fc, source, tmp_path / "out.mp4")
    assert 5 < len(times_of(tmp_path / "out.mp4")) < 60


def test_codes_over_a_video_become_tables_and_a_curve(fc: FaceCycle, frames, tmp_path: Path) -> None:
    import pyarrow.parquet

    source = write(tmp_path / "in.mp4", frames[:6], [k / RATE for k in range(6)])
    for name in ("codes.csv", "codes.npz", "codes.parquet"):
        fc.embed(source, out=tmp_path / name)
    with (tmp_path / "codes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    kept, table = np.load(tmp_path / "codes.npz"), pyarrow.parquet.read_table(tmp_path / "codes.parquet")
    assert len(rows) == len(kept["motion"]) == table.num_rows == 6
    np.testing.assert_allclose([float(row["time"]) for row in rows], [k / RATE for k in range(6)], atol=2e-3)
    np.testing.assert_allclose(
        [[float(row[f"motion_{k}"]) for k in range(16)] for row in rows], kept["motion"], atol=1e-5
    )
    with pytest.raises(FaceCycleError, match=r"codes\.xlsx"):
        fc.embed(source, out=tmp_path / "codes.xlsx")


@pytest.mark.parametrize("plot", ["matrix", "map", "curve"])
def test_figures_are_drawn(plot: str, fc: FaceCycle, frames, tmp_path: Path) -> None:
    source = write(tmp_path / "in.mp4", frames[:6], [k / RATE for k in range(6)])
    sample, reader = Sample(), fc.read(source)
    rows = list(reader)
    sample.add(fc.embed(source), rows)
    draw_figure(sample, tmp_path / "figure.png", plot)
    with Image.open(tmp_path / "figure.png") as picture:
        assert min(picture.size) > 200
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10


def test_a_matrix_shows_its_faces_in_the_margin(fc: FaceCycle, tmp_path: Path) -> None:
    green = np.zeros((32, 32, 3), np.uint8)
    green[..., 1] = 255  # in no colour map of the matrix
    sample, rows = Sample(), list(fc.read([green] * 3, cropped=True))
    sample.add(fc.embed([green] * 3, cropped=True), rows)
    draw_figure(sample, tmp_path / "figure.png", "matrix")
    with Image.open(tmp_path / "figure.png") as picture:
        seen = (np.asarray(picture.convert("RGB")) == (0, 255, 0)).all(2)
    left, top = seen.any(0).nonzero()[0], seen.any(1).nonzero()[0]
    assert seen.sum() > 6 * 20**2  # three above, three beside
    assert left[0] > 0 < top[0]  # and whole


def two_people(frames: list[np.ndarray]) -> Image.Image:
    return Image.fromarray(np.concatenate([frames[0], frames[6]], 1))


def test_a_further_face_takes_no_other_s_place(fc: FaceCycle, frames, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    two_people(frames).save(folder / "g.png")
    Image.fromarray(frames[3]).save(folder / "g@1.png")

    def remake(item: Item) -> Iterator[Faces]:
        return fc.remake_batches("frontalize", item, size=64, face="all")

    save_remade(fc.read(folder).items, remake, out)
    assert sorted(path.name for path in out.iterdir()) == ["g.png", "g@1.png", "g@2.png"]
    with Image.open(out / "g@1.png") as made:
        np.testing.assert_array_equal(np.asarray(made), fc.frontalize(folder / "g@1.png", size=64).faces[0])
    two_people(frames).save(tmp_path / "g.jpg")
    before = (folder / "g@1.png").read_bytes()
    one, other = fc.read([tmp_path / "g.jpg", folder / "g@1.png"]).items
    save_remade([one], remake, folder / "h.png")
    (folder / "g.png").unlink()
    save_remade([one], remake, folder / "g.png", sources=[other])
    assert (folder / "g@1.png").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["g.png", "g@1.png", "g@2.png", "h.png", "h@1.png"]


def test_what_is_made_of_a_folder_goes_into_another(fc: FaceCycle, frames, tmp_path: Path) -> None:
    for name in "ab":
        Image.fromarray(frames[0]).save(tmp_path / f"{name}.jpg")
    with pytest.raises(FaceCycleError, match="holds the inputs"):
        frontalize(fc, tmp_path, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert frontalize(fc, tmp_path, tmp_path / "frontal") == []  # below it is another
    assert sorted(path.name for path in (tmp_path / "frontal").iterdir()) == ["a.png", "b.png"]


def test_a_folder_may_have_a_dot_in_its_name(fc: FaceCycle, frames, tmp_path: Path) -> None:
    Image.fromarray(frames[0]).save(tmp_path / "anna.jpg")
    (tmp_path / "results.d").mkdir()
    assert frontalize(fc, tmp_path / "anna.jpg", tmp_path / "results.d") == []
    assert (tmp_path / "results.d/anna.png").is_file()


def test_a_video_may_begin_without_a_face_and_what_has_none_is_named(
    fc: FaceCycle, frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    from facecycle.cli import main

    grey = [np.full_like(frames[0], 120)] * 4

    def embed(*videos: Path) -> int | str | None:
        words = ["facecycle", "embed", *videos, "--weights", fc.about.source, "--out", tmp_path / "codes.npz"]
        monkeypatch.setattr(sys, "argv", [*map(str, words), "--batch-size", "2", "--device", "cpu"])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code

    intro = write(tmp_path / "intro.mp4", [*grey, *frames[:2]], [k / RATE for k in range(6)])
    assert not embed(intro)
    with np.load(tmp_path / "codes.npz") as codes:
        assert codes["status"].tolist() == ["no face"] * 4 + ["ok"] * 2
    nothing = write(tmp_path / "nothing.mp4", grey, [k / RATE for k in range(4)])
    capsys.readouterr()
    (tmp_path / "codes.npz").unlink()
    assert embed(nothing) == 2
    assert capsys.readouterr().err == f"facecycle: {nothing}: no face in any of 4 frames\n"
    assert not (tmp_path / "codes.npz").exists()
    with pytest.raises(FaceCycleError, match=r"nothing\.mp4: no face in any of 4 frames"):
        fc.embed(nothing)
    assert embed(nothing, nothing) == 2  # of several inputs each has its rows
    told = capsys.readouterr().err
    assert "none of 8 pictures shows a face" in told
    assert f"{nothing}: no face in 8 frames\n" in told
    for paste in (False, True):  # whole pictures without a made face are no result either
        with pytest.raises(FaceCycleError, match=r"nothing\.mp4: no face in any of 4 frames"):
            frontalize(fc, nothing, tmp_path / "out.mp4", paste=paste)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codes.npz", "intro.mp4", "nothing.mp4"]
    assert frontalize(fc, intro, tmp_path / "out.mp4") == [(str(intro), "4 frames without a face")]


def test_faces_are_counted_from_the_left(fc: FaceCycle, frames) -> None:
    both = np.concatenate([frames[0], frames[6]], 1)
    everybody = fc.embed(both, face="all")
    assert len(everybody) == 2
    assert everybody.boxes[0, 0] < SIDE <= everybody.boxes[1, 0]
    for index in (0, 1):
        np.testing.assert_allclose(fc.embed(both, face=index).motion[0], everybody.motion[index], atol=1e-6)
    with pytest.raises(FaceCycleError, match="no face 2: 2 in the picture"):
        fc.embed(both, face=2)
    with pytest.raises(FaceCycleError, match="face '²': give largest, all, or a number"):
        fc.embed(both, face="²")


def test_a_tiny_face_says_how_small(fc: FaceCycle, frames) -> None:
    page = Image.new("RGB", (300, 300), (120, 130, 120))
    page.paste(Image.fromarray(frames[0]).resize((26, 26)), (140, 140))
    with pytest.raises(FaceCycleError, match=r"face too small|no face"):
        fc.embed(page)


def test_what_no_camera_or_path_gives_is_named(fc: FaceCycle) -> None:
    with pytest.raises(FaceCycleError, match="webcam:97"):
        fc.embed("webcam:97")
    with pytest.raises(FaceCycleError, match="webcam:²: no such file"):
        find_items("webcam:²", SIDE)
    for camera in (-1, 100, "webcam:99999999999999999999999"):
        with pytest.raises(FaceCycleError, match="no such camera; give a number from 0 to 99"):
            find_items(camera, SIDE)
    with pytest.raises(FaceCycleError, match="download it first"):
        fc.embed("https://example.com/face.jpg")


def test_pasted_frames_keep_the_picture_around_the_face(fc: FaceCycle, frames, tmp_path: Path) -> None:
    made = fc.frontalize(frames[0], paste=True)
    whole = made.pictures[0]
    assert whole is not None
    assert whole.shape == frames[0].shape
    assert np.abs(whole[:4].astype(int) - frames[0][:4]).max() <= 1
    assert np.abs(whole.astype(int) - frames[0]).max() > 10


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_all_faces_of_a_picture_are_pasted_whatever_the_batch(fc: FaceCycle, frames, batch_size: int) -> None:
    picture = np.concatenate([frames[0], frames[6], frames[3]], 1)
    made = fc.frontalize(picture, face="all", paste=True, batch_size=batch_size)
    assert made.faces.shape == (3, 512, 512, 3)
    for row, whole in enumerate(made.pictures):
        assert whole is not None
        changed = [np.abs(part.astype(int)).max() > 10 for part in np.split(whole.astype(int) - picture, 3, 1)]
        assert changed == [column <= row for column in range(3)]


def test_where_an_expression_moves_nothing_the_picture_s_own_detail_stays(fc: FaceCycle, frames) -> None:
    large = np.asarray(Image.fromarray(frames[0]).resize((480, 480), Image.Resampling.BICUBIC)).astype(float)
    grain = np.random.default_rng(0).normal(0, 12, (480, 480, 1))
    picture = np.clip(large + grain, 0, 255).astype(np.uint8)
    blank = np.full((160, 160, 3), 120, np.uint8)
    calm = fc.deexpress([picture, blank], paste=True)  # of networks that have learnt no flow yet
    assert calm.status[1] == "no face"
    same = fc.translate(picture, [frames[0], blank], keep_pose=True, paste=True)
    painted = fc.frontalize(picture, paste=True).pictures[0]
    square = calm.squares[0]
    assert square is not None
    x, y, half = int(square.x), int(square.y), int(square.side / 4)
    inside = np.s_[y - half : y + half, x - half : x + half]
    lost = [
        np.abs(made[inside].astype(float) - picture[inside]).mean() for made in (calm.pictures[0], same.pictures[0])
    ]
    assert max(lost) < 4
    assert np.abs(painted[inside].astype(float) - picture[inside]).mean() > 8
    np.testing.assert_array_equal(same.pictures[1], picture)


def test_where_no_face_is_nothing_is_made_and_that_is_an_error(fc: FaceCycle, frames, tmp_path: Path) -> None:
    one, out = tmp_path / "one.png", tmp_path / "out.png"
    Image.fromarray(frames[0]).save(one)
    assert frontalize(fc, one, out) == []
    Image.new("RGB", (200, 200)).save(one)
    with pytest.raises(FaceCycleError, match=r"one\.png: no face"):  # though a former result lies there
        frontalize(fc, one, out)
    Image.new("RGB", (200, 200)).save(tmp_path / "other.png")
    items = fc.read([one, tmp_path / "other.png"]).items

    def remake(item):
        return fc.remake_batches("frontalize", item, size=64)

    with pytest.raises(FaceCycleError, match=r"none of 2 inputs could be used; the first: .*one\.png: no face"):
        save_remade(items, remake, tmp_path / "folder")
    with pytest.raises(FaceCycleError, match=r"all\.png: 2 inputs need a folder; give --out a name without \.png"):
        save_remade(items, remake, tmp_path / "all.png")


def test_files_say_that_their_faces_were_made(fc: FaceCycle, frames, tmp_path: Path) -> None:
    Image.fromarray(frames[0]).save(tmp_path / "photo.png")
    for name in ("made.png", "made.jpg", "made.webp"):
        items = fc.read(tmp_path / "photo.png").items
        save_remade(items, lambda item: fc.remake_batches("frontalize", item, size=64), tmp_path / name)
        with Image.open(tmp_path / name) as picture:
            said = picture.info["Software"] if name.endswith("png") else picture.getexif()[ExifTags.Base.Software]
        assert said == MADE
    clip = write(tmp_path / "in.mp4", frames[:2], [0.0, 0.1])
    for name in ("made.mp4", "made.mkv", "made.webm"):
        frontalize(fc, clip, tmp_path / name)
        with av.open(str(tmp_path / name)) as container:
            assert {key.lower(): value for key, value in container.metadata.items()}["comment"] == MADE


def test_a_video_drives_a_photo_by_command(fc: FaceCycle, frames, tmp_path: Path) -> None:
    source = write(tmp_path / "driver.mp4", frames[:4], [k / RATE for k in range(4)], sound="aac")
    Image.fromarray(frames[6]).save(tmp_path / "photo.png")
    command = [str(Path(sys.executable).with_name("facecycle")), "animate", "photo.png", source.name]
    options = ["--weights", fc.about.source, "--out", "out.mp4", "--size", "64", "--device", "cpu"]
    done = subprocess.run([*command, *options], cwd=tmp_path, env=QUIET, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(times_of(tmp_path / "out.mp4"), [k / RATE for k in range(4)], atol=2e-3)
    refused = subprocess.run(
        [*command[:3], "photo.png", *options], cwd=tmp_path, env=QUIET, capture_output=True, text=True
    )
    assert refused.returncode == 2
    assert "no video" in refused.stderr
