"""The skin's texture map: which point of the base head each texel stands for, and fields painted there once.

The map is a polar one about the face's forward direction, finest at the face: the five sixths of the surface that
matter share 400 x 400 texels. Its fields depend on the base head alone, so that a person's skin is a mix of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial import KDTree

from facecycle.synthetic.assets import load_assets
from facecycle.synthetic.raster import DITHER, rasterize
from facecycle.synthetic.seeds import stream

TEXELS = 400
CENTRE = np.array([0.0, 7.05, 0.3])  # of the directions that the map unrolls, base head
WIDEST = np.radians(130)  # angle from straight ahead at the rim of the map
NECK = 5.95  # below this height (base head) skin has no texture


def smoothstep(low: float | np.ndarray, high: float | np.ndarray, x: float | np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high`` (or the other way round), smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Atlas:
    """Attributes:
    uv: texture coordinates of the control vertices.
    textured: which skin triangles the map covers.
    position: base-head point of each texel.
    inside: texels that lie on the face or head.
    lips, lid: how much a texel belongs to the lips, and to the lash line.
    noise: unit-variance noise, from fine to coarse.
    """

    uv: Float[np.ndarray, "n 2"]
    textured: Bool[np.ndarray, " t"]
    position: Float[np.ndarray, "s s 3"]
    inside: Bool[np.ndarray, "s s"]
    lips: Float[np.ndarray, "s s"]
    lid: Float[np.ndarray, "s s"]
    noise: Float[np.ndarray, "k s s"]


@lru_cache(maxsize=1)
def load_atlas() -> Atlas:
    """Unroll the base head; once per process."""
    assets = load_assets()
    skin = assets.triangles["skin"]
    uv = unroll(assets.vertices)
    height = assets.vertices[:, 1]
    radius = np.linalg.norm((uv - 0.5) * 2, axis=1)
    textured = (height[skin] > NECK).all(1) & (radius[skin] < 0.985).any(1)
    outer = textured & (assets.masks["inside-mouth"][skin] < 0.5).all(1)
    lash = assets.vertices[np.unique(assets.triangles["lashes"])]
    margin = np.exp(-((KDTree(lash).query(assets.vertices)[0] / 0.03) ** 2))
    attributes = np.column_stack([assets.vertices, assets.masks["lips"], margin]).astype(np.float32)
    texels, inside = bake(uv, skin[outer], np.linalg.norm(assets.vertices - CENTRE, axis=1), attributes)
    return Atlas(
        uv=uv,
        textured=textured,
        position=np.ascontiguousarray(texels[..., :3]),
        inside=inside,
        lips=gaussian_filter(texels[..., 3], 0.8),
        lid=gaussian_filter(texels[..., 4], 0.7),
        noise=noises(),
    )


def unroll(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
    """Base-head points -> texture coordinates; beyond the rim and below the neck they stay on the rim."""
    d = points - CENTRE
    across = np.hypot(d[:, 0], d[:, 1])
    angle = np.arctan2(across, d[:, 2])
    share = np.where(points[:, 1] < NECK, 1.0, np.minimum(angle / WIDEST, 1))
    r = 0.5 * (1 - (1 - share) ** 2) / np.maximum(across, 1e-9)
    return np.stack([0.5 + r * d[:, 0], 0.5 - r * d[:, 1]], 1).astype(np.float32)


def bake(
    uv: np.ndarray, triangles: np.ndarray, radius: np.ndarray, attributes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Vertex attributes -> texels (the outermost surface wins); texels without a surface copy their nearest."""
    screen = np.column_stack([uv * TEXELS, radius]).astype(np.float32)
    depth = np.full((TEXELS, TEXELS), -np.inf, np.float32)
    ids = np.full((TEXELS, TEXELS), -1, np.int32)
    bary = np.zeros((TEXELS, TEXELS, 2), np.float32)
    kinds = np.zeros(len(triangles), np.uint8)
    rasterize(screen, triangles, kinds, True, uv, np.zeros((1, 1), np.uint8), DITHER, depth, ids, bary)
    inside = ids >= 0
    corners = attributes[triangles[ids]]
    weights = np.concatenate([1 - bary.sum(-1, keepdims=True), bary], -1)
    texels = (corners * weights[..., None]).sum(-2)
    nearest = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return np.ascontiguousarray(texels[tuple(nearest)]).astype(np.float32), inside  # pyright: ignore[reportArgumentType]


def noises() -> Float[np.ndarray, "k s s"]:
    """Wrapping noise of unit variance whose grains are about 1, 2, 4, 10, 24 and 56 texels wide."""
    fields = []
    for k, grain in enumerate((0.5, 1.0, 2.0, 5.0, 12.0, 28.0)):
        white = stream("skin noise", k).standard_normal((TEXELS, TEXELS), dtype=np.float32)
        field = gaussian_filter(white, grain, mode="wrap")
        fields.append(field / field.std())
    return np.stack(fields)
