"""Light at the samples: skin, clothes, plain surfaces, eyes, hair.

Skin wraps diffuse light round its form, per colour channel (red scatters furthest below the surface); hair follows
Kajiya and Kay (SIGGRAPH 1989). What varies slowly comes from the vertices (`facecycle.synthetic.lighting`).
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from facecycle.synthetic.scene import (
    AMBIENT,
    BIAS,
    BYTE,
    CLOTH,
    COLUMNS,
    CREASE,
    FABRIC,
    FABRIC_2,
    FACING,
    FILL_COLOUR,
    FILL_GLINT,
    GLINT,
    HALF,
    KEY,
    KEY_COLOUR,
    NORMAL,
    ONE,
    OPEN,
    PATTERN,
    SCATTER,
    SHADOW,
    SHARPNESS,
    SHEEN,
    SKY,
    SLOPE,
    TO_FILL,
    TO_KEY,
    TWO,
    UV,
    ZERO,
    half_dot,
    power16,
)  # fmt: skip

BUMP = np.float32(0.035)  # slope of the skin for one level of height between neighbouring texels


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _visible(shadow, s):
    """How much of the key light reaches a sample: exp(own height - the blurred map's), at most 1."""
    x, y = s[SHADOW], s[SHADOW + 1]
    if x < TWO or y < TWO or x > np.float32(shadow.shape[1] - 4) or y > np.float32(shadow.shape[0] - 4):
        return ONE
    column, row = int(x), int(y)
    ax, ay = x - np.float32(column), y - np.float32(row)
    upper = shadow[row, column] * (ONE - ax) + shadow[row, column + 1] * ax
    lower = shadow[row + 1, column] * (ONE - ax) + shadow[row + 1, column + 1] * ax
    above = SHARPNESS * (s[SHADOW + 2] + BIAS) - (upper * (ONE - ay) + lower * ay)
    return ONE if above >= ZERO else np.float32(math.exp(above))


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _skin_texel(texture, u, v, crease, out):
    """Nearest: out[0:4] colour and gloss (0 .. 1), out[4:6] the two slopes, out[6] how deep in a crease."""
    size = texture.shape[0]
    column = min(size - 2, max(0, int(u * np.float32(size))))
    row = min(size - 2, max(0, int(v * np.float32(size))))
    for k in range(4):
        out[k] = np.float32(texture[row, column, k]) * BYTE
    here = np.float32(texture[row, column, 5])
    height = np.float32(texture[row, column, 4]) + crease * here
    right = np.float32(texture[row, column + 1, 4]) + crease * np.float32(texture[row, column + 1, 5])
    below = np.float32(texture[row + 1, column, 4]) + crease * np.float32(texture[row + 1, column, 5])
    out[4], out[5] = (right - height) * BUMP, (below - height) * BUMP
    out[6] = crease * max(ZERO, np.float32(128) - here) * np.float32(1 / 128)


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _skin_texel_smooth(texture, u, v, crease, out):
    """Like `_skin_texel`, bilinear: for pictures so large that single texels would show."""
    size = texture.shape[0]
    x = min(max(u * np.float32(size) - HALF, ZERO), np.float32(size - 1.001))
    y = min(max(v * np.float32(size) - HALF, ZERO), np.float32(size - 1.001))
    column, row = int(x), int(y)
    ax, ay = x - np.float32(column), y - np.float32(row)
    w00, w01, w10, w11 = (ONE - ax) * (ONE - ay), ax * (ONE - ay), (ONE - ax) * ay, ax * ay
    right, below = column + 1, row + 1
    for k in range(4):
        upper = w00 * np.float32(texture[row, column, k]) + w01 * np.float32(texture[row, right, k])
        lower = w10 * np.float32(texture[below, column, k]) + w11 * np.float32(texture[below, right, k])
        out[k] = (upper + lower) * BYTE
    a5, b5 = np.float32(texture[row, column, 5]), np.float32(texture[row, right, 5])
    c5, d5 = np.float32(texture[below, column, 5]), np.float32(texture[below, right, 5])
    ha, hb = np.float32(texture[row, column, 4]) + crease * a5, np.float32(texture[row, right, 4]) + crease * b5
    hc, hd = np.float32(texture[below, column, 4]) + crease * c5, np.float32(texture[below, right, 4]) + crease * d5
    out[4] = ((hb - ha) * (ONE - ay) + (hd - hc) * ay) * BUMP
    out[5] = ((hc - ha) * (ONE - ax) + (hd - hb) * ax) * BUMP
    out[6] = crease * max(ZERO, np.float32(128) - (w00 * a5 + w01 * b5 + w10 * c5 + w11 * d5)) * np.float32(1 / 128)


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _shade_skin(s, visible, scene, skin, smooth, texel, rgb):
    if smooth:
        _skin_texel_smooth(skin, s[UV], s[UV + 1], s[CREASE], texel)
    else:
        _skin_texel(skin, s[UV], s[UV + 1], s[CREASE], texel)
    facing = s[FACING] - texel[4] * s[SLOPE] - texel[5] * s[SLOPE + 1]
    dark = ONE - np.float32(0.45) * min(texel[6], ONE)
    shine = texel[3] * TWO * s[GLINT] * visible
    for c in range(3):
        wrap = scene[SCATTER + c]
        lit = max(ZERO, (facing + wrap) / (ONE + wrap))
        seen = visible + (ONE - visible) * np.float32(0.35) * wrap
        albedo = texel[c] * TWO * dark
        rgb[c] += albedo * (s[AMBIENT + c] + s[KEY + c] * lit * seen)
        rgb[c] += shine * scene[KEY_COLOUR + c] + s[SHEEN] * scene[SKY + c] + s[FILL_GLINT] * scene[FILL_COLOUR + c]


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _shade_cloth(s, visible, scene, rgb):
    wave = math.sin(s[UV] * scene[PATTERN] + s[UV + 1] * scene[PATTERN + 1])
    mix = min(ONE, max(ZERO, HALF + wave * np.float32(3))) * scene[PATTERN + 2]
    lit = max(ZERO, s[FACING]) * visible
    hem = np.float32(0.6) + np.float32(0.4) * min(ONE, (s[CLOTH] - HALF) * np.float32(12))
    for c in range(3):
        colour = (scene[FABRIC + c] * (ONE - mix) + scene[FABRIC_2 + c] * mix) * hem
        rgb[c] += colour * (s[AMBIENT + c] + scene[KEY_COLOUR + c] * lit)


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _shade_surface(s, visible, scene, rgb):
    lit = max(ZERO, (s[FACING] + np.float32(0.15)) / np.float32(1.15)) * visible
    shine = s[GLINT] * visible
    for c in range(3):
        rgb[c] += s[AMBIENT + c] + s[KEY + c] * lit
        rgb[c] += shine * scene[KEY_COLOUR + c] + s[SHEEN] * scene[SKY + c] + s[FILL_GLINT] * scene[FILL_COLOUR + c]


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _shade_eye(s, visible, scene, eye, rgb):
    size = eye.shape[0]
    column = min(size - 1, max(0, int(s[UV] * np.float32(size))))
    row = min(size - 1, max(0, int(s[UV + 1] * np.float32(size))))
    nx, ny, nz = s[NORMAL], s[NORMAL + 1], s[NORMAL + 2]
    length = math.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-6)
    nx, ny, nz = nx / length, ny / length, nz / length
    key = power16(half_dot(nx, ny, nz, scene[TO_KEY], scene[TO_KEY + 1], scene[TO_KEY + 2], ZERO, ZERO, ONE))
    fill = power16(half_dot(nx, ny, nz, scene[TO_FILL], scene[TO_FILL + 1], scene[TO_FILL + 2], ZERO, ZERO, ONE))
    key, fill = power16(key), power16(fill)
    lit = max(ZERO, (s[FACING] + np.float32(0.25)) / np.float32(1.25)) * visible
    for c in range(3):
        albedo = eye[row, column, c]
        rgb[c] += albedo * (s[AMBIENT + c] + s[KEY + c] * lit * s[OPEN])
        rgb[c] += (np.float32(0.9) * key * visible * scene[KEY_COLOUR + c] + fill * scene[FILL_COLOUR + c]) * s[OPEN]


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _shade_hair(s, visible, scene, hair, rgb):
    height, width = hair.shape
    column = min(width - 1, max(0, int(s[UV] * np.float32(width))))
    row = min(height - 1, max(0, int(s[UV + 1] * np.float32(height))))
    strand = np.float32(hair[row, column]) * BYTE
    along = s[GLINT] + (strand - HALF) * np.float32(0.4)
    shift = along - np.float32(0.12)
    white = power16(max(ZERO, ONE - along * along))
    tinted = max(ZERO, ONE - shift * shift)
    tinted = tinted * tinted * tinted * tinted
    visible = np.float32(0.25) + np.float32(0.75) * visible
    lit = max(ZERO, (s[FACING] + np.float32(0.4)) / np.float32(1.4)) * visible
    shade = np.float32(0.4) + np.float32(0.9) * strand
    for c in range(3):
        body = s[AMBIENT + c] + s[KEY + c] * lit * (np.float32(0.55) + np.float32(0.6) * tinted)
        rgb[c] += body * shade + s[SHEEN] * scene[SKY + c] * strand
        rgb[c] += white * lit * scene[KEY_COLOUR + c] * np.float32(0.035) * strand


@njit(cache=True, error_model="numpy")
@no_type_check
def shade(ids, bary, triangles, material, varying, shadow, scene, skin, hair, eye, smooth, factor, out):
    """Shade every sample and average ``factor`` x ``factor`` of them into ``out`` (h w 4: linear RGB and coverage)."""
    s, texel, rgb = np.empty(COLUMNS, np.float32), np.empty(8, np.float32), np.empty(3, np.float32)
    share = np.float32(1 / (factor * factor))
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            rgb[:] = 0
            covered = 0
            for y in range(row * factor, (row + 1) * factor):
                for x in range(column * factor, (column + 1) * factor):
                    t = ids[y, x]
                    if t < 0:
                        continue
                    covered += 1
                    b1, b2 = bary[y, x, 0], bary[y, x, 1]
                    b0 = ONE - b1 - b2
                    i0, i1, i2 = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                    for c in range(COLUMNS):
                        s[c] = b0 * varying[i0, c] + b1 * varying[i1, c] + b2 * varying[i2, c]
                    visible = _visible(shadow, s)
                    kind = material[t]
                    if kind >= 3:
                        _shade_hair(s, visible, scene, hair, rgb)
                    elif kind == 2:
                        _shade_eye(s, visible, scene, eye, rgb)
                    elif kind == 1:
                        _shade_surface(s, visible, scene, rgb)
                    elif s[CLOTH] > 0.5:
                        _shade_cloth(s, visible, scene, rgb)
                    else:
                        _shade_skin(s, visible, scene, skin, smooth, texel, rgb)
            for c in range(3):
                out[row, column, c] = rgb[c] * share
            out[row, column, 3] = np.float32(covered) * share
