"""Short and curly hair: layers over the scalp, each a little further out and a little thinner."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from facecycle.synthetic.assets import load_assets
from facecycle.synthetic.atlas import smoothstep
from facecycle.synthetic.hairline import Hairline
from facecycle.synthetic.kernels import vertex_normals
from facecycle.synthetic.mesh import HAIR, Mesh
from facecycle.synthetic.shape import Body
from facecycle.synthetic.strands import CURLY, STRAIGHT, in_slot


@dataclass(frozen=True)
class Shell:
    """How a shell stands off the scalp, in decimetres.

    Attributes:
        top, sides, front: height on the crown, at the sides and above the forehead.
        lumps: relative unevenness; grain: waves per decimetre of it.
        sweep: how far the hair leans: x, y, z.
        curly: which strands.
        layers: how many; 1 is a closed cap.
    """

    top: float
    sides: float
    front: float
    lumps: float = 0.25
    grain: float = 3.0
    sweep: tuple[float, float, float] = (0.0, 0.0, 0.0)
    curly: bool = False
    layers: int = 3


@dataclass(frozen=True)
class Scalp:
    """The part of the skin that can carry hair, coarse and with each triangle split in four.

    Attributes:
        pairs: a vertex lies half way between its two control vertices; for the first ``corners`` they are one.
        corners: how many vertices the coarse triangles use.
        coarse, fine: triangles.
        base: the vertices on the base head.
    """

    pairs: Int[np.ndarray, "n 2"]
    corners: int
    coarse: Int[np.ndarray, "t 3"]
    fine: Int[np.ndarray, "t4 3"]
    base: Float[np.ndarray, "n 3"]


@lru_cache(maxsize=2)
def scalp(forehead: float = 0.08) -> Scalp:
    """Cut the scalp out of the head; ``forehead``: how far below the usual hairline its front begins."""
    assets = load_assets()
    triangles = assets.triangles["skin"]
    low = Hairline(rise=-forehead, temples=0.0, peak=0.05, thin=0.0)
    ears = assets.masks["ears"] > 0.35
    able = (low.above(*assets.vertices.T) > -0.05) & (assets.vertices[:, 1] > 6.4) & ~ears
    triangles = triangles[able[triangles].all(1)]
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), 1)
    corners = np.unique(triangles)
    pairs, which = np.unique(edges, axis=0, return_inverse=True)
    pairs = np.concatenate([np.stack([corners, corners], 1), pairs]).astype(np.int32)
    a, b, c = np.searchsorted(corners, triangles).T
    ab, bc, ca = which.reshape(3, -1) + len(corners)
    fine = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    coarse = np.stack([a, b, c], 1)
    return Scalp(pairs, len(corners), coarse.astype(np.int32), fine.astype(np.int32), assets.vertices[pairs].mean(1))


def rounded_scalp(body: Body, forehead: float = 0.08) -> tuple[np.ndarray, np.ndarray]:
    """Points and normals of the split scalp, bulged between old corners (Phong tessellation, Boubekeur 2008)."""
    part = scalp(forehead)
    normals = vertex_normals(body.vertices, load_assets().triangles["skin"])
    a, b = (body.vertices[part.pairs[:, k]] for k in (0, 1))
    middle = (a + b) / 2
    bulge = [((q - middle) * n).sum(1, keepdims=True) * n for q, n in zip((a, b), normals[part.pairs.T], strict=True)]
    points = (middle + 0.375 * (bulge[0] + bulge[1])).astype(np.float32)
    return points, vertex_normals(points, part.fine)


def build_shell(
    rng: np.random.Generator, body: Body, hairline: Hairline, shell: Shell, colour: np.ndarray
) -> list[Mesh]:
    """The layers of a shell as meshes; only the outermost, whose outline shows, is fine."""
    part = scalp()
    points, normals = rounded_scalp(body)
    x, y, z = part.base.T
    above = hairline.above(x, y, z) + rng.normal(0, 0.02, len(x))
    grown = smoothstep(0.0, 0.22, above) * hairline.density(x, y, z)
    height = _height(rng, shell, part.base, above, grown) * body.scale
    lean = np.array(shell.sweep) * smoothstep(0.02, 0.3, height)[:, None]
    direction = normals + lean
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    down = np.array([0.0, -1.0, 0.0]) + lean - np.array([0, 0, 0.6]) * smoothstep(7.5, 8.25, y)[:, None]
    tangents = down - normals * (down * normals).sum(1, keepdims=True)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True) + 1e-6
    uv = np.stack([np.arctan2(x, z - 0.45) / (2 * np.pi) + 0.5, np.clip((8.6 - y) / 2.3, 0, 1)], 1)
    follow = load_assets().follow[part.pairs[:, 0]]
    meshes = []
    for layer in range(shell.layers):
        t = 0.62 + 0.38 * layer / max(shell.layers - 1, 1)
        outer = layer == shell.layers - 1
        triangles, n = (part.fine, len(x)) if outer else (part.coarse, part.corners)
        # The closed layer ends inside the hairline, so that strands, not an edge, meet the forehead.
        keep = triangles[(grown[triangles] > (0.02 if layer or shell.curly else 0.3)).all(1)]
        rest = points[:n] + direction[:n] * (height[:n] * t + 0.008 * body.scale)[:, None]
        coordinates = in_slot(uv[:n], (CURLY if shell.curly else STRAIGHT) + layer)
        meshes.append(
            Mesh.build(
                rest, keep, HAIR, tint=colour * (0.4 + 0.6 * t), normals=direction[:n], tangents=tangents[:n],
                follow=follow[:n], uv=coordinates, gloss=0.01, casts=layer == 0,
            )
        )  # fmt: skip
    return meshes


def _height(
    rng: np.random.Generator, shell: Shell, base: np.ndarray, above: np.ndarray, grown: np.ndarray
) -> np.ndarray:
    """How far the outermost layer stands off, base-head decimetres."""
    up = smoothstep(7.5, 8.25, base[:, 1])
    front = smoothstep(0.7, 1.2, base[:, 2]) * smoothstep(7.7, 8.0, base[:, 1])
    height = (shell.sides * (1 - up) + shell.top * up) * (1 - front) + shell.front * front
    # Thick hair rounds off towards the hairline, so that no gap opens beside the head.
    height = height * np.sqrt(smoothstep(0.0, 0.12 + 1.1 * height, above)) * np.sqrt(grown)
    waves, phases = rng.normal(0, shell.grain, (8, 3)), rng.uniform(0, 2 * np.pi, 8)
    lumps = np.sin((base[:, None] * waves).sum(-1) + phases).mean(1)
    return height * (1 + shell.lumps * 2 * lumps)
