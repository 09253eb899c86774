"""What a generated face set knows of its frames: their face units, pose and landmarks, and each clip's neutral face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from facecycle.data.faceset import FaceSet

VALUES = ("label/units", "label/pose")
NEUTRAL = "label/neutral"  # marks the one row of a clip that shows the person without expression, frontal
LANDMARKS = "label/landmarks68"
TRUE_VALUES = 55  # 52 units, then yaw, pitch and roll


def has_values(faces: FaceSet) -> bool:
    """Were the faces generated, and written with what is true of them?"""
    return faces.columns.keys() >= set(VALUES)


class Scale(NamedTuple):
    """What is subtracted from each value, and what the rest is divided by."""

    mean: Float[np.ndarray, "55"]
    deviation: Float[np.ndarray, "55"]


def value_scale(sets: Sequence[FaceSet]) -> Scale:
    """The means and deviations over all rows of all sets.

    Sets that are learnt from together need one scale: heads may turn twice as far in one as in the other.
    """
    table = np.concatenate([_values(faces) for faces in sets])
    return Scale(table.mean(0), table.std(0) + 0.02)


def true_values(faces: FaceSet, scale: Scale | None = None) -> Float[np.ndarray, "n 55"]:
    """Units and pose of every row, each less its mean and in units of its deviation: the set's own, or as given."""
    mean, deviation = scale or value_scale([faces])
    return ((_values(faces) - mean) / deviation).astype(np.float32)


def _values(faces: FaceSet) -> Float[np.ndarray, "n 55"]:
    return np.concatenate([faces.columns[name] for name in VALUES], 1)


def true_landmarks(faces: FaceSet) -> Float[np.ndarray, "n 68 2"]:
    """The 68 landmarks of every row, (x, y) in normalised coordinates of its stored picture; some may lie outside.

    They are points of the head, not of its outline: a turned head shows them where they are, or hides them there.
    """
    centre, side = np.split(faces.columns["crop"][:, None], [2], 2)
    return ((faces.columns[LANDMARKS] - centre) / (side * (1 + faces.margin) / 2)).astype(np.float32)


def is_neutral(faces: FaceSet) -> Bool[np.ndarray, " n"]:
    """Which rows are neutral faces, added to their clips; they are no frames of them."""
    return np.asarray(faces.columns.get(NEUTRAL, np.zeros(len(faces), bool)), bool)


def neutral_rows(faces: FaceSet) -> Int[np.ndarray, " n"]:
    """For every row the row of its clip's neutral face; -1 where the clip has none."""
    _, clip = np.unique(faces.columns["clip"], return_inverse=True)
    marked = np.flatnonzero(is_neutral(faces))
    of_clip = np.full(clip.max() + 1, -1)
    of_clip[clip[marked]] = marked
    return of_clip[clip]
