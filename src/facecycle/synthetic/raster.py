"""Triangles -> the samples they cover: depth, triangle number and barycentric coordinates of the nearest surface."""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

# Ordered thresholds (Bayer, 1973) in a 4 x 4 cell: the samples of a pixel show a strand's coverage without noise.
DITHER = (np.array([0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5], np.float32) + np.float32(0.5)) * np.float32(
    255 / 16
)
HAIR, CURTAIN = 3, 4
ZERO, HALF, ONE, TINY = np.float32(0), np.float32(0.5), np.float32(1), np.float32(1e-7)


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _first_and_last(a, b, limit):
    """Samples whose centre lies between the least and the greatest of 0, a and b (relative), within 0 .. limit."""
    return max(0, math.ceil(a - HALF)), min(limit - 1, math.floor(b - HALF))


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _span(b, step, first, last):
    """Narrow first .. last to where b + (x - first) * step >= 0, for an edge function that is linear along the row."""
    if step > TINY:
        return (max(first, first + math.ceil(-b / step)), last) if b < ZERO else (first, last)
    if step < -TINY:
        return (first, min(last, first + math.floor(-b / step))) if b >= ZERO else (first, first - 1)
    return (first, last) if b >= ZERO else (first, first - 1)


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _passes(alpha, dither, u, v, cell):
    height, width = alpha.shape
    column, row = (
        min(width - 1, max(0, int(u * np.float32(width)))),
        min(height - 1, max(0, int(v * np.float32(height)))),
    )
    return np.float32(alpha[row, column]) > dither[cell]


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _draw_triangle(screen, corners, t, hair, uv, alpha, dither, box, inverse, depth, ids, bary):
    """Draw one triangle; ``box`` is its samples' first and last column and row."""
    i0, i1, i2 = corners
    x0, y0, z0 = screen[i0, 0], screen[i0, 1], screen[i0, 2]
    x1, y1, dz1 = screen[i1, 0] - x0, screen[i1, 1] - y0, screen[i1, 2] - z0
    x2, y2, dz2 = screen[i2, 0] - x0, screen[i2, 1] - y0, screen[i2, 2] - z0
    step1, step2 = y2 * inverse, -y1 * inverse
    first, last, top, bottom = box
    px = np.float32(first) + HALF - x0
    for y in range(top, bottom + 1):
        py = np.float32(y) + HALF - y0
        b1, b2 = (px * y2 - py * x2) * inverse, (x1 * py - y1 * px) * inverse
        left, right = first, last
        if last - first > 6:  # in a short row, testing every sample is cheaper
            left, right = _span(b1, step1, left, right)
            left, right = _span(b2 + np.float32(left - first) * step2, step2, left, right)
        for x in range(left, right + 1):
            dx = np.float32(x - first)
            w1, w2 = b1 + dx * step1, b2 + dx * step2
            w0 = ONE - w1 - w2
            if w0 < ZERO or w1 < ZERO or w2 < ZERO:
                continue
            z = z0 + w1 * dz1 + w2 * dz2
            if z <= depth[y, x]:
                continue
            if hair:
                u = w0 * uv[i0, 0] + w1 * uv[i1, 0] + w2 * uv[i2, 0]
                v = w0 * uv[i0, 1] + w1 * uv[i1, 1] + w2 * uv[i2, 1]
                if not _passes(alpha, dither, u, v, (((y & 3) << 2) | (x & 3)) ^ ((t >> 4) & 15)):
                    continue
            depth[y, x] = z
            ids[y, x] = t
            bary[y, x, 0] = w1
            bary[y, x, 1] = w2


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
        x0, y0, x1, y1 = screen[i0, 0], screen[i0, 1], screen[i1, 0], screen[i1, 1]
        x2, y2 = screen[i2, 0], screen[i2, 1]
        first, last = _first_and_last(min(x0, min(x1, x2)), max(x0, max(x1, x2)), width)
        top, bottom = _first_and_last(min(y0, min(y1, y2)), max(y0, max(y1, y2)), height)
        if first > last or top > bottom:
            continue
        area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
        hair = material[t] >= HAIR
        if abs(area) < TINY or (
            area >= ZERO and not (two_sided or material[t] == CURTAIN)
        ):  # y points down: fronts run clockwise
            continue
        box, corners = (first, last, top, bottom), (i0, i1, i2)
        _draw_triangle(screen, corners, t, hair, uv, alpha, dither, box, ONE / area, depth, ids, bary)


@njit(cache=True, error_model="numpy")
@no_type_check
def rasterize_depth(screen, triangles, casts, depth):
    """Like `rasterize`, y up, depth alone; for shadow maps and occlusion. ``casts``: triangles drawn."""
    height, width = depth.shape
    for t in range(triangles.shape[0]):
        if not casts[t]:
            continue
        i0, i1, i2 = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, z0 = screen[i0, 0], screen[i0, 1], screen[i0, 2]
        x1, y1, dz1 = screen[i1, 0] - x0, screen[i1, 1] - y0, screen[i1, 2] - z0
        x2, y2, dz2 = screen[i2, 0] - x0, screen[i2, 1] - y0, screen[i2, 2] - z0
        first, last = _first_and_last(x0 + min(ZERO, min(x1, x2)), x0 + max(ZERO, max(x1, x2)), width)
        top, bottom = _first_and_last(y0 + min(ZERO, min(y1, y2)), y0 + max(ZERO, max(y1, y2)), height)
        area = x1 * y2 - y1 * x2
        if first > last or top > bottom or area < TINY:  # seen from behind
            continue
        inverse = ONE / area
        for y in range(top, bottom + 1):
            py = np.float32(y) + HALF - y0
            for x in range(first, last + 1):
                px = np.float32(x) + HALF - x0
                w1, w2 = (px * y2 - py * x2) * inverse, (x1 * py - y1 * px) * inverse
                if w1 >= ZERO and w2 >= ZERO and w1 + w2 <= ONE:
                    depth[y, x] = max(depth[y, x], z0 + w1 * dz1 + w2 * dz2)
