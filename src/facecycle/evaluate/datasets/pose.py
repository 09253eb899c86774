"""Head poses with ground truth: AFLW2000, 300W-LP, Pointing'04 and synthetic face sets.

All angles are degrees, yaw, pitch, roll, with the signs of 300W-LP (see `facecycle.synthetic.pose`); Pointing'04's pan
and tilt have the same ones, checked on its detected landmarks.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from facecycle.data.crop import Crop, fit_crop, landmarks5_from_68
from facecycle.data.faceset import FaceSet
from facecycle.data.truth import is_neutral
from facecycle.errors import FaceCycleError
from facecycle.evaluate.datasets.layout import picture_files, wrong_layout
from facecycle.evaluate.photos import Photo, faceset_photos, photo_of, pixels

MOST_PIXELS = 20_000  # of the side of a crop; of more, the annotation is damaged
ANGLES = ("yaw", "pitch", "roll")
# Of the published face boxes: the median over 72 pictures within 45 degrees, where YuNet finds the landmarks.
POINTING_SIDE = 1.8  # of the crop, in units of the root of the box's area; its centre is the box's
POINTING_NAME = re.compile(r"personn?e?(\d\d)(\d)(\d\d)([+-]\d+)([+-]\d+)$")


@dataclass(frozen=True)
class Posed:
    """Pictures with their head pose.

    Attributes:
        angles: degrees; columns named by ``names``.
        groups: who is shown, where the set says it; else "".
        squares: where faces sit, in words.
        problems: name -> reason of pictures whose annotation cannot be used.
    """

    photos: list[Photo]
    angles: Float[np.ndarray, "n a"]
    names: tuple[str, ...]
    groups: np.ndarray
    squares: str
    problems: dict[str, str]


def read_mats(data: Path) -> Posed:
    """AFLW2000 and 300W-LP: a ``.mat`` with ``Pose_Para`` and 68 landmarks beside each picture, in file order.

    Raises:
        FaceCycleError: no picture has such a file.
    """
    from scipy.io.matlab import MatReadError

    files = picture_files(data) if data.is_dir() else []
    photos, angles, problems = [], [], {}
    for file in files:
        name = file.relative_to(data).as_posix()
        try:
            pose, crop = _read_mat(file.with_suffix(".mat"))
        except (OSError, ValueError, KeyError, NotImplementedError, MatReadError, zlib.error) as error:
            problems[name] = f"{file.with_suffix('.mat').name}: {error}"
            continue
        photos.append(photo_of(file, data, pixels(crop)))
        angles.append(pose)
    if not photos:
        if any(file.with_suffix(".mat").exists() for file in files):
            name, reason = next(iter(problems.items()))
            raise FaceCycleError(f"{data}: not one of {len(files)} pictures has a usable .mat; {name}: {reason}")
        raise wrong_layout(data, "<picture>.jpg, each with a <picture>.mat that holds Pose_Para and 68 landmarks")
    return Posed(photos, np.array(angles), ANGLES, np.array([""] * len(photos)), "published 68 landmarks", problems)


def _read_mat(file: Path) -> tuple[Float[np.ndarray, "3"], Crop]:
    from scipy.io import loadmat

    if not file.is_file():
        raise ValueError("not there")
    try:
        values = loadmat(file, variable_names=["Pose_Para", "pt3d_68", "pt2d"])
    except IndexError:  # of older scipy, where a file ends within its first lines
        raise ValueError("cut short") from None
    if "Pose_Para" not in values:
        raise ValueError("holds no Pose_Para")
    pitch, yaw, roll = np.degrees(np.asarray(values["Pose_Para"], float).ravel()[:3])
    if not np.isfinite([pitch, yaw, roll]).all() or max(map(abs, (pitch, yaw, roll))) > 360:
        raise ValueError(f"Pose_Para {pitch:.0f}, {yaw:.0f}, {roll:.0f} degrees: out of range")
    points = values.get("pt3d_68", values.get("pt2d"))
    if points is None or points.ndim != 2 or points.shape[1] != 68:
        raise ValueError("neither pt3d_68 nor a pt2d of 68 landmarks")
    return np.array([yaw, pitch, roll]), _usable(fit_crop(landmarks5_from_68(np.asarray(points[:2].T, float))))


def _usable(crop: Crop) -> Crop:
    if not (np.isfinite([crop.x, crop.y, crop.side]).all() and 0 < crop.side <= MOST_PIXELS):
        raise ValueError(f"a face of {crop.side:g} pixels at {crop.x:g}, {crop.y:g}")
    return crop


def read_pointing04(data: Path) -> Posed:
    """Pointing'04: ``PersonNN/personNNSMMtilt pan.jpg`` with a face box in a ``.txt`` of the same name.

    Raises:
        FaceCycleError: no picture is named so, or none has a box.
    """
    photos, angles, people, problems = [], [], [], {}
    for file in picture_files(data) if data.is_dir() else []:
        match = POINTING_NAME.match(file.stem)
        if not match:
            problems[file.relative_to(data).as_posix()] = "its name tells no angles"
            continue
        try:
            crop = _read_box(file.with_suffix(".txt"))
        except (OSError, ValueError) as error:
            problems[file.relative_to(data).as_posix()] = f"{file.with_suffix('.txt').name}: {error}"
            continue
        photos.append(photo_of(file, data, pixels(crop)))
        angles.append([float(match[5]), float(match[4])])
        people.append(match[1])
    if not photos:
        if any(POINTING_NAME.match(Path(name).stem) for name in problems):
            name, reason = next(iter(problems.items()))
            raise FaceCycleError(f"{data}: not one of {len(problems)} pictures has a face box; {name}: {reason}")
        raise wrong_layout(data, "PersonNN/personNNSMM<tilt><pan>.jpg with face boxes in .txt files of the same names")
    words = f"published face boxes, crop side {POINTING_SIDE} times the root of their area"
    return Posed(photos, np.array(angles), ("yaw", "pitch"), np.array(people), words, problems)


def _read_box(file: Path) -> Crop:
    lines = file.read_text("utf-8").split()
    x, y, width, height = (float(value) for value in lines[-4:])  # the middle, and the sides
    if not (width > 0 and height > 0):
        raise ValueError(f"a face box of {width:g} x {height:g}")
    return _usable(Crop(x, y, POINTING_SIDE * (width * height) ** 0.5))


def read_synthetic(data: Path) -> Posed:
    """A face set with ``label/pose``, as ``facecycle synth`` writes them.

    Raises:
        FaceCycleError: no face set, or one without poses.
    """
    if not (data / "faceset.json").is_file():
        raise wrong_layout(data, "a face set with faceset.json, as `facecycle synth` writes it")
    faces = FaceSet.open(data)
    if "label/pose" not in faces.columns:
        raise FaceCycleError(f"{data}: a face set without label/pose; draw one with `facecycle synth`")
    rows = np.flatnonzero(~is_neutral(faces))  # a clip's neutral face is no frame of it
    photos, angles = faceset_photos(faces), np.asarray(faces.columns["label/pose"][rows], float)
    people = faces.columns["person"][rows]
    return Posed([photos[row] for row in rows], angles, ANGLES, people, "the face set's crops", {})


READERS = {"aflw2000": read_mats, "300wlp": read_mats, "pointing04": read_pointing04, "synthetic": read_synthetic}
