"""Names and streams: the same key is the same randomness, and the two splits never meet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecycle.errors import FaceCycleError
from facecycle.synthetic.seeds import PersonKey, stream

indices = st.integers(0, 2**40)


@given(indices, indices)
def test_training_and_held_out_people_never_share_a_stream(seed, index):
    train, held_out = (PersonKey(split, seed, index) for split in ("train", "held-out"))
    assert str(train) != str(held_out)
    assert not np.array_equal(stream(train, "body").random(4), stream(held_out, "body").random(4))


@given(indices, indices, indices)
def test_streams_depend_on_every_part_of_their_key(seed, a, b):
    one, two = stream(seed, a, "x").random(4), stream(seed, b, "x").random(4)
    assert np.array_equal(one, two) == (a == b)
    assert not np.array_equal(one, stream(seed, a, "y").random(4))


def test_streams_are_the_same_on_every_machine():
    assert stream(1, PersonKey("held-out", 2, 3), "skin").integers(0, 1000, 5).tolist() == [910, 895, 828, 135, 768]


@pytest.mark.parametrize("arguments", [("test", 0, 0), ("train", -1, 0), ("train", 0, -1)])
def test_impossible_keys_are_refused(arguments):
    with pytest.raises(FaceCycleError):
        PersonKey(*arguments)
