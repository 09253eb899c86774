"""Tracks: one per person while it is clear who is who, ended where it is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecycle.data.track import SceneChange, Seen, Tracker, overlaps

from .media import needs_real_faces, scene


def seen(x: float, y: float = 0, side: float = 100, look: int = 0) -> Seen:
    pattern = np.random.Generator(np.random.Philox(look)).uniform(0, 255, (16, 16, 3)).astype(np.float32)
    return Seen(np.array([x, y, side, side], float), pattern)


def test_a_moving_face_is_one_track_and_far_ones_are_others() -> None:
    tracker = Tracker(max_gap=0.5)
    for k in range(20):
        assert tracker.update(k * 0.2, [seen(10 * k), seen(900 - 10 * k, look=1)], cut=False) == [0, 1]


def test_the_order_of_detections_does_not_matter() -> None:
    tracker = Tracker(max_gap=0.5)
    assert tracker.update(0.0, [seen(0), seen(500, look=1)], cut=False) == [0, 1]
    assert tracker.update(0.2, [seen(500, look=1), seen(0)], cut=False) == [1, 0]


def test_a_track_waits_a_little_and_no_longer() -> None:
    tracker = Tracker(max_gap=0.5)
    assert tracker.update(0.0, [seen(0)], cut=False) == [0]
    assert tracker.update(0.2, [], cut=False) == []
    assert tracker.update(0.4, [seen(5)], cut=False) == [0]
    assert tracker.open == [0]
    assert tracker.update(1.2, [seen(5)], cut=False) == [1]


def test_a_cut_ends_all_tracks() -> None:
    tracker = Tracker(max_gap=0.5)
    tracker.update(0.0, [seen(0)], cut=False)
    assert tracker.update(0.2, [seen(0)], cut=True) == [1]


def test_another_face_in_the_same_place_is_another_track() -> None:
    tracker = Tracker(max_gap=0.5)
    tracker.update(0.0, [seen(0, look=0)], cut=False)
    assert tracker.update(0.2, [seen(0, look=7)], cut=False) == [1]


@pytest.mark.parametrize(("light", "look", "track"), [(30, 0, 0), (40, 0, 1), (0, 7, 1)])
def test_a_face_goes_on_in_slightly_other_light_and_nobody_else_for_it(light: float, look: int, track: int) -> None:
    tracker, one, other = Tracker(max_gap=0.5), seen(0), seen(0, look=look)
    tracker.update(0.0, [Seen(one.box, 100 + one.look / 6)], cut=False)
    assert tracker.update(0.2, [Seen(other.box, 100 + light + other.look / 6)], cut=False) == [track]


@pytest.mark.parametrize("hidden", [False, True])
def test_two_faces_crossing_end_both_tracks(hidden: bool) -> None:
    """Whether or not one hides the other as they meet, nobody inherits the other's track."""
    tracker = Tracker(max_gap=0.5)
    tracks: dict[str, set[int]] = {"a": set(), "b": set()}
    for k in range(41):
        a, b = 20.0 * k, 800 - 20.0 * k
        both = [("a", a), ("b", b)]
        if hidden and abs(a - b) < 60:
            both = [("a", a)]
        numbers = tracker.update(k * 0.2, [seen(x) for _, x in both], cut=False)
        for (name, _), number in zip(both, numbers, strict=True):
            tracks[name].add(number)
    assert not tracks["a"] & tracks["b"]
    assert all(len(numbers) >= 2 for numbers in tracks.values())


boxes = st.tuples(*[st.floats(0, 50)] * 2, *[st.floats(1, 50)] * 2)


@given(st.lists(boxes, min_size=1, max_size=4), st.lists(boxes, min_size=1, max_size=4))
def test_overlap_is_a_share_and_one_for_itself(a: list, b: list) -> None:
    one, two = np.array(a), np.array(b)
    table = overlaps(one, two)
    assert table.shape == (len(a), len(b))
    assert ((table >= 0) & (table <= 1 + 1e-9)).all()
    np.testing.assert_allclose(table, overlaps(two, one).T)
    np.testing.assert_allclose(np.diag(overlaps(one, one)), 1)


@given(st.lists(st.lists(st.integers(0, 6), max_size=4, unique=True), max_size=8))
def test_no_track_is_given_twice_in_a_frame_and_numbers_only_grow(frames: list[list[int]]) -> None:
    tracker, fresh = Tracker(max_gap=0.5), 0
    for k, places in enumerate(frames):
        numbers = tracker.update(k * 0.2, [seen(40.0 * place) for place in places], cut=False)
        assert len(set(numbers)) == len(numbers)
        assert set(numbers) <= set(tracker.open)
        new = [number for number in numbers if number >= fresh]
        assert new == list(range(fresh, fresh + len(new)))
        fresh += len(new)


@needs_real_faces
def test_motion_is_no_cut_and_another_scene_is() -> None:
    change = SceneChange()
    assert not any(change(scene([(0, 150 + 25 * k, 20)])) for k in range(10))
    assert change(scene([(1, 150, 20)], shade=220))
    assert not change(scene([(1, 155, 20)], shade=220))


def halves(top: int, bottom: int, share: float = 0.5) -> np.ndarray:
    """A picture of two greys, the upper one on that share of it."""
    picture = np.full((360, 640, 3), bottom, np.uint8)
    picture[: round(360 * share)] = top
    return picture


@pytest.mark.parametrize(
    ("before", "after", "cut"),
    [
        (halves(40, 110), halves(110, 40), True),  # other pixels of the same colours
        (halves(40, 50, share=0.6), halves(80, 50, share=0.6), True),  # other colours on most of it
        (halves(40, 50, share=0.2), halves(140, 50, share=0.2), False),  # on a small part
        (halves(60, 60), halves(68, 68), False),  # a little more light
    ],
)
def test_a_cut_changes_most_colours_or_nearly_all_pixels(before: np.ndarray, after: np.ndarray, cut: bool) -> None:
    change = SceneChange()
    assert [change(picture) for picture in (before, before, after, after)] == [False, False, cut, False]
