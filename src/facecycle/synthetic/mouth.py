"""Teeth, gums and tongue."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from facecycle.synthetic.assets import Assets
from facecycle.synthetic.mesh import SURFACE, Mesh
from facecycle.synthetic.seeds import PersonKey, stream
from facecycle.synthetic.shape import Body

# Widths of the teeth of one side, from the middle outwards (decimetres): incisors, canine, premolars, a molar.
UPPER = (0.086, 0.068, 0.076, 0.070, 0.068, 0.09)
LOWER = (0.054, 0.060, 0.070, 0.070, 0.070, 0.09)
GUM = np.array([0.34, 0.11, 0.11])


def mouth_meshes(key: PersonKey, assets: Assets, body: Body) -> list[Mesh]:
    """Upper and lower teeth with their gums, and the tongue."""
    rng = stream(key, "teeth")
    enamel = (
        np.array([0.86, 0.80, 0.70])
        * rng.uniform(0.75, 1.1)
        * np.array([1, rng.uniform(0.95, 1), rng.uniform(0.85, 1)])
    )
    meshes = [_arch(assets, body, rng, enamel, upper) for upper in (True, False)]
    used, triangles = np.unique(assets.triangles["tongue"], return_inverse=True)
    back = np.clip((assets.vertices[used, 2] - 0.95) / 0.4, 0.12, 1)
    tongue = Mesh.build(
        body.vertices[used],
        triangles.reshape(-1, 3),
        SURFACE,
        tint=(0.40, 0.14, 0.13),
        anchor=used,
        occlusion=0.55 * back,
        gloss=0.05,
    )
    return [*meshes, tongue]


def _arch(assets: Assets, body: Body, rng: np.random.Generator, enamel: np.ndarray, upper: bool) -> Mesh:
    """One row of teeth on a parabola, each a little bulged, darker where two meet, gum above its neck."""
    half = np.array(UPPER if upper else LOWER) * 0.88
    widths = np.concatenate([half[::-1], half]) * rng.uniform(0.95, 1.05, 2 * len(half))
    edges = np.concatenate([[0], np.cumsum(widths)]) - widths.sum() / 2
    # Three columns a tooth, five rows: biting edge, middle, neck, gum, deep gum.
    column = np.array([0.04, 0.5, 0.96])
    along = (edges[:-1, None] + widths[:, None] * column).ravel()
    rounded = np.tile([1.0, 0.0, 1.0], len(widths))
    length = np.repeat(rng.normal(0, 0.004, len(widths)), 3)
    bite, neck = (6.598, 6.775) if upper else (6.590, 6.465)
    away = 1 if upper else -1
    heights = [bite + away * (0.006 * rounded) + length, (bite + neck) / 2 + 0 * along, neck - away * 0.012 * rounded]
    heights += [neck + away * (0.02 + 0 * along), neck + away * (0.09 + 0 * along)]
    front = (1.515 if upper else 1.47) - np.array([0.012, 0.0, 0.004, 0.0, 0.02])
    x, z = _on_parabola(along, 3.4)
    points = np.stack([np.stack([x, h, f - z - 0.008 * rounded], 1) for h, f in zip(heights, front, strict=True)])
    tint = np.empty_like(points)
    tint[:3] = enamel * (1 - 0.3 * rounded)[None, :, None]
    tint[2] *= 0.85
    tint[3:] = GUM
    n = len(along)
    row, k = (grid.ravel() for grid in np.meshgrid(np.arange(4), np.arange(n - 1), indexing="ij"))
    a, b = row * n + k, row * n + k + 1
    faces = np.concatenate([np.stack([a, b, b + n], 1), np.stack([a, b + n, a + n], 1)])
    faces = faces if upper else faces[:, ::-1]
    deep = np.clip((points[..., 2] - 1.1) / 0.3, 0.15, 1).ravel()
    points = points.reshape(-1, 3)
    helper = np.unique(assets.triangles["teeth_upper" if upper else "teeth_lower"])
    anchor = helper[KDTree(assets.vertices[helper]).query(points)[1]]
    rest = body.vertices[anchor] + (points - assets.vertices[anchor]) * body.scale
    return Mesh.build(
        rest, faces, SURFACE, tint=tint.reshape(-1, 3), anchor=anchor, occlusion=0.85 * deep, gloss=0.05, casts=False
    )


def _on_parabola(along: np.ndarray, bend: float) -> tuple[np.ndarray, np.ndarray]:
    """Distances along the dental arch -> x and depth behind its front, z = bend x^2."""
    x = np.linspace(0, 0.5, 400)
    travelled = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(bend * x**2)))])
    at = np.sign(along) * np.interp(np.abs(along), travelled, x)
    return at, bend * at**2
