"""Pairs and batches: what is drawn, and that the order depends on the seed alone."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facecycle.data.faceset import FaceSet, ShardWriter, finish_faceset, write_faceset
from facecycle.data.pairs import BatchPlan, FacePairs, PairLoader
from facecycle.data.people import split_people
from facecycle.data.stores import open_store
from facecycle.errors import FaceCycleError

from .test_faceset import jpeg, row


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """Five people; clips of 12, 9, 1, 3 frames at 25/s and one of 4 photos."""
    root = write_faceset(
        tmp_path_factory.mktemp("pairs") / "set", size=64, margin=0.25, licence="CC0", origin="synthetic"
    )
    with ShardWriter(root, 0) as shard:
        for person, frames in enumerate((12, 9, 1, 3, 4)):
            for frame in range(frames):
                time = float("nan") if frames == 4 else frame / 10
                entry = {**row(f"p{person}", f"p{person}/0", frame), "time": time}
                shard.add(f"p{person}_{frame}", jpeg(person * 40 + frame), entry)
    finish_faceset(root, 1)
    return FaceSet.open(root)


def test_an_epoch_visits_every_frame_once_with_a_far_partner(faces: FaceSet) -> None:
    pairs = FacePairs(faces, min_gap_seconds=0.4, seed=1)
    assert (len(pairs), pairs.clips, pairs.short_clips) == (28, 4, 1)
    rows = np.array([pairs.rows((0, index)) for index in range(len(pairs))])
    assert len(set(rows[:, 0])) == len(pairs)
    clip, time = faces.columns["clip"], faces.columns["time"]
    assert (clip[rows[:, 0]] == clip[rows[:, 1]]).all()
    assert (rows[:, 0] != rows[:, 1]).all()
    gap = np.abs(time[rows[:, 0]] - time[rows[:, 1]])
    long = np.isin(clip[rows[:, 0]], ["p0/0", "p1/0"])
    assert (gap[long] >= 0.4 - 1e-9).all()
    ends = {(0.0, 0.2), (0.1, 0.0), (0.2, 0.0)}  # three frames: the farthest one
    short = rows[clip[rows[:, 0]] == "p3/0"]
    assert {(float(time[a]), float(time[b])) for a, b in short} == ends


def test_every_frame_is_drawn_as_a_partner_too(faces: FaceSet) -> None:
    pairs = FacePairs(faces, seed=2)
    drawn = {int(pairs.rows((epoch, index))[1]) for epoch in range(40) for index in range(len(pairs))}
    in_long_clips = set(np.flatnonzero(np.isin(faces.columns["clip"], ["p0/0", "p1/0", "p4/0"])).tolist())
    assert in_long_clips <= drawn


@given(st.integers(2, 5), st.integers(0, 2**32), st.integers(0, 5))
def test_frames_of_an_item_differ_and_follow_from_the_key(faces: FaceSet, k: int, seed: int, epoch: int) -> None:
    pairs, again = (FacePairs(faces, k, seed=seed) for _ in range(2))
    again.rows((epoch + 1, 0))  # what was asked before does not matter
    for index in range(0, len(pairs), 5):
        rows = pairs.rows((epoch, index))
        assert len(set(rows.tolist())) == k
        np.testing.assert_array_equal(rows, again.rows((epoch, index)))


def test_epochs_and_seeds_differ(faces: FaceSet) -> None:
    def order(seed: int, epoch: int) -> list:
        pairs = FacePairs(faces, seed=seed)
        return [pairs.rows((epoch, index)).tolist() for index in range(len(pairs))]

    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_people_are_chosen_and_unknown_ones_refused(faces: FaceSet) -> None:
    pairs = FacePairs(faces, people={"p1"})
    assert {str(faces.columns["person"][row]) for i in range(len(pairs)) for row in pairs.rows((0, i))} == {"p1"}
    with pytest.raises(FaceCycleError, match="'nobody'"):
        FacePairs(faces, people={"p1", "nobody"})


def test_a_set_of_single_frames_names_the_mend(faces: FaceSet) -> None:
    for origin, mend in (("synthetic", "draw it with more --frames"), ("prepare", "prepare it with a higher --fps")):
        shown = dataclasses.replace(faces, meta={**faces.meta, "origin": origin})
        with pytest.raises(FaceCycleError, match=f"none of 1 clips holds 2 frames; {mend}"):
            FacePairs(shown, people={"p2"})


def test_an_item_is_what_was_stored(faces: FaceSet) -> None:
    pairs = FacePairs(faces, seed=3)
    item = pairs[2, 7]
    assert item.shape == (2, 3, 80, 80)
    for picture, index in zip(item, pairs.rows((2, 7)), strict=True):
        np.testing.assert_array_equal(picture.transpose(1, 2, 0), faces.image(int(index)))


@given(st.integers(1, 50), st.integers(1, 12), st.integers(0, 30), st.sampled_from([1, 2, 3]))
def test_ranks_together_see_one_stream_and_epochs_are_whole(length: int, share: int, start: int, world: int) -> None:
    batch = share * world
    whole = BatchPlan(length, batch)
    ranks = [BatchPlan(length, batch, rank=rank, world=world) for rank in range(world)]
    assert whole.keys(start) == [key for rank in ranks for key in rank.keys(start)]
    assert next(iter(BatchPlan(length, batch, start_step=start))) == whole.keys(start)
    stream = [key for step in range(2 * length) for key in whole.keys(step)][: 2 * length]
    assert stream == [(epoch, index) for epoch in range(2) for index in range(length)]


def test_a_batch_that_cannot_be_split_is_refused() -> None:
    with pytest.raises(FaceCycleError, match="multiple of the 3 processes"):
        BatchPlan(10, 16, world=3)


def take(faces: FaceSet, count: int, **options) -> list[torch.Tensor]:
    return list(itertools.islice(PairLoader(FacePairs(faces, seed=5), 6, **options), count))


def test_batches_do_not_depend_on_workers_or_interruption(faces: FaceSet) -> None:
    state = torch.get_rng_state()
    plain = take(faces, 8)
    assert plain[0].shape == (6, 2, 3, 80, 80)
    for options in ({"workers": 1}, {"workers": 2}, {"workers": 2, "start_step": 5}):
        batches = take(faces, 8 - options.get("start_step", 0), **options)
        assert all(torch.equal(a, b) for a, b in zip(batches, plain[options.get("start_step", 0) :], strict=True))
    halves = [take(faces, 8, rank=rank, world=2) for rank in (0, 1)]
    assert all(torch.equal(torch.cat(parts), b) for *parts, b in zip(*halves, plain, strict=True))
    assert torch.equal(state, torch.get_rng_state())  # the global generator was left alone


def test_more_workers_than_cores_are_no_reason_to_warn(faces: FaceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    take(faces, 1, workers=2)  # warnings are errors here


def test_people_are_split_by_name(faces: FaceSet) -> None:
    train, held_out = split_people(faces, 0.3, seed=1)
    assert sorted(train + held_out) == faces.people()
    assert train
    assert held_out
    assert split_people(faces, 0.3, seed=1) == (train, held_out)
    assert split_people(faces, 0) == (faces.people(), [])
    assert len({tuple(split_people(faces, 0.4, seed)[1]) for seed in range(20)}) > 3


def named(people: list[str]) -> FaceSet:
    return FaceSet(open_store("set"), {}, {"person": np.array(people)})


def test_nobody_changes_sides_when_others_join() -> None:
    before = split_people(named([f"p{k}" for k in range(100)]), 0.2)
    after = split_people(named([f"p{k}" for k in range(300)]), 0.2)
    assert 10 < len(before[1]) < 30
    assert set(before[0]) < set(after[0])
    assert set(before[1]) < set(after[1])
    assert len(split_people(named(["Jos\udce9", "Ann"]))[0]) == 1  # a folder whose name is not UTF-8
    with pytest.raises(FaceCycleError, match="nobody can be held out"):
        split_people(named(["only"]))


def test_across_clips_a_person_is_one_long_clip(tmp_path: Path) -> None:
    root = write_faceset(tmp_path / "set", size=64, margin=0.25, licence="CC0", origin="synthetic")
    with ShardWriter(root, 0) as shard:
        for person, clip, frame in itertools.product("ab", (0, 1), range(2)):
            shard.add(f"{person}{clip}{frame}", jpeg(frame), row(f"p{person}", f"p{person}/{clip}", frame))
    finish_faceset(root, 1)
    faces = FaceSet.open(root)
    assert FacePairs(faces).clips == 4
    pairs = FacePairs(faces, across_clips=True)
    assert (len(pairs), pairs.clips) == (8, 2)
    rows = np.array([pairs.rows((epoch, index)) for epoch in range(20) for index in range(8)])
    person, clip = faces.columns["person"][rows], faces.columns["clip"][rows]
    assert (person[:, 0] == person[:, 1]).all()
    assert (clip[:, 0] != clip[:, 1]).any()
    assert not pairs.has_truth
    for dataset, names in ((pairs, "person"), (FacePairs(faces), "clip")):
        keys = [(3, index) for index in range(8)]
        named = faces.columns[names][[dataset.rows(key)[0] for key in keys]]
        whose = dataset.whose(keys)
        assert len(set(zip(whose.tolist(), named.tolist(), strict=True))) == len(set(named)) == len(set(whose.tolist()))


def test_frames_of_an_item_know_their_clips_and_photos_are_of_none(tmp_path: Path) -> None:
    root = write_faceset(tmp_path / "set", size=64, margin=0.25, licence="CC0", origin="synthetic")
    with ShardWriter(root, 0) as shard:
        for person, clip, time in itertools.product("ab", "01", (0.0, 1.0, 2.0)):
            entry = {**row(person, f"{person}/{clip}", int(time)), "time": time if person == "a" else float("nan")}
            shard.add(f"{person}{clip}{time:.0f}", jpeg(7), entry)
    finish_faceset(root, 1)
    faces = FaceSet.open(root)
    pairs = FacePairs(faces, 4, across_clips=True)
    keys = [(0, index) for index in range(len(pairs))]
    for key, numbers in zip(keys, pairs.clips_within(keys), strict=True):
        rows = pairs.rows(key)
        clip = faces.columns["clip"][rows]
        together = (clip[:, None] == clip) if faces.columns["person"][rows[0]] == "a" else np.eye(4, dtype=bool)
        np.testing.assert_array_equal(numbers[:, None] == numbers, together)


def test_of_a_video_with_several_faces_nobody_is_joined(tmp_path: Path) -> None:
    root = write_faceset(tmp_path / "set", size=64, margin=0.25, licence="CC0", origin="synthetic")
    with ShardWriter(root, 0) as shard:
        for number, clip in enumerate(
            ("ann/1.mp4#0", "ann/2.mp4#0", "ann/talk.mp4#0", "ann/talk.mp4#1", "bob/1.mp4#0", "bob/2.mp4#3")
        ):
            for frame in range(2):
                shard.add(f"{number}{frame}", jpeg(frame), row(clip[:3], clip, frame))
    finish_faceset(root, 1)
    faces = FaceSet.open(root)
    pairs = FacePairs(faces, across_clips=True)
    together = [set(faces.columns["clip"][pairs.rows((e, k))].tolist()) for e in range(20) for k in range(len(pairs))]
    assert {"ann/1.mp4#0", "ann/2.mp4#0"} in together
    assert {"bob/1.mp4#0", "bob/2.mp4#3"} in together
    assert all(len(names) == 1 for names in together if any("talk" in name for name in names))
