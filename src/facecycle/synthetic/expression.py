"""The 52 ARKit face units, posed emotions, gaze, and the skin's creases that units deepen."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from facecycle.synthetic.assets import load_assets
from facecycle.synthetic.kernels import mix_rows
from facecycle.synthetic.pose import rotation

# Weights at full strength; a name without a side stands for both sides. The kinds are those of FER-2013.
EMOTIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "happy": {"mouthSmile": 0.95, "cheekSquint": 0.75, "eyeSquint": 0.3, "mouthUpperUp": 0.5, "mouthLowerDown": 0.4}
    | {"jawOpen": 0.18, "mouthDimple": 0.3},
    "sad": {"mouthFrown": 1.1, "browInnerUp": 0.7, "browDown": 1.1, "mouthStretch": 1.1, "mouthRollLower": 0.3}
    | {"eyeSquint": 0.65, "eyeBlink": 0.25, "eyeLookDown": 0.35},
    "surprise": {"jawOpen": 0.85, "eyeWide": 1.05, "browInnerUp": 0.5, "browOuterUp": 0.9, "mouthFunnel": 0.9},
    "anger": {"browDown": 1.1, "eyeSquint": 0.3, "eyeWide": 0.5, "noseSneer": 0.6, "mouthUpperUp": 0.45}
    | {"mouthLowerDown": 0.6, "mouthStretch": 0.35, "mouthFrown": 0.35, "jawOpen": 0.12, "jawForward": 0.25},
    "disgust": {"noseSneer": 1.0, "mouthUpperUp": 1.1, "eyeSquint": 1.1, "cheekSquint": 1.0, "eyeBlink": 0.45}
    | {"browDown": 0.55, "mouthFrown": 0.6, "mouthShrugLower": 0.9, "mouthShrugUpper": 0.3}
    | {"jawOpen": 0.15, "tongueOut": 0.6},
    "fear": {"browInnerUp": 1.15, "browOuterUp": 0.1, "browDown": 0.4, "eyeWide": 1.1, "mouthStretch": 1.15}
    | {"jawOpen": 0.4, "mouthLowerDown": 1.0, "mouthUpperUp": 0.3, "mouthFrown": 0.3},
}
# Region of creases -> the units that fold it, and how much.
FOLDED_BY = {
    "forehead": {"browInnerUp": 0.9, "browOuterUp": 0.6},
    "frown": {"browDown": 0.9},
    "crow": {"cheekSquint": 0.5, "eyeSquint": 0.5, "mouthSmile": 0.3},
    "fold": {"mouthSmile": 0.7, "noseSneer": 0.5, "mouthUpperUp": 0.5, "mouthDimple": 0.3, "mouthStretch": 0.3},
    "bridge": {"noseSneer": 0.8},
    "chin": {"mouthShrugLower": 0.5},
}
# Region -> centre (base-head decimetres, mirrored) and radius of its influence.
REGIONS = {
    "forehead": ((0.2, 7.75, 1.4), 0.3),
    "frown": ((0.06, 7.45, 1.5), 0.1),
    "crow": ((0.56, 7.28, 1.2), 0.14),
    "fold": ((0.3, 6.72, 1.42), 0.2),
    "bridge": ((0.0, 7.25, 1.53), 0.1),
    "chin": ((0.0, 6.33, 1.45), 0.12),
}
GAZE = (32.0, 26.0)  # degrees that a full eyeLook unit turns the eye, sideways and up or down


@lru_cache(maxsize=1)
def unit_index() -> dict[str, int]:
    """Unit -> its place in a weight vector."""
    return dict(load_assets().unit.names)


def weights_of(units: dict[str, float]) -> Float[np.ndarray, "52"]:
    """Named weights -> vector; ``mouthSmile`` sets ``mouthSmileLeft`` and ``mouthSmileRight``.

    Raises:
        KeyError: there is no such unit.
    """
    index = unit_index()
    vector = np.zeros(len(index), np.float32)
    for name, value in units.items():
        sides = [name] if name in index else [name + "Left", name + "Right"]
        for side in sides:
            vector[index[side]] = value
    return vector


@lru_cache(maxsize=1)
def emotion_weights() -> Float[np.ndarray, "7 52"]:
    """All emotions at full strength, in the order of `EMOTIONS`."""
    return np.stack([weights_of(units) for units in EMOTIONS.values()])


def gaze_turns(units: Float[np.ndarray, "52"]) -> Float[np.ndarray, "2 3 3"]:
    """Rotations of the left and right eyeball that go with the eyeLook units."""
    w = {name: float(units[k]) for name, k in unit_index().items() if name.startswith("eyeLook")}
    turns = []
    for side, outwards in (("Left", 1), ("Right", -1)):
        # The subject's left is image right, where yaw is negative.
        right = outwards * (w[f"eyeLookOut{side}"] - w[f"eyeLookIn{side}"])
        up = w[f"eyeLookUp{side}"] - w[f"eyeLookDown{side}"]
        turns.append(rotation(-GAZE[0] * right, GAZE[1] * up, 0))
    return np.stack(turns).astype(np.float32)


@lru_cache(maxsize=1)
def _crease_maps() -> tuple[np.ndarray, np.ndarray]:
    """(Regions and sides) x units, and (regions and sides) x vertices."""
    assets, index = load_assets(), unit_index()
    x, y, z = assets.vertices.T
    rows, columns = [], []
    for name, (centre, radius) in REGIONS.items():
        for side, sign in (("Left", 1), ("Right", -1)):
            row = np.zeros(len(index), np.float32)
            for unit, amount in FOLDED_BY[name].items():
                row[index[unit if unit in index else unit + side]] = amount
            rows.append(row)
            distance = (x - sign * centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
            near = np.exp(-distance / (2 * radius**2)) / (1 if centre[0] > 0.15 else 1.7)
            columns.append(near.astype(np.float32))
    return np.stack(rows), np.stack(columns)


def crease_activation(units: Float[np.ndarray, "52"], age: float) -> Float[np.ndarray, " n"]:
    """How deep each control vertex's creases are folded; older skin folds deeper."""
    rows, columns = _crease_maps()
    folded = rows @ np.clip(units, 0, 1.2).astype(np.float32)
    folded = folded * np.float32(0.35 + 0.65 * np.clip((age - 18) / 40, 0, 1.2))
    out = np.empty(columns.shape[1], np.float32)
    mix_rows(columns, folded, out)
    return out
