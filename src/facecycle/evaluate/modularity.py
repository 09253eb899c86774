"""How neatly the dimensions of a code share out the factors: MIG, SAP and DCI. All lie in [0, 1]; 1 is best."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from facecycle.evaluate.probe import Split, sklearn_part

BINS = 20
TREES = 20


def mutual_information_gap(codes: Float[np.ndarray, "n d"], levels: Int[np.ndarray, "n f"]) -> float:
    """MIG (Chen et al. 2018): the best dimension's information on a factor less the second best's, by the factor's
    entropy; averaged over factors. Codes are cut into 20 equal bins."""
    binned = np.stack([_bins(column) for column in codes.T], 1)
    gaps = []
    for factor in levels.T:
        shared = np.sort([_information(column, factor) for column in binned.T])
        gaps.append((shared[-1] - (shared[-2] if len(shared) > 1 else 0)) / _information(factor, factor))
    return float(np.mean(gaps))


def separated_predictability(codes: Float[np.ndarray, "n d"], levels: Int[np.ndarray, "n f"]) -> float:
    """SAP (Kumar et al. 2018): the share of a dimension's variance that a factor's levels explain, best dimension less
    second best, averaged over factors (its form for regression, with levels as groups)."""
    gaps = []
    for factor in levels.T:
        explained = np.sort(_explained(codes, factor))
        gaps.append(explained[-1] - (explained[-2] if len(explained) > 1 else 0))
    return float(np.mean(gaps))


def dci(
    codes: Float[np.ndarray, "n d"], levels: Int[np.ndarray, "n f"], split: Split, seed: int = 0
) -> dict[str, float]:
    """DCI (Eastwood and Williams 2018) with random forests: disentanglement (a dimension serves one factor),
    completeness (a factor lies in one dimension), informativeness (accuracy on the test rows, averaged over factors).
    """
    ensemble = sklearn_part("ensemble")
    forests = []
    for factor in levels.T:
        forest: Any = ensemble.RandomForestClassifier(
            TREES, max_features=None, random_state=seed
        )  # else chance decides which dimension serves
        forest.fit(codes[split.fit_rows(split.train)], factor[split.train])
        forests.append(forest)
    weight = np.array([forest.feature_importances_ for forest in forests]).T  # d f
    rows = split.open_test()
    accuracy = [
        float((forest.predict(codes[rows]) == factor[rows]).mean())
        for forest, factor in zip(forests, levels.T, strict=True)
    ]
    return {
        "disentanglement": _concentration(weight),
        "completeness": _concentration(weight.T),
        "informativeness": float(np.mean(accuracy)),
    }


def _concentration(weight: Float[np.ndarray, "r c"]) -> float:
    """One less the entropy of each row (base: its length), rows weighted by their sum."""
    total = weight.sum(1, keepdims=True)
    share = weight / np.maximum(total, 1e-12)
    entropy = -(share * np.log(np.maximum(share, 1e-12))).sum(1) / np.log(max(2, weight.shape[1]))
    return float(((1 - entropy) * total[:, 0]).sum() / max(total.sum(), 1e-12))


def _bins(column: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    low, high = column.min(), column.max()
    if high <= low:
        return np.zeros(len(column), int)
    return np.minimum(((column - low) / (high - low) * BINS).astype(int), BINS - 1)


def _information(a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"]) -> float:
    """Mutual information in nats."""
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1 / len(a))
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / apart[there])).sum())


def _explained(codes: Float[np.ndarray, "n d"], factor: Int[np.ndarray, " n"]) -> Float[np.ndarray, " d"]:
    counts = np.bincount(factor)[:, None]
    sums = np.zeros((len(counts), codes.shape[1]))
    np.add.at(sums, factor, codes)
    means = sums / np.maximum(counts, 1)
    between = (counts * (means - codes.mean(0)) ** 2).sum(0) / len(codes)
    return between / np.maximum(codes.var(0), 1e-12)
