"""Held-out synthetic faces with what they should become: neutral, frontal, in another's motion, and the true flow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from facecycle.synthetic import truth
from facecycle.synthetic.clip import Clip, ClipOptions
from facecycle.synthetic.person import create_person
from facecycle.synthetic.seeds import PersonKey
from facecycle.synthetic.stream import SyntheticFaces

Pictures = UInt8[np.ndarray, "n s s 3"]


@dataclass(frozen=True)
class Rendered:
    """``n`` faces, the frames of a person lying together, and their truths; RGB crops without margin.

    Attributes:
        face: as a camera saw it, with its faults.
        neutral, frontal: without expression; without pose too.
        moved: with the expression and pose of face ``driver``, who is somebody else.
        expressed: with the expression of face ``driver``, in its own pose.
        driver: that face's row.
        flow, visible: the true field from the face to its frontal render, on the render's grid, and where it holds.
        person: who.
    """

    face: Pictures
    neutral: Pictures
    frontal: Pictures
    moved: Pictures
    expressed: Pictures
    driver: Int[np.ndarray, " n"]
    flow: Float[np.ndarray, "n 2 s s"]
    visible: Bool[np.ndarray, "n s s"]
    person: Int[np.ndarray, " n"]


def render(people: int, frames: int, size: int, seed: int) -> Rendered:
    """Draw them; nothing comes before a face, since no truth would tell what it hides."""
    options = ClipOptions(occluder="none")
    clips = [Clip(create_person(PersonKey("held-out", seed, who)), (5,), options) for who in range(people)]
    times = [clip.times(frames) for clip in clips]
    rows = [(who, k) for who in range(people) for k in range(frames)]
    driver = np.array([(who + 1) % people * frames + k for who, k in rows])
    parts: dict[str, list[np.ndarray]] = {
        name: [] for name in ("face", "neutral", "frontal", "moved", "expressed", "flow", "visible")
    }
    for who, k in rows:
        clip, t, other = clips[who], float(times[who][k]), (who + 1) % people
        field = truth.flow(clip, t, size, 0.0)
        parts["face"].append(clip.frame(t, size, 0.0).picture)
        parts["neutral"].append(truth.neutral(clip, t, size, 0.0))
        parts["frontal"].append(truth.frontal(clip, t, size, 0.0))
        theirs = clips[other].state(float(times[other][k]))
        parts["moved"].append(truth.transfer(clip, theirs, t, size, 0.0))
        mixed = replace(clip.state(t), units=theirs.units)
        parts["expressed"].append(truth.transfer(clip, mixed, t, size, 0.0, keep_window=True))
        parts["flow"].append(field.to_neutral)
        parts["visible"].append(field.to_neutral_visible)
    together = {name: np.stack(part) for name, part in parts.items()}
    return Rendered(**together, driver=driver, person=np.array([who for who, _ in rows]))


def posed_faces(people: int, frames: int, size: int) -> tuple[Pictures, Float[np.ndarray, "n 3"]]:
    """Training people with their yaw, pitch and roll in degrees, for a judge of pose."""
    stream = SyntheticFaces(people, clips_per_person=1, frames_per_item=frames, size=size, margin=0.0, seed=77)
    drawn = [frame for item in range(people) for frame in stream.frames((0, item))]
    return np.stack([frame.picture for frame in drawn]), np.stack([frame.state.pose for frame in drawn]).astype(float)
