"""From rest to a frame: face units, gaze, head and torso."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from facecycle.synthetic.assets import load_assets
from facecycle.synthetic.expression import crease_activation, gaze_turns
from facecycle.synthetic.kernels import add_targets, place_vertices, skin_normals, turn_vectors
from facecycle.synthetic.mesh import LEVELS, Mesh
from facecycle.synthetic.person import Person
from facecycle.synthetic.pose import neck_levels, rotation

PIVOT = np.array([0.0, -0.75, -0.15])  # where the neck bends, head-space decimetres before scaling


@dataclass(frozen=True)
class State:
    """What a person does at one moment.

    Attributes:
        units: weights of the 52 face units, about 0 .. 1.
        yaw, pitch, roll: degrees, see `facecycle.synthetic.pose`.
        torso: share of the head's yaw that the torso follows.
    """

    units: Float[np.ndarray, "52"]
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    torso: float = 0.0

    @property
    def pose(self) -> Float[np.ndarray, "3"]:
        """The label: yaw, pitch, roll in degrees."""
        return np.array([self.yaw, self.pitch, self.roll], np.float32)

    def neutral(self, frontal: bool = False) -> State:
        """The same moment without expression; ``frontal``: without pose too."""
        rest = np.zeros_like(self.units)
        return State(rest) if frontal else State(rest, self.yaw, self.pitch, self.roll, self.torso)


@dataclass(frozen=True)
class Posed:
    """Vertices of a mesh in a frame (decimetres; the head's pivot stays where it is).

    Attributes:
        points, normals, tangents: n 3.
        crease: how deep the skin is folded, n.
        up: the head's y axis.
        landmarks: the 68 iBUG points.
        aim: the middle of the head, for the camera.
    """

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    tangents: Float[np.ndarray, "n 3"]
    crease: Float[np.ndarray, " n"]
    up: Float[np.ndarray, "3"]
    landmarks: Float[np.ndarray, "68 3"]
    aim: Float[np.ndarray, "3"]


def pose_person(person: Person, state: State, mesh: Mesh | None = None) -> Posed:
    """Bring a person (or the person's ``mesh`` with what a clip adds to it) into a state."""
    assets, mesh = load_assets(), mesh or person.mesh
    control = len(assets.vertices)
    scale = person.body.scale
    moved = np.zeros((control, 3), np.float32)
    units, t = state.units.astype(np.float32), assets.unit
    add_targets(moved, units, t.pointer, t.index, t.delta, np.float32(scale))
    head = rotation(state.yaw, state.pitch, state.roll)
    torso = rotation(state.yaw * state.torso, 0.0, state.roll * 0.15)
    turns = np.ascontiguousarray(neck_levels(head, torso, LEVELS), np.float32)
    rest, first, middle, end = mesh.rest, *person.eyes
    rest = rest.copy()
    normals, tangents = mesh.normals.copy(), mesh.tangents
    for part, turn, centre in zip(
        (slice(first, middle), slice(middle, end)), gaze_turns(units), person.eye_centres, strict=True
    ):
        rest[part] = centre + (rest[part] - centre) @ turn.T
        normals[part] = normals[part] @ turn.T
    pivot = PIVOT * scale
    points, out_normals, out_tangents = np.empty_like(rest), np.empty_like(rest), np.zeros_like(rest)
    shift = (torso @ pivot).astype(np.float32)
    place_vertices(rest, mesh.anchor, moved, turns, mesh.follow, pivot.astype(np.float32), shift, points)
    skin = mesh.triangles[: len(assets.triangles["skin"])]
    turn_vectors(normals, turns, mesh.follow, control, out_normals)
    turn_vectors(tangents, turns, mesh.follow, end, out_tangents)
    skin_normals(points, skin, control, out_normals)
    crease = np.zeros(len(mesh), np.float32)
    crease[:control] = crease_activation(units, person.body.age)
    middle_of_head = head @ (np.array([0, 0.12, 0.5]) * scale - pivot) + shift
    return Posed(
        points=points,
        normals=out_normals,
        tangents=out_tangents,
        crease=crease,
        up=head[:, 1].astype(np.float32),
        landmarks=points[assets.landmarks],
        aim=middle_of_head.astype(np.float32),
    )
