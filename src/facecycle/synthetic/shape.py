"""A person's head: gender, age, ancestry, weight, and about 130 controls of single features, left and right tied."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from facecycle.synthetic.assets import Assets, load_assets
from facecycle.synthetic.kernels import add_targets
from facecycle.synthetic.seeds import PersonKey, stream

ANCESTRIES = ("caucasian", "african", "asian")
OPPOSITES = {"incr": "decr", "up": "down", "out": "in", "forward": "backward", "convex": "concave"} | {
    "uncompress": "compress"
}
# Standard deviation of a control by region, in the target's own units (1 = the artist's extreme).
SPREAD = {"head": 0.28, "asym": 0.16, "ears": 0.32, "neck": 0.16, "eyes": 0.37, "nose": 0.42, "mouth": 0.335}
SPREAD |= {"chin": 0.3, "cheek": 0.355, "forehead": 0.325, "eyebrows": 0.215}
# Controls left alone: they move the head on the neck, or make no face one would meet.
UNUSED = ("head-angle", "ear-shape-pointed", "ear-shape-triangle", "ear-shape-square", "nose-trans-in")
UNUSED += ("nose-trans-out", "mouth-trans-in", "mouth-trans-out", "head-square", "head-rectangular", "head-triangular")
# (part of the name, factor, shift, least, greatest): outliers tamed, after looking at some hundred faces.
TAMED = (
    ("head-age", 0.3, 0.0, -0.5, 0.5),
    ("head-scale-vert", 0.5, -0.1, -0.4, 0.25),
    ("head-scale-horiz", 0.7, -0.1, -0.5, 0.2),
    ("head-fat", 0.6, 0.0, -0.5, 0.7),
    ("eyebrows-angle", 1.0, 0.5, 0.0, 0.8),
    ("lip-height", 0.8, 0.22, -0.1, 0.8),
    ("lip-volume", 0.8, 0.2, -0.15, 0.8),
    ("mouth-scale-vert", 0.8, 0.1, -0.25, 0.6),
    ("mouth-scale-depth", 0.7, 0.1, -0.3, 0.6),
    ("mouth-angles", 0.8, 0.25, -0.2, 0.7),
    ("chin-width", 0.8, -0.15, -0.7, 0.25),
    ("chin-jaw-drop", 0.6, 0.0, -0.4, 0.4),
    ("chin-prognathism", 0.6, 0.0, -0.4, 0.4),
    ("eye-scale", 0.8, 0.05, -0.4, 0.5),
    ("eye-trans", 0.7, 0.0, -0.5, 0.5),
    ("ear-wing", 0.7, -0.1, -0.6, 0.5),
    ("ear-scale", 0.7, -0.1, -0.6, 0.4),
    ("nubian", 0.5, 0.0, -0.4, 0.4),
    ("asym-", 0.8, 0.0, -0.4, 0.4),
)


@dataclass(frozen=True)
class Body:
    """What a person is, before any picture of it.

    Attributes:
        gender: 0 female .. 1 male.
        age: years, 18 .. 80.
        ancestry: mix of `ANCESTRIES`, sums to 1.
        weight, muscle: 0 .. 1.
        controls: control -> value, -1 .. 1.
        vertices: control vertices in head space (decimetres, origin at the head joint).
        scale: how much the head was enlarged to bring eyes and jaw to a common distance.
    """

    gender: float
    age: float
    ancestry: Float[np.ndarray, "3"]
    weight: float
    muscle: float
    controls: dict[str, float]
    vertices: Float[np.ndarray, "n 3"]
    scale: float

    @property
    def male(self) -> bool:
        """Whether the head is more a man's than a woman's."""
        return self.gender > 0.5


@lru_cache(maxsize=1)
def controls() -> dict[str, tuple[tuple[str, str | None], ...]]:
    """Control -> the targets it moves, as (towards +1, towards -1) pairs; two pairs where left and right are tied."""
    names = [name for name in load_assets().shape.names if not any(word in name for word in UNUSED)]
    names = [name for name in names if not ("trans-" in name and name.startswith(("head/", "neck/")))]
    tied: dict[str, list[tuple[str, str | None]]] = {}
    for name in names:
        stem, _, end = name.rpartition("-")
        if end in OPPOSITES:
            pair = (name, f"{stem}-{OPPOSITES[end]}")
        elif end in OPPOSITES.values():
            continue
        elif name.startswith("asym/"):
            if end == "r":
                continue
            pair = (name, f"{stem}-r")
        else:
            pair = (name, None)
        region, feature = name.split("/")
        sided = feature.startswith(("l-", "r-"))
        tied.setdefault(f"{region}/{feature[2:]}" if sided else name, []).append(
            (pair[0], pair[1] if pair[1] in names else None)
        )
    return {name: tuple(pairs) for name, pairs in tied.items()}


def sample_body(key: PersonKey) -> Body:
    """Draw a person's head."""
    assets = load_assets()
    rng = stream(key, "body")
    male = rng.random() < 0.5
    gender = float(np.clip(rng.normal(0.93 if male else 0.06, 0.06), 0, 1))
    low, high = ((18, 40), (35, 60), (55, 80))[rng.choice(3, p=(0.52, 0.32, 0.16))]
    age = float(rng.uniform(low, high))
    parameters = np.full(3, 0.2)
    parameters[rng.choice(3, p=(0.4, 0.3, 0.3))] = 2.6
    ancestry = rng.dirichlet(parameters)
    weight, muscle = (float(np.clip(rng.normal(0.5, s), 0.05, 0.95)) for s in (0.18, 0.15))
    values = sample_controls(key, weight)
    vertices = assets.vertices.copy()
    add_weights(vertices, assets.macro, macro_weights(gender, age, ancestry, weight, muscle))
    add_weights(vertices, assets.shape, control_weights(key, values))
    vertices, scale = normalize(assets, vertices)
    return Body(gender, age, ancestry, weight, muscle, values, vertices, scale)


def sample_controls(key: PersonKey, weight: float) -> dict[str, float]:
    """Values of all controls: normal, tamed where the extremes are no faces."""
    rng, values = stream(key, "controls"), {}
    for name, pairs in controls().items():
        two_sided = pairs[0][1] is not None
        value = rng.normal(0, SPREAD[name.split("/")[0]]) if two_sided else max(0.0, rng.normal(-0.25, 0.4))
        least, greatest = (-0.8, 0.8) if two_sided else (0.0, 0.7)
        for word, factor, shift, low, high in TAMED:
            if word in name:
                value, least, greatest = value * factor + shift, low, high
        if "head-fat" in name or "neck-double" in name:
            value += 0.6 * (weight - 0.5)
        values[name] = float(min(max(value, least), greatest))
    return values


def control_weights(key: PersonKey, values: dict[str, float]) -> dict[str, float]:
    """Control values -> target weights; the two sides of a face differ a little."""
    rng, weights = stream(key, "sides"), {}
    for name, pairs in controls().items():
        for up, down in pairs:
            value = values[name] + (rng.normal(0, 0.035) if len(pairs) > 1 else 0)
            target = up if value >= 0 else down
            if target is not None:
                weights[target] = abs(value)
    return weights


def macro_weights(gender: float, age: float, ancestry: np.ndarray, weight: float, muscle: float) -> dict[str, float]:
    """Weights of MakeHuman's macro targets: products of gender, age, ancestry, muscle and weight."""
    old, child = max(0.0, (age - 25) / 55), max(0.0, (25 - age) / 20)
    ages = {"old": old, "child": child, "young": 1 - old - child}
    genders = {"male": gender, "female": 1 - gender}
    weights = {}
    for g, in_gender in genders.items():
        for a, in_age in ages.items():
            share = in_gender * in_age
            for race, part in zip(ANCESTRIES, ancestry, strict=True):
                weights[f"{race}-{g}-{a}"] = share * float(part)
            for m, in_muscle in _thirds(muscle, "muscle").items():
                for w, in_weight in _thirds(weight, "weight").items():
                    weights[f"universal-{g}-{a}-{m}-{w}"] = share * in_muscle * in_weight
    return {name: value for name, value in weights.items() if value > 1e-5}


def _thirds(x: float, name: str) -> dict[str, float]:
    return {f"min{name}": max(0, 1 - 2 * x), f"average{name}": 1 - abs(2 * x - 1), f"max{name}": max(0, 2 * x - 1)}


def add_weights(vertices: np.ndarray, targets, weights: dict[str, float]) -> None:
    """Move ``vertices`` by the named targets, in place."""
    vector = np.zeros(len(targets.names), np.float32)
    for name, value in weights.items():
        if name in targets.names:
            vector[targets.names[name]] = value
    add_targets(vertices, vector, targets.pointer, targets.index, targets.delta, np.float32(1))


def normalize(assets: Assets, vertices: np.ndarray) -> tuple[np.ndarray, float]:
    """Origin at the head joint, eyes and jaw at about the same distance for everybody; returns the scale too."""
    eyes = (vertices[assets.joints["l-eye"]].mean(0) + vertices[assets.joints["r-eye"]].mean(0)) / 2
    jaw = vertices[assets.joints["jaw"]].mean(0)
    scale = float((1.09 / max(0.3, eyes[1] - jaw[1])) ** 0.7)
    head = vertices[assets.joints["head"]].mean(0)
    return ((vertices - head) * scale).astype(np.float32), scale
