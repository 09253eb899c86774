"""Faces are made so many at a time as memory holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecycle.apply.remake import fitting

HELD = 64 * 256**2  # pixels at a time


@given(st.integers(1, 1000), st.integers(16, 4096))
def test_as_many_faces_are_made_at_a_time_as_are_wanted_and_held(wanted: int, size: int) -> None:
    count = fitting(wanted, size)
    assert 1 <= count <= wanted
    assert count == 1 or count * size**2 <= HELD
    assert count == wanted or (count + 1) * size**2 > HELD  # and not fewer


@pytest.mark.parametrize(("size", "most"), [(255, 64), (256, 64), (257, 63), (512, 16), (1024, 4), (2048, 1)])
def test_the_largest_batches_are_those_that_memory_was_measured_for(size: int, most: int) -> None:
    assert [fitting(wanted, size) for wanted in (most - 1 or 1, most, most + 1)] == [most - 1 or 1, most, most]
