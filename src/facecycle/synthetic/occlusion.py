"""Ambient occlusion: how much of the surrounding light reaches each vertex of a resting head."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from facecycle.synthetic.kernels import project_parallel
from facecycle.synthetic.mesh import EYE, HAIR, Mesh
from facecycle.synthetic.raster import rasterize_depth

DIRECTIONS = 18
PIXELS = 112
REACH = 2.9  # decimetres about the head that the depth maps show


@lru_cache(maxsize=1)
def _frames() -> Float[np.ndarray, "d 3 3"]:
    """Directions spread evenly over the sphere (Fibonacci), each the third row of a frame."""
    k = np.arange(DIRECTIONS) + 0.5
    height, turn = 1 - 2 * k / DIRECTIONS, np.pi * (1 + 5**0.5) * k
    r = np.sqrt(1 - height**2)
    z = np.stack([r * np.cos(turn), height, r * np.sin(turn)], 1)
    helper = np.where(np.abs(z[:, 1:2]) < 0.9, [[0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]])
    x = np.cross(helper, z)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], 1).astype(np.float32)


def bake_occlusion(mesh: Mesh) -> Float[np.ndarray, " n"]:
    """Share (0 .. 1) of cosine-weighted directions from which each vertex can be seen; hair counts as solid."""
    normals = mesh.normals.copy()
    open_, total = np.zeros(len(mesh), np.float32), np.full(len(mesh), 1e-3, np.float32)
    screen = np.empty_like(mesh.rest)
    for frame in _frames():
        scale = np.float32(PIXELS / (2 * REACH))
        project_parallel(mesh.rest, frame, np.float32(-REACH), np.float32(-REACH), scale, screen)
        depth = np.full((PIXELS, PIXELS), -1e9, np.float32)
        rasterize_depth(screen, mesh.triangles, mesh.casts, depth)
        column, row = (screen[:, k].astype(int).clip(0, PIXELS - 1) for k in (0, 1))
        x, y, z = frame[2]
        cosine = np.maximum(normals[:, 0] * x + normals[:, 1] * y + normals[:, 2] * z, 0)
        open_ += cosine * (depth[row, column] < screen[:, 2] + 0.06)
        total += cosine
    return np.clip(1.12 * open_ / total, 0.05, 1)


def occluded(mesh: Mesh) -> Mesh:
    """The same mesh with its occlusion baked; what a part brought along (mouths, hair roots) multiplies it."""
    baked = bake_occlusion(mesh)
    hair = np.zeros(len(mesh), bool)
    hair[mesh.triangles[mesh.material >= HAIR]] = True
    eye = np.zeros(len(mesh), bool)
    eye[mesh.triangles[mesh.material == EYE]] = True
    baked = np.where(hair, 0.25 + 0.75 * baked, baked)
    baked = np.where(eye, np.clip(1.7 * baked, 0.12, 1), baked)
    own = mesh.occlusion < 0.999  # closed lips would blacken the teeth behind them
    mesh.occlusion = np.where(own, mesh.occlusion, baked).astype(np.float32)
    return mesh
