"""Triangles -> the samples they cover: depth, triangle number and barycentric coordinates of the nearest surface."""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

# Thresholds in a 3 x 3 cell: nine samples of a pixel give a strand's coverage in steps of 1/9, without noise.
DITHER = np.array([[0.06, 0.61, 0.28], [0.72, 0.39, 0.94], [0.50, 0.17, 0.83]], np.float32) * 255
HAIR = 3


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _strand_alpha(alpha, u, v):
    height, width = alpha.shape
    column = min(width - 1, max(0, int(u * width)))
    row = min(height - 1, max(0, int(v * height)))
    return alpha[row, column]


@njit(cache=True, error_model="numpy")
@no_type_check
def rasterize(screen, triangles, material, two_sided, uv, alpha, dither, depth, ids, bary):
    """Draw triangles into ``depth`` (the greatest third coordinate wins), ``ids`` and ``bary``.

    ``screen`` is n 3: x, y in samples (y down), third coordinate larger = nearer. Hair lets samples through where its
    ``alpha`` (uint8) lies below the cell's threshold. Barycentrics are linear on screen: triangles are tiny.
    """
    height, width = depth.shape
    for t in range(triangles.shape[0]):
        i0, i1, i2 = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, z0 = screen[i0, 0], screen[i0, 1], screen[i0, 2]
        x1, y1 = screen[i1, 0] - x0, screen[i1, 1] - y0
        x2, y2 = screen[i2, 0] - x0, screen[i2, 1] - y0
        area = x1 * y2 - y1 * x2
        hair = material[t] == HAIR
        if area >= 0 and not (two_sided or hair):  # y points down: a front face runs clockwise
            continue
        left, right = x0 + min(0, min(x1, x2)), x0 + max(0, max(x1, x2))
        top, bottom = y0 + min(0, min(y1, y2)), y0 + max(0, max(y1, y2))
        if right < 0 or left > width or bottom < 0 or top > height or abs(area) < 1e-7:
            continue
        first_x, last_x = max(0, math.ceil(left - 0.5)), min(width - 1, math.floor(right - 0.5))
        first_y, last_y = max(0, math.ceil(top - 0.5)), min(height - 1, math.floor(bottom - 0.5))
        if first_x > last_x or first_y > last_y:
            continue
        inverse = 1 / area
        b1_x, b2_x = y2 * inverse, -y1 * inverse
        dz1, dz2 = screen[i1, 2] - z0, screen[i2, 2] - z0
        px = first_x + np.float32(0.5) - x0
        for y in range(first_y, last_y + 1):
            py = y + np.float32(0.5) - y0
            b1, b2 = (px * y2 - py * x2) * inverse, (x1 * py - y1 * px) * inverse
            for x in range(first_x, last_x + 1):
                if b1 >= 0 and b2 >= 0 and b1 + b2 <= 1:
                    z = z0 + b1 * dz1 + b2 * dz2
                    if z > depth[y, x]:
                        solid = True
                        if hair:
                            b0 = 1 - b1 - b2
                            u = b0 * uv[i0, 0] + b1 * uv[i1, 0] + b2 * uv[i2, 0]
                            v = b0 * uv[i0, 1] + b1 * uv[i1, 1] + b2 * uv[i2, 1]
                            cell = y * 3 + x + (t >> 3) * 4
                            solid = _strand_alpha(alpha, u, v) > dither[(cell // 3) % 3, cell % 3]
                        if solid:
                            depth[y, x] = z
                            ids[y, x] = t
                            bary[y, x, 0] = b1
                            bary[y, x, 1] = b2
                b1 += b1_x
                b2 += b2_x


@njit(cache=True, error_model="numpy")
@no_type_check
def rasterize_depth(screen, triangles, material, skip, uv, alpha, depth):
    """Like `rasterize`, both sides, depth alone; for shadow maps and occlusion. ``skip``: triangles left out."""
    height, width = depth.shape
    for t in range(triangles.shape[0]):
        if skip[t]:
            continue
        i0, i1, i2 = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, z0 = screen[i0, 0], screen[i0, 1], screen[i0, 2]
        x1, y1 = screen[i1, 0] - x0, screen[i1, 1] - y0
        x2, y2 = screen[i2, 0] - x0, screen[i2, 1] - y0
        area = x1 * y2 - y1 * x2
        left, right = x0 + min(0, min(x1, x2)), x0 + max(0, max(x1, x2))
        top, bottom = y0 + min(0, min(y1, y2)), y0 + max(0, max(y1, y2))
        if right < 0 or left > width or bottom < 0 or top > height or abs(area) < 1e-7:
            continue
        first_x, last_x = max(0, math.ceil(left - 0.5)), min(width - 1, math.floor(right - 0.5))
        first_y, last_y = max(0, math.ceil(top - 0.5)), min(height - 1, math.floor(bottom - 0.5))
        if first_x > last_x or first_y > last_y:
            continue
        if material[t] == HAIR and _strand_alpha(alpha, uv[i0, 0], uv[i0, 1]) < 60:
            continue
        inverse = 1 / area
        dz1, dz2 = screen[i1, 2] - z0, screen[i2, 2] - z0
        for y in range(first_y, last_y + 1):
            py = y + np.float32(0.5) - y0
            for x in range(first_x, last_x + 1):
                px = x + np.float32(0.5) - x0
                b1, b2 = (px * y2 - py * x2) * inverse, (x1 * py - y1 * px) * inverse
                if b1 >= 0 and b2 >= 0 and b1 + b2 <= 1:
                    z = z0 + b1 * dz1 + b2 * dz2
                    depth[y, x] = max(depth[y, x], z)
