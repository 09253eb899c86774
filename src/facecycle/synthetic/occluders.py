"""What comes between camera and face now and then: a hat, a microphone, a hand, a strand of hair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.spatial import KDTree

from facecycle.synthetic.assets import load_assets
from facecycle.synthetic.atlas import smoothstep
from facecycle.synthetic.kernels import vertex_normals
from facecycle.synthetic.mesh import CURTAIN, HAIR, SURFACE, Mesh, join
from facecycle.synthetic.person import Person
from facecycle.synthetic.shells import rounded_scalp, scalp
from facecycle.synthetic.strands import STRAIGHT, in_slot


def add_occluder(rng: np.random.Generator, person: Person, kind: str) -> Mesh:
    """The person's mesh with an occluder of ``kind``, one of `OCCLUDERS`."""
    return OCCLUDERS[kind](rng, person)


def _to_head(person: Person, points: np.ndarray) -> np.ndarray:
    """Base-head points -> the person's head space, as the head's scale alone would move them."""
    assets = load_assets()
    return (points - assets.vertices[assets.joints["head"]].mean(0)) * person.body.scale


def _cloth_colour(rng: np.random.Generator) -> np.ndarray:
    return np.clip(rng.choice([0.015, 0.05, 0.2, 0.5]) * np.exp(rng.normal(0, 0.5, 3)), 0.005, 0.7)


def hat(rng: np.random.Generator, person: Person) -> Mesh:
    """A knitted cap or one with a peak; the hair it covers is gone."""
    part = scalp(0.4)
    base = part.base
    points, normals = rounded_scalp(person.body, 0.4)
    front = rng.uniform(7.74, 7.9)
    edge = front - 0.32 * (1.4 - base[:, 2]).clip(0, 2) * rng.uniform(0.6, 1.0)
    above = base[:, 1] - edge
    keep = part.fine[(above[part.fine] > -0.03).all(1)]
    peaked = rng.random() < 0.5
    thick = 0.10 + (0.0 if peaked else 0.05) * smoothstep(0.25, 0.05, above) + 0.10 * smoothstep(0.2, 0.6, above)
    colour = _cloth_colour(rng)
    shade = (0.75 + 0.25 * np.sin(np.arctan2(base[:, 0], base[:, 2] - 0.45) * 40))[:, None] if not peaked else 1.0
    follow = load_assets().follow[part.pairs[:, 0]]
    rest = points + normals * (thick * person.body.scale)[:, None]
    parts = [Mesh.build(rest, keep, SURFACE, tint=colour * shade * np.ones((len(rest), 3)), follow=follow, gloss=0.01)]
    if peaked:
        middle = int(np.argmin(np.abs(above) + np.abs(base[:, 0]) + 0.3 * (1.5 - base[:, 2])))
        parts.append(_peak(rng, rest[middle] + normals[middle] * 0.01, person.body.scale, colour))
    return join([_without_hair(person.mesh, rest[above > 0]), *parts])


def _peak(rng: np.random.Generator, middle: np.ndarray, scale: float, colour: np.ndarray) -> Mesh:
    """The stiff peak of a cap: a curved plate from ``middle`` of its edge, seen from above and below."""
    u, v = (g.ravel() for g in np.meshgrid(np.linspace(-1, 1, 13), np.linspace(0, 1, 5), indexing="ij"))
    out = rng.uniform(0.55, 0.8) * (1 - 0.45 * u**2)
    x = 0.62 * u * (1 - 0.1 * v)
    z = np.sqrt(np.clip(0.95**2 - (x * 1.15) ** 2, 0.05, None)) - 0.95 + v * out
    y = 0.03 - 0.14 * u**2 - v * out * rng.uniform(0.1, 0.3)
    rest = middle + np.stack([x, y, z], 1) * scale
    k, r = (g.ravel() for g in np.meshgrid(np.arange(12), np.arange(4), indexing="ij"))
    a, b = k * 5 + r, (k + 1) * 5 + r
    top = np.concatenate([np.stack([a, a + 1, b + 1], 1), np.stack([a, b + 1, b], 1)])
    both = np.concatenate([top, top[:, ::-1] + len(rest)])
    n = len(rest)
    up = vertex_normals(rest.astype(np.float32), top.astype(np.int32))
    normals = np.concatenate([up, -up])
    doubled = np.concatenate([rest, rest - np.array([0, 0.015, 0])])
    shade = np.repeat([1.0, 0.6], n)[:, None]
    return Mesh.build(doubled, both, SURFACE, tint=colour * shade, normals=normals, gloss=0.01)


def _without_hair(mesh: Mesh, hat_points: np.ndarray) -> Mesh:
    """The mesh without the hair that lies under a hat."""
    hair = mesh.material >= HAIR
    low = hat_points[:, 1].min()
    centres = mesh.rest[mesh.triangles].mean(1)
    nearest = KDTree(hat_points).query(centres[hair])[0]
    gone = np.zeros(len(mesh.triangles), bool)
    gone[hair] = (nearest < 0.55) & (centres[hair, 1] > low)
    return _keep_triangles(mesh, ~gone)


def _keep_triangles(mesh: Mesh, kept: np.ndarray) -> Mesh:
    return replace(mesh, triangles=mesh.triangles[kept], material=mesh.material[kept], casts=mesh.casts[kept])


def microphone(rng: np.random.Generator, person: Person) -> Mesh:
    """Held below the mouth from one side: a foam or metal ball on a handle."""
    side = rng.choice([-1, 1])
    ball = np.array([side * rng.uniform(0.0, 0.22), rng.uniform(6.15, 6.42), rng.uniform(1.85, 2.15)])
    down = np.array([side * rng.uniform(0.1, 0.8), -1.0, rng.uniform(0.1, 0.6)])
    down /= np.linalg.norm(down)
    radius = rng.uniform(0.17, 0.26)
    angles = np.linspace(0, np.pi, 11)
    profile = np.concatenate([radius * np.sin(angles)[:-1], [0.09, 0.11, 0.10, 0.09]])
    along = np.concatenate([-radius * np.cos(angles)[:-1], [radius * 0.98, radius + 0.1, radius + 1.0, radius + 2.0]])
    rest, triangles = _turned(ball, down, along, np.maximum(profile, 1e-3))
    head = np.repeat(np.arange(len(along)) < 10, 16)[:, None]
    tint = np.where(head, rng.choice([0.02, 0.03, 0.25]), rng.choice([0.01, 0.02, 0.3])) * np.ones(3)
    mesh = Mesh.build(_to_head(person, rest), triangles, SURFACE, tint=tint, follow=rng.uniform(0.1, 0.6), gloss=0.12)
    return join([person.mesh, mesh])


def _turned(
    start: np.ndarray, axis: np.ndarray, along: np.ndarray, radius: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A body of revolution: rings of 16 points about an axis."""
    u = np.cross(axis, [0.0, 0.0, 1.0])
    u /= np.linalg.norm(u)
    v = np.cross(axis, u)
    turn = np.arange(16) * np.pi / 8
    ring = np.cos(turn)[:, None] * u + np.sin(turn)[:, None] * v
    points = start + along[:, None, None] * axis + radius[:, None, None] * ring
    k, s = (g.ravel() for g in np.meshgrid(np.arange(len(along) - 1), np.arange(16), indexing="ij"))
    a, b, c, d = k * 16 + s, k * 16 + (s + 1) % 16, (k + 1) * 16 + s, (k + 1) * 16 + (s + 1) % 16
    return points.reshape(-1, 3), np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])


def hand(rng: np.random.Generator, person: Person) -> Mesh:
    """A hand at the cheek or chin, or before the mouth."""
    assets = load_assets()
    side = int(rng.choice([-1, 1]))
    if rng.random() < 0.6:  # resting at the cheek
        along = np.array([rng.uniform(-0.3, 0.1), 0.95, rng.uniform(-0.3, 0.0)])
        palm, at = np.array([-0.75, 0.1, -0.65]), np.array([rng.uniform(0.55, 0.75), rng.uniform(5.5, 5.8), 1.45])
    else:  # before mouth or chin
        along = np.array([-0.85, rng.uniform(0.2, 0.7), rng.uniform(-0.1, 0.15)])
        palm, at = np.array([0.1, 0.1, -1.0]), np.array([rng.uniform(0.7, 0.95), rng.uniform(5.85, 6.1), 1.95])
    along /= np.linalg.norm(along)
    palm -= along * (palm @ along)
    palm /= np.linalg.norm(palm)
    frame = np.stack([np.cross(along, palm), along, palm])  # rows: where the hand's own axes point
    bend = rng.uniform(0, 1.2)
    pose = assets.hand[0] * max(0, 1 - bend) + assets.hand[1] * (1 - abs(1 - bend)) + assets.hand[2] * max(0, bend - 1)
    points = pose @ frame * rng.uniform(0.85, 1.0) + at
    triangles = assets.hand_triangles
    if side < 0:
        points, triangles = points * [-1, 1, 1], triangles[:, ::-1]
    tint = person.skin.tone * rng.uniform(0.9, 1.05) * np.array([1.03, 0.97, 0.95])
    mesh = Mesh.build(_to_head(person, points), triangles, SURFACE, tint=tint, gloss=0.04)
    return join([person.mesh, mesh])


def strand(rng: np.random.Generator, person: Person) -> Mesh:
    """Some strands that have fallen over forehead, eye or cheek; they move with the skin below."""
    assets, body = load_assets(), person.body
    side = rng.choice([-1, 1])
    front = np.flatnonzero((assets.vertices[:, 2] > 0.85) & (assets.masks["inside-mouth"] < 0.5))
    tree = KDTree(assets.vertices[front][:, :2])
    normals = vertex_normals(body.vertices, assets.triangles["skin"])
    rows, parts = 9, []
    top, low = rng.uniform(0.05, 0.45), rng.uniform(0.15, 0.55)
    for _ in range(rng.integers(2, 6)):
        t = np.linspace(0, 1, rows)
        x = side * (top * (1 - t) + low * t + 0.12 * np.sin(np.pi * t) * rng.normal(0.5, 0.5)) + rng.normal(0, 0.03)
        y = 8.05 - t * rng.uniform(0.5, 1.4)
        weights, near = tree.query(np.stack([x, y], 1), k=3)
        weights = 1 / (weights + 0.02)
        weights /= weights.sum(1, keepdims=True)
        near = front[near]
        middle = ((body.vertices[near] + normals[near] * 0.07 * body.scale) * weights[..., None]).sum(1)
        half = np.array([1.0, 0, 0]) * rng.uniform(0.008, 0.022) * body.scale
        rest = np.stack([middle - half, middle + half], 1).reshape(-1, 3)
        k = np.arange(rows - 1) * 2
        faces = np.concatenate([np.stack([k, k + 2, k + 3], 1), np.stack([k, k + 3, k + 1], 1)])
        along = np.repeat(np.gradient(middle, axis=0), 2, 0)
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        outward = np.repeat(normals[near[:, 0]], 2, 0)
        uv = in_slot(np.stack([np.tile([0.1, 0.14], rows), np.repeat(t, 2)], 1), STRAIGHT)
        anchor = np.repeat(near[:, 0], 2)
        colour = person.hair.colour
        parts.append(
            Mesh.build(rest, faces, CURTAIN, tint=colour, normals=outward, tangents=along, anchor=anchor, uv=uv)
        )
    return join([person.mesh, *parts])


OCCLUDERS: dict[str, Callable[[np.random.Generator, Person], Mesh]] = {
    "hat": hat,
    "microphone": microphone,
    "hand": hand,
    "strand": strand,
}
