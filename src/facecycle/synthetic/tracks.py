"""What moves during a clip, as smooth functions of time: emotions, speech, blinks, gaze, pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.interpolate import BSpline

from facecycle.synthetic.expression import EMOTIONS, emotion_weights, unit_index
from facecycle.synthetic.posing import State

LEAST_STRENGTH = 0.25  # a face with less emotion than that is labelled neutral


def wander(rng: np.random.Generator, seconds: float, step: float, spread: float | np.ndarray, count: int) -> BSpline:
    """``count`` smooth random functions of time with deviation ``spread``: cubic B-splines, a knot every ``step``."""
    knots = (np.arange(int(seconds / step) + 10) - 5) * step + rng.uniform(0, step)
    # Normal coefficients give a spline about 1 / 1.44 of their deviation.
    return BSpline(knots, 1.44 * rng.normal(0, 1, (len(knots) - 4, count)) * spread, 3)


@dataclass(frozen=True)
class PoseRange:
    """The widest angles a clip may reach, degrees, and how much of them it usually uses (0 .. 1)."""

    yaw: float = 60.0
    pitch: float = 30.0
    roll: float = 20.0
    use: float = 0.45


class Tracks:
    """Everything a person does in one clip; `at` gives the state at any time.

    Args:
        rng: where the clip's randomness comes from.
        seconds: its length.
        pose: how far the head may turn.
        emotion: keep to one kind at full strength instead of changing ones.
    """

    def __init__(self, rng: np.random.Generator, seconds: float, pose: PoseRange, emotion: str | None = None) -> None:
        self.seconds, self.limits = seconds, np.array([pose.yaw, pose.pitch, pose.roll])
        self._base = rng.normal(0, 1, 3) * self.limits * pose.use * np.array([0.8, 0.4, 0.4])
        self._pose = wander(rng, seconds, 1.3, self.limits * pose.use * np.array([0.9, 0.5, 0.45]), 3)
        self.torso = float(rng.uniform(0.1, 0.6))
        self._emotion = _emotion_track(rng, seconds, emotion)
        self._subtle = wander(rng, seconds, 0.9, 0.07 * _subtle_units(), len(unit_index()))
        self._talks = float(rng.uniform(0.4, 1.0)) if rng.random() < 0.6 else 0.0
        self._speech = wander(rng, seconds, 0.16, 1.0, 5)
        self._phrases = wander(rng, seconds, 1.1, 1.0, 1)
        self._blinks = np.cumsum(rng.uniform(1.2, 4.5, int(seconds / 1.2) + 2)) - 1.0
        self._gaze_times = np.concatenate([[-1.0], np.cumsum(rng.uniform(0.3, 1.8, int(seconds / 0.3) + 2))])
        self._gaze = rng.normal(0, (0.3, 0.18), (len(self._gaze_times), 2))
        self._looks_back = float(rng.uniform(0.2, 0.8))

    def pose_at(self, t: float) -> Float[np.ndarray, "3"]:
        """Yaw, pitch, roll in degrees; soft limits keep them inside the range."""
        return self.limits * np.tanh((self._base + self._pose(t)) / np.maximum(self.limits, 1e-6))

    def emotions_at(self, t: float) -> Float[np.ndarray, "7"]:
        """Strength of every emotion."""
        return self._emotion(t)

    def emotion_at(self, t: float) -> tuple[str, float]:
        """The strongest emotion and its strength; neutral if all are faint."""
        strengths = self.emotions_at(t)
        k = int(strengths.argmax())
        strength = float(strengths[k])
        return (list(EMOTIONS)[k], strength) if strength >= LEAST_STRENGTH else ("neutral", 0.0)

    def at(self, t: float) -> State:
        """The state at time ``t`` (seconds)."""
        index = unit_index()
        units = self.emotions_at(t) @ emotion_weights()
        units = units + np.maximum(self._subtle(t), 0)
        self._add_speech(units, index, t)
        yaw, pitch, roll = (float(v) for v in self.pose_at(t))
        self._add_gaze(units, index, t, yaw, pitch)
        blink = float(np.exp(-(((t - self._blinks) / 0.09) ** 2)).max())
        for side in ("Left", "Right"):
            k = index[f"eyeBlink{side}"]
            units[k] = max(units[k], blink)
        units = np.clip(units, 0, 1.15).astype(np.float32)
        return State(units, yaw, pitch, roll, self.torso)

    def _add_speech(self, units: np.ndarray, index: dict[str, int], t: float) -> None:
        loud = self._talks * float(np.clip(0.5 + self._phrases(t)[0], 0, 1))
        if loud <= 0:
            return
        opened, funnel, pucker, lower, upper = (float(max(0, v)) for v in self._speech(t))
        for name, value in (
            ("jawOpen", 0.22 * opened),
            ("mouthFunnel", 0.3 * funnel),
            ("mouthPucker", 0.3 * pucker),
            ("mouthLowerDownLeft", 0.25 * lower),
            ("mouthLowerDownRight", 0.25 * lower),
            ("mouthUpperUpLeft", 0.15 * upper),
            ("mouthUpperUpRight", 0.15 * upper),
        ):
            units[index[name]] += loud * value

    def _add_gaze(self, units: np.ndarray, index: dict[str, int], t: float, yaw: float, pitch: float) -> None:
        """Fixations, joined by quick saccades; the eyes turn back part of the head's turn."""
        k = int(np.searchsorted(self._gaze_times, t)) - 1
        k = min(max(k, 0), len(self._gaze) - 2)
        share = np.clip((t - self._gaze_times[k + 1] + 0.06) / 0.06, 0, 1)
        right, up = self._gaze[k] * (1 - share) + self._gaze[k + 1] * share
        right += self._looks_back * np.clip(yaw / 60, -0.6, 0.6)
        up -= self._looks_back * np.clip(pitch / 60, -0.4, 0.4)
        for side, outwards in (("Left", 1), ("Right", -1)):
            units[index[f"eyeLookOut{side}"]] += max(0.0, outwards * right)
            units[index[f"eyeLookIn{side}"]] += max(0.0, -outwards * right)
            units[index[f"eyeLookUp{side}"]] += max(0.0, up)
            units[index[f"eyeLookDown{side}"]] += max(0.0, -up)


def _subtle_units() -> np.ndarray:
    """How freely each unit twitches: gaze, blinks and tongue have tracks of their own, jaws move little."""
    freedom = np.ones(len(unit_index()))
    for name, k in unit_index().items():
        if name.startswith(("eyeLook", "eyeBlink", "tongue")):
            freedom[k] = 0
        elif name.startswith("jaw"):
            freedom[k] = 0.4
    return freedom


def _emotion_track(rng: np.random.Generator, seconds: float, emotion: str | None):
    """Time -> strength of each emotion: spells of one kind each, cross-faded, neutral at times."""
    names = list(EMOTIONS)
    if emotion is not None:
        fixed = np.zeros(len(names))
        fixed[names.index(emotion)] = 1.0
        return lambda t: fixed
    times, values, t = [-1.0], [np.zeros(len(names))], -1.0
    while t < seconds + 2:
        spell = np.zeros(len(names))
        kind = int(rng.integers(len(names)))
        spell[kind] = rng.uniform(0.3, 1.05) if kind else 0.0
        fade, hold = rng.uniform(0.25, 0.6), rng.uniform(0.6, 2.2)
        times += [t + fade, t + fade + hold]
        values += [spell, spell * rng.uniform(0.7, 1.1)]
        t = times[-1]
    knots, table = np.array(times), np.array(values)

    def strengths(at: float) -> np.ndarray:
        k = int(np.clip(np.searchsorted(knots, at) - 1, 0, len(knots) - 2))
        share = np.clip((at - knots[k]) / (knots[k + 1] - knots[k]), 0, 1)
        share = share * share * (3 - 2 * share)
        return table[k] * (1 - share) + table[k + 1] * share

    return strengths
