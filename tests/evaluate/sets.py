"""Small sets drawn by the synthetic generator, in the official layouts. Each writer says which face each picture is."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.io import savemat
from torch import Tensor

from facecycle.data.crop import CROP_NAME
from facecycle.evaluate.photos import Faces, Photo
from facecycle.synthetic.clip import Clip, ClipOptions
from facecycle.synthetic.expression import EMOTIONS, emotion_weights
from facecycle.synthetic.person import create_person
from facecycle.synthetic.posing import State
from facecycle.synthetic.seeds import PersonKey
from facecycle.synthetic.truth import transfer, view_state

PEOPLE, EACH, SIDE, MARGIN = 8, 7, 96, 0.5
FER = {"anger": "angry"}  # where the sets call an emotion otherwise than the generator
RAF = {"happy": "happiness", "sad": "sadness"}
FER_NUMBERS = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # 0.. in the csv
RAF_NUMBERS = ("surprise", "fear", "disgust", "happy", "sad", "anger", "neutral")  # 1.. in the lists
PARTS = ("train",) * 4 + ("validation",) * 2 + ("test",) * 2  # by person


@dataclass(frozen=True)
class Drawn:
    """A face: who, which emotion, how it is turned (yaw, pitch, roll), the picture and its 68 landmarks."""

    who: int
    emotion: str
    pose: tuple[float, float, float]
    picture: UInt8[np.ndarray, "s s 3"]
    landmarks: Float[np.ndarray, "68 2"]


@cache
def draw_faces() -> list[Drawn]:
    """Eight people with seven emotions each, turned at random."""
    rng, faces = np.random.default_rng(0), []
    for who in range(PEOPLE):
        person = create_person(PersonKey("held-out", 9, who))
        for number, (emotion, units) in enumerate(zip(EMOTIONS, emotion_weights(), strict=True)):
            clip = Clip(person, (6, number), ClipOptions(occluder="none"))
            pose = tuple(float(np.round(angle)) for angle in rng.uniform(-1, 1, 3) * (50, 25, 15))
            state = State(np.asarray(units), *pose)
            view = view_state(clip, state, 0.0, MARGIN)
            picture = transfer(clip, state, 0.0, SIDE, MARGIN)
            faces.append(Drawn(who, emotion, pose, picture, view.window.to_crop(view.landmarks, SIDE)))
    return faces


def save(file: Path, picture: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(file, quality=95)


def grey48(face: Drawn) -> np.ndarray:
    return np.asarray(Image.fromarray(face.picture).convert("L").crop((16, 16, 80, 80)).resize((48, 48)))


def fer_csv(root: Path) -> dict[str, Drawn]:
    usage = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
    with (root / "fer2013.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["emotion", "pixels", "Usage"])
        for face in draw_faces():
            values = " ".join(map(str, grey48(face).ravel()))
            rows.writerow([FER_NUMBERS.index(face.emotion), values, usage[PARTS[face.who]]])
    return {f"row {i}": face for i, face in enumerate(draw_faces())}


def fer_folders(root: Path) -> dict[str, Drawn]:
    names = {}
    for i, face in enumerate(draw_faces()):
        name = f"{PARTS[face.who]}/{FER.get(face.emotion, face.emotion)}/{i:03d}.jpg"
        save(root / name, grey48(face))
        names[name] = face
    return names


def raf_basic(root: Path) -> dict[str, Drawn]:
    names, lines = {}, []
    for i, face in enumerate(draw_faces()):
        part = "test" if PARTS[face.who] == "test" else "train"
        name = f"basic/Image/aligned/{part}_{i:05d}_aligned.jpg"
        save(root / name, face.picture)
        lines.append(f"{part}_{i:05d}.jpg {RAF_NUMBERS.index(face.emotion) + 1}")
        names[name] = face
    (root / "basic" / "EmoLabel").mkdir()
    (root / "basic" / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines))
    return names


def raf_csv(root: Path) -> dict[str, Drawn]:
    names, lines = {}, {"train": ["image,label"], "test": ["image,label"]}
    for i, face in enumerate(draw_faces()):
        part, label = "test" if PARTS[face.who] == "test" else "train", RAF_NUMBERS.index(face.emotion) + 1
        name = f"DATASET/{part}/{label}/{i}.jpg"
        save(root / name, face.picture)
        lines[part].append(f"{i}.jpg,{label}")
        names[name] = face
    for part, rows in lines.items():
        (root / f"{part}_labels.csv").write_text("\n".join(rows))
    return names


def mats(root: Path, landmarks: str = "pt3d_68", folder: str = "") -> dict[str, Drawn]:
    """AFLW2000 (flat, ``pt3d_68``) or 300W-LP (folders, ``pt2d``)."""
    names = {}
    for i, face in enumerate(draw_faces()):
        name = f"{folder}image{i:05d}.jpg"
        save(root / name, face.picture)
        yaw, pitch, roll = np.radians(face.pose)
        points = face.landmarks.T
        points = np.concatenate([points, np.zeros((1, 68))]) if landmarks == "pt3d_68" else points
        savemat((root / name).with_suffix(".mat"), {"Pose_Para": [[pitch, yaw, roll, 0, 0, 0, 1]], landmarks: points})
        names[name] = face
    return names


def pointing04(root: Path) -> dict[str, Drawn]:
    names = {}
    for i, face in enumerate(draw_faces()):
        yaw, pitch, _ = (int(angle) for angle in face.pose)
        name = f"Person{face.who + 1:02d}/person{face.who + 1:02d}1{i % EACH:02d}{pitch:+d}{yaw:+d}.jpg"
        save(root / name, face.picture)
        box = f"{Path(name).name}\nFace\n{SIDE // 2}\n{SIDE // 2}\n36\n36\n"
        (root / name).with_suffix(".txt").write_text(box)
        names[name] = face
    return names


def people(root: Path, folder: str) -> dict[str, Drawn]:
    """Photos as LFW names them."""
    names = {}
    for i, face in enumerate(draw_faces()):
        name = f"{folder}/Person_{face.who}/Person_{face.who}_{i % EACH + 1:04d}.jpg"
        save(root / name, face.picture)
        names[name] = face
    return names


def lfw(root: Path) -> dict[str, Drawn]:
    """Four folds of two people: six pairs of one person, six of two."""
    lines = [f"{PEOPLE // 2}\t6"]
    for one in range(0, PEOPLE, 2):
        lines += [f"Person_{one + k % 2}\t{k + 1}\t{k + 2}" for k in range(6)]
        lines += [f"Person_{one}\t{k + 1}\tPerson_{one + 1}\t{k + 2}" for k in range(6)]
    (root / "pairs.txt").write_text("\n".join(lines) + "\n")
    return people(root, "lfw")


def cplfw(root: Path) -> dict[str, Drawn]:
    names = people(root, "images")
    short = {name.removeprefix("images/"): face for name, face in names.items()}
    lines = []
    for one, two in zip(short, [*list(short)[1:], *list(short)[:1]], strict=True):
        lines += [f"{name} {int(short[one].who == short[two].who)}" for name in (one, two)]
    for one, two in zip(short, [*list(short)[EACH:], *list(short)[:EACH]], strict=True):
        lines += [f"{one} 0", f"{two} 0"]
    (root / "pairs_CPLFW.txt").write_text("\n".join(lines))
    return names


class Knowing:
    """A source with perfect codes: it knows the faces of a set again, and gives the code of each."""

    checksum, crop, layers, size = "knowing", CROP_NAME, ("features",), 32

    def __init__(self, photos: list[Photo], codes: np.ndarray) -> None:
        faces = Faces(photos, self.size)
        self.name, self.codes = "knowing", codes.astype(np.float32)
        self.known = np.stack([faces[i] for i in range(len(faces))]).reshape(len(faces), -1).astype(np.float32)

    def features(self, faces: Float[Tensor, "b 3 h w"], layer: str) -> Float[np.ndarray, "b d"]:
        shown = 255 * faces.permute(0, 2, 3, 1).flatten(1).numpy()
        return self.codes[[int(np.abs(self.known - one).mean(1).argmin()) for one in shown]]
