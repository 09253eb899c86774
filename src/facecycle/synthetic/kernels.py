"""Compiled geometry: displacement, posing, normals, projection. One thread; plain IEEE arithmetic, so that the same
numbers come out in every process.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
@no_type_check
def add_targets(out, weights, pointer, index, delta, scale):
    """out[index] += scale * weight * delta, for every target with a weight."""
    for k in range(weights.shape[0]):
        w = weights[k] * scale
        if w == 0:
            continue
        for j in range(pointer[k], pointer[k + 1]):
            i = index[j]
            out[i, 0] += w * delta[j, 0]
            out[i, 1] += w * delta[j, 1]
            out[i, 2] += w * delta[j, 2]


@njit(cache=True, error_model="numpy")
@no_type_check
def _accumulate_normals(points, triangles, out):
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for i in (a, b, c):
            out[i, 0] += nx
            out[i, 1] += ny
            out[i, 2] += nz


@njit(cache=True, error_model="numpy")
@no_type_check
def _normalize_rows(out, count):
    for i in range(count):
        length = math.sqrt(out[i, 0] ** 2 + out[i, 1] ** 2 + out[i, 2] ** 2)
        if length > 0:
            out[i, 0] /= length
            out[i, 1] /= length
            out[i, 2] /= length


@no_type_check
def vertex_normals(points, triangles):
    """Unit normals of the vertices, the mean of their triangles' by area; zero where there are none."""
    out = np.zeros_like(points)
    _accumulate_normals(points, triangles, out)
    _normalize_rows(out, len(out))
    return out


@njit(cache=True, error_model="numpy")
@no_type_check
def place_vertices(rest, anchor, moved, turns, follow, pivot, shift, out):
    """out = turns[follow] (rest + moved[anchor] - pivot) + shift."""
    for i in range(rest.shape[0]):
        x, y, z = rest[i, 0] - pivot[0], rest[i, 1] - pivot[1], rest[i, 2] - pivot[2]
        a = anchor[i]
        if a >= 0:
            x += moved[a, 0]
            y += moved[a, 1]
            z += moved[a, 2]
        m = turns[follow[i]]
        out[i, 0] = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + shift[0]
        out[i, 1] = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + shift[1]
        out[i, 2] = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + shift[2]


@njit(cache=True, error_model="numpy")
@no_type_check
def turn_vectors(vectors, turns, follow, first, out):
    """out[first:] = turns[follow] vectors[first:], for normals and tangents of what moves rigidly."""
    for i in range(first, vectors.shape[0]):
        x, y, z = vectors[i, 0], vectors[i, 1], vectors[i, 2]
        m = turns[follow[i]]
        out[i, 0] = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z
        out[i, 1] = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z
        out[i, 2] = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z


@njit(cache=True, error_model="numpy")
@no_type_check
def skin_normals(points, triangles, count, out):
    """Normals of the first ``count`` vertices from the given (skin) triangles."""
    out[:count] = 0
    _accumulate_normals(points, triangles, out)
    _normalize_rows(out, count)


@njit(cache=True, error_model="numpy")
@no_type_check
def project(points, eye_x, eye_y, eye_z, focal, centre_x, centre_y, out):
    """Perspective view along -z: out = (x, y in pixels, 1 / distance); what lies behind the eye gets distance 1e6."""
    for i in range(points.shape[0]):
        distance = eye_z - points[i, 2]
        inverse = 1 / distance if distance > 0.1 else 1e-6
        out[i, 0] = centre_x + focal * (points[i, 0] - eye_x) * inverse
        out[i, 1] = centre_y - focal * (points[i, 1] - eye_y) * inverse
        out[i, 2] = inverse


@njit(cache=True, error_model="numpy")
@no_type_check
def project_parallel(points, frame, left, bottom, scale, out):
    """View along -frame[2] without perspective: out = (x, y in pixels, height above the origin)."""
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        out[i, 0] = (frame[0, 0] * x + frame[0, 1] * y + frame[0, 2] * z - left) * scale
        out[i, 1] = (frame[1, 0] * x + frame[1, 1] * y + frame[1, 2] * z - bottom) * scale
        out[i, 2] = frame[2, 0] * x + frame[2, 1] * y + frame[2, 2] * z


@njit(cache=True, error_model="numpy")
@no_type_check
def mix_rows(table, weights, out):
    """out = weights @ table, without the threads of a linear algebra library."""
    out[:] = 0
    for k in range(table.shape[0]):
        if weights[k] != 0:
            for i in range(table.shape[1]):
                out[i] += weights[k] * table[k, i]


@njit(cache=True, error_model="numpy")
@no_type_check
def mix_fields(fields, first, second, more, one, two, out):
    """out = exp(a * one + b * two), a and b being fields weighted by ``first`` and ``second``, plus ``more``."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            a, b = more[0, y, x], more[1, y, x]
            for k in range(fields.shape[0]):
                a += first[k] * fields[k, y, x]
                b += second[k] * fields[k, y, x]
            for c in range(3):
                out[y, x, c] = math.exp(a * one[c] + b * two[c])
