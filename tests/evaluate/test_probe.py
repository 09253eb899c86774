"""Probes: right answers, and a guard that no test row passes."""

from __future__ import annotations

import numpy as np
import pytest

from facecycle.errors import FaceCycleError
from facecycle.evaluate.probe import Split, bootstrap, fit_logistic, fit_mlp, fit_ridge, last_fifth, random_part


def split(count: int = 120) -> Split:
    rows = np.arange(count)
    return Split(rows[: count // 2], rows[count // 2 : 3 * count // 4], rows[3 * count // 4 :])


def features(count: int = 120, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 5)).astype(np.float32)


def test_a_row_in_two_parts_is_refused() -> None:
    for parts in (([0, 1], [], [1]), ([0], [2], [2, 3]), ([0, 1], [1], [3])):
        with pytest.raises(FaceCycleError, match="is in"):
            Split(*(np.array(part, int) for part in parts))
    with pytest.raises(FaceCycleError, match="empty"):
        Split(np.arange(3), np.empty(0, int), np.empty(0, int))


def test_a_planted_leak_is_refused() -> None:
    """The guard holds inside the fits: a split whose train rows are changed afterwards reaches no fit."""
    leaking, x = split(), features()
    leaking.train = np.concatenate([leaking.train, leaking.test[:1]])
    with pytest.raises(FaceCycleError, match="refused"):
        fit_logistic(leaking, x, (x[:, 0] > 0).astype(int))
    with pytest.raises(FaceCycleError, match="refused"):
        fit_ridge(leaking, x, x[:, :1])


def test_test_rows_are_given_once() -> None:
    whole = split()
    assert len(whole.open_test()) == 30
    with pytest.raises(FaceCycleError, match="looked at already"):
        whole.open_test()


def test_no_fit_depends_on_test_rows() -> None:
    x, changed = features(), features()
    changed[90:] = 1e3
    y = (x[:, 0] + x[:, 1] > 0).astype(int)
    for fit, target in ((fit_logistic, y), (fit_mlp, y), (fit_ridge, x[:, :2])):
        one, two = fit(split(), x, target), fit(split(), changed, target)
        assert np.array_equal(one(x), two(x))


def test_separable_classes_and_linear_targets_are_found() -> None:
    x = features()
    y = (x[:, 0] > 0).astype(int)
    x[:, 0] += np.sign(x[:, 0])
    rows = split().test
    assert (fit_logistic(split(), x, y)(x[rows]) == y[rows]).mean() > 0.9
    target = x @ np.arange(5.0)[:, None]
    assert np.abs(fit_ridge(split(), x, target)(x[rows]).reshape(-1, 1) - target[rows]).mean() < 0.2


def test_labels_that_mean_nothing_give_chance() -> None:
    x, y = features(2000), np.random.default_rng(1).integers(0, 4, 2000)
    rows = split(2000).test
    assert abs((fit_logistic(split(2000), x, y)(x[rows]) == y[rows]).mean() - 0.25) < 0.06


def test_nan_and_single_class_are_refused() -> None:
    x = features()
    x[7, 2] = np.nan
    with pytest.raises(FaceCycleError, match="row 7 hold NaN"):
        fit_logistic(split(), x, np.arange(120) % 2)
    with pytest.raises(FaceCycleError, match="one class only"):
        fit_logistic(split(), features(), np.zeros(120, int))


def test_intervals_cover_and_keep_groups_together() -> None:
    values = np.random.default_rng(0).normal(3, 1, 400)
    low, high = bootstrap(lambda rows: float(values[rows].mean()), np.arange(400))
    assert low < 3 < high
    assert high - low == pytest.approx(4 * 1 / 20, rel=0.2)
    grouped = bootstrap(lambda rows: float(np.repeat(values[:20], 20)[rows].mean()), np.repeat(np.arange(20), 20))
    assert grouped[1] - grouped[0] > 2.5 * (high - low)


def test_parts_are_what_they_say() -> None:
    rows = np.arange(50)
    most, last = last_fifth(rows)
    assert np.array_equal(np.concatenate([most, last]), rows)
    assert len(last) == 10
    rest, part = random_part(rows, 0.1, 3)
    assert len(part) == 5
    assert sorted([*rest, *part]) == list(rows)
