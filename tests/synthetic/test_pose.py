"""Head pose: the signs of 300W-LP, seen in landmarks; rotations that are rotations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from people import person, units

from facecycle.synthetic.mesh import LEVELS
from facecycle.synthetic.pose import neck_levels, rotation
from facecycle.synthetic.posing import State, pose_person

degrees = st.floats(-85, 85)


def landmarks(**pose: float) -> np.ndarray:
    """x to image right, y down."""
    return pose_person(person(), State(units(), **pose)).landmarks * [1, -1, 1]


@given(degrees, degrees, degrees)
def test_rotations_are_orthonormal(yaw, pitch, roll):
    matrix = rotation(yaw, pitch, roll)
    assert np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(matrix) == pytest.approx(1)


@given(degrees, degrees, degrees)
def test_the_neck_leads_from_torso_to_head(yaw, pitch, roll):
    head, torso = rotation(yaw, pitch, roll), rotation(yaw / 3, 0, 0)
    levels = neck_levels(head, torso, LEVELS)
    assert np.allclose(levels[0], torso, atol=1e-9)
    assert np.allclose(levels[-1], head, atol=1e-6)


def test_positive_yaw_turns_the_nose_to_image_left():
    def asymmetry(points: np.ndarray) -> float:
        return points[30, 0] - points[[36, 45], 0].mean()

    assert asymmetry(landmarks(yaw=30)) < asymmetry(landmarks()) - 0.1
    assert asymmetry(landmarks(yaw=-30)) > asymmetry(landmarks()) + 0.1


def test_positive_yaw_hides_the_image_left_half():
    points = landmarks(yaw=45)
    left, right = points[30, 0] - points[0, 0], points[16, 0] - points[30, 0]
    assert left < 0.3 * right


def test_positive_pitch_looks_up():
    def rise(points: np.ndarray) -> float:  # of the nose between eyes (0) and mouth (1)
        eyes, mouth = points[36:48, 1].mean(), points[48:60, 1].mean()
        return (points[30, 1] - eyes) / (mouth - eyes)

    assert rise(landmarks(pitch=20)) < rise(landmarks()) - 0.1
    assert rise(landmarks(pitch=-20)) > rise(landmarks()) + 0.1


def test_positive_roll_turns_clockwise():
    points = landmarks(roll=20)
    dx, dy = points[42:48, :2].mean(0) - points[36:42, :2].mean(0)
    assert np.degrees(np.arctan2(dy, dx)) == pytest.approx(20, abs=3)
