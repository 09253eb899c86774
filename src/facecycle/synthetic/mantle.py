"""Long hair: sheets of strands that start over the scalp, fall round the head and leave the face free."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial import KDTree

from facecycle.synthetic.assets import load_assets
from facecycle.synthetic.atlas import smoothstep
from facecycle.synthetic.hairline import Hairline
from facecycle.synthetic.kernels import vertex_normals
from facecycle.synthetic.mesh import CURTAIN, HAIR, Mesh
from facecycle.synthetic.shape import Body
from facecycle.synthetic.strands import CARDS, CURLY, STRAIGHT, in_slot

HEAD = np.array([0.0, 7.45, 0.5])  # an ellipsoid about the base head that hair lies on
RADII = np.array([0.78, 1.06, 0.98])
COLUMNS, ROWS = 44, 12


@dataclass(frozen=True)
class Mantle:
    """How long hair falls, in base-head decimetres.

    Attributes:
        end: height of the tips.
        volume: how far the hair stands off the head.
        reach: how far forward (z) it hangs beside the face; the ears lie at 0.35 to 0.6.
        flare: how much wider (or, negative, narrower) it is at its tips.
        wave: width of its waves; crowd: waves per decimetre.
        curly: which strands.
    """

    end: float
    volume: float = 0.06
    reach: float = 0.5
    flare: float = 0.0
    wave: float = 0.0
    crowd: float = 6.0
    curly: bool = False


def build_mantle(
    rng: np.random.Generator, body: Body, hairline: Hairline, mantle: Mantle, colour: np.ndarray
) -> list[Mesh]:
    """Three sheets, the outer ones with gaps between their strands."""
    turn = np.linspace(-1, 1, COLUMNS)
    lengths = np.cumsum(rng.normal(0, 0.05, COLUMNS))
    lengths -= np.linspace(lengths[0], lengths[-1], COLUMNS)
    meshes = []
    for layer in range(3):
        path = fall(rng, turn, lengths, hairline, mantle, layer)
        meshes.append(_sheet(path, turn, body, mantle, colour * (0.72 + 0.14 * layer), layer))
    return meshes


def fall(
    rng: np.random.Generator, turn: np.ndarray, lengths: np.ndarray, hairline: Hairline, mantle: Mantle, layer: int
) -> np.ndarray:
    """Columns from the crown down, from one side of the face round the back to the other: COLUMNS x ROWS x 3."""
    azimuth = np.pi - turn * (np.pi - np.radians(48))  # the back is 180 degrees
    angle = np.degrees(np.pi - np.abs(np.pi - azimuth))
    start = np.maximum(8.15 - 0.3 * smoothstep(0.5, 1.0, np.abs(turn)), hairline.line(angle) + 0.2)
    end = mantle.end + lengths + 0.05 * layer
    t = np.linspace(0, 1, ROWS)
    y = start[:, None] * (1 - t) + end[:, None] * t
    off = (mantle.volume * (0.7 + 0.15 * layer) + 0.03 * layer) * smoothstep(0.0, 0.35, t) - 0.02 * (1 - t)
    dome = np.sqrt(np.clip(1 - ((np.maximum(y, HEAD[1]) - HEAD[1]) / (RADII[1] + off)) ** 2, 0.05, 1))
    spread = 1 + mantle.flare * smoothstep(7.3, 5.8, y)
    lumps = 0.02 * np.sin(azimuth * 7 + rng.uniform(0, 6))[:, None] * smoothstep(0, 0.3, t)
    wave = (mantle.wave * smoothstep(0.1, 0.5, t)) * np.sin(
        y * mantle.crowd + 5 * np.sin(azimuth * 3)[:, None] + 0.7 * layer
    )
    x = np.sin(azimuth)[:, None] * ((RADII[0] + off) * dome * spread + lumps + wave)
    z = np.cos(azimuth)[:, None] * ((RADII[2] + off) * dome * (0.9 + 0.1 * spread) + lumps + wave)
    # Above the ears the hair lies on the skull itself.
    close = (_skull_radius(np.broadcast_to(azimuth[:, None], y.shape), y) + off) / np.hypot(x, z)
    close = 1 + (close - 1) * smoothstep(7.45, 7.75, y)
    x, z = x * close, HEAD[2] + z * close
    return np.stack(_keep_clear(x, y, z, np.sign(turn)[:, None], mantle, layer), -1)


@lru_cache(maxsize=1)
def _skull() -> tuple[KDTree, np.ndarray]:
    """The base head's upper surface by azimuth (radians times 0.8: about decimetres) and height; its radii."""
    assets = load_assets()
    points = assets.vertices[np.unique(assets.triangles["skin"])]
    points = points[(points[:, 1] > 7.2) & (np.abs(points[:, 0]) < 0.79)]
    azimuth = np.arctan2(points[:, 0], points[:, 2] - HEAD[2]) % (2 * np.pi)
    return KDTree(np.stack([0.8 * azimuth, points[:, 1]], 1)), np.hypot(points[:, 0], points[:, 2] - HEAD[2])


def _skull_radius(azimuth: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Horizontal distance of the base head's surface from its axis."""
    tree, radii = _skull()
    distance, near = tree.query(np.stack([0.8 * (azimuth % (2 * np.pi)), y], -1), k=4)
    weight = 1 / (distance + 0.02)
    return (radii[near] * weight).sum(-1) / weight.sum(-1)


def _keep_clear(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, side: np.ndarray, mantle: Mantle, layer: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Off the face, outside the ears, round the neck and over the shoulders."""
    front = mantle.reach + (1.32 - mantle.reach) * smoothstep(7.35, 8.0, y)
    gathered = np.maximum(z - front, 0)
    z = z - gathered * 0.95
    low = smoothstep(7.7, 7.3, y)
    x = np.where(gathered > 0, side * np.maximum(np.abs(x), (0.8 + 0.03 * layer) * low), x)
    ear = smoothstep(0.26, 0.36, z) * smoothstep(0.8, 0.7, z) * smoothstep(0.42, 0.3, np.abs(y - 7.1))
    x = x + ear * side * np.maximum(0.93 + 0.02 * layer - np.abs(x), 0)
    narrow = smoothstep(6.9, 6.2, y)
    x = x * (1 - 0.18 * narrow * (np.abs(x) > 0.66))
    shoulder = 5.85 - 0.32 * np.abs(x)
    sunk = smoothstep(shoulder + 0.15, shoulder - 0.1, y)
    z = z + sunk * np.where(z > 0.05, 0.75 - z, np.minimum(-0.75 - z, 0))
    return x, y, z


def _follow_skull(path: np.ndarray, body: Body) -> np.ndarray:
    """Base-head points -> head space: each is moved as the skull beside it is, below the ears as at the ears."""
    assets = load_assets()
    head = assets.vertices[assets.joints["head"]].mean(0)
    skull = np.flatnonzero((assets.vertices[:, 1] > 7.3) & (np.abs(assets.vertices[:, 0]) < 0.79))
    moved = body.vertices[skull] - (assets.vertices[skull] - head) * body.scale
    at = path.copy()
    at[..., 1] = np.maximum(at[..., 1], 7.5)
    distance, near = KDTree(assets.vertices[skull]).query(at, k=6)
    weight = 1 / (distance[..., None] + 0.05)
    return (path - head) * body.scale + (moved[near] * weight).sum(-2) / weight.sum(-2)


def _sheet(path: np.ndarray, turn: np.ndarray, body: Body, mantle: Mantle, colour: np.ndarray, layer: int) -> Mesh:
    """A grid of columns -> a mesh that hangs on the person's head."""
    points = path.reshape(-1, 3)
    rest = _follow_skull(path, body).reshape(-1, 3)
    k, r = (grid.ravel() for grid in np.meshgrid(np.arange(COLUMNS - 1), np.arange(ROWS - 1), indexing="ij"))
    a, b = k * ROWS + r, (k + 1) * ROWS + r
    triangles = np.concatenate([np.stack([a, b, b + 1], 1), np.stack([a, b + 1, a + 1], 1)])
    normals = vertex_normals(rest.astype(np.float32), triangles.astype(np.int32))
    if (normals * (points - HEAD)).sum() < 0:
        triangles, normals = triangles[:, ::-1], -normals
    along = np.gradient(path, axis=1).reshape(-1, 3)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    slot = STRAIGHT if layer == 0 else (CURLY + layer if mantle.curly else CARDS)
    v = np.linspace(0.0, 0.99 if layer else 0.9, ROWS)
    uv = np.stack(np.broadcast_arrays((turn * 0.5 + 0.5)[:, None], v[None]), -1).reshape(-1, 2)
    shade = np.linspace(0.8, 1.05, ROWS)[None, :, None] * np.ones((COLUMNS, 1, 1))
    return Mesh.build(
        rest,
        triangles,
        HAIR if layer else CURTAIN,
        tint=colour * shade.reshape(-1, 1),
        normals=normals,
        tangents=along,
        follow=np.clip(0.3 + smoothstep(5.4, 6.5, points[:, 1]), 0, 1),
        uv=in_slot(uv, slot),
        gloss=0.01,
        casts=layer == 0,
    )
