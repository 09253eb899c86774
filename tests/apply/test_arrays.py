"""Pictures in memory: whatever the type of their values, one picture is one picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from facecycle.apply.arrays import to_picture
from facecycle.data.pictures import read_picture

EVERY = np.arange(65536, dtype=np.uint16).reshape(256, 256)
"""All values of 16 bits."""


def test_sixteen_bits_give_what_floats_and_files_of_the_same_values_give() -> None:
    picture = to_picture(EVERY, "x")
    np.testing.assert_array_equal(picture, to_picture(EVERY / 65535, "x"))
    Image.fromarray(EVERY).save(buffer := io.BytesIO(), "PNG")
    np.testing.assert_array_equal(picture, read_picture(buffer.getvalue()))
    assert (picture.min(), picture.max()) == (0, 255)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_eight_bits_widened_to_sixteen_come_back_unchanged(channels: int) -> None:
    narrow = np.random.default_rng(channels).integers(0, 256, (20, 30, channels), np.uint8)
    narrow[:2, :, 0] = [[0], [255]]
    wide = narrow.astype(np.uint16) * 257
    for values in (wide, torch.from_numpy(wide).permute(2, 0, 1)):
        np.testing.assert_array_equal(to_picture(values, "x"), to_picture(narrow, "x"))
