"""What happens in a clip: within limits, smooth, and changing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from people import clip

from facecycle.synthetic.expression import EMOTIONS, emotion_weights, gaze_turns, unit_index, weights_of
from facecycle.synthetic.seeds import stream
from facecycle.synthetic.tracks import PoseRange, Tracks


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 90), st.floats(0, 45), st.floats(0, 45))
def test_pose_stays_within_its_range(seed, yaw, pitch, roll):
    tracks = Tracks(stream(seed, "t"), 8.0, PoseRange(yaw, pitch, roll))
    poses = np.stack([tracks.pose_at(t) for t in np.linspace(0, 8, 50)])
    assert (np.abs(poses) <= np.array([yaw, pitch, roll]) + 1e-6).all()


def test_emotions_change_within_clips():
    kinds = [len({clip(0, k).tracks.emotion_at(t)[0] for t in np.linspace(0, 8, 40)}) for k in range(10)]
    assert np.mean(kinds) >= 2.5


def test_motion_is_smooth():
    scene = clip(0)
    times = np.arange(0, 8, 0.01)
    poses = np.stack([scene.tracks.pose_at(t) for t in times])
    assert np.abs(np.diff(poses, axis=0)).max() < 4  # degrees in 10 ms
    jaw = np.array([scene.state(t).units[unit_index()["jawOpen"]] for t in times[:300]])
    assert np.abs(np.diff(jaw)).max() < 0.12


def test_weights_are_within_reach():
    for k in range(5):
        for t in np.linspace(0, 8, 10):
            units = clip(0, k).state(t).units
            assert units.shape == (52,)
            assert (units >= 0).all()
            assert (units <= 1.15).all()


@pytest.mark.parametrize("emotion", list(EMOTIONS))
def test_a_posed_emotion_is_held(emotion):
    scene = clip(0, emotion=emotion)
    for t in (0.5, 4.0, 7.5):
        kind, strength = scene.tracks.emotion_at(t)
        assert (kind, strength) == ((emotion, 1.0) if emotion != "neutral" else ("neutral", 1.0))


def test_named_units_set_both_sides():
    weights = weights_of({"mouthSmile": 0.5, "jawOpen": 0.2})
    index = unit_index()
    assert weights[index["mouthSmileLeft"]] == weights[index["mouthSmileRight"]] == np.float32(0.5)
    assert weights.sum() == pytest.approx(1.2)
    with pytest.raises(KeyError):
        weights_of({"mouthGrin": 1.0})
    assert emotion_weights().shape == (7, 52)


def test_eyes_turn_where_the_units_say():
    right = gaze_turns(weights_of({"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0}))
    assert (right[:, 0, 2] > 0.3).all()  # both pupils move to image right
    up = gaze_turns(weights_of({"eyeLookUp": 1.0}))
    assert (up[:, 1, 2] > 0.3).all()
