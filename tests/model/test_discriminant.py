"""The discriminant layer: it keeps what tells people apart, and as much as it can of what it was."""

from __future__ import annotations

import pytest
import scipy.linalg
import torch
from torch import Tensor, nn

from facecycle.model.discriminant import MOVING, RIDGE, Scatter, fit_discriminant

PEOPLE, FRAMES, SIZE, TELLING, UNITS = 400, 5, 20, 3, 8


def faces_that_move(seed: int = 0) -> Tensor:
    """Features in which people differ along 3 directions, while six others move far more within each of them."""
    mixed, drawn = torch.Generator().manual_seed(100), torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=mixed))[0]
    person = torch.randn(PEOPLE, 1, TELLING, generator=drawn) @ directions[:TELLING]
    motion = 5 * torch.randn(PEOPLE, FRAMES, 6, generator=drawn) @ directions[TELLING : TELLING + 6]
    return 2 + person + motion + 0.3 * torch.randn(PEOPLE, FRAMES, SIZE, generator=drawn)


def scatter_of(faces: Tensor, batch: int = PEOPLE) -> Scatter:
    scatter = Scatter(faces.shape[-1])
    for part in faces.split(batch):
        scatter.add(part)
    return scatter


def fitted(faces: Tensor, directions: int = TELLING, seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    layer = nn.Linear(SIZE, UNITS)
    fit_discriminant(layer, scatter_of(faces), directions)
    return layer


def told_apart(codes: Tensor) -> float:
    """Variance between people's means as a share of all."""
    return float(codes.mean(1).var(0).sum() / codes.flatten(0, 1).var(0).sum())


def test_variances_within_and_between_people_are_those_of_the_definition() -> None:
    faces = faces_that_move()
    scatter = scatter_of(faces, batch=64)
    within, between = scatter.covariances()
    every, means = faces.flatten(0, 1).double(), faces.mean(1).double()
    torch.testing.assert_close(within + between, torch.cov(every.T, correction=0), atol=1e-3, rtol=1e-3)
    wanted = sum(torch.cov(person.double().T) for person in faces) / PEOPLE
    torch.testing.assert_close(within, wanted, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(between, torch.cov(means.T, correction=0) - wanted / FRAMES, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(scatter.mean(), every.mean(0), atol=1e-5, rtol=1e-5)


def test_what_moves_is_what_varies_within_the_clips_of_a_person() -> None:
    faces, drawn = faces_that_move(), torch.Generator().manual_seed(5)
    clips = torch.randint(3, (PEOPLE, FRAMES), generator=drawn)
    scatter, wanted = Scatter(SIZE), torch.zeros(SIZE, SIZE)
    scatter.add(faces, clips)
    for person, numbers in zip(faces, clips, strict=True):
        for number in numbers.unique():
            moved = person[numbers == number] - person[numbers == number].mean(0)
            wanted += moved.T @ moved
    torch.testing.assert_close(scatter.moving.float(), wanted, atol=1e-2, rtol=1e-3)
    within, _ = scatter.covariances()
    torch.testing.assert_close(scatter.unwanted(), within + MOVING * scatter.moving / (PEOPLE * (FRAMES - 1)))


def test_one_clip_for_each_person_moves_in_all_that_varies_within_them() -> None:
    one, none, alone = Scatter(SIZE), Scatter(SIZE), Scatter(SIZE)
    one.add(faces_that_move(), torch.zeros(PEOPLE, FRAMES, dtype=torch.long))
    none.add(faces_that_move())
    alone.add(faces_that_move(), torch.arange(FRAMES).repeat(PEOPLE, 1))
    torch.testing.assert_close(one.moving, one.within, atol=1e-2, rtol=1e-4)
    for scatter in (none, alone):
        torch.testing.assert_close(scatter.unwanted(), none.covariances()[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_of_two_directions_that_tell_people_apart_the_one_that_does_not_move_is_kept() -> None:
    """The first differs more between people, but varies within a clip as much as the other between clips."""
    drawn = torch.Generator().manual_seed(6)
    clips = torch.arange(2).repeat_interleave(2).repeat(PEOPLE, 1)
    faces = 0.1 * torch.randn(PEOPLE, 4, SIZE, generator=drawn)
    faces[..., 0] += 1.5 * torch.randn(PEOPLE, 1, generator=drawn) + torch.randn(PEOPLE, 4, generator=drawn)
    faces[..., 1] += torch.randn(PEOPLE, 1, generator=drawn) + torch.randn(PEOPLE, 2, generator=drawn)[:, [0, 0, 1, 1]]

    def shares(known: torch.Tensor | None) -> Tensor:
        scatter, layer = Scatter(SIZE), nn.Linear(SIZE, UNITS)
        scatter.add(faces, known)
        fit_discriminant(layer, scatter, 1)
        return layer.weight.norm(dim=0)[:2]

    told, untold = shares(clips), shares(None)
    assert untold[0] > untold[1]
    assert told[1] > told[0]


@torch.no_grad()
def test_people_are_told_apart_on_faces_never_fitted_on() -> None:
    layer, fresh = fitted(faces_that_move()), faces_that_move(seed=1)
    assert told_apart(fresh) < 0.3
    assert told_apart(layer(fresh)) > 0.8
    torch.testing.assert_close(layer(faces_that_move()).mean((0, 1)), torch.zeros(UNITS), atol=1e-4, rtol=0)
    assert int(torch.linalg.matrix_rank(layer.weight)) == TELLING


def test_what_tells_one_set_of_faces_from_another_tells_nobody_apart() -> None:
    one, other = faces_that_move(), faces_that_move(seed=2)[:300]
    apart = 10 * torch.randn(SIZE, generator=torch.Generator().manual_seed(3))
    joined, moved = scatter_of(one), scatter_of(one)
    joined.join(scatter_of(other))
    moved.join(scatter_of(other + apart))
    for still, shifted in zip(joined.covariances(), moved.covariances(), strict=True):
        torch.testing.assert_close(still, shifted, atol=1e-3, rtol=1e-3)
    wanted = (PEOPLE * one.mean((0, 1)) + 300 * (other + apart).mean((0, 1))) / (PEOPLE + 300)
    torch.testing.assert_close(moved.mean(), wanted.double(), atol=1e-4, rtol=1e-4)
    both = torch.cat([one - one.mean((0, 1)), other - other.mean((0, 1))])
    torch.testing.assert_close(joined.covariances(), scatter_of(both).covariances(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("directions", [1, TELLING, 6])
def test_it_spans_the_solutions_of_fishers_generalised_eigenproblem(directions: int) -> None:
    faces = faces_that_move()
    within, between = (x.numpy() for x in scatter_of(faces).covariances())
    ridge = RIDGE * (within + between).trace() / SIZE * torch.eye(SIZE).double().numpy()
    wanted = torch.from_numpy(scipy.linalg.eigh(between, within + ridge)[1][:, -directions:])
    basis = torch.linalg.qr(wanted)[0]
    rows = torch.linalg.svd(fitted(faces, directions).weight.double())[2][:directions]
    torch.testing.assert_close(rows.T @ rows, basis @ basis.T, atol=1e-4, rtol=0)


def test_what_the_layer_was_remains_where_it_can() -> None:
    faces = faces_that_move()
    layer = fitted(faces)
    before = layer.weight.clone()
    fit_discriminant(layer, scatter_of(faces), TELLING)  # nothing is left to do
    torch.testing.assert_close(layer.weight, before, atol=1e-5, rtol=1e-4)

    torch.manual_seed(0)
    former = nn.Linear(SIZE, UNITS)
    with torch.no_grad():
        codes, new, other = former(faces), layer(faces), fitted(faces, seed=1)(faces)
        assert float(new.flatten(0, 1).var(0).sum() / codes.flatten(0, 1).var(0).sum()) == pytest.approx(1, abs=1e-3)
        assert alike(codes, new) > alike(codes, other)


def alike(one: Tensor, other: Tensor) -> float:
    x, y = (z.flatten(0, 1) - z.mean((0, 1)) for z in (one, other))
    return float((x * y).sum() / (x.norm() * y.norm()))


def test_features_that_never_vary_make_a_code_that_never_does() -> None:
    layer = fitted(torch.ones(30, 2, SIZE))
    assert torch.isfinite(layer.weight).all()
    with torch.no_grad():
        torch.testing.assert_close(layer(torch.ones(1, SIZE)), torch.zeros(1, UNITS), atol=1e-4, rtol=0)
