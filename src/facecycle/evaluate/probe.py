"""Small models fitted on frozen features, behind a guard that never lets a test row into a fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from facecycle.errors import FaceCycleError

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""C of logistic regression, from strong to weak regularisation."""
RIDGES = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
SEED = 0

Rows = Int[np.ndarray, " _"]  # any number: parts of a set differ in length


@dataclass
class Split:
    """Which rows may be fitted, which choose a setting, and which are looked at once, at the end.

    Raises:
        FaceCycleError: a row is in two parts, or train or test is empty.
    """

    train: Rows
    validation: Rows
    test: Rows
    opened: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        for one, other in (("train", "test"), ("validation", "test"), ("train", "validation")):
            both = np.intersect1d(getattr(self, one), getattr(self, other))
            if len(both):
                raise FaceCycleError(f"row {both[0]} is in {one} and in {other}: no test data may reach a fit")
        for part in ("train", "test"):
            if not len(getattr(self, part)):
                raise FaceCycleError(
                    f"the {part} split is empty: nothing to {'fit' if part == 'train' else 'measure'}; add some"
                )

    def fit_rows(self, rows: Rows) -> Rows:
        """The same rows, if a fit may see them.

        Raises:
            FaceCycleError: one of them is of the test split.
        """
        leak = np.intersect1d(rows, self.test)
        if len(leak):
            raise FaceCycleError(f"row {leak[0]} of the test split was given to a fit: refused")
        return rows

    def open_test(self) -> Rows:
        """The test rows, once.

        Raises:
            FaceCycleError: they were looked at before.
        """
        if self.opened:
            raise FaceCycleError("the test split was looked at already: it is measured once, after every choice")
        self.opened = True
        return self.test


@dataclass(frozen=True)
class Scaler:
    """Subtracts the mean and divides by the deviation of the rows it was fitted on; constant columns become 0."""

    mean: Float[np.ndarray, " d"]
    deviation: Float[np.ndarray, " d"]

    def __call__(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        scaled = np.subtract(x, self.mean, dtype=np.float32)  # wide features fill memory: no copy in double precision
        return np.divide(scaled, self.deviation, out=scaled)


def fit_scaler(split: Split, x: Float[np.ndarray, "n d"], rows: Rows) -> Scaler:
    """Standardisation by the statistics of ``rows``."""
    seen = check_finite(x[split.fit_rows(rows)])
    deviation = seen.std(0)
    return Scaler(seen.mean(0, dtype=np.float64).astype(np.float32), np.where(deviation > 1e-8, deviation, np.inf))


def check_finite(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """``x``, if every value is a number.

    Raises:
        FaceCycleError: with the first bad row.
    """
    bad = ~np.isfinite(x).all(1)
    if bad.any():
        raise FaceCycleError(f"features of row {int(np.flatnonzero(bad)[0])} hold NaN or infinity; compute them again")
    return x


@dataclass(frozen=True)
class Probe:
    """A fitted model with its standardisation."""

    scaler: Scaler
    model: Any
    setting: float
    """C, or the ridge's strength; the one that did best on validation."""
    validation: dict[float, float]
    """Score of each setting on validation: accuracy, or minus the mean absolute error."""

    def __call__(self, x: Float[np.ndarray, "n d"]) -> np.ndarray:
        """Predictions."""
        return self.model.predict(self.scaler(check_finite(x)))


def fit_logistic(
    split: Split, x: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"], penalties: Sequence[float] = PENALTIES
) -> Probe:
    """Multinomial logistic regression on the train rows, C chosen by accuracy on the validation rows.

    Raises:
        FaceCycleError: fewer than two classes in train, or features that are not finite.
    """
    sklearn = sklearn_part("linear_model")
    _need_classes(y[split.train])
    scaler = fit_scaler(split, x, split.train)
    train, validation = scaler(x[split.fit_rows(split.train)]), scaler(x[split.fit_rows(split.validation)])
    choices = tuple(sorted(penalties)) if len(validation) else (1.0,)
    model = sklearn.LogisticRegression(max_iter=300, tol=1e-3, warm_start=True)
    best, scores = (-1.0, 0.0, (np.empty(0), np.empty(0))), {}
    for c in choices:  # from strong to weak, each beginning where the last one ended
        model.set_params(C=c)
        with warnings.catch_warnings():  # 300 steps are enough for a choice; weak ones may not have settled
            warnings.simplefilter("ignore", category=sklearn_part("exceptions").ConvergenceWarning)
            model.fit(train, y[split.train])
        scores[c] = float((model.predict(validation) == y[split.validation]).mean()) if len(validation) else 0.0
        if scores[c] > best[0]:
            best = (scores[c], c, (model.coef_.copy(), model.intercept_.copy()))
    model.coef_, model.intercept_ = best[2]
    return Probe(scaler, model, best[1], scores)


def fit_ridge(
    split: Split, x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n k"], strengths: Sequence[float] = RIDGES
) -> Probe:
    """Ridge regression; strength chosen by mean absolute error on validation, then fitted on train and validation."""
    sklearn = sklearn_part("linear_model")
    check_finite(y[split.train])
    scores = {}
    if len(split.validation):
        scaler = fit_scaler(split, x, split.train)
        train, validation = scaler(x[split.train]), scaler(x[split.validation])
        for strength in strengths:
            model = sklearn.Ridge(strength).fit(train, y[split.train])
            guess = model.predict(validation).reshape(len(validation), -1)  # one target comes back flat
            scores[strength] = -float(np.abs(guess - y[split.validation]).mean())
    best = max(scores, key=lambda strength: scores[strength]) if scores else 100.0
    rows = split.fit_rows(np.concatenate([split.train, split.validation]))
    scaler = fit_scaler(split, x, rows)
    return Probe(scaler, sklearn.Ridge(best).fit(scaler(x[rows]), y[rows]), best, scores)


def fit_mlp(split: Split, x: Float[np.ndarray, "n d"], y: np.ndarray, hidden: int = 256, seed: int = SEED) -> Probe:
    """One hidden layer on the train rows: a classifier for whole-number labels, else a regressor on scaled targets.

    Training stops when a held-out tenth of the train rows no longer gains.
    """
    sklearn = sklearn_part("neural_network")
    scaler = fit_scaler(split, x, split.train)
    options = {"hidden_layer_sizes": (hidden,), "early_stopping": True, "random_state": seed, "max_iter": 200}
    if np.issubdtype(y.dtype, np.integer):
        _need_classes(y[split.train])
        model = sklearn.MLPClassifier(**options)
    else:
        compose, preprocessing = sklearn_part("compose"), sklearn_part("preprocessing")
        model = compose.TransformedTargetRegressor(
            sklearn.MLPRegressor(**options), transformer=preprocessing.StandardScaler()
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=sklearn_part("exceptions").ConvergenceWarning)
        model.fit(scaler(x[split.fit_rows(split.train)]), y[split.train])
    return Probe(scaler, model, float(hidden), {})


def bootstrap(
    figure: Callable[[Rows], float], groups: np.ndarray, rounds: int = 1000, seed: int = SEED
) -> tuple[float, float]:
    """95 % percentile interval of ``figure(rows)`` when ``groups`` (one entry a row) are drawn with replacement.

    Rows of one group (a person, a picture) stay together: they are not independent.
    """
    _, which = np.unique(groups, return_inverse=True)
    order = np.argsort(which, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(which[order])) + 1)
    rng = np.random.default_rng([seed, 95])
    singles = len(parts) == len(groups)
    values = []
    for _ in range(rounds):
        drawn = rng.integers(len(parts), size=len(parts))
        values.append(figure(order[drawn] if singles else np.concatenate([parts[i] for i in drawn])))
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def last_fifth(rows: Rows) -> tuple[Rows, Rows]:
    """Rows in file order as the first four fifths and the last: neighbours stay together."""
    cut = max(1, round(0.8 * len(rows)))
    return rows[:cut], rows[cut:]


def random_part(rows: Rows, share: float, seed: int = SEED) -> tuple[Rows, Rows]:
    """Rows without and with a random ``share`` of them, both in order."""
    taken = np.zeros(len(rows), bool)
    chosen: Bool[np.ndarray, " m"] = taken
    chosen[np.random.default_rng([seed, 10]).permutation(len(rows))[: round(share * len(rows))]] = True
    return rows[~chosen], rows[chosen]


def _need_classes(y: Int[np.ndarray, " n"]) -> None:
    classes = np.unique(y)
    if len(classes) < 2:
        raise FaceCycleError(
            f"the train rows hold one class only ({classes.tolist()}): nothing to tell apart; add another"
        )


def sklearn_part(part: str) -> Any:
    try:
        import importlib

        return importlib.import_module(f"sklearn.{part}")
    except ImportError:
        raise FaceCycleError("probes need scikit-learn: pip install 'facecycle[eval]'") from None
