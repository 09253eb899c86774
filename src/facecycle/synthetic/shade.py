"""Light: what varies slowly is computed at the vertices, what varies within a pixel at each of its samples.

Skin is lit with wrapped diffuse light per colour channel (red scatters furthest below the surface), two highlight
lobes and the sky's reflection at grazing angles; hair by Kajiya and Kay's model (SIGGRAPH 1989); shadows are
exponential shadow maps (Annen et al., Graphics Interface 2008), soft without noise.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

from facecycle.synthetic.light import Clothes, Light, direction

# What a vertex hands to the samples of its triangles, by column.
AMBIENT, KEY, FACING, GLINT, SHEEN, FILL_GLINT, SHADOW, UV, SLOPE, CREASE, CLOTH, NORMAL, OPEN = (
    *(0, 3, 6, 7, 8, 9, 10, 13, 15, 17, 18, 19, 22),
)
COLUMNS = 24
ZERO, HALF, ONE, TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
BYTE = np.float32(1 / 255)
SHARPNESS = np.float32(24)  # per decimetre: how fast a shadow sets in behind what casts it
BIAS = np.float32(0.035)  # decimetres by which a surface does not shade itself
BUMP = np.float32(0.035)  # slope of the skin for one level of height between neighbouring texels


# What the kernels know of the surroundings: one flat vector, by place. (A tuple of arrays would be counted in and out
# at every access, which costs more than the shading.)
TO_KEY, KEY_COLOUR, TO_FILL, FILL_COLOUR, SKY, GROUND, CAMERA, UP, FRAME, ORIGIN, SCATTER, FABRIC, FABRIC_2, PATTERN = (
    *(0, 3, 6, 9, 12, 15, 18, 21, 24, 33, 37, 40, 43, 46),
)


def scene_vector(
    light: Light, camera: np.ndarray, up: np.ndarray, origin: np.ndarray, scatter: np.ndarray, clothes: Clothes
) -> Float[np.ndarray, "49"]:
    """Flatten the surroundings.

    Args:
        light: key, fill, sky and ground.
        camera: position of the lens; up: the head's y axis.
        origin: of the shadow map: left, bottom, pixels per decimetre, reference height.
        scatter: how far light wraps round the skin, per channel.
        clothes: their colours and pattern.
    """
    parts = (
        direction(*light.key),
        light.key_colour,
        direction(*light.fill),
        light.fill_colour,
        light.sky,
        light.ground,
    )
    parts += (camera, up, light.frame().ravel(), origin, scatter, clothes.colours.ravel(), clothes.pattern)
    return np.concatenate(parts).astype(np.float32)


@njit(cache=True, error_model="numpy", inline="always")
@no_type_check
def _half_dot(nx, ny, nz, lx, ly, lz, vx, vy, vz):
    """Cosine between the normal and the direction half way between light and viewer, at least 0."""
    hx, hy, hz = lx + vx, ly + vy, lz + vz
    length = math.sqrt(hx * hx + hy * hy + hz * hz) + np.float32(1e-9)
    return max(ZERO, (nx * hx + ny * hy + nz * hz) / length)


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
            h = _half_dot(nx, ny, nz, kx, ky, kz, vx, vy, vz)
            broad = _power16(h)
            lobe = np.float32(0.6) * broad + np.float32(0.8) * broad * broad * broad * broad
            out[i, GLINT] = lobe * gloss[i] if to_key > 0 else ZERO
        grazing = ONE - max(ZERO, facing)
        grazing = grazing * grazing * grazing * grazing * grazing
        out[i, SHEEN] = gloss[i] * seen * (np.float32(0.03) + np.float32(0.4) * grazing)
        out[i, FILL_GLINT] = gloss[i] * seen * HALF * _power16(_half_dot(nx, ny, nz, fx, fy, fz, vx, vy, vz))
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
    key = _power16(_half_dot(nx, ny, nz, scene[TO_KEY], scene[TO_KEY + 1], scene[TO_KEY + 2], ZERO, ZERO, ONE))
    fill = _power16(_half_dot(nx, ny, nz, scene[TO_FILL], scene[TO_FILL + 1], scene[TO_FILL + 2], ZERO, ZERO, ONE))
    key, fill = _power16(key), _power16(fill)
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
    white = _power16(max(ZERO, ONE - along * along))
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
