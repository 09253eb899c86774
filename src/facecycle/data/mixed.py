"""Several face sets as one source of clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from facecycle.data.pairs import ClipDataset, FacePairs, Key
from facecycle.data.truth import TRUE_VALUES, value_scale
from facecycle.errors import FaceCycleError


def join_licences(licences: Iterable[str]) -> str:
    """The terms of what was made of several things: those of each, once."""
    return "; ".join(dict.fromkeys(term for licence in licences for term in licence.split("; ")))


class MixedClips:
    """Every item of every set once an epoch, shuffled together; a batch holds them in proportion to their sizes.

    Args:
        sets: of the same picture size, margin and crop.
        seed: of the order.
        frames_per_item: how many frames they give.

    Raises:
        FaceCycleError: the sets do not go together.
    """

    def __init__(self, sets: Sequence[ClipDataset], seed: int = 0, frames_per_item: int = 2) -> None:
        first = sets[0]
        for other in sets[1:]:
            for name in ("size", "margin", "stored", "crop"):
                if getattr(other, name) != getattr(first, name):
                    raise FaceCycleError(
                        f"face sets of different {name} ({getattr(first, name)} and {getattr(other, name)}) cannot be "
                        "mixed; prepare them alike"
                    )
        self.sets, self.seed, self.frames_per_item = list(sets), seed, frames_per_item
        self.size, self.margin, self.stored, self.crop = first.size, first.margin, first.stored, first.crop
        self.licence = join_licences(part.licence for part in sets)
        generated = [part for part in sets if isinstance(part, FacePairs) and part.has_truth]
        scale = value_scale([part.faces for part in generated]) if generated else None
        for part in generated:
            part.scale = scale
        self._ends = np.cumsum([len(part) for part in sets])
        self._same = self._met_again()
        self._order: tuple[int, np.ndarray] = (-1, np.arange(0))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, key: Key) -> UInt8[np.ndarray, "k 3 s s"]:
        part, inner, _ = self._find(key)
        return part[inner]

    def __getitems__(self, keys: Sequence[Key]) -> list[UInt8[np.ndarray, "k 3 s s"]]:
        """A whole batch: what is of one set is read together."""
        batch: dict[int, UInt8[np.ndarray, "k 3 s s"]] = {}
        for part, places, wanted, _ in self._by_set(keys):
            together = getattr(part, "__getitems__", None)
            batch |= zip(places, together(wanted) if together else map(part.__getitem__, wanted), strict=True)
        return [batch[place] for place in range(len(keys))]

    def whose(self, keys: Sequence[Key]) -> Int[np.ndarray, " b"]:
        """As the sets say it; of several sets only generated people are known to be the same, by their names."""
        whose = np.zeros(len(keys), np.int64)
        for part, places, wanted, before in self._by_set(keys):
            whose[places] = before + part.whose(wanted)
        return np.array([self._same.get(number, number) for number in whose.tolist()])

    def _met_again(self) -> dict[int, int]:
        """`whose` of generated people who are in several sets -> that of the first set."""
        first: dict[str, int] = {}
        same: dict[int, int] = {}
        for part, end in zip(self.sets, self._ends.tolist(), strict=True):
            if isinstance(part, FacePairs) and part.faces.meta["origin"] == "synthetic":
                for number, name in part.named_people().items():
                    number += end - len(part)
                    if first.setdefault(name, number) != number:
                        same[number] = first[name]
        return same

    @property
    def has_truth(self) -> bool:
        """Does any of the sets have it?"""
        return any(isinstance(part, FacePairs) and part.has_truth for part in self.sets)

    @property
    def has_neutral(self) -> bool:
        """Does any of the sets have neutral faces?"""
        return any(isinstance(part, FacePairs) and part.has_neutral for part in self.sets)

    @property
    def has_landmarks(self) -> bool:
        """Do any of the sets know the landmarks of frames and neutral faces?"""
        return any(isinstance(part, FacePairs) and part.has_landmarks for part in self.sets)

    def truth(self, keys: Sequence[Key]) -> Float[np.ndarray, "b k 55"]:
        """As `FacePairs.truth`; not a number where a set has none."""
        truth = np.full((len(keys), self.frames_per_item, TRUE_VALUES), np.nan, np.float32)
        for part, places, wanted, _ in self._by_set(keys):
            if isinstance(part, FacePairs) and part.has_truth:
                truth[places] = part.truth(wanted)
        return truth

    def landmarks(self, keys: Sequence[Key]) -> Float[np.ndarray, "b k1 68 2"]:
        """As `FacePairs.landmarks`; not a number where a set has none."""
        landmarks = np.full((len(keys), self.frames_per_item + 1, 68, 2), np.nan, np.float32)
        for part, places, wanted, _ in self._by_set(keys):
            if isinstance(part, FacePairs) and part.has_landmarks:
                landmarks[places] = part.landmarks(wanted)
        return landmarks

    def _by_set(self, keys: Sequence[Key]) -> list[tuple[ClipDataset, list[int], list[Key], int]]:
        """For each set that a batch has items of: their places in it, the set's own keys, and as `_find`."""
        grouped: dict[int, tuple[ClipDataset, list[int], list[Key], int]] = {}
        for place, key in enumerate(keys):
            part, inner, before = self._find(key)
            _, places, wanted, _ = grouped.setdefault(before, (part, [], [], before))
            places.append(place)
            wanted.append(inner)
        return list(grouped.values())

    def _find(self, key: Key) -> tuple[ClipDataset, Key, int]:
        """The set, its own key, and how many items the sets before it have."""
        epoch, index = key
        if self._order[0] != epoch:
            self._order = (epoch, np.random.Generator(np.random.Philox([self.seed, epoch])).permutation(len(self)))
        place = int(self._order[1][index])
        part = int(np.searchsorted(self._ends, place, side="right"))
        before = int(self._ends[part - 1]) if part else 0
        return self.sets[part], (epoch, place - before), before
