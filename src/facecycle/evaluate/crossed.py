"""Faces in which person, expression, pose and light are fully crossed: every person in every combination.

Held-out synthetic people only. Background, clothes and camera are drawn anew for each picture, so that nothing but the
face tells who it is.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from facecycle.data.files import write_atomic
from facecycle.errors import FaceCycleError
from facecycle.synthetic.clip import Clip, ClipOptions, exposure
from facecycle.synthetic.expression import EMOTIONS, emotion_weights
from facecycle.synthetic.light import Light
from facecycle.synthetic.person import create_person
from facecycle.synthetic.posing import State
from facecycle.synthetic.seeds import PersonKey
from facecycle.synthetic.truth import transfer

FACTORS = ("person", "expression", "pose", "light")
YAWS = (-35.0, 0.0, 35.0)  # degrees
LIGHTS = (-55.0, 0.0, 55.0)  # degrees azimuth of the key light
STRENGTH = 0.9  # of each expression


@dataclass(frozen=True)
class Crossed:
    """``n`` pictures and, for each, the level of every factor.

    Attributes:
        pictures: RGB crops.
        levels: columns in the order of `FACTORS`.
        counts: levels of each factor.
        checksum: of all that decides the pictures.
    """

    pictures: UInt8[np.ndarray, "n s s 3"]
    levels: Int[np.ndarray, "n 4"]
    counts: tuple[int, int, int, int]
    checksum: str


def draw_crossed(people: int = 40, size: int = 64, seed: int = 0, cache: Path | None = None) -> Crossed:
    """Draw them, or read them where they were drawn before.

    Args:
        people: how many.
        size: pixels of a crop.
        seed: of the held-out people.
        cache: folder to keep them in; None keeps none.
    """
    counts = (people, len(EMOTIONS), len(YAWS), len(LIGHTS))
    levels = np.array(list(itertools.product(*map(range, counts))))
    sample = hashlib.sha256(next(_person_frames(PersonKey("held-out", seed, 0), size)).tobytes()).hexdigest()
    settings = f"crossed {sample} {counts} {size} {seed} {EMOTIONS} {YAWS} {LIGHTS} {STRENGTH}"
    checksum = hashlib.sha256(settings.encode()).hexdigest()
    file = None if cache is None else cache / f"crossed-{checksum[:32]}.npz"
    if file is not None and file.is_file():
        try:
            with np.load(file, allow_pickle=False) as kept:
                return Crossed(kept["pictures"], levels, counts, checksum)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise FaceCycleError(f"{file}: kept faces are damaged ({error}); delete the file") from None
    drawn = [np.stack(list(_person_frames(PersonKey("held-out", seed, who), size))) for who in range(people)]
    pictures = np.concatenate(drawn)
    if file is not None:
        stream = io.BytesIO()
        np.savez(stream, pictures=pictures)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, stream.getvalue())
    return Crossed(pictures, levels, counts, checksum)


def _person_frames(key: PersonKey, size: int) -> Iterator[UInt8[np.ndarray, "s s 3"]]:
    """All combinations of one person, in the order of the levels, each drawn when it is asked for."""
    person, options = create_person(key), ClipOptions(occluder="none")
    for number, (units, yaw, azimuth) in enumerate(itertools.product(emotion_weights(), YAWS, LIGHTS)):
        clip = Clip(person, (4, number), options)
        clip.light = _light(azimuth)
        clip.camera = replace(clip.camera, gain=exposure(person, clip.light, 0.0))
        state = State(np.asarray(STRENGTH * units), yaw)
        yield transfer(clip, state, 0.0, size, margin=0.0)


def _light(azimuth: float) -> Light:
    """One hard key light from a side, little else; the same for everybody."""
    grey = np.ones(3, np.float32)
    return Light((azimuth, 25.0), 1.3 * grey, (-azimuth, 10.0), 0.1 * grey, 0.4 * grey, 0.2 * grey)
