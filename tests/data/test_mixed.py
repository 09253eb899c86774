"""Several face sets as one: everything comes once an epoch, and unlike sets are refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from facecycle.data.faceset import FaceSet
from facecycle.data.mixed import MixedClips
from facecycle.data.pairs import ClipDataset, FacePairs
from facecycle.errors import FaceCycleError
from facecycle.synthetic.write import synth


class Numbered:
    """Items that say where they are from."""

    margin, stored, crop = 0.25, 4, "facecycle-v1"

    def __init__(self, name: int, length: int, licence: str = "CC0-1.0", size: int = 4) -> None:
        self.name, self.length, self.licence, self.size = name, length, licence, size

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: tuple[int, int], /) -> np.ndarray:
        assert 0 <= key[1] < self.length
        return np.full((2, 3, 4, 4), 100 * self.name + key[1], np.uint8)

    def whose(self, keys: Sequence[tuple[int, int]]) -> np.ndarray:
        return np.array([index // 10 for _, index in keys])


def test_an_epoch_holds_every_item_once_and_mixes_them() -> None:
    sets: list[ClipDataset] = [Numbered(0, 30), Numbered(1, 50, "research only")]
    mixed = MixedClips(sets, seed=3)
    first, second = ([int(mixed[epoch, k][0, 0, 0, 0]) for k in range(len(mixed))] for epoch in (0, 1))
    assert sorted(first) == sorted(second) == [*range(30), *range(100, 150)]
    assert first != second
    assert 5 < sum(value < 100 for value in first[:40]) < 25  # neither set comes in one piece
    assert first == [int(MixedClips(sets, seed=3)[0, k][0, 0, 0, 0]) for k in range(80)]
    assert mixed.licence == "CC0-1.0; research only"
    whose = mixed.whose([(0, k) for k in range(80)])
    together = {(int(who), value // 10) for who, value in zip(whose, first, strict=True)}
    assert len(together) == len({who for who, _ in together}) == 8  # ten items each, of two sets never the same


def test_sets_of_different_sizes_are_refused() -> None:
    with pytest.raises(FaceCycleError, match="different size"):
        MixedClips([Numbered(0, 3), Numbered(1, 3, size=8)])


def drawn(root: Path, people: int, clips: int = 2) -> FaceSet:
    """A generated set of the same people as others of the same seed."""
    synth(root, people=people, clips=clips, frames=2, size=48, seed=5)
    return FaceSet.open(root)


def test_a_generated_person_in_two_sets_is_one_and_batches_are_read_set_by_set(tmp_path: Path) -> None:
    faces = [drawn(tmp_path / "a", 2), drawn(tmp_path / "b", 3, clips=1)]
    mixed = MixedClips([FacePairs(part, across_clips=True) for part in faces])
    keys = [(0, k) for k in range(len(mixed))]
    found = [mixed._find(key) for key in keys]
    names = [str(part.faces.columns["person"][part.rows(at)[0]]) for part, at, _ in found]  # type: ignore[attr-defined]
    assert len(set(names)) == 3
    assert len({(name, int(who)) for name, who in zip(names, mixed.whose(keys), strict=True)}) == 3
    apart = MixedClips([FacePairs(part) for part in faces])  # by clips nobody is joined
    assert len(set(apart.whose(keys).tolist())) == 2 * 2 + 3
    for one, key in zip(mixed.__getitems__(keys), keys, strict=True):
        np.testing.assert_array_equal(one, mixed[key])
    reads: list[int] = []
    for part in mixed.sets:
        assert isinstance(part, FacePairs)
        parts = part.faces.store.parts
        part.faces.store.parts = lambda wanted, parts=parts: reads.append(len(wanted)) or parts(wanted)  # type: ignore
    mixed.__getitems__(keys)
    assert sorted(reads) == sorted(2 * len(part) for part in mixed.sets)


def test_landmarks_are_those_of_each_item(tmp_path: Path) -> None:
    sets = []
    for name, people in (("a", 1), ("b", 2)):
        synth(tmp_path / name, people=people, clips=1, frames=2, size=48, seed=people, neutral=True)
        sets.append(FacePairs(FaceSet.open(tmp_path / name), neutral=True))
    mixed = MixedClips(sets)
    keys = [(1, k) for k in range(len(mixed))]
    found = mixed.landmarks(keys)
    for row, key in zip(found, keys, strict=True):
        part, at, _ = mixed._find(key)
        assert isinstance(part, FacePairs)
        np.testing.assert_array_equal(row, part.landmarks([at])[0])
    assert len(np.unique(found.round(4), axis=0)) == len(keys)
