"""prepare and inspect, on real files: what goes in comes out, whatever happens on the way."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from facecycle.data.clips import ClipWriter, CropOptions, sharpness
from facecycle.data.cluster import Crops
from facecycle.data.detect import build_detector
from facecycle.data.extract import extract_source
from facecycle.data.faceset import FaceSet
from facecycle.data.frames import Frame
from facecycle.data.prepare import plan_shards, prepare
from facecycle.data.sources import Source
from facecycle.errors import FaceCycleError

from .media import blobs, colours, needs_real_faces, portrait, scene, walk, write_sound, write_video

WHOLE = CropOptions(detector="none", min_face=8, min_change=0, fps=0)


def content(root: Path) -> dict[str, str]:
    """What must not depend on how the work was done: everything but how long it took."""
    files = [*root.glob("shards/*.tar"), *root.glob("shards/*.npz"), root / "manifest.npz", root / "faceset.json"]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@needs_real_faces
def test_a_video_becomes_a_clip_of_well_placed_faces(tmp_path: Path) -> None:
    video = write_video(tmp_path / "ann.mp4", walk(100))
    report = prepare([video], tmp_path / "set", CropOptions(min_change=0), licence="CC BY 4.0", workers=1)
    faces = FaceSet.open(tmp_path / "set")
    assert report.statuses == {"ok": 1}
    assert report.count("frames") == 20
    assert faces.people() == ["ann"]
    assert len(faces) == 20
    assert len(faces.clips()) == 1
    columns = faces.columns
    np.testing.assert_allclose(np.diff(columns["time"]), 0.2, atol=1e-3)
    # The head moves by 120 pixels; in the crop, the landmarks stay where they are.
    scale = 64 / columns["crop"][:, 2]
    placed = (columns["landmarks"] - columns["crop"][:, None, :2]) * scale[:, None, None] + 32
    assert columns["crop"][:, 0].std() > 50
    assert placed.std(axis=0).max() < 2
    assert (columns["sharpness"] > 0).all()
    assert faces.licence == "CC BY 4.0"


@needs_real_faces
def test_scene_changes_and_crossing_people_make_other_clips(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_video(tmp_path / "in/cut.mp4", walk(50, person=0) + walk(50, person=1, shade=220))
    crossing = [scene([(2, 4 * k, 30), (4, 440 - 4 * k, 30)]) for k in range(110)]
    write_video(tmp_path / "in/crossing.mkv", crossing)
    prepare([tmp_path / "in"], tmp_path / "set", CropOptions(min_change=0), workers=1)
    faces = FaceSet.open(tmp_path / "set")
    clips = {name: [c for c in faces.clips() if faces.columns["person"][c[0]] == name] for name in faces.people()}
    assert len(clips["cut"]) == 2
    assert len(clips["crossing"]) >= 3
    # The head that moves to the right and the one that moves to the left share no clip.
    for clip in clips["crossing"]:
        step = np.diff(faces.columns["crop"][clip, 0])
        assert (step > -8).all() or (step < 8).all()


@needs_real_faces
def test_voxceleb_takes_the_speaker_of_its_track_file(tmp_path: Path) -> None:
    folder = tmp_path / "in/id10001/Xy"
    folder.mkdir(parents=True)
    write_video(folder / "00001.mp4", [scene([(0, 20, 30), (1, 400 + k, 30)]) for k in range(50)])
    (folder / "00001.txt").write_text("FRAME X Y W H\n" + "\n".join(f"{k:06d} 420 80 160 200" for k in range(50)))
    prepare([tmp_path / "in"], tmp_path / "set", workers=1)
    faces = FaceSet.open(tmp_path / "set")
    assert faces.people() == ["id10001"]
    assert (faces.columns["crop"][:, 0] > 400).all()


@needs_real_faces
def test_photos_are_of_one_person_and_bystanders_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "in/ann").mkdir(parents=True)
    beside = [scene([(0, 220, 30), (bystander, x, 30)]) for bystander in (1, 5) for x in (15, 430)]
    behind = Image.fromarray(scene([(0, 200, 30)]))
    behind.paste(portrait(1).resize((100, 150)), (420, 60))
    for number, picture in enumerate([*beside, np.asarray(behind)]):
        Image.fromarray(picture).save(tmp_path / f"in/ann/{number}.png")
    report = prepare([tmp_path / "in"], tmp_path / "set", CropOptions(min_change=0), workers=1)
    assert (report.count("faces"), report.count("kept"), report.dropped) == (10, 5, {})
    faces = FaceSet.open(tmp_path / "set")
    np.testing.assert_allclose(faces.columns["crop"][:, 0], [320, 320, 320, 320, 300], atol=10)


def test_nobody_is_followed_across_a_cut(tmp_path: Path) -> None:
    """The pictures before and after are so alike that by their looks they could be one face in other light."""
    dark = np.broadcast_to(np.linspace(38, 62, 96)[None, :, None], (64, 96, 3))
    shades = {"cut": [0] * 10 + [26] + [0] * 10 + [26] * 10, "fade": range(27)}
    (tmp_path / "in").mkdir()
    for name, light in shades.items():
        write_video(tmp_path / f"in/{name}.mp4", [(dark + more).astype(np.uint8) for more in light])
    report = prepare([tmp_path / "in"], tmp_path / "set", WHOLE, workers=1)
    faces = FaceSet.open(tmp_path / "set")
    scenes = [(faces.columns["person"][clip[0]], faces.columns["frame"][clip].tolist()) for clip in faces.clips()]
    expected = [("cut", [*range(10)]), ("cut", [*range(11, 21)]), ("cut", [*range(21, 31)]), ("fade", [*range(27)])]
    assert sorted(scenes) == expected
    assert report.dropped == {"lone": 1}  # of the scene of one frame


@pytest.mark.parametrize(
    ("options", "limit"),
    [(CropOptions(detector="none"), 32), (CropOptions(detector="none", min_face=50), 50)],
    ids=["unless told", "as told"],
)
def test_a_face_is_left_out_if_its_shorter_side_is_below_the_limit(
    tmp_path: Path, options: CropOptions, limit: int
) -> None:
    sizes = [(limit, 90), (limit - 1, 90), (90, limit), (90, limit - 1), (limit, limit)]
    (tmp_path / "in/ann").mkdir(parents=True)
    for number, size in enumerate(sizes):
        Image.new("RGB", size, (50 * number, 90, 20)).save(tmp_path / f"in/ann/{number}.png")
    report = prepare([tmp_path / "in"], tmp_path / "set", options, workers=1)
    assert FaceSet.open(tmp_path / "set").columns["frame"].tolist() == [0, 2, 4]
    assert report.dropped == {"small": 2}


def test_sharpness_is_how_much_the_laplacian_varies_within_the_margin() -> None:
    picture = np.full((80, 80, 3), 20, np.uint8)
    picture[40, 30] = (50, 80, 200)  # by 90 brighter on average
    picture[:8] = picture[:, -8:] = 255  # the margin does not count
    assert sharpness(picture, 64) == pytest.approx(90**2 * (4**2 + 4) / 62**2)


def test_each_frame_is_stored_with_its_own_sharpness(tmp_path: Path) -> None:
    (tmp_path / "in/ann").mkdir(parents=True)
    noise = np.random.Generator(np.random.Philox(3)).integers(0, 255, (64, 64, 3), np.uint8)
    for number, blur in enumerate((1.0, 0.0, 0.5)):
        Image.fromarray(noise).filter(ImageFilter.GaussianBlur(blur)).save(tmp_path / f"in/ann/{number}.png")
    options = CropOptions(detector="none", min_change=0, quality=100)
    prepare([tmp_path / "in"], tmp_path / "set", options, workers=1)
    faces = FaceSet.open(tmp_path / "set")
    stored = faces.columns["sharpness"]
    np.testing.assert_allclose(stored, [sharpness(faces.image(row), 64) for row in range(3)], rtol=0.1)
    assert stored[0] < stored[2] < stored[1]


def test_every_bad_source_is_counted_with_its_reason(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    write_video(root / "good.mp4", blobs(20))
    noise = np.random.Generator(np.random.Philox(1)).integers(0, 99, (60, 64, 96, 3))
    cut = write_video(root / "cut.mkv", list((noise + np.arange(96)[:, None]).astype(np.uint8)))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    write_sound(root / "sound.mp4")
    (root / "empty.avi").write_bytes(b"")
    (root / "letter.mov").write_text("Dear Sir" * 50)
    report = prepare([root], tmp_path / "set", WHOLE, workers=1)
    rows = {row["name"].split("/")[1]: row for row in report.sources}
    assert {name: row["status"] for name, row in rows.items()} == {
        "good.mp4": "ok",
        "cut.mkv": "partial",
        "sound.mp4": "failed",
        "empty.avi": "failed",
        "letter.mov": "failed",
    }
    assert all(row["reason"] for name, row in rows.items() if name != "good.mp4")
    assert rows["cut.mkv"]["kept"] > 0
    assert len(FaceSet.open(tmp_path / "set")) == report.count("kept")
    written = [json.loads(line) for line in (tmp_path / "set/sources.jsonl").read_text().splitlines()]
    assert written == report.sources


def test_a_video_without_faces_is_empty_not_failed(tmp_path: Path) -> None:
    report = prepare(str(write_video(tmp_path / "a.mp4", blobs(20))), str(tmp_path / "set"), workers=1)
    (row,) = report.sources
    assert (row["status"], row["kept"], row["dropped"]) == ("empty", 0, {"no face": 4})
    with pytest.raises(FaceCycleError, match="holds no faces"):
        FaceSet.open(tmp_path / "set")


@pytest.mark.parametrize(
    ("spacing", "fps", "kept"),
    [(0.2, 0, 12), (1.0, 5, 12), (2.9, 5, 12), (4.0, 5, 0), (4.0, 0.25, 12)],
)
def test_a_slow_video_is_followed_as_long_as_it_is_safe(tmp_path: Path, spacing: float, fps: float, kept: int) -> None:
    file = write_video(tmp_path / "a.mkv", blobs(12), times=[spacing * k for k in range(12)])
    options = CropOptions(detector="none", min_face=8, min_change=0, fps=fps)
    report = prepare([file], tmp_path / "set", options, workers=1)
    assert report.count("kept") == kept
    assert report.dropped == ({} if kept else {"too far apart": 12})


@pytest.mark.parametrize("missed", [0, 1, 2, 3])
def test_a_face_may_be_missed_twice_in_a_row(tmp_path: Path, missed: int) -> None:
    clips, frame = ClipWriter(Source("a", "a", (), video=True), 0, Crops(), CropOptions(min_face=8)), blobs(1)[0]
    face = build_detector("none", None, 8)(frame)
    for k in range(8):
        seen = face if k < 3 or k >= 3 + missed else []
        clips.add(Frame(k, 0.2 * k, np.clip(frame + 3 * k, 0, 255).astype(np.uint8)), seen)
    clips.close()
    assert len({row["clip"] for _, _, row in clips.shard.frames}) == (2 if missed == 3 else 1)


def test_a_source_too_large_for_the_memory_costs_only_itself(tmp_path: Path) -> None:
    def detector(_: np.ndarray) -> list:
        raise MemoryError

    source = Source("a", "a", (str(write_video(tmp_path / "a.mp4", blobs(3))),), video=True)
    row = extract_source(source, 0, Crops(), detector, WHOLE)
    assert (row["status"], row["kept"]) == ("failed", 0)
    assert "too large for the memory" in row["reason"]


def test_a_bad_photo_costs_only_itself(tmp_path: Path) -> None:
    root = colours(tmp_path / "in", people=2)
    (root / "p00/1.png").write_bytes(b"")
    report = prepare([root], tmp_path / "set", WHOLE, workers=1)
    assert [(row["status"], row["kept"]) for row in report.sources] == [("partial", 2), ("ok", 3)]
    assert "1.png: no picture" in report.sources[0]["reason"]
    assert report.dropped == {"unreadable": 1}


def test_duplicates_are_dropped_and_long_clips_thinned_evenly(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(96)[None, :, None], (64, 96, 3))
    file = write_video(tmp_path / "a.mp4", [(ramp + 3 * (k // 2)).astype(np.uint8) for k in range(100)])
    options = CropOptions(detector="none", min_face=8, fps=0, max_frames=16)
    report = prepare([file], tmp_path / "set", options, workers=1)
    faces = FaceSet.open(tmp_path / "set")
    assert report.dropped["duplicate"] >= 50
    assert len(faces.clips()) == 1
    assert 8 < len(faces) <= 16
    steps = np.diff(faces.columns["frame"])
    assert steps.max() <= 2 * steps.min()


def test_the_face_set_does_not_depend_on_the_workers(tmp_path: Path) -> None:
    root = colours(tmp_path / "in")
    prepare([root], tmp_path / "one", WHOLE, workers=1)
    prepare([root], tmp_path / "two", WHOLE, workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert len(FaceSet.open(tmp_path / "two")) == 60


def test_a_finished_set_is_left_alone_and_other_options_are_refused(tmp_path: Path) -> None:
    root = colours(tmp_path / "in", people=3)
    first = prepare([root], tmp_path / "set", WHOLE, workers=1)
    stamps = {file: file.stat().st_mtime_ns for file in (tmp_path / "set").rglob("*.*") if file.name != ".lock"}
    again = prepare([root], tmp_path / "set", WHOLE, workers=1)
    stamps_after = {file: file.stat().st_mtime_ns for file in stamps if file.name != "faceset.json"}
    assert again == first
    assert stamps_after.items() <= stamps.items()
    with pytest.raises(FaceCycleError, match="begun with size=64, asked for 128"):
        prepare([root], tmp_path / "set", CropOptions(size=128, detector="none", min_face=8, min_change=0, fps=0))
    colours(tmp_path / "more", people=1)
    (tmp_path / "more/p00").rename(root / "more")
    with pytest.raises(FaceCycleError, match="begun with sources="):
        prepare([root], tmp_path / "set", WHOLE)


PREPARE = """
import sys, time
from pathlib import Path
from facecycle.data import clips
from facecycle.data.prepare import prepare
plain = clips.encode
def slow(picture, quality):
    time.sleep(0.02)  # so that there is a moment to be killed in
    return plain(picture, quality)
clips.encode = slow
options = clips.CropOptions(detector="none", min_face=8, min_change=0, fps=0)
prepare([Path(sys.argv[1])], Path(sys.argv[2]), options, workers=1)
"""


def committed(out: Path) -> int:
    """Sources that an interrupted face set holds: those of whole shards, and those in the journals of others."""
    lines = 0
    for shard in {file.with_suffix("") for kind in ("journal", "npz") for file in out.glob(f"shards/*.{kind}")}:
        with suppress(FileNotFoundError):  # a journal goes as soon as its shard is whole
            notes = shard.with_suffix(".jsonl" if shard.with_suffix(".npz").exists() else ".journal")
            lines += notes.read_bytes().count(b"\n")
    return lines


def kill_after(sources: int, out: Path, *script: str) -> None:
    """Run a Python script that fills ``out``, and kill it as soon as that many sources are in."""
    with subprocess.Popen([sys.executable, "-c", *script]) as process:
        try:
            while committed(out) < sources:
                assert process.poll() is None, "it finished before it could be killed"
                time.sleep(0.002)
        finally:
            process.kill()


def test_kill_at_any_moment_loses_nothing_finished(tmp_path: Path) -> None:
    root, out = colours(tmp_path / "in", people=40), tmp_path / "killed"
    before = 0
    for _ in range(4):
        kill_after(before + 7, out, PREPARE, str(root), str(out))
        assert committed(out) >= before + 7
        before = committed(out)
        with pytest.raises(FaceCycleError, match="not finished"):
            FaceSet.open(out)
    resumed: list[int] = []

    def tell(what: str, value: object) -> None:
        if what == "resumed" and isinstance(value, list):
            resumed.append(len(value))

    prepare([root], out, WHOLE, workers=1, tell=tell)
    assert sum(resumed) == before
    prepare([root], tmp_path / "whole", WHOLE, workers=1)
    assert content(out) == content(tmp_path / "whole")


def children(process: int) -> list[int]:
    """The processes that one has started; on Linux."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_a_video_that_grew_meanwhile_moves_no_source_to_another_shard(tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "set"
    root.mkdir()
    videos = [write_video(root / f"v{k}.mp4", blobs(8)) for k in range(8)]
    whole = videos[6].read_bytes()
    videos[6].write_bytes(whole + bytes(3_000_000))  # as if much of it were still to come
    kept = 0

    def stop(what: str, value: object) -> None:
        nonlocal kept
        kept += what == "source"
        if kept == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(root, out, WHOLE, workers=1, tell=stop)
    videos[6].write_bytes(whole)
    report = prepare(root, out, WHOLE, workers=1)
    assert [row["name"] for row in report.sources] == [f"in/v{k}.mp4" for k in range(8)]


def in_two_processes(root: Path, out: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """`PREPARE` by two slow workers, both at work, and its processes."""
    *first, last = PREPARE.replace("workers=1", "workers=2").splitlines()
    (out.parent / "run.py").write_text("\n".join([*first, "if __name__ == '__main__':", f"    {last}"]))
    process = subprocess.Popen(
        [sys.executable, str(out.parent / "run.py"), str(root), str(out)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while len(list(out.glob("shards/*.journal"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = children(process.pid)
    assert len(workers) >= 2
    return process, workers


def test_a_killed_worker_is_told_with_what_it_was_reading(tmp_path: Path) -> None:
    process, workers = in_two_processes(colours(tmp_path / "in", people=60), tmp_path / "set")
    os.kill(max(workers), signal.SIGKILL)
    assert re.search(r"a worker process was killed .*; what was being read, .*: in/p\d\d", process.communicate()[1])


def test_workers_leave_with_a_killed_parent(tmp_path: Path) -> None:
    root, out = colours(tmp_path / "in", people=60), tmp_path / "set"
    process, workers = in_two_processes(root, out)
    process.kill()
    process.communicate()
    gone_by = time.monotonic() + 30
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < gone_by
        time.sleep(0.05)
    report = prepare([root], out, WHOLE, workers=2)
    assert report.count("kept") == 180
    prepare([root], tmp_path / "whole", WHOLE, workers=1)
    assert content(out) == content(tmp_path / "whole")


@pytest.fixture
def small_disk(tmp_path: Path):
    """A disk of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_the_work_goes_on_with_more_space(tmp_path: Path, small_disk: Path) -> None:
    root, out = colours(tmp_path / "in", people=40), small_disk / "set"
    with pytest.raises(FaceCycleError, match=r"the disk is full; free some space and run the same command again"):
        prepare([root], out, WHOLE, workers=1)
    with pytest.raises(FaceCycleError, match="not finished"):
        FaceSet.open(out)
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    prepare([root], out, WHOLE, workers=1)
    prepare([root], tmp_path / "whole", WHOLE, workers=1)
    assert content(out) == content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("option", "value"),
    [("size", 32), ("size", 512), ("margin", -0.1), ("fps", -1), ("quality", 10), ("max_frames", 1), ("min_face", 0)],
)
def test_options_out_of_range_are_refused(tmp_path: Path, option: str, value: float) -> None:
    with pytest.raises(FaceCycleError, match=rf"{option}={value}: must lie between"):
        prepare([tmp_path], tmp_path / "set", CropOptions(**{option: value}))
    with pytest.raises(FaceCycleError, match="workers=0: at least 1"):
        prepare([tmp_path], tmp_path / "set", WHOLE, workers=0)


def test_two_writers_of_one_set_are_refused(tmp_path: Path) -> None:
    root, out = colours(tmp_path / "in", people=2), tmp_path / "set"

    def second(what: str, value: object) -> None:
        if what == "source":
            prepare([root], out, WHOLE, workers=1)

    with pytest.raises(FaceCycleError, match="another process is writing it"):
        prepare([root], out, WHOLE, workers=1, tell=second)


def test_shards_hold_neighbours_and_about_as_much_each(tmp_path: Path) -> None:
    sources = [Source(f"s{k}", "p", ("x",) * (1 + k % 7)) for k in range(3000)]
    plan = plan_shards(sources)
    assert [k for part in plan for k in range(part.start, part.stop)] == list(range(3000))
    sizes = [sum(len(source.files) + 1 for source in sources[part]) for part in plan]
    assert max(sizes) < 1.2 * min(sizes)
    assert len(plan_shards([sources[0]] * 5)) == 5


def test_names_with_brackets_are_shown_whole_and_a_set_without_faces_is_an_error(
    tmp_path: Path, capsys, monkeypatch
) -> None:
    from facecycle.cli import main

    (tmp_path / "b[").mkdir()
    (tmp_path / "b[/c] [final cut].mp4").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["facecycle", "prepare", "b[", "set [new]", "--detector", "none"])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    assert ended.value.code == 2
    assert "set [new]: written, but no face was kept; see set [new]/sources.jsonl" in shown.err
    assert "c] [final cut].mp4" in shown.out
    assert "people: 1, in 1 sources" in shown.out
