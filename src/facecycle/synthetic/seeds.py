"""Who is who: people are named by split, seed and index, and every part of them draws from a stream of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from facecycle.errors import FaceCycleError

SPLITS = ("train", "held-out")


@dataclass(frozen=True, order=True)
class PersonKey:
    """The name of a synthetic person: the same key is the same person on every machine.

    The split is part of the name and of every random stream below it, so that no training person is ever a held-out
    one, whatever the seeds and indices.
    """

    split: str
    seed: int
    index: int

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise FaceCycleError(f"split {self.split!r} is unknown; use one of {', '.join(SPLITS)}")
        for name in ("seed", "index"):
            if getattr(self, name) < 0:
                raise FaceCycleError(f"{name}={getattr(self, name)}: must not be negative")

    def __str__(self) -> str:
        return f"{self.split}-{self.seed}-{self.index:06d}"


def stream(*key: int | str | PersonKey) -> np.random.Generator:
    """A generator that depends on ``key`` alone (Philox, counter-based: the same on every machine).

    One stream per part, named by what it is for, keeps all other parts as they are when a part is added or changed.
    """
    words: list[str] = []
    for part in key:
        if isinstance(part, PersonKey):
            words += [repr(part.split), str(int(part.seed)), str(int(part.index))]
        else:
            words.append(repr(part) if isinstance(part, str) else str(int(part)))
    digest = hashlib.blake2b("/".join(words).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, "<u8")))
