"""Backgrounds, light, cameras, occluders: finite, varied, in place."""

import numpy as np
import pytest
from people import clip, person

from facecycle.synthetic.background import PAINTERS, sample_background
from facecycle.synthetic.clip import Clip, ClipOptions
from facecycle.synthetic.occluders import OCCLUDERS
from facecycle.synthetic.seeds import stream


@pytest.mark.parametrize("kind", list(PAINTERS))
def test_backgrounds_are_light_and_finite(kind):
    canvas = np.asarray(PAINTERS[kind](stream(0, kind)))
    assert np.isfinite(canvas).all()
    assert canvas.min() >= 0
    assert canvas.std() > 0.001


def test_backgrounds_belong_to_clips_and_vary():
    assert np.array_equal(clip(0, 1).background, clip(0, 1).background)
    assert not np.array_equal(clip(0, 1).background, clip(0, 2).background)
    assert len({sample_background(stream(k, "b"))[0] for k in range(40)}) >= 6


@pytest.mark.parametrize("kind", list(OCCLUDERS))
def test_occluders_change_the_picture_and_not_the_landmarks(kind):
    plain, occluded = (Clip(person(1), (3,), ClipOptions(occluder=k)) for k in ("none", kind))
    one, two = plain.frame(2.0, 64, clean=True), occluded.frame(2.0, 64, clean=True)
    assert np.array_equal(one.landmarks, two.landmarks)
    assert (np.abs(one.picture.astype(int) - two.picture).max(-1) > 12).mean() > 0.002


def test_some_clips_are_occluded():
    kinds = [Clip(person(1), (k,)).occluder for k in range(60)]
    assert 1 <= sum(kind != "none" for kind in kinds) <= 25


def test_exposure_keeps_faces_readable():
    levels = []
    for index in range(4):
        for number in range(3):
            frame = clip(index, number).frame(1.0, 32, clean=True)
            levels.append(np.median(frame.picture[10:22, 10:22]))
    assert min(levels) > 35
    assert max(levels) < 235
