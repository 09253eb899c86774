"""Faces of a video followed from frame to frame, their crops smoothed: no jitter from the detector, little lag."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from facecycle.data.crop import Crop
from facecycle.data.detect import Face
from facecycle.data.track import SAME, overlaps


class OneEuro:
    """The One-Euro filter (Casiez, Roussel, Vogel, CHI 2012): smooth while slow, prompt while fast.

    A low-pass whose cut-off grows with speed, ``cutoff = slowest + promptness * |speed|``.

    Args:
        slowest: cut-off in Hz for something at rest.
        promptness: Hz for each unit a second.
        speed_cutoff: cut-off in Hz for the estimate of the speed.
    """

    def __init__(self, slowest: float = 1.5, promptness: float = 20.0, speed_cutoff: float = 1.0) -> None:
        self.slowest, self.promptness, self.speed_cutoff = slowest, promptness, speed_cutoff
        self.time = -math.inf
        self.value = self.speed = np.zeros(0)

    def __call__(self, value: Float[np.ndarray, " n"], time: float) -> Float[np.ndarray, " n"]:
        """The smoothed value at ``time`` in seconds, which grows from call to call."""
        step = time - self.time
        if not (math.isfinite(step) and step > 0):
            self.time, self.value, self.speed = time, value, np.zeros_like(value)
            return value
        self.speed = self.speed + _share(self.speed_cutoff, step) * ((value - self.value) / step - self.speed)
        cutoff = self.slowest + self.promptness * float(np.linalg.norm(self.speed))
        self.value = self.value + _share(cutoff, step) * (value - self.value)
        self.time = time
        return self.value


def _share(cutoff: float, step: float) -> float:
    """How far a first-order low-pass moves towards its input within ``step`` seconds."""
    angle = 2 * math.pi * cutoff * step
    return angle / (1 + angle)


@dataclass
class _Followed:
    box: Float[np.ndarray, " 4"]
    smooth: OneEuro
    scale: float
    seen: float


class Steady:
    """Follows faces by the overlap of their boxes, and smooths centre and side of each one's crop.

    Args:
        patience: seconds for which a face that is out of sight is remembered.
    """

    def __init__(self, patience: float = 0.5) -> None:
        self.patience = patience
        self._followed: list[_Followed] = []

    def forget(self) -> None:
        """Begin anew, after a cut."""
        self._followed = []

    def recall(self, faces: list[Face]) -> Face | None:
        """The one of ``faces`` that has been followed, if it is still there."""
        if not (self._followed and faces):
            return None
        shares = overlaps(self._followed[0].box[None], np.stack([face.box for face in faces]))[0]
        return faces[int(shares.argmax())] if shares.max() >= SAME else None

    def update(self, time: float, faces: list[Face]) -> list[Crop]:
        """The smoothed crops of the faces of the frame at ``time``, in their order."""
        before = [one for one in self._followed if time - one.seen <= self.patience]
        crops, now = [], []
        for face in faces:
            raw = face.crop()
            shares = overlaps(face.box[None], np.stack([one.box for one in before]))[0] if before else np.zeros(1)
            best = int(shares.argmax())
            one = before.pop(best) if shares[best] >= SAME else _Followed(face.box, OneEuro(), raw.side, time)
            # In units of the face's first side, so that the filter's speeds do not depend on the picture's size.
            x, y, side = one.smooth(np.array([raw.x, raw.y, raw.side]) / one.scale, time) * one.scale
            now.append(_Followed(face.box, one.smooth, one.scale, time))
            crops.append(Crop(float(x), float(y), float(side)))
        self._followed = now + before
        return crops
