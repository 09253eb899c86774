"""What a generated face set knows of its frames: their face units and pose, and each clip's neutral face."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from facecycle.data.faceset import FaceSet

VALUES = ("label/units", "label/pose")
NEUTRAL = "label/neutral"  # marks the one row of a clip that shows the person without expression, frontal
TRUE_VALUES = 55  # 52 units, then yaw, pitch and roll


def has_values(faces: FaceSet) -> bool:
    """Were the faces generated, and written with what is true of them?"""
    return faces.columns.keys() >= set(VALUES)


def true_values(faces: FaceSet) -> Float[np.ndarray, "n 55"]:
    """Units and pose of every row, each less its mean over the set and in units of its deviation."""
    table = np.concatenate([faces.columns[name] for name in VALUES], 1)
    return ((table - table.mean(0)) / (table.std(0) + 0.02)).astype(np.float32)


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
