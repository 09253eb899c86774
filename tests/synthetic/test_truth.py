"""Ground truth: flow carries the face onto its neutral render, and the other renders keep what they should."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from people import clip
from torch.nn.functional import grid_sample

from facecycle.synthetic import truth

SIZE = 128


def warp(picture: np.ndarray, field: np.ndarray) -> np.ndarray:
    """picture(p + field(p)), normalised coordinates."""
    axis = (torch.arange(SIZE) + 0.5) * 2 / SIZE - 1
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1) + torch.from_numpy(field).permute(1, 2, 0)
    source = torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None]
    return grid_sample(source, grid[None], align_corners=False)[0].permute(1, 2, 0).numpy()


def evenly_lit(index: int):
    """A clip in light that comes from everywhere, so that turning changes no brightness."""
    scene = clip(index)
    none, all_round = np.zeros(3, np.float32), np.ones(3, np.float32)
    scene.light = replace(scene.light, key_colour=none, fill_colour=none, sky=all_round, ground=all_round)
    return scene


@pytest.mark.parametrize(("index", "time"), [(0, 1.0), (1, 3.5), (2, 6.0)])
def test_flow_warps_the_face_onto_its_neutral_render(index, time):
    scene = evenly_lit(index)
    face = scene.frame(time, SIZE, clean=True).picture
    neutral, flow = truth.frontal(scene, time, SIZE), truth.flow(scene, time, SIZE)
    visible = flow.to_neutral_visible
    assert visible.mean() > 0.15
    error = np.abs(warp(face, flow.to_neutral) - neutral).mean(-1)[visible]
    unwarped = np.abs(face.astype(float) - neutral).mean(-1)[visible]
    assert np.median(error) < 6  # of 255
    assert error.mean() < 0.6 * unwarped.mean()


@pytest.mark.parametrize(("index", "time"), [(0, 1.0), (3, 4.0)])
def test_flow_there_and_back_returns(index, time):
    flow = truth.flow(clip(index), time, SIZE)
    there, back = flow.to_neutral.transpose(1, 2, 0), flow.to_face
    returned = warp(back.transpose(1, 2, 0), flow.to_neutral) + there
    both = flow.to_neutral_visible & (
        warp(flow.to_face_visible[..., None].astype(np.float32), flow.to_neutral)[..., 0] > 0.999
    )
    pixels = np.linalg.norm(returned, axis=-1)[both] * SIZE / 2
    assert np.median(pixels) < 0.25
    assert np.percentile(pixels, 95) < 1.5


def test_flow_meets_the_landmarks():
    scene, time = clip(2), 2.0
    flow, state = truth.flow(scene, time, SIZE), scene.state(time)
    face = truth.view_state(scene, state, time, 0.25)
    rest = truth.view_state(scene, state.neutral(frontal=True), time, 0.25)
    on_face, on_rest = (v.window.to_crop(v.landmarks, SIZE) for v in (face, rest))
    errors = []
    for k in (30, 36, 45, 48, 54, 27):
        column, row = (int(v) for v in on_rest[k])
        if flow.to_neutral_visible[row, column]:
            predicted = np.array([column + 0.5, row + 0.5]) + flow.to_neutral[:, row, column] * SIZE / 2
            errors.append(np.linalg.norm(predicted - on_face[k]))
    assert len(errors) >= 3
    assert max(errors) < 2.5


def test_the_neutral_keeps_pose_and_background():
    scene, time = clip(1), 5.0
    frame, neutral = scene.frame(time, 64, clean=True), truth.neutral(scene, time, 64)
    outside = frame.mask == 0
    outside &= np.roll(outside, 3, 0) & np.roll(outside, -3, 0)  # the jaw may have moved
    assert outside.any()
    assert np.abs(frame.picture[outside].astype(int) - neutral[outside]).mean() < 1


def test_another_persons_motion_on_this_one():
    frame = clip(0).frame(2.0, 64, clean=True).picture
    assert np.array_equal(truth.transfer(clip(0), clip(0).state(2.0), 2.0, 64), frame)  # its own gives the frame
    drawn = truth.transfer(clip(0), clip(3).state(2.0), 2.0, 64).astype(int)
    for other in (frame, truth.frontal(clip(0), 2.0, 64), clip(3).frame(2.0, 64, clean=True).picture):
        assert np.abs(drawn - other).mean() > 3
