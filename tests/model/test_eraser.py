"""The eraser: what it takes out cannot be read by a straight line any more, and the rest stays as it was."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from facecycle.errors import FaceCycleError
from facecycle.model.eraser import Eraser
from facecycle.model.weights import FILE, load_networks, load_state, save_weights
from tiny import MODEL, face_tensor, tiny_networks

PEOPLE, FRAMES, DIM, MOVED = 300, 4, 12, 3


def codes_that_leak(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Codes of people that also tell, mixed into all their units alike, what moves within a person."""
    mixed, drawn = torch.Generator().manual_seed(100), torch.Generator().manual_seed(seed)
    of_person, of_motion = torch.randn(DIM, DIM, generator=mixed), torch.randn(MOVED, DIM, generator=mixed)
    others = torch.randn(PEOPLE, FRAMES, MOVED, generator=drawn)
    person = torch.randn(PEOPLE, 1, DIM, generator=drawn) @ of_person
    noise = torch.randn(PEOPLE, FRAMES, DIM, generator=drawn)
    return person + others @ of_motion + 0.3 * noise, others


def readable(codes: Tensor, others: Tensor) -> float:
    """Share of the variance within people that least squares reads from the codes."""
    x, y = ((z - z.mean(1, keepdim=True)).flatten(0, 1).double() for z in (codes, others))
    read = x @ torch.linalg.lstsq(x, y, rcond=1e-4, driver="gelsd").solution
    return float(1 - (y - read).square().sum() / y.square().sum())


def test_it_begins_by_erasing_nothing() -> None:
    codes = torch.randn(5, DIM)
    assert torch.equal(Eraser(DIM)(codes), codes)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_erased_cannot_be_read_and_the_person_still_can(seed: int) -> None:
    codes, others = codes_that_leak(seed)
    eraser = Eraser(DIM)
    eraser.fit(codes, others, MOVED)
    erased = eraser(codes)
    assert readable(codes, others) > 0.8
    assert readable(erased, others) < 1e-6
    assert int(torch.linalg.matrix_rank(eraser.kept, atol=1e-4)) == DIM - MOVED
    torch.testing.assert_close(eraser(erased), erased, atol=1e-3, rtol=1e-3)  # a projection: twice is once
    torch.testing.assert_close(erased.mean((0, 1)), codes.mean((0, 1)), atol=1e-4, rtol=0)
    fresh, moved = codes_that_leak(seed + 10)
    assert readable(eraser(fresh), moved) < 0.05


def test_few_directions_take_out_what_covaries_most() -> None:
    codes, others = codes_that_leak()
    left = []
    for directions in range(MOVED + 1):
        eraser = Eraser(DIM)
        eraser.fit(codes, others, directions)
        left.append(readable(eraser(codes), others))
    assert left[0] == pytest.approx(readable(codes, others), abs=1e-6)
    assert left == sorted(left, reverse=True)
    assert left[-1] < 1e-6


def test_between_people_nothing_is_compared() -> None:
    codes, others = codes_that_leak()
    one, two = Eraser(DIM), Eraser(DIM)
    one.fit(codes, others, MOVED)
    two.fit(codes, others + 5 * codes.mean(1, keepdim=True)[..., :MOVED], MOVED)
    torch.testing.assert_close(one.kept, two.kept, atol=1e-4, rtol=0)


def test_weights_without_an_eraser_begin_one_that_erases_nothing(tmp_path: Path) -> None:
    plain, model = tiny_networks(3), dataclasses.replace(MODEL, erase=4)
    save_weights(plain, tmp_path / FILE, MODEL, "CC0", {})
    wider = tiny_networks(4, model)
    load_state(wider, tmp_path)
    faces = face_tensor(3).flatten(0, 1)
    assert torch.equal(wider.identity_encoder(faces), plain.identity_encoder(faces))
    wider.identity_encoder.get_submodule("code.eraser").centre += 1
    save_weights(wider, tmp_path / FILE, model, "CC0", {})
    again, about = load_networks(tmp_path)
    assert about.model.erase == 4
    centre = again.identity_encoder.get_submodule("code.eraser").centre
    assert torch.equal(centre, torch.ones(MODEL.code_dim))
    with pytest.raises(FaceCycleError, match=r"code\.eraser\.\w+, which the model lacks"):
        load_state(tiny_networks(), tmp_path)
