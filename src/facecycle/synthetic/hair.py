"""Hair: a style, a colour, and the meshes they make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from facecycle.synthetic.hairline import Hairline
from facecycle.synthetic.mantle import Mantle, build_mantle
from facecycle.synthetic.mesh import Mesh
from facecycle.synthetic.seeds import PersonKey, stream
from facecycle.synthetic.shape import Body
from facecycle.synthetic.shells import Shell, build_shell
from facecycle.synthetic.strands import strand_texture

# Linear RGB.
COLOURS = {
    "black": (0.012, 0.010, 0.010),
    "dark brown": (0.032, 0.020, 0.013),
    "brown": (0.075, 0.045, 0.026),
    "light brown": (0.15, 0.095, 0.055),
    "blond": (0.32, 0.22, 0.115),
    "light blond": (0.48, 0.37, 0.23),
    "red": (0.19, 0.065, 0.028),
    "grey": (0.17, 0.165, 0.16),
    "white": (0.34, 0.33, 0.315),
}
EUROPEAN = np.array([0.10, 0.19, 0.23, 0.17, 0.13, 0.06, 0.06, 0.04, 0.02])
OTHERS = np.array([0.66, 0.25, 0.05, 0.0, 0.0, 0.0, 0.0, 0.03, 0.01])


@dataclass(frozen=True)
class Hair:
    """Attributes:
    style: its name.
    colour: linear RGB.
    cover: how much of the scalp's skin it tints, 0 .. 1.
    meshes: shells and locks, in head space.
    texture: brightness of strands; alpha: how opaque they are.
    """

    style: str
    colour: Float[np.ndarray, "3"]
    cover: float
    meshes: list[Mesh]
    texture: UInt8[np.ndarray, "h w"]
    alpha: UInt8[np.ndarray, "h w"]


def sample_colour(key: PersonKey, body: Body) -> Float[np.ndarray, "3"]:
    """Fair hair among Europeans only, grey and white with age."""
    rng = stream(key, "hair colour")
    european = float(np.clip(body.ancestry[0] * 1.4 - 0.4, 0, 1))
    chances = european * EUROPEAN + (1 - european) * OTHERS
    aged = float(np.clip((body.age - 46) / 32, 0, 0.8))
    chances = chances / chances.sum() * (1 - aged)
    chances[-2:] += aged * np.array([0.7, 0.3])
    colour = np.array(list(COLOURS.values()))[rng.choice(len(COLOURS), p=chances / chances.sum())]
    return (colour * np.exp(rng.normal(0, 0.18) + rng.normal(0, 0.05, 3))).astype(np.float32)


def sample_style(rng: np.random.Generator, body: Body) -> str:
    """A style that suits gender, age and ancestry often enough."""
    coiled = body.ancestry[1] > 0.5
    if body.male:
        names = ["buzz", "crop", "short", "swept", "curly", "afro", "bald", "long", "tied"]
        chances = [0.2, 0.2, 0.2, 0.18, 0.08, 0.0, 0.06 if body.age < 40 else 0.16, 0.05, 0.02]
        if coiled:
            chances = [0.36, 0.2, 0.04, 0.0, 0.12, 0.12, 0.1, 0.0, 0.04]
    else:
        names = ["pixie", "bob", "long", "wavy", "curls", "tied", "bun", "afro", "short"]
        chances = [0.09, 0.17, 0.24, 0.18, 0.06, 0.13, 0.09, 0.0, 0.04]
        if coiled:
            chances = [0.1, 0.06, 0.08, 0.08, 0.16, 0.16, 0.14, 0.2, 0.02]
    return str(rng.choice(names, p=np.array(chances) / sum(chances)))


def grow_hair(key: PersonKey, body: Body, hairline: Hairline) -> Hair:
    """Draw a person's hair."""
    rng = stream(key, "hair")
    style, colour = sample_style(rng, body), sample_colour(key, body)
    texture, alpha = strand_texture()
    meshes: list[Mesh] = []
    shell, mantle = _recipe(rng, style)
    if shell is not None:
        meshes += build_shell(rng, body, hairline, shell, colour)
    if mantle is not None:
        meshes += build_mantle(rng, body, hairline, mantle, colour)
    cover = {"bald": float(rng.uniform(0.0, 0.2)), "buzz": float(rng.uniform(0.5, 0.9))}.get(style, 0.95)
    return Hair(style, colour, cover, meshes, texture, alpha)


def _recipe(rng: np.random.Generator, style: str) -> tuple[Shell | None, Mantle | None]:
    """The shell and the mantle of a style, each in a person's own measure."""
    u = rng.uniform
    side = float(rng.choice([-1, 1]))
    cap = Shell(u(0.07, 0.12), u(0.04, 0.08), u(0.05, 0.09), lumps=0.1, sweep=(0.0, 0.0, -0.5), layers=2)
    match style:
        case "crop":
            return Shell(u(0.06, 0.12), u(0.02, 0.05), u(0.06, 0.12)), None
        case "short" | "pixie":
            return Shell(
                u(0.14, 0.24), u(0.06, 0.13), u(0.12, 0.24), 0.4, sweep=(side * u(0.0, 0.5), 0, u(-0.2, 0.4))
            ), None
        case "swept":
            return Shell(
                u(0.16, 0.26), u(0.04, 0.09), u(0.2, 0.36), 0.3, sweep=(side * u(0.1, 0.8), 0.2, u(-0.7, 0.2))
            ), None
        case "curly":
            return Shell(u(0.2, 0.34), u(0.1, 0.2), u(0.16, 0.3), 0.6, 6.0, curly=True), None
        case "afro":
            size = u(0.3, 0.7)
            return Shell(size, size * u(0.7, 0.95), size * 0.8, 0.15, 5.0, curly=True), None
        case "tied" | "bun":
            return cap, None
        case "bob":
            return cap, Mantle(u(6.15, 6.6), u(0.08, 0.16), u(0.4, 0.7), u(-0.12, 0.15))
        case "long":
            return cap, Mantle(u(4.6, 5.8), u(0.06, 0.13), u(0.05, 0.6), u(-0.1, 0.05), u(0, 0.015))
        case "wavy":
            return cap, Mantle(u(4.9, 6.1), u(0.11, 0.2), u(0.2, 0.6), u(0.0, 0.15), u(0.02, 0.05), u(5, 8))
        case "curls":
            return cap, Mantle(u(5.4, 6.4), u(0.16, 0.3), u(0.2, 0.5), u(0.0, 0.25), u(0.03, 0.06), u(9, 13), True)
        case _:
            return None, None
