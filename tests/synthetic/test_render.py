"""Pictures: the neutral frontal one, anti-aliasing, sizes, light, no network."""

import socket
from dataclasses import replace

import numpy as np
import pytest
from people import clip, person, units

from facecycle.data.crop import cut, fit_crop, landmarks5_from_68
from facecycle.synthetic import truth
from facecycle.synthetic.light import direction
from facecycle.synthetic.person import create_person
from facecycle.synthetic.posing import State, pose_person
from facecycle.synthetic.seeds import PersonKey


def test_zero_expression_and_zero_pose_is_the_neutral_frontal_render():
    scene = clip(0)
    drawn = truth.transfer(scene, State(units()), 1.0, size=64)
    assert np.array_equal(drawn, truth.frontal(scene, 1.0, size=64))


def test_expression_moves_nothing_at_rest():
    posed = pose_person(person(0), State(units()))
    assert np.allclose(posed.points[: len(person(0).body.vertices)], person(0).body.vertices, atol=1e-5)


def test_edges_are_anti_aliased():
    frame = clip(1).frame(1.0, 64, clean=True)
    partly = ((frame.mask > 10) & (frame.mask < 245)).mean()
    assert 0.01 < partly < 0.2
    assert 0.3 < (frame.mask > 245).mean() < 0.9


@pytest.mark.parametrize("size", [64, 128, 256])
def test_the_same_face_at_every_size(size):
    small, large = (clip(2).frame(3.0, s, clean=True).picture for s in (64, size))
    k = size // 64
    shrunk = large.reshape(64, k, 64, k, 3).mean((1, 3))
    assert np.abs(shrunk - small).mean() < 3  # of 255


def test_the_crop_is_the_projects_own():
    frame = clip(0).frame(2.0, 80)
    crop = fit_crop(landmarks5_from_68(frame.landmarks))
    assert crop == frame.crop
    inside = frame.crop.to_crop(frame.landmarks, 64)
    assert (inside > -8).all()
    assert (inside < 72).all()


def test_the_whole_picture_holds_the_face_where_the_labels_say():
    scene = clip(0)
    picture, frame = scene.picture(2.0), scene.frame(2.0)
    assert picture.shape == (320, 320, 3)
    crop = cut(picture, frame.crop.expand(0.25), 80).astype(int)
    apart = {(k, axis): np.abs(np.roll(crop, k, axis) - frame.picture).mean() for k in (-1, 0, 1) for axis in (0, 1)}
    assert apart[0, 0] < 4  # of 255: the camera's noise
    assert apart[0, 0] < 0.5 * min(value for (k, _), value in apart.items() if k)
    x, y, w, h = frame.box
    assert x > 0
    assert y > 0
    assert x + w < 320
    assert y + h < 320


def test_light_from_one_side_brightens_that_side():
    bright = {}
    for side in (-60.0, 60.0):
        scene = clip(1)
        scene.light = replace(scene.light, key=(side, 20.0), fill_colour=np.zeros(3, np.float32))
        picture = truth.frontal(scene, 0.0, 64).astype(float)
        bright[side] = picture[20:50, 36:46].mean() - picture[20:50, 18:28].mean()
    assert bright[60.0] > bright[-60.0] + 20
    assert direction(90, 0)[0] == pytest.approx(1)


def test_nothing_is_fetched(monkeypatch):
    def refuse(*_):
        raise AssertionError("the generator must not use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    clip_person = create_person(PersonKey("train", 8, 0))
    assert clip_person.mesh.rest.size
