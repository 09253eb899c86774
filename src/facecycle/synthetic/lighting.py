"""Light at the vertices, and the key light's shadow map.

Skin is lit with two highlight lobes and the sky's reflection at grazing angles. Shadows are exponential shadow maps
(Annen et al., Graphics Interface 2008): soft, without noise.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from facecycle.synthetic.scene import (
    AMBIENT,
    CAMERA,
    CLOTH,
    CREASE,
    FACING,
    FILL_COLOUR,
    FILL_GLINT,
    FRAME,
    GLINT,
    GROUND,
    HALF,
    KEY,
    KEY_COLOUR,
    NORMAL,
    ONE,
    OPEN,
    ORIGIN,
    SHADOW,
    SHARPNESS,
    SHEEN,
    SKY,
    SLOPE,
    TO_FILL,
    TO_KEY,
    UP,
    UV,
    ZERO,
    half_dot,
    power16,
)  # fmt: skip


@njit(cache=True, error_model="numpy")
@no_type_check
def light_vertices(points, normals, tangents, tint, occlusion, gloss, uv, crease, cloth, scene, out):
    """Fill ``out`` (n, COLUMNS) for every vertex."""
    for i in range(points.shape[0]):
        nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
        px, py, pz = points[i, 0], points[i, 1], points[i, 2]
        vx, vy, vz = scene[CAMERA] - px, scene[CAMERA + 1] - py, scene[CAMERA + 2] - pz
        length = math.sqrt(vx * vx + vy * vy + vz * vz)
        vx, vy, vz = vx / length, vy / length, vz / length
        tx, ty, tz = tangents[i, 0], tangents[i, 1], tangents[i, 2]
        hair = tx * tx + ty * ty + tz * tz > 0.5
        facing = nx * vx + ny * vy + nz * vz
        if hair and facing < 0:
            nx, ny, nz, facing = -nx, -ny, -nz, -facing
        kx, ky, kz = scene[TO_KEY], scene[TO_KEY + 1], scene[TO_KEY + 2]
        fx, fy, fz = scene[TO_FILL], scene[TO_FILL + 1], scene[TO_FILL + 2]
        to_key = nx * kx + ny * ky + nz * kz
        to_fill = max(ZERO, (nx * fx + ny * fy + nz * fz + np.float32(0.2)) / np.float32(1.2))
        above = HALF + HALF * ny
        seen = occlusion[i]
        for c in range(3):
            around = scene[GROUND + c] * (ONE - above) + scene[SKY + c] * above + to_fill * scene[FILL_COLOUR + c]
            out[i, AMBIENT + c] = tint[i, c] * around * seen
            out[i, KEY + c] = tint[i, c] * scene[KEY_COLOUR + c]
        out[i, FACING] = to_key
        if hair:
            hx, hy, hz = kx + vx, ky + vy, kz + vz
            out[i, GLINT] = (tx * hx + ty * hy + tz * hz) / (math.sqrt(hx * hx + hy * hy + hz * hz) + np.float32(1e-9))
        else:
            h = half_dot(nx, ny, nz, kx, ky, kz, vx, vy, vz)
            broad = power16(h)
            lobe = np.float32(0.6) * broad + np.float32(0.8) * broad * broad * broad * broad
            out[i, GLINT] = lobe * gloss[i] if to_key > 0 else ZERO
        grazing = ONE - max(ZERO, facing)
        grazing = grazing * grazing * grazing * grazing * grazing
        out[i, SHEEN] = gloss[i] * seen * (np.float32(0.03) + np.float32(0.4) * grazing)
        out[i, FILL_GLINT] = gloss[i] * seen * HALF * power16(half_dot(nx, ny, nz, fx, fy, fz, vx, vy, vz))
        _place_in_shadow(px, py, pz, scene, out, i)
        _slopes(nx, ny, nz, scene, out, i)
        out[i, UV], out[i, UV + 1] = uv[i, 0], uv[i, 1]
        out[i, CREASE], out[i, CLOTH], out[i, OPEN] = crease[i], cloth[i], seen
        out[i, NORMAL], out[i, NORMAL + 1], out[i, NORMAL + 2] = nx, ny, nz


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _place_in_shadow(px, py, pz, scene, out, i):
    """Where the vertex lies in the shadow map, in its pixels and above its reference height."""
    out[i, SHADOW] = (
        scene[FRAME + 0] * px + scene[FRAME + 1] * py + scene[FRAME + 2] * pz - scene[ORIGIN + 0]
    ) * scene[ORIGIN + 2] - HALF
    out[i, SHADOW + 1] = (
        scene[FRAME + 3] * px + scene[FRAME + 4] * py + scene[FRAME + 5] * pz - scene[ORIGIN + 1]
    ) * scene[ORIGIN + 2] - HALF
    out[i, SHADOW + 2] = scene[FRAME + 6] * px + scene[FRAME + 7] * py + scene[FRAME + 8] * pz - scene[ORIGIN + 3]


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _slopes(nx, ny, nz, scene, out, i):
    """The key light along the texture's two axes: right = up x normal, and down the face."""
    ux, uy, uz = scene[UP], scene[UP + 1], scene[UP + 2]
    rx, ry, rz = uy * nz - uz * ny, uz * nx - ux * nz, ux * ny - uy * nx
    length = math.sqrt(rx * rx + ry * ry + rz * rz) + np.float32(1e-6)
    rx, ry, rz = rx / length, ry / length, rz / length
    dx, dy, dz = ry * nz - rz * ny, rz * nx - rx * nz, rx * ny - ry * nx  # right x normal points down
    out[i, SLOPE] = scene[TO_KEY] * rx + scene[TO_KEY + 1] * ry + scene[TO_KEY + 2] * rz
    out[i, SLOPE + 1] = scene[TO_KEY] * dx + scene[TO_KEY + 1] * dy + scene[TO_KEY + 2] * dz


@njit(cache=True, error_model="numpy")
@no_type_check
def blur_shadow(height, reference, scratch, out):
    """Heights -> log of exp(sharpness * (height - reference)), smoothed by a 5 x 5 binomial (before the log)."""
    rows, columns = height.shape
    for y in range(rows):
        for x in range(columns):
            h = height[y, x] - reference
            out[y, x] = math.exp(SHARPNESS * min(h, np.float32(3))) if h > -3 else ZERO
    for y in range(rows):
        for x in range(2, columns - 2):
            a = (
                out[y, x - 2]
                + out[y, x + 2]
                + np.float32(4) * (out[y, x - 1] + out[y, x + 1])
                + np.float32(6) * out[y, x]
            )
            scratch[y, x] = a * np.float32(1 / 16)
    for y in range(2, rows - 2):
        for x in range(2, columns - 2):
            a = (
                scratch[y - 2, x]
                + scratch[y + 2, x]
                + np.float32(4) * (scratch[y - 1, x] + scratch[y + 1, x])
                + np.float32(6) * scratch[y, x]
            )
            out[y, x] = a * np.float32(1 / 16)
    for y in range(rows):
        for x in range(columns):
            out[y, x] = math.log(out[y, x] + np.float32(1e-30))
