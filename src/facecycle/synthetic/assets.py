"""The CC0 head that ships with the package: mesh, targets, face units, masks (see ``assets/NOTICE.md``)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from jaxtyping import Float, Int, Integer

from facecycle.errors import FaceCycleError

VERSION = "heads-v1"


@dataclass(frozen=True)
class Targets:
    """Named displacements of a few vertices each, stored one after the other.

    Target ``k`` moves vertices ``index[pointer[k]:pointer[k + 1]]`` by the same rows of ``delta`` (decimetres).
    """

    names: dict[str, int]
    pointer: Int[np.ndarray, " p"]
    index: Integer[np.ndarray, " m"]
    delta: Float[np.ndarray, "m 3"]


@dataclass(frozen=True)
class Assets:
    """The base head in decimetres: y up, +z towards the viewer, +x the subject's left.

    Attributes:
        vertices: all vertices, those of helpers (eyes, teeth, joints) included.
        triangles: part -> vertex triples, counter-clockwise from outside.
        follow: how much of the head's turn a vertex takes part in, 0 (torso) .. 1 (head).
        landmarks: the vertices that stand for the 68 iBUG points.
        joints: name -> the eight vertices of the cube whose mean is the joint.
        masks: painted regions read at the vertices, 0 .. 1.
        shape, macro, unit: the three families of targets.
        hand: vertices of the left hand, open, relaxed and closed, and its triangles.
    """

    vertices: Float[np.ndarray, "n 3"]
    triangles: dict[str, Int[np.ndarray, "_ 3"]]
    follow: Float[np.ndarray, " n"]
    landmarks: Int[np.ndarray, "68"]
    joints: dict[str, Int[np.ndarray, "8"]]
    masks: dict[str, Float[np.ndarray, " n"]]
    shape: Targets
    macro: Targets
    unit: Targets
    hand: Float[np.ndarray, "3 h 3"]
    hand_triangles: Int[np.ndarray, "_ 3"]


@lru_cache(maxsize=1)
def load_assets() -> Assets:
    """Read the shipped file, once per process.

    Raises:
        FaceCycleError: it is missing or of another version.
    """
    path = files("facecycle.synthetic") / "assets" / f"{VERSION}.npz"
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (FileNotFoundError, ValueError, OSError) as error:
        raise FaceCycleError(f"{path}: cannot be read ({error}); install the package again") from None
    if str(arrays["version"]) != VERSION:
        raise FaceCycleError(f"{path}: version {arrays['version']}, this code reads {VERSION}; install it again")
    return Assets(
        vertices=arrays["vertices"],
        triangles=_folder(arrays, "triangles", np.int32),
        follow=arrays["follow"].astype(np.float32),
        landmarks=arrays["landmarks"].astype(np.int32),
        joints=_folder(arrays, "joint", np.int32),
        masks={name: mask / np.float32(255) for name, mask in _folder(arrays, "mask", np.float32).items()},
        shape=_targets(arrays, "shape"),
        macro=_targets(arrays, "macro"),
        unit=_targets(arrays, "unit"),
        hand=arrays["hand/poses"],
        hand_triangles=arrays["hand/triangles"].astype(np.int32),
    )


def _folder(arrays: dict[str, np.ndarray], folder: str, dtype: type) -> dict[str, np.ndarray]:
    names = [name for name in arrays if name.startswith(folder + "/")]
    return {name.split("/", 1)[1]: arrays[name].astype(dtype) for name in names}


def _targets(arrays: dict[str, np.ndarray], kind: str) -> Targets:
    return Targets(
        names={str(name): k for k, name in enumerate(arrays[f"{kind}/names"])},
        pointer=arrays[f"{kind}/pointer"].astype(np.int64),
        index=arrays[f"{kind}/index"].astype(np.int32),
        delta=np.ascontiguousarray(arrays[f"{kind}/delta"].T * arrays["step"]),
    )
