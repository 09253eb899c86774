"""Frames of videos and picture folders, whole and damaged."""

from pathlib import Path

import numpy as np
import pytest

from facecycle.data.frames import Frame, ReadLog, read_frames
from facecycle.data.sources import Source

from .media import CODECS, blobs, write_sound, write_video


def read(path: Path, fps: float = 0, **more) -> tuple[list[Frame], ReadLog]:
    log = ReadLog()
    return list(read_frames(Source("s", "p", (str(path),), video=True, **more), fps, log)), log


@pytest.mark.parametrize("suffix", sorted(CODECS))
def test_every_container_gives_its_frames_in_order(tmp_path: Path, suffix: str) -> None:
    pictures = blobs(30)
    frames, log = read(write_video(tmp_path / f"clip{suffix}", pictures))
    assert log == ReadLog()
    assert [frame.number for frame in frames] == list(range(30))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(30) / 25, atol=0.002)
    assert all(np.abs(f.picture.astype(int) - p).mean() < 25 for f, p in zip(frames, pictures, strict=True))


def test_frames_are_picked_by_time_at_a_steady_and_at_a_variable_rate(tmp_path: Path) -> None:
    frames, _ = read(write_video(tmp_path / "steady.mp4", blobs(50)), fps=5)
    assert [frame.number for frame in frames] == list(range(0, 50, 5))
    times = [0, 0.01, 0.02, 0.21, 0.22, 0.9, 0.95, 1.0, 1.3]
    frames, _ = read(write_video(tmp_path / "variable.mkv", blobs(len(times)), times=times), fps=5)
    assert [frame.time for frame in frames] == pytest.approx([0, 0.21, 0.9, 1.0, 1.3], abs=0.002)


def test_a_turned_telephone_video_is_upright(tmp_path: Path) -> None:
    """The matrix that telephones write into an mp4 says: turn by 90 degrees clockwise to show."""
    file = write_video(tmp_path / "turned.mp4", blobs(5))
    straight = read(file)[0][0].picture
    data = bytearray(file.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 20 + 16
    one = 0x10000
    for k, value in enumerate((0, one, 0, -one, 0, 0, 64 * one, 0, 0x40000000)):
        data[matrix + 4 * k : matrix + 4 * k + 4] = value.to_bytes(4, "big", signed=True)
    file.write_bytes(data)
    np.testing.assert_array_equal(read(file)[0][0].picture, np.rot90(straight, -1))


def cut_file(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize(("name", "options"), [("a.mkv", {}), ("b.mp4", {"movflags": "faststart"}), ("c.webm", {})])
def test_a_cut_file_gives_what_came_before_the_cut(tmp_path: Path, name: str, options: dict) -> None:
    noise = np.random.Generator(np.random.Philox(0)).integers(0, 255, (100, 64, 96, 3), np.uint8)
    file = write_video(tmp_path / name, list(noise), options=options)
    frames, log = read(cut_file(file, 0.5))
    assert 20 < len(frames) < 80
    assert log.problem
    assert "cut short" in log.problem or "damaged" in log.problem


@pytest.mark.parametrize("name", ["a.mkv", "b.webm"])
def test_a_short_clip_that_is_cut_says_so_and_a_whole_one_does_not(tmp_path: Path, name: str) -> None:
    noise = np.random.Generator(np.random.Philox(0)).integers(0, 255, (20, 64, 96, 3), np.uint8)
    file = write_video(tmp_path / name, list(noise))
    assert read(file)[1] == ReadLog()
    frames, log = read(cut_file(file, 0.6))
    assert 5 < len(frames) < 18
    assert "of 0.8 s" in (log.problem or "")


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv"])
def test_a_title_in_an_old_encoding_costs_no_frame(tmp_path: Path, suffix: str) -> None:
    file = write_video(tmp_path / f"a{suffix}", blobs(10), title="cafe-cafe")
    data = file.read_bytes()
    assert data.count(b"cafe-cafe") == 1
    file.write_bytes(data.replace(b"cafe-cafe", b"caf\xe9-caf\xe9"))
    frames, log = read(file)
    assert (len(frames), log.problem) == (10, None)


@pytest.mark.parametrize("name", ["12:30.mp4", "http:x.mp4"])
def test_a_colon_in_a_name_is_no_protocol(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "plain.mp4", blobs(4)).rename(tmp_path / name)
    assert len(read(Path(name))[0]) == 4


def test_a_list_of_other_videos_is_not_followed(tmp_path: Path) -> None:
    write_video(tmp_path / "other.mp4", blobs(4))
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n")
    frames, log = read(tmp_path / "list.mp4")
    assert (frames, log.problem) == ([], "no video but a list of others")


def test_one_frame_a_second_is_not_cut(tmp_path: Path) -> None:
    assert read(write_video(tmp_path / "slow.mkv", blobs(3), times=[0, 1, 2]))[1] == ReadLog()


@pytest.mark.parametrize("name", ["one.mp4", "one.mkv", "one.mov"])
@pytest.mark.parametrize("rate", [10, 1])
def test_a_single_frame_is_not_cut(tmp_path: Path, name: str, rate: int) -> None:
    frames, log = read(write_video(tmp_path / name, blobs(1), rate=rate))
    assert (len(frames), log) == (1, ReadLog())


def test_damage_within_a_file_costs_only_what_it_hits(tmp_path: Path) -> None:
    file = write_video(tmp_path / "a.avi", blobs(60))
    data = bytearray(file.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    file.write_bytes(data)
    frames, _ = read(file)
    assert len(frames) > 20


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b""), "cannot be opened"),
        (lambda path: path.write_text("this is a letter" * 100), "cannot be opened"),
        (lambda path: cut_file(write_video(path, blobs(99)), 0.3), "cannot be opened"),  # the index was at its end
        (write_sound, "no pictures in it, sound only"),
        (
            lambda path: path.write_bytes(write_video(path, blobs(5)).read_bytes().replace(b"avc1", b"zzzz")),
            "its codec is not known here",
        ),
        (lambda path: write_video(path.with_suffix(".mkv"), blobs(1)).rename(path), ""),  # content decides
    ],
)
def test_what_is_no_video_says_so(tmp_path: Path, make, reason: str) -> None:
    make(tmp_path / "a.mp4")
    frames, log = read(tmp_path / "a.mp4")
    assert len(frames) == (0 if reason else 1)
    assert reason in (log.problem or "")


def test_a_video_of_no_frames_says_so(tmp_path: Path) -> None:
    file = write_video(tmp_path / "a.mkv", blobs(3))
    data = file.read_bytes()
    cluster = data.index(bytes.fromhex("1f43b675"))  # where Matroska's pictures begin
    file.write_bytes(data[:cluster])
    frames, log = read(file)
    assert frames == []
    assert log.problem


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])  # two that do not say how many frames they hold
@pytest.mark.parametrize("rows", ["{} 0.25 0.5 0.1 0.2", "{} 24 32 9.6 12.8"])
def test_a_track_file_says_where_the_face_is(tmp_path: Path, rows: str, suffix: str) -> None:
    file = write_video(tmp_path / f"00001{suffix}", blobs(10))
    header = "Identity : \tid10001\nOffset : \t3\n\nFRAME \tX \tY \tW \tH\n"
    (tmp_path / "00001.txt").write_text(header + "\n".join(rows.format(f"{n:06d}") for n in range(103, 108)))
    # The video was cut to the track: its first frame is the track's first.
    frames, log = read(file, tracks=str(tmp_path / "00001.txt"))
    assert [frame.number for frame in frames] == list(range(5))
    assert log.off_track == 5
    box = frames[0].box
    assert box is not None
    np.testing.assert_allclose(box, [24, 32, 9.6, 12.8])
    # In a video that holds the numbered frames, the numbers are its own.
    (tmp_path / "00001.txt").write_text(header + "\n".join(rows.format(f"{n:06d}") for n in range(3, 8)))
    frames, _ = read(file, tracks=str(tmp_path / "00001.txt"))
    assert [frame.number for frame in frames] == list(range(3, 8))


def test_a_track_file_counts_25_frames_a_second_whatever_the_videos_rate(tmp_path: Path) -> None:
    file = write_video(tmp_path / "00001.mp4", blobs(61), rate=30)
    rows = "\n".join(f"{n:06d} {n / 100} 0.1 0.1 0.1" for n in range(51))
    (tmp_path / "00001.txt").write_text(f"FRAME X Y W H\n{rows}\n")
    frames, log = read(file, tracks=str(tmp_path / "00001.txt"))
    assert (len(frames), log.off_track) == (61, 0)
    boxes = np.array([frame.box for frame in frames])
    np.testing.assert_allclose(boxes[:, 0], np.round(np.arange(61) / 30 * 25) / 100 * 96, atol=1e-6)


def test_a_track_file_that_is_gone_is_named(tmp_path: Path) -> None:
    frames, log = read(write_video(tmp_path / "00001.mp4", blobs(4)), tracks=str(tmp_path / "gone.txt"))
    assert (frames, log.problem) == ([], f"{tmp_path / 'gone.txt'}: No such file or directory")


def test_a_track_file_of_another_picture_size_is_not_used(tmp_path: Path) -> None:
    file = write_video(tmp_path / "00001.mp4", blobs(4))
    (tmp_path / "00001.txt").write_text("\n".join(f"{n} 600 300 200 200" for n in range(4)))
    frames, log = read(file, tracks=str(tmp_path / "00001.txt"))
    assert [frame.box for frame in frames] == [None] * 4
    assert "another picture size" in (log.note or "")
