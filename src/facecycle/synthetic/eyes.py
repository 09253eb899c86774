"""Eyeballs: a polar sphere per eye and its texture of pupil, iris and sclera."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from facecycle.synthetic.assets import Assets
from facecycle.synthetic.atlas import smoothstep
from facecycle.synthetic.mesh import EYE, Mesh
from facecycle.synthetic.seeds import PersonKey, stream
from facecycle.synthetic.shape import Body

RINGS = np.radians([0, 7, 14, 20, 25, 30, 38, 50, 64, 80])
SPOKES = 16
IRIS = 25 / 90  # radius of the iris in the polar map, whose rim is 90 degrees from the axis
TEXELS = 128
COLOURS = {  # linear RGB
    "dark": (0.030, 0.017, 0.010),
    "brown": (0.085, 0.040, 0.020),
    "hazel": (0.16, 0.10, 0.045),
    "green": (0.11, 0.14, 0.075),
    "blue": (0.11, 0.18, 0.28),
    "grey": (0.18, 0.21, 0.23),
}


def eye_centres(assets: Assets, vertices: np.ndarray) -> Float[np.ndarray, "2 3"]:
    """Centres of the subject's left and right eyeball."""
    eyes = (np.unique(assets.triangles[f"eye_{side}"]) for side in ("left", "right"))
    return np.stack([(vertices[i].max(0) + vertices[i].min(0)) / 2 for i in eyes]).astype(np.float32)


def eye_meshes(assets: Assets, body: Body) -> list[Mesh]:
    """Both eyeballs, looking straight ahead."""
    centres = eye_centres(assets, body.vertices)
    helper = body.vertices[np.unique(assets.triangles["eye_left"])]
    radius = 0.985 * float(np.ptp(helper[:, 0])) / 2
    spoke = np.arange(SPOKES) * 2 * np.pi / SPOKES
    angle, turn = (grid.ravel() for grid in np.meshgrid(RINGS, spoke, indexing="ij"))
    normals = np.stack([np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), np.cos(angle)], 1)
    r = angle / (np.pi / 2) / 2
    uv = np.stack([0.5 + r * np.cos(turn), 0.5 - r * np.sin(turn)], 1)
    k, s = (grid.ravel() for grid in np.meshgrid(np.arange(len(RINGS) - 1), np.arange(SPOKES), indexing="ij"))
    a, b = k * SPOKES + s, k * SPOKES + (s + 1) % SPOKES
    triangles = np.concatenate([np.stack([a, a + SPOKES, b + SPOKES], 1), np.stack([a, b + SPOKES, b], 1)])
    bulge = 1 + 0.05 * smoothstep(30, 10, np.degrees(angle))  # the cornea
    return [
        Mesh.build(
            c + normals * (radius * bulge)[:, None], triangles, EYE, normals=normals, uv=uv, gloss=0.0, casts=False
        )
        for c in centres
    ]


def eye_texture(key: PersonKey, ancestry: np.ndarray) -> tuple[str, Float[np.ndarray, "s s 3"]]:
    """A person's iris; returns its colour's name and the polar map (linear RGB)."""
    rng = stream(key, "eyes")
    light = float(np.clip(ancestry[0] * 1.3 - 0.25, 0, 1))
    chances = light * np.array([0.05, 0.25, 0.18, 0.14, 0.27, 0.11]) + (1 - light) * np.array(
        [0.5, 0.46, 0.04, 0, 0, 0]
    )
    name = list(COLOURS)[rng.choice(6, p=chances / chances.sum())]
    y, x = np.mgrid[:TEXELS, :TEXELS] / (TEXELS - 1) * 2 - 1
    r, turn = np.hypot(x, y), np.arctan2(y, x)
    q = r / IRIS
    phases = rng.uniform(0, 2 * np.pi, 3)
    fibres = 1 + 0.16 * np.sin(turn * 29 + 3 * np.sin(turn * 5 + phases[0])) + 0.12 * np.sin(turn * 13 + phases[1])
    ring = 1.15 - 0.75 * smoothstep(0.72, 1.0, q) - 0.25 * smoothstep(0.55, 0.35, q)
    iris = np.array(COLOURS[name]) * np.exp(rng.normal(0, 0.15)) * (fibres * ring)[..., None]
    sclera = np.array([0.42, 0.385, 0.37]) * rng.uniform(0.9, 1.08) * (1 - 0.35 * smoothstep(0.35, 0.8, r))[..., None]
    sclera = sclera * np.exp(-smoothstep(0.4, 0.8, r)[..., None] * np.array([0.0, 0.2, 0.22]))
    inner = smoothstep(1.05, 0.93, q)[..., None]
    pupil = smoothstep(0.44, 0.36, q)[..., None]
    return name, ((sclera * (1 - inner) + iris * inner) * (1 - pupil) + 0.003 * pupil).astype(np.float32)
