"""Head pose: yaw, pitch and roll in degrees, in the sign convention of 300W-LP and AFLW2000.

In the picture (x right, y down), for a viewer: **yaw > 0 turns the nose to image left, pitch > 0 looks up, roll > 0
turns the head clockwise**. The rotation that carries the frontal head to its pose is ``R = Rx(pitch) Ry(yaw) Rz(roll)``
in head axes (x image right, y up, z towards the viewer), each factor being the transpose of the usual matrix. Both
were checked on AFLW2000's ``Pose_Para`` and 3-D landmarks: of the six orders this one explains them best.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def rotation(yaw: float, pitch: float, roll: float) -> Float[np.ndarray, "3 3"]:
    """The matrix of a pose given in degrees."""
    (sy, sp, sr), (cy, cp, cr) = np.sin(np.radians((yaw, pitch, roll))), np.cos(np.radians((yaw, pitch, roll)))
    x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    z = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return x @ y @ z


def rotation_vector(matrix: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Axis times angle (radians) of a rotation by less than half a turn."""
    angle = np.arccos(np.clip((np.trace(matrix) - 1) / 2, -1, 1))
    if angle < 1e-7:
        return np.zeros(3)
    skew = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]])
    return skew * angle / (2 * np.sin(angle))


def neck_levels(
    head: Float[np.ndarray, "3 3"], torso: Float[np.ndarray, "3 3"], levels: int
) -> Float[np.ndarray, "levels 3 3"]:
    """Rotations in equal steps from the torso's to the head's: what vertices along the neck follow."""
    turn = rotation_vector(torso.T @ head)
    angle = float(np.linalg.norm(turn))
    if angle < 1e-9:
        return np.broadcast_to(torso, (levels, 3, 3))
    k = turn / angle
    cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    angles = np.linspace(0, angle, levels)[:, None, None]
    # Rodrigues' formula, one axis and many angles.
    return torso @ (np.eye(3) + np.sin(angles) * cross + (1 - np.cos(angles)) * (cross @ cross))
