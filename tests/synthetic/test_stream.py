"""The stream: a clip dataset whose items follow from (seed, epoch, index), and splits that cannot be mixed."""

import pickle

import numpy as np
import pytest

from facecycle.data.pairs import ClipDataset, PairLoader
from facecycle.errors import FaceCycleError
from facecycle.synthetic.seeds import PersonKey
from facecycle.synthetic.stream import COMPANY, SyntheticFaces


def stream(**changes) -> SyntheticFaces:
    return SyntheticFaces(**{"people": 3, "clips_per_person": 4, "seed": 5, **changes})


def test_it_is_a_clip_dataset():
    faces = stream()
    assert isinstance(faces, ClipDataset)
    assert (faces.size, faces.margin, faces.stored, faces.crop) == (64, 0.25, 80, "facecycle-v1")
    assert faces.licence == "CC0-1.0"
    assert len(faces) == 12
    item = faces[0, 0]
    assert item.shape == (2, 3, 80, 80)
    assert item.dtype == np.uint8


def test_items_depend_on_their_key_alone():
    one, other = stream(), pickle.loads(pickle.dumps(stream()))
    assert np.array_equal(one[1, 7], other[1, 7])
    assert not np.array_equal(one[0, 7], one[1, 7])
    assert not np.array_equal(one[1, 7], stream(seed=6)[1, 7])


def test_items_of_one_person_belong_together():
    faces = stream()
    keys = [(2, index) for index in range(len(faces))]
    assert [faces.people[who] for who in faces.whose(keys)] == [faces.person_key(key) for key in keys]


def test_frames_of_an_item_are_spread_over_one_clip():
    frames = stream(frames_per_item=4).frames((0, 1))
    times = [frame.time for frame in frames]
    assert times == sorted(times)
    assert times[-1] - times[0] > 3
    assert stream(frames_per_item=4)[0, 1].shape[0] == 4


@pytest.mark.parametrize("people", [1, 3, COMPANY, COMPANY + 7])
def test_an_epoch_shows_everybody_equally_often(people):
    faces = SyntheticFaces(people=people, clips_per_person=8)
    shown = [str(faces.person_key((2, k))) for k in range(len(faces))]
    counts = [shown.count(name) for name in set(shown)]
    assert len(counts) == people
    assert set(counts) == {8}
    company = min(people, COMPANY)
    assert all(len(set(shown[k : k + company])) >= company - 1 for k in range(0, len(faces) - company, company))


def test_any_number_of_workers_gives_the_same_batches():
    def first(workers: int) -> np.ndarray:
        return next(iter(PairLoader(stream(size=32), 2, workers))).numpy()

    assert np.array_equal(first(0), first(1))


def test_held_out_people_are_refused_in_training():
    held_out = [PersonKey("held-out", 0, 3)]
    with pytest.raises(FaceCycleError, match="never mixed"):
        stream(people=held_out, split="train")
    assert stream(people=held_out, split="held-out").people == held_out
    train, other = stream(people=50).people, stream(people=50, split="held-out").people
    assert not set(train) & set(other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 31}, "size=31"),
        ({"size": 513}, "size=513"),
        ({"margin": 1.5}, "margin=1.5"),
        ({"people": 0}, "people"),
        ({"clips_per_person": 0}, "clips_per_person=0"),
        ({"frames_per_item": 0}, "frames_per_item=0"),
        ({"split": "val"}, "split 'val'"),
    ],
)
def test_impossible_values_are_named(changes, message):
    with pytest.raises(FaceCycleError, match=message):
        stream(**changes)
