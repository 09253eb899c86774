"""What the renderer draws: triangles whose vertices hang on the deforming head or follow it rigidly."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from facecycle.synthetic.kernels import vertex_normals

# Materials; a triangle has one, and it decides how its samples are shaded. A curtain is hair seen from both sides.
SKIN, SURFACE, EYE, HAIR, CURTAIN = range(5)
LEVELS = 17  # steps from the torso (0) to the head (16) that a vertex may follow


@dataclass
class Mesh:
    """Triangles in a person's head space (decimetres, y up, origin at the head joint).

    Attributes:
        triangles, material: what is drawn; counter-clockwise from outside.
        casts: which triangles throw shadows.
        rest: where the vertices are without expression and pose.
        normals: their normals there; recomputed for skin.
        tangents: along the strand for hair, zero elsewhere.
        anchor: the control vertex whose displacement a vertex shares, -1 for none.
        follow: which of the `LEVELS` between torso and head it follows.
        uv: place in the texture of its material, 0 .. 1.
        tint: albedo, or what multiplies the texture (linear RGB).
        occlusion: share of the surrounding light that reaches it.
        gloss: strength of its highlights.
        cloth: above 0.5 it is covered by clothes (skin only).
    """

    triangles: Int[np.ndarray, "t 3"]
    material: UInt8[np.ndarray, " t"]
    casts: Bool[np.ndarray, " t"]
    rest: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    tangents: Float[np.ndarray, "n 3"]
    anchor: Int[np.ndarray, " n"]
    follow: UInt8[np.ndarray, " n"]
    uv: Float[np.ndarray, "n 2"]
    tint: Float[np.ndarray, "n 3"]
    occlusion: Float[np.ndarray, " n"]
    gloss: Float[np.ndarray, " n"]
    cloth: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.rest)

    @classmethod
    def build(
        cls,
        rest: np.ndarray,
        triangles: np.ndarray,
        material: int,
        *,
        tint: np.ndarray | tuple[float, float, float] = (1.0, 1.0, 1.0),
        normals: np.ndarray | None = None,
        tangents: np.ndarray | None = None,
        anchor: np.ndarray | None = None,
        follow: np.ndarray | float = 1.0,
        uv: np.ndarray | None = None,
        occlusion: np.ndarray | float = 1.0,
        gloss: np.ndarray | float = 0.05,
        cloth: np.ndarray | float = 0.0,
        casts: bool = True,
    ) -> Mesh:
        """A mesh of one material; what is not given is the same everywhere."""
        n = len(rest)
        rest = np.ascontiguousarray(rest, np.float32)
        triangles = np.ascontiguousarray(triangles, np.int32)

        def column(value: np.ndarray | float) -> np.ndarray:
            return np.ascontiguousarray(np.broadcast_to(value, n), np.float32)

        return cls(
            triangles=triangles,
            material=np.full(len(triangles), material, np.uint8),
            casts=np.full(len(triangles), casts),
            rest=rest,
            normals=vertex_normals(rest, triangles) if normals is None else np.ascontiguousarray(normals, np.float32),
            tangents=np.zeros_like(rest) if tangents is None else np.ascontiguousarray(tangents, np.float32),
            anchor=np.full(n, -1, np.int32) if anchor is None else anchor.astype(np.int32),
            follow=np.rint(column(follow).clip(0, 1) * (LEVELS - 1)).astype(np.uint8),
            uv=np.zeros((n, 2), np.float32) if uv is None else np.ascontiguousarray(uv, np.float32),
            tint=np.ascontiguousarray(np.broadcast_to(np.asarray(tint, np.float32), (n, 3))),
            occlusion=column(occlusion),
            gloss=column(gloss),
            cloth=column(cloth),
        )


def join(meshes: list[Mesh]) -> Mesh:
    """One mesh from several; the vertices keep their order."""
    starts = np.cumsum([0, *(len(mesh) for mesh in meshes)])
    columns = {
        field.name: np.concatenate([getattr(mesh, field.name) for mesh in meshes])
        for field in fields(Mesh)
        if field.name != "triangles"
    }
    triangles = np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, starts, strict=False)])
    return Mesh(triangles=triangles.astype(np.int32), **columns)
