"""Ground truth that no photograph has: the same moment without expression, frontal, in another's motion, and flow.

All renders are clean (no noise, blur or compression) and keep the clip's light, camera, clothes and background.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from facecycle.data.crop import Crop, fit_crop, landmarks5_from_68
from facecycle.synthetic.camera import Camera
from facecycle.synthetic.clip import Clip
from facecycle.synthetic.posing import Posed, State, pose_person
from facecycle.synthetic.render import Trace, trace

NEAR = 0.006  # relative difference in distance up to which two samples see the same surface
FINE = 3  # samples per pixel's side of the depth that visibility is tested against


@dataclass(frozen=True)
class View:
    """A state seen in a clip: posed vertices, camera, window (margin included) and landmarks in the picture."""

    posed: Posed
    camera: Camera
    window: Crop
    landmarks: Float[np.ndarray, "68 2"]


@dataclass(frozen=True)
class FlowTruth:
    """Dense correspondence of a face and its neutral frontal render, on the grids of both.

    The fields are backward sampling fields in normalised coordinates, as in `facecycle.types.Flow`:
    ``neutral(p) = face(p + to_neutral(p))`` and ``face(p) = neutral(p + to_face(p))`` where visible.

    Attributes:
        to_neutral: on the grid of the neutral render, x and y; 0 where nobody is.
        to_neutral_visible: where the point can be seen in the face too.
        to_face, to_face_visible: likewise on the grid of the face.
    """

    to_neutral: Float[np.ndarray, "2 s s"]
    to_neutral_visible: Bool[np.ndarray, "s s"]
    to_face: Float[np.ndarray, "2 s s"]
    to_face_visible: Bool[np.ndarray, "s s"]


def view_state(clip: Clip, state: State, time: float, margin: float, window: Crop | None = None) -> View:
    """Pose the clip's person and find the crop (or take ``window``)."""
    posed = pose_person(clip.person, state, clip.mesh)
    camera = clip.view(posed, time)
    landmarks = camera.project(posed.landmarks)[:, :2]
    return View(posed, camera, window or fit_crop(landmarks5_from_68(landmarks)).expand(margin), landmarks)


def _render(clip: Clip, view: View, size: int, time: float) -> UInt8[np.ndarray, "s s 3"]:
    return clip.shoot(view.posed, view.camera, view.window, size, time, clean=True)[0]


def neutral(clip: Clip, time: float, size: int = 80, margin: float = 0.25) -> UInt8[np.ndarray, "s s 3"]:
    """The moment without expression, same pose, in the window of the moment's own crop."""
    window = view_state(clip, clip.state(time), time, margin).window
    return _render(clip, view_state(clip, clip.state(time).neutral(), time, margin, window), size, time)


def frontal(clip: Clip, time: float, size: int = 80, margin: float = 0.25) -> UInt8[np.ndarray, "s s 3"]:
    """The moment without expression and pose, same light, in its own crop."""
    return _render(clip, view_state(clip, clip.state(time).neutral(frontal=True), time, margin), size, time)


def transfer(
    clip: Clip, state: State, time: float, size: int = 80, margin: float = 0.25, keep_window: bool = False
) -> UInt8[np.ndarray, "s s 3"]:
    """The clip's person with the expression and pose of ``state``, which may be another's; in the crop of what is
    drawn or, with ``keep_window``, of the moment as it was."""
    window = view_state(clip, clip.state(time), time, margin).window if keep_window else None
    return _render(clip, view_state(clip, state, time, margin, window), size, time)


def flow(clip: Clip, time: float, size: int = 80, margin: float = 0.25) -> FlowTruth:
    """Correspondence of a moment and its neutral frontal render (as `frontal` draws it)."""
    state = clip.state(time)
    face, rest = (view_state(clip, s, time, margin) for s in (state, state.neutral(frontal=True)))
    to_neutral, seen_in_face = _carry(clip, rest, face, size)
    to_face, seen_in_neutral = _carry(clip, face, rest, size)
    return FlowTruth(to_neutral, seen_in_face, to_face, seen_in_neutral)


def _carry(clip: Clip, here: View, there: View, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the points that ``here`` shows lie ``there``, and whether they can be seen there."""
    seen = _trace(clip, here, size)
    far = _trace(clip, there, size * FINE)
    corners = clip.mesh.triangles[np.maximum(seen.ids, 0)]
    weights = np.concatenate([1 - seen.bary.sum(-1, keepdims=True), seen.bary], -1)
    target = (far.screen[corners] * weights[..., None]).sum(-2)  # x, y in fine samples, 1 / distance
    row, column = (np.floor(target[..., k]).astype(int) for k in (1, 0))
    limit = size * FINE - 1
    inside = (row >= 0) & (column >= 0) & (row <= limit) & (column <= limit)
    nearest = far.depth[row.clip(0, limit), column.clip(0, limit)]
    visible = (seen.ids >= 0) & inside & (target[..., 2] > nearest * (1 - NEAR))
    centres = np.arange(size) + 0.5
    dx = target[..., 0] / FINE - centres
    dy = target[..., 1] / FINE - centres[:, None]
    field = np.stack([dx, dy]) * (2 / size) * (seen.ids >= 0)
    return field.astype(np.float32), visible


def _trace(clip: Clip, view: View, samples: int) -> Trace:
    return trace(clip.person, view.posed, view.camera, view.window, samples, clip.mesh)
