"""Light: what varies slowly is computed at the vertices, what varies within a pixel at each of its samples.

Skin is lit with wrapped diffuse light per colour channel (red scatters furthest below the surface), two highlight
lobes and the sky's reflection at grazing angles; hair by Kajiya and Kay's model (SIGGRAPH 1989); shadows are
exponential shadow maps (Annen et al., Graphics Interface 2008), soft without noise.
"""

from __future__ import annotations

import math
from typing import NamedTuple, no_type_check

import numpy as np
from numba import njit

# What a vertex hands to the samples of its triangles, by column.
AMBIENT, KEY, FACING, GLINT, SHEEN, FILL_GLINT, SHADOW, UV, SLOPE, CREASE, CLOTH, NORMAL, OPEN = (
    *(0, 3, 6, 7, 8, 9, 10, 13, 15, 17, 18, 19, 22),
)
COLUMNS = 24
SHADOW_SHARPNESS = 24.0  # per decimetre: how fast a shadow sets in behind what casts it
BUMP = 0.035  # slope of the skin for one level of height between neighbouring texels


class Scene(NamedTuple):
    """The surroundings of a frame, as the kernels take them (all float32)."""

    key: np.ndarray  # direction towards the key light
    key_colour: np.ndarray
    fill: np.ndarray
    fill_colour: np.ndarray
    sky: np.ndarray  # light from above, and from below
    ground: np.ndarray
    camera: np.ndarray  # position
    up: np.ndarray  # the head's y axis
    shadow_frame: np.ndarray  # 3 3: rows x, y, towards the key light
    shadow_origin: np.ndarray  # left, bottom, pixels per decimetre, reference height


class Surface(NamedTuple):
    """What the samples of a person look up."""

    skin: np.ndarray  # h w 8 uint8: red, green, blue, gloss, height, crease height
    hair: np.ndarray  # h w uint8: brightness of strands
    eye: np.ndarray  # h w 3 float32: sclera and iris, polar
    scatter: np.ndarray  # 3: how far light wraps round the skin
    cloth: np.ndarray  # 2 3: colours
    pattern: np.ndarray  # 3: stripes along x, y and depth of the pattern


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _half_dot(nx, ny, nz, lx, ly, lz, vx, vy, vz):
    """Cosine between the normal and the direction half way between light and viewer, at least 0."""
    hx, hy, hz = lx + vx, ly + vy, lz + vz
    length = math.sqrt(hx * hx + hy * hy + hz * hz) + np.float32(1e-9)
    return max(np.float32(0), (nx * hx + ny * hy + nz * hz) / length)


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _power16(x):
    x = x * x
    x = x * x
    x = x * x
    return x * x


@njit(cache=True, error_model="numpy")
@no_type_check
def light_vertices(points, normals, tangents, tint, occlusion, gloss, uv, crease, cloth, scene, out):
    """Fill ``out`` (n, COLUMNS) for every vertex."""
    one, zero = np.float32(1), np.float32(0)
    for i in range(points.shape[0]):
        nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
        px, py, pz = points[i, 0], points[i, 1], points[i, 2]
        vx, vy, vz = scene.camera[0] - px, scene.camera[1] - py, scene.camera[2] - pz
        length = math.sqrt(vx * vx + vy * vy + vz * vz)
        vx, vy, vz = vx / length, vy / length, vz / length
        tx, ty, tz = tangents[i, 0], tangents[i, 1], tangents[i, 2]
        hair = tx * tx + ty * ty + tz * tz > 0.5
        facing = nx * vx + ny * vy + nz * vz
        if hair and facing < 0:
            nx, ny, nz, facing = -nx, -ny, -nz, -facing
        kx, ky, kz = scene.key[0], scene.key[1], scene.key[2]
        fx, fy, fz = scene.fill[0], scene.fill[1], scene.fill[2]
        to_key = nx * kx + ny * ky + nz * kz
        to_fill = max(zero, (nx * fx + ny * fy + nz * fz + np.float32(0.2)) / np.float32(1.2))
        above = np.float32(0.5) + np.float32(0.5) * ny
        seen = occlusion[i]
        for c in range(3):
            around = scene.ground[c] * (one - above) + scene.sky[c] * above + to_fill * scene.fill_colour[c]
            out[i, AMBIENT + c] = tint[i, c] * around * seen
            out[i, KEY + c] = tint[i, c] * scene.key_colour[c]
        out[i, FACING] = to_key
        if hair:
            hx, hy, hz = kx + vx, ky + vy, kz + vz
            out[i, GLINT] = (tx * hx + ty * hy + tz * hz) / (math.sqrt(hx * hx + hy * hy + hz * hz) + np.float32(1e-9))
        else:
            h = _half_dot(nx, ny, nz, kx, ky, kz, vx, vy, vz)
            broad = _power16(h)
            lobe = np.float32(0.6) * broad + np.float32(0.8) * broad * broad * broad * broad
            out[i, GLINT] = lobe * gloss[i] if to_key > 0 else zero
        grazing = one - max(zero, facing)
        grazing = grazing * grazing * grazing * grazing * grazing
        out[i, SHEEN] = gloss[i] * seen * (np.float32(0.03) + np.float32(0.4) * grazing)
        out[i, FILL_GLINT] = gloss[i] * seen * np.float32(0.5) * _power16(_half_dot(nx, ny, nz, fx, fy, fz, vx, vy, vz))
        _place_in_shadow(px, py, pz, scene, out[i])
        _slopes(nx, ny, nz, scene, out[i])
        out[i, UV], out[i, UV + 1] = uv[i, 0], uv[i, 1]
        out[i, CREASE], out[i, CLOTH], out[i, OPEN] = crease[i], cloth[i], seen
        out[i, NORMAL], out[i, NORMAL + 1], out[i, NORMAL + 2] = nx, ny, nz


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _place_in_shadow(px, py, pz, scene, row):
    """Where the vertex lies in the shadow map, in its pixels and above its reference height."""
    f, o = scene.shadow_frame, scene.shadow_origin
    row[SHADOW] = (f[0, 0] * px + f[0, 1] * py + f[0, 2] * pz - o[0]) * o[2] - np.float32(0.5)
    row[SHADOW + 1] = (f[1, 0] * px + f[1, 1] * py + f[1, 2] * pz - o[1]) * o[2] - np.float32(0.5)
    row[SHADOW + 2] = f[2, 0] * px + f[2, 1] * py + f[2, 2] * pz - o[3]


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _slopes(nx, ny, nz, scene, row):
    """The key light along the texture's two axes: right = up x normal, and down the face."""
    ux, uy, uz = scene.up[0], scene.up[1], scene.up[2]
    rx, ry, rz = uy * nz - uz * ny, uz * nx - ux * nz, ux * ny - uy * nx
    length = math.sqrt(rx * rx + ry * ry + rz * rz) + np.float32(1e-6)
    rx, ry, rz = rx / length, ry / length, rz / length
    dx, dy, dz = ry * nz - rz * ny, rz * nx - rx * nz, rx * ny - ry * nx  # right x normal points down
    row[SLOPE] = scene.key[0] * rx + scene.key[1] * ry + scene.key[2] * rz
    row[SLOPE + 1] = scene.key[0] * dx + scene.key[1] * dy + scene.key[2] * dz


@njit(cache=True, error_model="numpy")
@no_type_check
def blur_shadow(height, reference, scratch, out):
    """Heights (-inf where empty) -> exp(sharpness * (height - reference)), smoothed by a 5 x 5 binomial."""
    rows, columns = height.shape
    for y in range(rows):
        for x in range(columns):
            h = height[y, x] - reference
            out[y, x] = math.exp(np.float32(SHADOW_SHARPNESS) * min(h, np.float32(3))) if h > -3 else np.float32(0)
    for y in range(rows):
        for x in range(2, columns - 2):
            a = out[y, x - 2] + out[y, x + 2] + 4 * (out[y, x - 1] + out[y, x + 1]) + 6 * out[y, x]
            scratch[y, x] = a * np.float32(1 / 16)
    for y in range(2, rows - 2):
        for x in range(2, columns - 2):
            a = scratch[y - 2, x] + scratch[y + 2, x] + 4 * (scratch[y - 1, x] + scratch[y + 1, x]) + 6 * scratch[y, x]
            out[y, x] = a * np.float32(1 / 16)


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _visible(shadow, s):
    """How much of the key light reaches a sample: exp(height) over the blurred map, at most 1."""
    x, y = s[SHADOW], s[SHADOW + 1]
    if x < 2 or y < 2 or x > shadow.shape[1] - 4 or y > shadow.shape[0] - 4:
        return np.float32(1)
    column, row = int(x), int(y)
    ax, ay = x - column, y - row
    upper = shadow[row, column] * (1 - ax) + shadow[row, column + 1] * ax
    lower = shadow[row + 1, column] * (1 - ax) + shadow[row + 1, column + 1] * ax
    blocked = upper * (1 - ay) + lower * ay
    here = math.exp(np.float32(SHADOW_SHARPNESS) * (s[SHADOW + 2] + np.float32(0.035)))
    return np.float32(1) if here >= blocked else np.float32(here / blocked)


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _skin_texel(texture, u, v, crease, out):
    """Bilinear: out[0:4] colour and gloss (0 .. 1), out[4:6] the two slopes, out[6] how deep in a crease."""
    size = texture.shape[0]
    x = min(max(u * size - np.float32(0.5), np.float32(0)), np.float32(size - 1.001))
    y = min(max(v * size - np.float32(0.5), np.float32(0)), np.float32(size - 1.001))
    column, row = int(x), int(y)
    ax, ay = x - column, y - row
    w00, w01, w10, w11 = (1 - ax) * (1 - ay), ax * (1 - ay), (1 - ax) * ay, ax * ay
    a, b, c, d = texture[row, column], texture[row, column + 1], texture[row + 1, column], texture[row + 1, column + 1]
    scale = np.float32(1 / 255)
    for k in range(4):
        out[k] = (w00 * a[k] + w01 * b[k] + w10 * c[k] + w11 * d[k]) * scale
    ha, hb = a[4] + crease * a[5], b[4] + crease * b[5]
    hc, hd = c[4] + crease * c[5], d[4] + crease * d[5]
    bump = np.float32(BUMP)
    out[4] = ((hb - ha) * (1 - ay) + (hd - hc) * ay) * bump
    out[5] = ((hc - ha) * (1 - ax) + (hd - hb) * ax) * bump
    depth = (np.float32(128) - (w00 * a[5] + w01 * b[5] + w10 * c[5] + w11 * d[5])) * np.float32(1 / 128)
    out[6] = crease * max(np.float32(0), depth)


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _shade_skin(s, visible, scene, surface, texel, rgb):
    _skin_texel(surface.skin, s[UV], s[UV + 1], s[CREASE], texel)
    facing = s[FACING] - texel[4] * s[SLOPE] - texel[5] * s[SLOPE + 1]
    dark = np.float32(1) - np.float32(0.45) * min(texel[6], np.float32(1))
    shine = texel[3] * 2 * s[GLINT] * visible
    for c in range(3):
        wrap = surface.scatter[c]
        lit = max(np.float32(0), (facing + wrap) / (1 + wrap))
        seen = visible + (1 - visible) * np.float32(0.35) * wrap
        albedo = texel[c] * 2 * dark
        rgb[c] += albedo * (s[AMBIENT + c] + s[KEY + c] * lit * seen)
        rgb[c] += shine * scene.key_colour[c] + s[SHEEN] * scene.sky[c] + s[FILL_GLINT] * scene.fill_colour[c]


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _shade_cloth(s, visible, scene, surface, rgb):
    wave = math.sin(s[UV] * surface.pattern[0] + s[UV + 1] * surface.pattern[1])
    mix = min(np.float32(1), max(np.float32(0), np.float32(0.5) + wave * 3)) * surface.pattern[2]
    lit = max(np.float32(0), s[FACING]) * visible
    hem = np.float32(0.6) + np.float32(0.4) * min(np.float32(1), (s[CLOTH] - np.float32(0.5)) * 12)
    for c in range(3):
        colour = (surface.cloth[0, c] * (1 - mix) + surface.cloth[1, c] * mix) * hem
        rgb[c] += colour * (s[AMBIENT + c] + scene.key_colour[c] * lit)


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _shade_surface(s, visible, scene, rgb):
    lit = max(np.float32(0), (s[FACING] + np.float32(0.15)) / np.float32(1.15)) * visible
    shine = s[GLINT] * visible
    for c in range(3):
        rgb[c] += s[AMBIENT + c] + s[KEY + c] * lit
        rgb[c] += shine * scene.key_colour[c] + s[SHEEN] * scene.sky[c] + s[FILL_GLINT] * scene.fill_colour[c]


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _shade_eye(s, visible, scene, surface, rgb):
    size = surface.eye.shape[0]
    column = min(size - 1, max(0, int(s[UV] * size)))
    row = min(size - 1, max(0, int(s[UV + 1] * size)))
    nx, ny, nz = s[NORMAL], s[NORMAL + 1], s[NORMAL + 2]
    length = math.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-6)
    nx, ny, nz = nx / length, ny / length, nz / length
    k, f = scene.key, scene.fill
    key = _power16(_half_dot(nx, ny, nz, k[0], k[1], k[2], np.float32(0), np.float32(0), np.float32(1)))
    fill = _power16(_half_dot(nx, ny, nz, f[0], f[1], f[2], np.float32(0), np.float32(0), np.float32(1)))
    key, fill = _power16(key), _power16(fill)
    lit = max(np.float32(0), (s[FACING] + np.float32(0.25)) / np.float32(1.25)) * visible
    for c in range(3):
        albedo = surface.eye[row, column, c]
        rgb[c] += albedo * (s[AMBIENT + c] + s[KEY + c] * lit * s[OPEN])
        rgb[c] += (np.float32(0.9) * key * visible * scene.key_colour[c] + fill * scene.fill_colour[c]) * s[OPEN]


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _shade_hair(s, visible, scene, surface, rgb):
    height, width = surface.hair.shape
    column = min(width - 1, max(0, int(s[UV] * width)))
    row = min(height - 1, max(0, int(s[UV + 1] * height)))
    strand = surface.hair[row, column] * np.float32(1 / 255)
    along = s[GLINT] + (strand - np.float32(0.5)) * np.float32(0.4)
    shift = along - np.float32(0.12)
    white = _power16(max(np.float32(0), 1 - along * along))
    tinted = max(np.float32(0), 1 - shift * shift)
    tinted = tinted * tinted * tinted * tinted
    visible = np.float32(0.25) + np.float32(0.75) * visible
    lit = max(np.float32(0), (s[FACING] + np.float32(0.4)) / np.float32(1.4)) * visible
    shade = np.float32(0.4) + np.float32(0.9) * strand
    for c in range(3):
        body = s[AMBIENT + c] + s[KEY + c] * lit * (np.float32(0.55) + np.float32(0.6) * tinted)
        rgb[c] += body * shade + s[SHEEN] * scene.sky[c] * strand
        rgb[c] += white * lit * scene.key_colour[c] * np.float32(0.035) * strand


@njit(cache=True, error_model="numpy")
@no_type_check
def shade(ids, bary, triangles, material, varying, shadow, scene, surface, factor, out):
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
                    b0 = 1 - b1 - b2
                    i0, i1, i2 = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                    for c in range(COLUMNS):
                        s[c] = b0 * varying[i0, c] + b1 * varying[i1, c] + b2 * varying[i2, c]
                    visible = _visible(shadow, s)
                    kind = material[t]
                    if kind == 3:
                        _shade_hair(s, visible, scene, surface, rgb)
                    elif kind == 2:
                        _shade_eye(s, visible, scene, surface, rgb)
                    elif kind == 1:
                        _shade_surface(s, visible, scene, rgb)
                    elif s[CLOTH] > 0.5:
                        _shade_cloth(s, visible, scene, surface, rgb)
                    else:
                        _shade_skin(s, visible, scene, surface, texel, rgb)
            for c in range(3):
                out[row, column, c] = rgb[c] * share
            out[row, column, 3] = covered * share
