"""Several face sets as one: everything comes once an epoch, and unlike sets are refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from facecycle.data.mixed import MixedClips
from facecycle.data.pairs import ClipDataset
from facecycle.errors import FaceCycleError


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
