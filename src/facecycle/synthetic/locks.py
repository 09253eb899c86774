"""Longer hair: flat locks that start on the scalp, fall round the head and leave the face free."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facecycle.synthetic.assets import load_assets
from facecycle.synthetic.atlas import smoothstep
from facecycle.synthetic.hairline import Hairline
from facecycle.synthetic.mesh import HAIR, Mesh
from facecycle.synthetic.shape import Body
from facecycle.synthetic.shells import scalp
from facecycle.synthetic.strands import CARDS, in_slot

ROWS = 9  # points along a lock
HEAD = np.array([0.0, 7.45, 0.5])  # an ellipsoid about the base head that locks slide along
RADII = np.array([0.78, 1.06, 0.98])


@dataclass(frozen=True)
class Locks:
    """How long hair falls, in base-head decimetres.

    Attributes:
        count: locks.
        end: height of the tips.
        part: x of the parting.
        volume: how far the hair stands off the head.
        reach: how far forward of the ears (z) it may hang.
        wave: width of its waves; crowd: waves per decimetre.
        fringe: height of a fringe's tips, 0 for none.
        width: of a lock at its root.
    """

    count: int = 330
    end: float = 5.6
    part: float = 0.0
    volume: float = 0.06
    reach: float = 0.6
    wave: float = 0.0
    crowd: float = 8.0
    fringe: float = 0.0
    width: float = 0.10


def build_locks(
    rng: np.random.Generator, body: Body, hairline: Hairline, locks: Locks, colour: np.ndarray
) -> list[Mesh]:
    """All locks as one mesh."""
    pairs, _, base = scalp()
    grown = hairline.density(*base.T) * smoothstep(0.0, 0.1, hairline.above(*base.T))
    able = np.flatnonzero((grown > 0.3) & (base[:, 1] > 7.0))
    # The split scalp is finer in front: draw roots evenly by area, more densely where the hair parts.
    spacing = 1 / (0.05 + np.exp(-(((base[able, 2] - 0.9) / 0.5) ** 2)))
    root = rng.choice(able, locks.count, p=spacing / spacing.sum())
    start = base[root] + rng.normal(0, 0.02, (locks.count, 3))
    fringe = np.zeros(locks.count, bool)
    if locks.fringe:
        front = able[(base[able, 2] > 1.0) & (np.abs(base[able, 0]) < 0.5)]
        many = min(70, locks.count // 3)
        start[:many] = base[rng.choice(front, many)] + rng.normal(0, 0.02, (many, 3))
        root[:many] = rng.choice(front, many)
        fringe[:many] = True
    path = fall(rng, start, fringe, locks)
    return [_strips(rng, path, root, pairs, body, locks, colour, fringe)]


def fall(rng: np.random.Generator, start: np.ndarray, fringe: np.ndarray, locks: Locks) -> np.ndarray:
    """Paths of the locks: count x ROWS x 3."""
    radii = RADII + np.array([locks.volume, 0.5 * locks.volume, locks.volume])
    away = (start - HEAD) / RADII**2
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    side = np.where(start[:, 0] >= locks.part, 1.0, -1.0)
    front = smoothstep(0.6, 1.1, start[:, 2])
    heading = 0.22 * away + np.stack([side * (0.3 + 0.6 * front), 0.0 * front, -0.25 - 0.3 * front], 1)
    heading[fringe] = 0.45 * away[fringe] + np.array([0.0, -0.1, 0.75])
    heading[fringe, 0] += rng.normal(0, 0.12, fringe.sum())
    length = (start[:, 1] - locks.end) * 1.1 * rng.uniform(0.85, 1.05, len(start))
    length[fringe] = np.maximum(start[fringe, 1] - locks.fringe, 0.15) * rng.uniform(1.0, 1.25, fringe.sum())
    step = (length / (ROWS - 1))[:, None]
    path = np.empty((len(start), ROWS, 3))
    point = start + 0.02 * away
    for row in range(ROWS):
        path[:, row] = point
        heading /= np.linalg.norm(heading, axis=1, keepdims=True) + 1e-9
        moved = _collide(point + step * heading, radii, side, fringe, locks)
        heading = 0.4 * (moved - point) / (step + 1e-9) + np.array([0.0, -0.8, 0.0])
        point = moved
    wave = locks.wave * np.linspace(0, 1, ROWS)
    phase = rng.uniform(0, 2 * np.pi, (len(start), 1))
    path[..., 0] += wave * np.sin(path[..., 1] * locks.crowd + phase)
    path[..., 2] += wave * np.cos(path[..., 1] * locks.crowd * 0.9 + phase)
    return path


def _collide(p: np.ndarray, radii: np.ndarray, side: np.ndarray, fringe: np.ndarray, locks: Locks) -> np.ndarray:
    """Push points out of head, ears, neck and shoulders, and off the face."""
    q = (p - HEAD) / radii
    depth = np.linalg.norm(q, axis=1, keepdims=True)
    p = np.where(depth < 1.02, HEAD + q / np.maximum(depth, 1e-6) * 1.02 * radii, p)
    x, y, z = p.T.copy()
    below = smoothstep(7.75, 7.35, y) * ~fringe
    z = z - below * np.maximum(z - locks.reach, 0)  # nothing hangs in front of the cheeks
    beside = below * (np.abs(x) < 0.8) * smoothstep(0.0, 0.3, z)
    x = np.where(beside > 0.01, x + beside * (side * 0.8 - x), x)
    ear = (np.abs(y - 7.1) < 0.32) & (z > 0.28) & (z < 0.72)
    x = np.where(ear & (np.abs(x) < 0.94), side * 0.94, x)
    neck = np.hypot(x, z - 0.15)
    tight = (y < 6.5) & (neck < 0.64)
    grow = np.where(tight, 0.64 / np.maximum(neck, 1e-3), 1)
    x, z = x * grow, 0.15 + (z - 0.15) * grow
    shoulder = 5.78 - 0.3 * np.abs(x)
    sunk = (y < shoulder) & (np.abs(z) < 0.8)
    z = np.where(sunk, np.where(z > 0.1, 0.82, -0.75), z)
    return np.stack([x, y, z], 1)


def _strips(
    rng: np.random.Generator,
    path: np.ndarray,
    root: np.ndarray,
    pairs: np.ndarray,
    body: Body,
    locks: Locks,
    colour: np.ndarray,
    fringe: np.ndarray,
) -> Mesh:
    """Paths -> flat strips that face outwards."""
    count = len(path)
    out = (path - HEAD) / RADII**2
    out[..., 1] *= 0.3
    out /= np.linalg.norm(out, axis=-1, keepdims=True)
    along = np.gradient(path, axis=1)
    along /= np.linalg.norm(along, axis=-1, keepdims=True) + 1e-9
    across = np.cross(along, out)
    across /= np.linalg.norm(across, axis=-1, keepdims=True) + 1e-9
    across += out * rng.normal(0, 0.35, (count, 1, 1))
    half = locks.width * rng.uniform(0.6, 1.2, count)[:, None] * np.linspace(1, 0.7, ROWS)
    half[fringe] *= 0.7
    both = np.stack([path - across * half[..., None], path + across * half[..., None]], 2)
    k = np.arange(ROWS - 1) * 2
    quad = np.concatenate([np.stack([k, k + 1, k + 3], 1), np.stack([k, k + 3, k + 2], 1)])
    triangles = (quad[None] + np.arange(count)[:, None, None] * 2 * ROWS).reshape(-1, 3)
    u = rng.uniform(0, 0.86, (count, 1, 1)) + np.array([0.0, 0.12])
    v = np.linspace(0, 0.99, ROWS)[None, :, None]
    uv = np.stack(np.broadcast_arrays(u, v), -1).reshape(-1, 2)
    assets = load_assets()
    owner = np.repeat(root, 2 * ROWS)
    base, placed = (vertices[pairs[owner]].mean(1) for vertices in (assets.vertices, body.vertices))
    points = both.reshape(-1, 3)
    fade = np.broadcast_to(np.linspace(0.62, 1.05, ROWS)[None, :, None], both.shape[:3]).reshape(-1, 1)
    shades = np.repeat(np.exp(rng.normal(0, 0.1, count)), 2 * ROWS)[:, None]
    normals = np.repeat(out[:, :, None], 2, 2).reshape(-1, 3)
    return Mesh.build(
        placed + (points - base) * body.scale,
        triangles,
        HAIR,
        tint=colour * fade * shades,
        normals=normals,
        tangents=np.repeat(along[:, :, None], 2, 2).reshape(-1, 3),
        follow=np.clip(0.3 + smoothstep(5.4, 6.5, points[:, 1]), 0, 1),
        uv=in_slot(uv, CARDS),
        gloss=0.03,
    )
