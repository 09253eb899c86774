"""A person: everything about somebody that no clip changes, built from a `PersonKey` in a quarter of a second."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8

from facecycle.synthetic.assets import load_assets
from facecycle.synthetic.atlas import load_atlas, smoothstep
from facecycle.synthetic.eyes import eye_centres, eye_meshes, eye_texture
from facecycle.synthetic.glasses import sample_glasses
from facecycle.synthetic.hair import Hair, grow_hair
from facecycle.synthetic.hairline import sample_hairline
from facecycle.synthetic.mesh import SKIN, SURFACE, Mesh, join
from facecycle.synthetic.mouth import mouth_meshes
from facecycle.synthetic.occlusion import occluded
from facecycle.synthetic.seeds import PersonKey
from facecycle.synthetic.shape import Body, sample_body
from facecycle.synthetic.skin import Skin, paint_skin


@dataclass
class Person:
    """Somebody.

    Attributes:
        key: the name; the same key is the same person everywhere.
        body: gender, age, ancestry, shape.
        skin: tone and texture.
        hair: style and colour.
        eye_colour: its name.
        glasses: whether they are worn.
        mesh: skin, eyeballs, mouth, hair, glasses, in this order; the first vertices are the control vertices.
        eye_texture: the polar map of the iris.
        eyes: first vertex of the left eyeball, of the right one, and behind it.
        eye_centres: in head space, decimetres.
    """

    key: PersonKey
    body: Body
    skin: Skin
    hair: Hair
    eye_colour: str
    glasses: bool
    mesh: Mesh
    eye_texture: Float[np.ndarray, "e e 3"]
    eyes: tuple[int, int, int]
    eye_centres: Float[np.ndarray, "2 3"]

    @property
    def alpha(self) -> UInt8[np.ndarray, "h w"]:
        """How opaque the strands of the hair texture are."""
        return self.hair.alpha

    def vector(self) -> Float[np.ndarray, " p"]:
        """The label: gender, age, three shares of ancestry, weight, muscle, skin depth, then all shape controls."""
        b = self.body
        return np.array(
            [b.gender, b.age, *b.ancestry, b.weight, b.muscle, self.skin.depth, *b.controls.values()], np.float32
        )


def create_person(key: PersonKey) -> Person:
    """Draw a person from its key."""
    assets, atlas = load_assets(), load_atlas()
    body = sample_body(key)
    hairline = sample_hairline(key, body)
    hair = grow_hair(key, body, hairline)
    position = atlas.position
    scalp = hairline.density(position[..., 0], position[..., 1], position[..., 2]) * hair.cover
    skin = paint_skin(key, body, hair.colour, scalp.astype(np.float32))
    eye_colour, iris = eye_texture(key, body.ancestry)
    glasses = sample_glasses(key, body)
    eyes = eye_meshes(assets, body)
    start = len(assets.vertices)
    parts = [_skin_mesh(body, skin, hair, hairline), *eyes, *mouth_meshes(key, assets, body), *hair.meshes, *glasses]
    ends = (start, start + len(eyes[0]), start + len(eyes[0]) + len(eyes[1]))
    mesh = occluded(join(parts))
    centres = eye_centres(assets, body.vertices)
    return Person(key, body, skin, hair, eye_colour, bool(glasses), mesh, iris, ends, centres)


def _skin_mesh(body: Body, skin: Skin, hair: Hair, hairline) -> Mesh:
    """The control vertices; those inside the mouth are dark red, those the map leaves out take the hair's colour."""
    assets, atlas = load_assets(), load_atlas()
    triangles = assets.triangles["skin"]
    x, y, z = assets.vertices.T
    grown = hairline.density(x, y, z) * hair.cover * 0.9
    bare = skin.tone * (1 - grown[:, None]) + hair.colour * 0.45 * grown[:, None]
    mapped = np.zeros(len(x), bool)
    mapped[triangles[atlas.textured]] = True
    tint = np.where(mapped[:, None], skin.tone, bare)
    inner = assets.masks["inside-mouth"][:, None]
    tint = tint * (1 - inner) + inner * np.array([0.14, 0.035, 0.035])
    mesh = Mesh.build(
        body.vertices,
        triangles,
        SKIN,
        tint=tint,
        anchor=np.arange(len(x)),
        follow=assets.follow,
        uv=atlas.uv,
        occlusion=np.where(inner[:, 0] > 0.5, 0.3 * smoothstep(0.9, 1.5, z) + 0.05, 1.0),
        gloss=skin.gloss * (1 - 0.7 * inner[:, 0]),
        cloth=neckline(x, y, z),
    )
    mesh.material[~atlas.textured & (mesh.cloth[triangles] < 0.5).all(1)] = SURFACE
    return mesh


def neckline(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Above 0.5 where a round-necked shirt covers the base body; the distance from its seam sets the value."""
    r = np.hypot(x, (z - 0.05) / 0.95)
    front = smoothstep(0.3, 0.9, z) * np.exp(-((x / 0.5) ** 2))
    return np.maximum(0.5 + (r - 0.78 - 0.25 * front) * 1.5 - smoothstep(5.75, 6.1, y) * 3, 0.5 + (5.15 - y) * 2)


class PersonCache:
    """The people last asked for: a person costs as much as fifty frames."""

    def __init__(self, capacity: int = 16) -> None:
        self.capacity = capacity
        self._people: OrderedDict[PersonKey, Person] = OrderedDict()

    def get(self, key: PersonKey) -> Person:
        """The person of this key, created unless it is at hand."""
        person = self._people.pop(key, None) or create_person(key)
        self._people[key] = person
        if len(self._people) > self.capacity:
            self._people.popitem(last=False)
        return person


@lru_cache(maxsize=1)
def shared_people() -> PersonCache:
    """One cache per process."""
    return PersonCache()
