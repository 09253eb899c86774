"""Skin: tone, blood and melanin, folds and pores, lips, brows, beard, freckles, painted into the map of `atlas`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8

from facecycle.synthetic.atlas import TEXELS, Atlas, load_atlas, smoothstep
from facecycle.synthetic.kernels import mix_fields
from facecycle.synthetic.seeds import PersonKey, stream
from facecycle.synthetic.shape import Body

# Mean skin from light to dark, sRGB: along this line tone runs from 0 to 6.
TONES = np.array(
    [(236, 196, 176), (222, 174, 147), (203, 149, 117), (176, 119, 87), (135, 87, 62), (98, 62, 45), (70, 46, 36)]
)
ANCESTRY_TONE = np.array([0.9, 4.3, 1.5])
# How blood and melanin darken the three channels, in log space.
BLOOD = np.array([0.02, -0.30, -0.24], np.float32)
MELANIN = np.array([-0.40, -0.55, -0.70], np.float32)


def linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB (0 .. 255) -> linear light (0 .. 1), IEC 61966-2-1."""
    x = np.asarray(srgb, np.float64) / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


@dataclass(frozen=True)
class Skin:
    """Attributes:
    tone: mean albedo, linear RGB.
    depth: place on the line from light (0) to dark (6).
    texture: relative colour (255 = twice the tone), gloss, height, crease height, two bytes of padding.
    scatter: how far light wraps round, per channel.
    gloss: strength of the highlights.
    stubble: how much of the beard shows, 0 .. 1.
    """

    tone: Float[np.ndarray, "3"]
    depth: float
    texture: UInt8[np.ndarray, "s s 8"]
    scatter: Float[np.ndarray, "3"]
    gloss: float
    stubble: float


def spot(x: np.ndarray, y: np.ndarray, z: np.ndarray, at: tuple[float, float, float], width: float) -> np.ndarray:
    """A Gaussian about a point of the base head and its mirror image."""
    return np.exp(-((np.abs(x) - at[0]) ** 2 + (y - at[1]) ** 2 + (z - at[2]) ** 2) / (2 * width**2))


def creases(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> dict[str, np.ndarray]:
    """Depth (0 .. 1) of the lines that faces fold along, by name."""
    ax, front = np.abs(x), smoothstep(0.9, 1.15, z)

    def groove(distance: np.ndarray, width: float) -> np.ndarray:
        return np.exp(-((distance / width) ** 2))

    wave = 0.025 * np.cos(5 * x) + 0.012 * np.sin(13 * x + 1)
    forehead = sum(groove(y - h - wave * (1 + k / 3), 0.014) for k, h in enumerate((7.60, 7.69, 7.79, 7.88)))
    angle = np.arctan2(y - 7.29, ax - 0.42)
    reach = np.hypot(y - 7.29, ax - 0.42)
    crow = np.cos(angle * 9) ** 8 * smoothstep(0.05, 0.1, reach) * smoothstep(0.26, 0.12, reach) * (ax > 0.44)
    fold = groove(ax - 0.175 - 0.45 * (6.9 - y) - 0.25 * (6.9 - y) ** 2, 0.02) * smoothstep(6.42, 6.55, y)
    bracket = groove(ax - 0.36 - 0.3 * (6.75 - y), 0.02) * smoothstep(6.4, 6.55, y) * smoothstep(6.95, 6.8, y)
    return {
        "forehead": forehead * smoothstep(0.58, 0.4, ax) * front,
        "frown": groove(ax - 0.05 - 0.1 * (y - 7.42), 0.013)
        * smoothstep(7.3, 7.36, y)
        * smoothstep(7.6, 7.5, y)
        * front,
        "crow": crow * smoothstep(7.05, 7.15, y) * smoothstep(7.5, 7.42, y),
        "fold": fold * smoothstep(6.98, 6.88, y) * front,
        "bracket": bracket * front * 0.7,
        "bridge": groove(np.mod(y - 7.2, 0.05) - 0.025, 0.012) * smoothstep(0.12, 0.06, ax) * (np.abs(y - 7.26) < 0.09),
        "under_eye": groove(y - 7.17 + 0.35 * (ax - 0.3) ** 2, 0.015) * smoothstep(0.3, 0.2, np.abs(ax - 0.32)) * front,
    }


@dataclass(frozen=True)
class Paint:
    """Fields of the map that no person changes: colour fields to mix, creases, beard, lips."""

    colour: Float[np.ndarray, "k s s"]
    creases: Float[np.ndarray, "s s"]
    folds: Float[np.ndarray, "s s"]
    beard: Float[np.ndarray, "s s"]
    moustache: Float[np.ndarray, "s s"]
    oily: Float[np.ndarray, "s s"]


@lru_cache(maxsize=1)
def load_paint() -> Paint:
    """Evaluate the fields on the map, once per process."""
    atlas = load_atlas()
    x, y, z = np.moveaxis(atlas.position, -1, 0)
    ax = np.abs(x)
    lines = creases(x, y, z)
    ears = spot(x, y, z, (0.8, 7.1, 0.5), 0.16)
    red = 0.55 * spot(x, y, z, (0.46, 6.92, 1.15), 0.17) + 0.6 * spot(x, y, z, (0, 6.9, 1.68), 0.11) + 0.4 * ears
    red = red + 0.3 * spot(x, y, z, (0, 6.28, 1.42), 0.12)
    lids = spot(x, y, z, (0.31, 7.36, 1.4), 0.09)
    circles = spot(x, y, z, (0.27, 7.17, 1.4), 0.07)
    nostril = spot(x, y, z, (0.075, 6.845, 1.56), 0.028)
    corner = spot(x, y, z, (0.285, 6.605, 1.42), 0.03)
    upper = smoothstep(7.45, 7.7, y) * smoothstep(0.8, 1.1, z)
    fields = [red, lids, circles, atlas.lid, nostril, corner, upper, lines["fold"], lines["under_eye"]]
    edge = 6.63 + 0.5 * smoothstep(1.38, 0.78, z)  # the upper edge of a beard rises from the mouth to the ear
    beard = smoothstep(0.07, -0.05, y - edge) * smoothstep(0.55, 0.68, z) * smoothstep(6.0, 6.2, y + 0.1 * (z - 1))
    moustache = smoothstep(6.655, 6.70, y) * smoothstep(6.835, 6.79, y) * smoothstep(0.36, 0.27, ax) * (z > 1.25)
    oily = spot(x, y, z, (0, 7.75, 1.45), 0.3) + spot(x, y, z, (0, 6.95, 1.68), 0.15)
    clear = 1 - np.clip(atlas.lips * 1.6, 0, 1)
    return Paint(
        colour=np.stack(fields).astype(np.float32),
        creases=np.clip(sum(lines.values()), 0, 1).astype(np.float32),
        folds=(lines["fold"] + 0.8 * lines["forehead"] + 0.8 * lines["crow"] + 0.6 * lines["under_eye"]),
        beard=(beard * clear).astype(np.float32),
        moustache=(moustache * clear).astype(np.float32),
        oily=np.clip(oily, 0, 1).astype(np.float32),
    )


def sample_tone(key: PersonKey, body: Body) -> tuple[np.ndarray, float]:
    """Mean albedo (linear RGB) and its place on the line from light to dark; continuous in both."""
    rng = stream(key, "tone")
    depth = float(np.clip(body.ancestry @ ANCESTRY_TONE + rng.normal(0, 0.65), 0, 6))
    knots = np.log(linear(TONES))
    k = min(int(depth), len(TONES) - 2)
    tone = np.exp(
        knots[k] * (1 - depth + k) + knots[k + 1] * (depth - k) + np.array([0.3, -0.1, -0.25]) * rng.normal(0, 0.14)
    )
    return tone.astype(np.float32), depth


def paint_skin(key: PersonKey, body: Body, hair_colour: np.ndarray, scalp: np.ndarray) -> Skin:
    """Paint a person's skin.

    Args:
        key: who; body: its age and gender; hair_colour: linear RGB.
        scalp: how densely hair grows, on the map, 0 .. 1.
    """
    atlas, paint = load_atlas(), load_paint()
    rng = stream(key, "skin")
    tone, depth = sample_tone(key, body)
    aged = float(np.clip((body.age - 28) / 45, 0, 1))
    shifts = rng.integers(0, TEXELS, (len(atlas.noise), 2))
    noise = [np.roll(field, tuple(shift), (0, 1)) for field, shift in zip(atlas.noise, shifts, strict=True)]
    relative = mix_colours(rng, paint, noise, body, aged)
    relative *= freckles(rng, noise, depth)[..., None]
    paint_lips(rng, relative, atlas, noise, tone, body)
    paint_brows(rng, relative, atlas, noise, tone, hair_colour, body.male)
    stubble = paint_beard(rng, relative, paint, noise, tone, hair_colour, body)
    cover(relative, scalp * 0.9 * (1 + 0.06 * noise[0]), hair_colour * 0.45 / tone)
    texture = np.zeros((TEXELS, TEXELS, 8), np.uint8)
    texture[..., :3] = np.clip(relative * 127.5, 0, 255)
    gloss = 0.45 + 0.35 * paint.oily + 0.5 * atlas.lips + 0.1 * noise[2]
    texture[..., 3] = np.clip(gloss * (1 - 0.8 * np.clip(scalp + paint.beard * stubble, 0, 1)) * 127.5, 0, 255)
    height = 128 + rng.uniform(1.2, 2.5) * noise[0] + 2.2 * noise[1] * (0.6 + aged) - 48 * aged**1.3 * paint.folds
    texture[..., 4] = np.clip(height + (scalp + paint.beard * stubble) * 9 * noise[0], 0, 255)
    texture[..., 5] = np.clip(128 - 70 * paint.creases, 0, 255)
    scatter = np.array([0.42, 0.2, 0.14], np.float32) * np.clip(float(tone.mean()) * 2.2, 0.4, 1)
    return Skin(tone, depth, texture, scatter.astype(np.float32), float(rng.uniform(0.035, 0.085)), stubble)


def mix_colours(rng: np.random.Generator, paint: Paint, noise: list[np.ndarray], body: Body, aged: float) -> np.ndarray:
    """The relative colour: fields of blood and melanin in a person's own amounts."""
    blood, melanin = np.zeros(len(paint.colour), np.float32), np.zeros(len(paint.colour), np.float32)
    blood[0] = rng.uniform(0.3, 1.4)
    blood[1], blood[2] = rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.6)
    melanin[1], melanin[2] = rng.uniform(0.0, 0.35), rng.uniform(0.0, 0.4) + 0.3 * aged
    melanin[3] = (1.5 if body.male else 2.2) * rng.uniform(0.7, 1.1)
    melanin[4], melanin[5] = 1.6, 0.6
    melanin[6] = rng.normal(0, 0.06)
    melanin[7], melanin[8] = 0.1 + 0.4 * aged, 0.05 + 0.35 * aged
    patches = np.stack([noise[2] * 0.05 + noise[4] * 0.10, noise[3] * 0.03 + noise[5] * rng.uniform(0.03, 0.1)])
    patches[1] += noise[0] * 0.018 + noise[1] * 0.02
    relative = np.empty((TEXELS, TEXELS, 3), np.float32)
    mix_fields(paint.colour, blood, melanin, patches.astype(np.float32), BLOOD, MELANIN, relative)
    return relative


def cover(relative: np.ndarray, amount: np.ndarray, colour: np.ndarray) -> None:
    """Blend ``colour`` over the map where ``amount`` says so, in place."""
    relative += np.clip(amount, 0, 0.97)[..., None] * (colour.astype(np.float32) - relative)


def freckles(rng: np.random.Generator, noise: list[np.ndarray], depth: float) -> np.ndarray:
    """Freckles for some light people, moles for all: factors below 1."""
    spots = np.clip(noise[1] - 2.9, 0, 1) * 1.2  # moles: rare peaks
    if rng.random() < 0.3 and depth < 2.5:
        spots = spots + np.clip(noise[0] + 0.5 * noise[3] - 1.2, 0, 1) * rng.uniform(0.15, 0.45)
    return np.exp(-np.clip(spots, 0, 1))


def paint_lips(
    rng: np.random.Generator, relative: np.ndarray, atlas: Atlas, noise: list[np.ndarray], tone: np.ndarray, body: Body
) -> None:
    """Redder and darker than the skin around; lipstick for some."""
    colour = np.array([0.92, 0.58, 0.60]) * rng.uniform(0.85, 1.1)
    if tone.mean() < 0.15:
        colour = np.array([0.95, 0.72, 0.78]) * rng.uniform(0.8, 1.15)
    strength = rng.uniform(0.6, 0.9)
    if not body.male and rng.random() < 0.45:
        sticks = np.array([(0.40, 0.05, 0.06), (0.32, 0.08, 0.11), (0.42, 0.17, 0.15), (0.22, 0.04, 0.06)])
        colour = sticks[rng.integers(4)] * np.clip(tone.mean() * 2.4, 0.45, 1.0) / tone
        strength = rng.uniform(0.6, 0.9)
    cover(relative, atlas.lips * strength * (1 + 0.06 * noise[1]), colour)


def paint_brows(
    rng: np.random.Generator,
    relative: np.ndarray,
    atlas: Atlas,
    noise: list[np.ndarray],
    tone: np.ndarray,
    hair_colour: np.ndarray,
    male: bool,
) -> None:
    """Two brows along the ridge: where they begin and end, how high, how thick and how dense they are."""
    rows, columns = (
        slice(int(a * TEXELS), int(b * TEXELS)) for a, b in ((0.2, 0.51), (0.2, 0.8))
    )  # where brows can be
    x, y, z = np.moveaxis(atlas.position[rows, columns], -1, 0)
    ax = np.abs(x)
    begin, end = rng.uniform(0.05, 0.14), rng.uniform(0.52, 0.66)
    t = np.clip((ax - begin) / (end - begin), 0, 1)
    arch = rng.uniform(0.02, 0.07) * np.sin(np.pi * np.clip(t * 1.15, 0, 1)) - rng.uniform(0.01, 0.06) * t**2
    middle = 7.42 + rng.normal(0, 0.014) + arch
    width = rng.uniform(*((0.026, 0.056) if male else (0.018, 0.042))) * (1 - 0.7 * smoothstep(0.5, 1.0, t))
    mask = np.exp(-(((y - middle) / width) ** 2)) * smoothstep(begin - 0.03, begin + 0.04, ax)
    mask = mask * smoothstep(end + 0.02, end - 0.07, ax) * smoothstep(0.95, 1.1, z)
    hairs = np.clip(0.9 + 0.10 * noise[0][rows, columns] + 0.12 * noise[1][rows, columns], 0.3, 1.2)
    colour = np.minimum(hair_colour * 0.55, 0.08) / tone
    cover(relative[rows, columns], mask * hairs * rng.uniform(0.8, 1.0), np.minimum(colour, 0.38))


def paint_beard(
    rng: np.random.Generator,
    relative: np.ndarray,
    paint: Paint,
    noise: list[np.ndarray],
    tone: np.ndarray,
    hair_colour: np.ndarray,
    body: Body,
) -> float:
    """Shaven shadow, stubble or beard; full, goatee or moustache. Returns how dense it is."""
    if not body.male:
        return 0.0
    kind = rng.choice(["shaven", "stubble", "full", "goatee", "moustache"], p=[0.45, 0.25, 0.16, 0.08, 0.06])
    density = {"shaven": (0.03, 0.14), "stubble": (0.2, 0.5)}.get(str(kind), (0.65, 0.92))
    amount = float(rng.uniform(*density))
    x = load_atlas().position[..., 0]
    area = np.maximum(paint.beard, paint.moustache)
    if kind == "goatee":
        area = np.maximum(paint.moustache, paint.beard * smoothstep(0.36, 0.28, np.abs(x)))
    elif kind == "moustache":
        area = paint.moustache
    # The edge of a beard is ragged: noise shifts where it thins out.
    ragged = smoothstep(0.1, 0.85, area + 0.07 * noise[2] * (area > 0.02))
    colour = np.minimum(np.minimum(hair_colour * 0.75, 0.12) / tone, 0.5)
    cover(relative, ragged * amount * (1 + 0.08 * noise[0]), colour)
    return amount if kind == "full" else 0.3 * amount
