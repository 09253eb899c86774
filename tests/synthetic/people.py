"""A few people and clips that the tests share; creating one costs a tenth of a second."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from facecycle.synthetic.clip import Clip, ClipOptions
from facecycle.synthetic.person import Person, create_person
from facecycle.synthetic.seeds import PersonKey


@lru_cache(maxsize=8)
def person(index: int = 0) -> Person:
    return create_person(PersonKey("train", 7, index))


def clip(index: int = 0, number: int = 0, **options) -> Clip:
    return Clip(person(index), (number,), ClipOptions(**{"occluder": "none", **options}))


def units() -> np.ndarray:
    return np.zeros(52, np.float32)
