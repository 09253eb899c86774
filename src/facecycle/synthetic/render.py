"""The renderer: a posed mesh, light and camera -> linear picture, coverage and what lies where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from facecycle.data.crop import Crop
from facecycle.synthetic.camera import Camera
from facecycle.synthetic.kernels import project_parallel
from facecycle.synthetic.light import PLAIN, Clothes, Light
from facecycle.synthetic.lighting import blur_shadow, light_vertices
from facecycle.synthetic.mesh import Mesh
from facecycle.synthetic.person import Person
from facecycle.synthetic.posing import Posed
from facecycle.synthetic.raster import DITHER, rasterize, rasterize_depth
from facecycle.synthetic.scene import COLUMNS, scene_vector
from facecycle.synthetic.shade import shade

SHADOW_PIXELS = 112
SMOOTH_FROM = 600  # samples along a side from which the skin's texels are interpolated
SHADOW_REACH = 1.9  # decimetres about the head that the shadow map shows


@dataclass(frozen=True)
class Trace:
    """What each sample of a window sees.

    Attributes:
        ids: triangle, -1 for none; bary: its second and third barycentric coordinate.
        depth: 1 / distance, 0 for none.
        screen: x, y (samples) and 1 / distance of every vertex.
    """

    ids: Int[np.ndarray, "s s"]
    bary: Float[np.ndarray, "s s 2"]
    depth: Float[np.ndarray, "s s"]
    screen: Float[np.ndarray, "n 3"]


@dataclass(frozen=True)
class Drawing:
    """A rendered window: linear light premultiplied by coverage, coverage (0 .. 1), and what the samples see."""

    rgb: Float[np.ndarray, "h w 3"]
    alpha: Float[np.ndarray, "h w"]
    trace: Trace


def trace(person: Person, posed: Posed, camera: Camera, window: Crop, samples: int, mesh: Mesh | None = None) -> Trace:
    """Find what ``samples`` x ``samples`` rays through a window of the picture meet."""
    mesh = mesh or person.mesh
    screen = to_window(camera.project(posed.points), window, samples)
    depth = np.zeros((samples, samples), np.float32)
    ids = np.full((samples, samples), -1, np.int32)
    bary = np.zeros((samples, samples, 2), np.float32)
    rasterize(screen, mesh.triangles, mesh.material, False, mesh.uv, person.alpha, DITHER, depth, ids, bary)
    return Trace(ids, bary, depth, screen)


def draw(
    person: Person,
    posed: Posed,
    light: Light,
    camera: Camera,
    window: Crop,
    size: int,
    *,
    mesh: Mesh | None = None,
    clothes: Clothes = PLAIN,
    factor: int = 3,
) -> Drawing:
    """Draw ``window`` of the picture at ``size`` x ``size`` pixels, ``factor`` x ``factor`` samples each."""
    mesh = mesh or person.mesh
    seen = trace(person, posed, camera, window, size * factor, mesh)
    scene, shadow = light_scene(person, posed, mesh, light, camera, clothes)
    varying = np.empty((len(mesh), COLUMNS), np.float32)
    light_vertices(
        posed.points, posed.normals, posed.tangents, mesh.tint, mesh.occlusion, mesh.gloss, mesh.uv, posed.crease,
        mesh.cloth, scene, varying,
    )  # fmt: skip
    out = np.empty((size, size, 4), np.float32)
    skin, hair, eye = person.skin.texture, person.hair.texture, person.eye_texture
    smooth = size * factor > SMOOTH_FROM
    shade(
        seen.ids, seen.bary, mesh.triangles, mesh.material, varying, shadow, scene, skin, hair, eye, smooth, factor, out
    )
    return Drawing(out[..., :3], out[..., 3], seen)


def to_window(screen: Float[np.ndarray, "n 3"], window: Crop, samples: int) -> Float[np.ndarray, "n 3"]:
    """Picture coordinates -> samples of a window; the third column stays."""
    scale = np.float32(samples / window.side)
    out = screen.copy()
    out[:, 0] = (screen[:, 0] - np.float32(window.x - window.side / 2)) * scale
    out[:, 1] = (screen[:, 1] - np.float32(window.y - window.side / 2)) * scale
    return out


def light_scene(
    person: Person, posed: Posed, mesh: Mesh, light: Light, camera: Camera, clothes: Clothes
) -> tuple[Float[np.ndarray, "49"], Float[np.ndarray, "m m"]]:
    """The scene vector and the key light's shadow map."""
    frame = light.frame
    aim = frame @ posed.aim
    scale = np.float32(SHADOW_PIXELS / (2 * SHADOW_REACH))
    left, bottom = np.float32(aim[0] - SHADOW_REACH), np.float32(aim[1] - SHADOW_REACH)
    screen = np.empty_like(posed.points)
    project_parallel(posed.points, frame, left, bottom, scale, screen)
    height = np.full((SHADOW_PIXELS, SHADOW_PIXELS), -1e9, np.float32)
    rasterize_depth(screen, mesh.triangles, mesh.casts, height)
    shadow = np.zeros_like(height)
    blur_shadow(height, np.float32(aim[2]), np.zeros_like(height), shadow)
    origin = np.array([left, bottom, scale, aim[2]], np.float32)
    return scene_vector(light, camera.position, posed.up, origin, person.skin.scatter, clothes), shadow
