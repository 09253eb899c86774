"""Spectacles: two rims, a bridge and temples."""

from __future__ import annotations

import numpy as np

from facecycle.synthetic.assets import load_assets
from facecycle.synthetic.mesh import SURFACE, Mesh
from facecycle.synthetic.seeds import PersonKey, stream
from facecycle.synthetic.shape import Body

FRAMES = ((0.012, 0.012, 0.014), (0.06, 0.03, 0.015), (0.35, 0.31, 0.25), (0.025, 0.03, 0.07), (0.22, 0.03, 0.03))


def sample_glasses(key: PersonKey, body: Body) -> list[Mesh]:
    """Spectacles for about one in seven."""
    rng = stream(key, "glasses")
    if rng.random() > 0.15:
        return []
    assets, scale = load_assets(), body.scale
    left, right = (body.vertices[assets.joints[f"{side}-eye"]].mean(0) for side in ("l", "r"))
    half_width, half_height = rng.uniform(0.22, 0.28) * scale, rng.uniform(0.15, 0.21) * scale
    squareness, thick = float(rng.choice([2, 2.6, 3.5, 5])), rng.uniform(0.010, 0.024) * scale
    front = max(left[2], right[2]) + 0.28 * scale
    tubes = []
    turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    for eye, side in ((left, 1), (right, -1)):
        x = eye[0] + side * 0.02 * scale + _rounded(np.cos(turn), squareness) * half_width
        y = eye[1] - 0.03 * scale + _rounded(np.sin(turn), squareness) * half_height
        tubes.append(tube(np.stack([x, y, front - 0.22 * x**2 / scale], 1), thick, closed=True))
        edge = eye[0] + side * (0.02 * scale + half_width)
        hinge = front - 0.22 * edge**2 / scale
        ear = 0.80 * scale * side
        path = [(edge, eye[1] + 0.04 * scale, hinge), (0.92 * ear, eye[1] + 0.04 * scale, hinge - 0.25 * scale)]
        path += [(ear * 1.02, eye[1], 0.42 * scale), (ear, eye[1] - 0.12 * scale, 0.22 * scale)]
        tubes.append(tube(np.array(path), thick * 0.8, closed=False))
    nose = (left + right) / 2
    inner = [(e[0] - s * (half_width - 0.035 * scale), nose[1], front) for e, s in ((right, -1), (left, 1))]
    tubes.append(
        tube(
            np.array([inner[0], (nose[0], nose[1] + 0.05 * scale, front + 0.02 * scale), inner[1]]), thick * 0.8, False
        )
    )
    tint = FRAMES[rng.integers(len(FRAMES))]
    # Shadow maps are too coarse for wires: half the face would lie in the shade.
    return [Mesh.build(points, faces, SURFACE, tint=tint, gloss=0.35, casts=False) for points, faces in tubes]


def _rounded(wave: np.ndarray, squareness: float) -> np.ndarray:
    """From a circle (2) to a rounded rectangle: a superellipse."""
    return np.sign(wave) * np.abs(wave) ** (2 / squareness)


def tube(path: np.ndarray, radius: float, closed: bool, sides: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """A pipe along a path: vertices and triangles."""
    tangent = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    tangent = tangent / (np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9)
    helper = np.where(np.abs(tangent[:, 2:]) > 0.9, np.array([[0.0, 1, 0]]), np.array([[0.0, 0, 1]]))
    u = np.cross(tangent, helper)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    v = np.cross(tangent, u)
    turn = np.arange(sides) * 2 * np.pi / sides
    ring = np.cos(turn)[:, None, None] * u + np.sin(turn)[:, None, None] * v
    points = (path + radius * ring).transpose(1, 0, 2).reshape(-1, 3)
    rows = len(path) if closed else len(path) - 1
    k, s = (grid.ravel() for grid in np.meshgrid(np.arange(rows), np.arange(sides), indexing="ij"))
    a, b = k * sides + s, k * sides + (s + 1) % sides
    c, d = ((k + 1) % len(path)) * sides + s, ((k + 1) % len(path)) * sides + (s + 1) % sides
    return points, np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])
