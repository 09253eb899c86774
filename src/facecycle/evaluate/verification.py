"""Verification: do two photos show one person? Cosine of frozen codes, the threshold from the other folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from facecycle.errors import FaceCycleError, concerning
from facecycle.evaluate.datasets.verification import READERS, Pairs
from facecycle.evaluate.features import FeatureSource, choose_layer, compute
from facecycle.evaluate.photos import WHOLE, Faces
from facecycle.evaluate.probe import Split, bootstrap, check_finite
from facecycle.evaluate.report import Report, draw_roc
from facecycle.evaluate.tasks import Options

COMPONENTS = (32, 64, 128, 256)
RATES = (1e-2, 1e-3)
HEADLINE = ("accuracy", "standard deviation over folds", "AUC", "EER", *(f"TAR at FAR {rate:g}" for rate in RATES))
HEADLINE = (*HEADLINE, "accuracy whitened")

Scores = Float[np.ndarray, " p"]
Prepare = Callable[[Split], Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, "n e"]]]


@dataclass
class Verified:
    """What the folds gave: one accuracy each, and one score for every pair, from the fold in which it was tested."""

    scores: Scores
    right: Bool[np.ndarray, " p"]
    accuracies: list[float] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)


def measure(source: FeatureSource, data: Path, options: Options) -> Report:
    """Accuracy over the folds, AUC, equal error rate and true accepts at fixed false accepts; raw and whitened.

    Raises:
        FaceCycleError: another layout than published, or a fold with one kind of pair only.
    """
    layer = choose_layer(source, options.layer, "identity")
    pairs = READERS[options.task](data)
    photos = pairs.photos
    if options.crop == "fixed":
        photos = [replace(photo, square=WHOLE) for photo in photos]
    faces = Faces(photos, source.size, options.cache)
    features = compute(source, faces, layer, options.cache, options.batch_size)
    with concerning(data):
        pairs = drop_unreadable(pairs, np.asarray(np.isfinite(features).all(1)))
    features = np.nan_to_num(features)  # rows that no pair names any more
    numbers, intervals, curves, details = {}, {}, {}, {}
    ways, warnings = {"": raw, " whitened": whitened}, []
    if fewest_fit_pictures(pairs) < 2:
        del ways[" whitened"]
        warnings.append("not whitened: the pictures of a fold are those of the others, none is left to fit a PCA on")
    for label, prepare in ways.items():
        verified = verify(features, pairs, lambda split, prepare=prepare: prepare(features, pairs, split))
        _summarise(verified, pairs, label, numbers, intervals, options.seed)
        curves[label.strip() or "raw"] = roc(verified.scores, pairs.same)[:2]
        details[f"accuracy by fold{label}"] = verified.accuracies
        details[f"threshold by fold{label}"] = verified.thresholds
    numbers |= {"pairs": float(len(pairs.same)), "pairs left out": float(pairs.listed - len(pairs.same))}
    details["faces not found, whole picture used"] = len(faces.undetected)
    return Report(
        options.task,
        source.name,
        layer,
        features.shape[1],
        numbers,
        intervals,
        HEADLINE,
        _protocol(pairs, faces, layer, options.crop, whitened=not warnings),
        source.crop,
        str(data),
        {"weights": source.checksum, "faces": faces.checksum},
        {"bootstrap": options.seed},
        {**pairs.problems, **faces.problems},
        warnings,
        details=details,
        figures={"roc.png": draw_roc(curves)},
    )


def drop_unreadable(pairs: Pairs, usable: Bool[np.ndarray, " n"]) -> Pairs:
    """Pairs of which both pictures could be read.

    Raises:
        FaceCycleError: a fold is left with one kind of pair.
    """
    kept = usable[pairs.first] & usable[pairs.second]
    pairs = replace(
        pairs, first=pairs.first[kept], second=pairs.second[kept], same=pairs.same[kept], fold=pairs.fold[kept]
    )
    folds = np.unique(pairs.fold)
    if len(folds) < 2:
        raise FaceCycleError("one fold only: a threshold needs other folds; give the csv a column fold, or more pairs")
    for fold in folds:
        kinds = np.unique(pairs.same[pairs.fold == fold])
        if len(kinds) < 2:
            raise FaceCycleError(f"fold {fold} holds only {'same' if kinds[0] else 'different'} pairs: both are needed")
    return pairs


def verify(features: Float[np.ndarray, "n d"], pairs: Pairs, prepare: Prepare) -> Verified:
    """Every fold tested once, with all that is fitted taken from the pictures and pairs of the other folds."""
    check_finite(features)
    count = len(pairs.same)
    result = Verified(np.zeros(count), np.zeros(count, bool))
    for fold in np.unique(pairs.fold):
        train, test = np.flatnonzero(pairs.fold != fold), np.flatnonzero(pairs.fold == fold)
        split = Split(train, np.empty(0, int), test)
        codes = prepare(split)(features)
        known = cosines(codes, pairs, split.fit_rows(train))
        threshold = best_threshold(known, pairs.same[train])
        rows = split.open_test()
        result.scores[rows] = cosines(codes, pairs, rows)
        result.right[rows] = (result.scores[rows] >= threshold) == pairs.same[rows]
        result.accuracies.append(float(100 * result.right[rows].mean()))
        result.thresholds.append(threshold)
    return result


def fit_pictures(pairs: Pairs, split: Split) -> Int[np.ndarray, " k"]:
    """Pictures of the training folds that are in no test pair."""
    train = split.fit_rows(split.train)
    seen = np.union1d(pairs.first[train], pairs.second[train])
    return np.setdiff1d(seen, np.union1d(pairs.first[split.test], pairs.second[split.test]))


def fewest_fit_pictures(pairs: Pairs) -> int:
    """How many `fit_pictures` there are in the fold that has fewest."""
    folds, none = np.unique(pairs.fold), np.empty(0, int)
    splits = (Split(np.flatnonzero(pairs.fold != fold), none, np.flatnonzero(pairs.fold == fold)) for fold in folds)
    return min(len(fit_pictures(pairs, split)) for split in splits)


def raw(features: Float[np.ndarray, "n d"], pairs: Pairs, split: Split) -> Callable:
    """Codes as they are."""
    return lambda x: x


def whitened(features: Float[np.ndarray, "n d"], pairs: Pairs, split: Split) -> Callable:
    """PCA-whitening fitted on pictures of the training folds; the number of components is the one that separates
    their pairs best."""
    rows = fit_pictures(pairs, split)
    mean = features[rows].mean(0)
    _, deviations, axes = np.linalg.svd((features[rows] - mean).astype(np.float64), full_matrices=False)
    deviations = deviations / np.sqrt(max(1, len(rows) - 1))
    rank = max(1, int((deviations > 1e-6 * deviations[0]).sum())) if deviations[0] > 0 else 1
    choices = sorted({min(k, rank) for k in COMPONENTS})
    scores = {}
    for k in choices:
        codes = (features - mean) @ (axes[:k].T / np.maximum(deviations[:k], 1e-12))
        known = cosines(codes, pairs, split.train)
        scores[k] = float(((known >= best_threshold(known, pairs.same[split.train])) == pairs.same[split.train]).mean())
    k = max(scores, key=lambda k: scores[k])
    return lambda x: (x - mean) @ (axes[:k].T / np.maximum(deviations[:k], 1e-12))


def cosines(codes: Float[np.ndarray, "n d"], pairs: Pairs, rows: Int[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Cosine similarity of the two codes of each pair; 0 where one is nothing."""
    one, two = codes[pairs.first[rows]], codes[pairs.second[rows]]
    norm = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    return (one * two).sum(1) / np.where(norm > 0, norm, np.inf)


def best_threshold(scores: Scores, same: Bool[np.ndarray, " p"]) -> float:
    """The threshold with the highest accuracy: pairs at or above it count as one person."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(np.where(same[order], 1, -1))  # against calling every pair different
    last = np.append(scores[order][1:] != scores[order][:-1], True)  # a threshold cannot part equal scores
    best = int(np.argmax(np.where(last, hits, -len(hits) - 1)))
    if hits[best] <= 0:
        return float(scores.max()) + 1e-6
    below = scores[order][best + 1] if best + 1 < len(scores) else scores[order][best] - 1e-6
    return float((scores[order][best] + below) / 2)


def roc(scores: Scores, same: Bool[np.ndarray, " p"]) -> tuple[np.ndarray, np.ndarray]:
    """False and true accept rates at every threshold, from none accepted to all."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(scores[order][1:] != scores[order][:-1], True)
    true, false = np.cumsum(same[order])[last], np.cumsum(~same[order])[last]
    return np.append(0, false / false[-1]), np.append(0, true / true[-1])


def auc(false: np.ndarray, true: np.ndarray) -> float:
    """Area under the curve."""
    return float(np.trapezoid(true, false))


def equal_error(false: np.ndarray, true: np.ndarray) -> float:
    """Where as many are wrongly accepted as wrongly rejected, interpolated."""
    gap = false - (1 - true)
    after = int(np.argmax(gap >= 0))
    if after == 0 or gap[after] == gap[after - 1]:
        return float(false[after])
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(false[after - 1] + share * (false[after] - false[after - 1]))


def true_accepts(false: np.ndarray, true: np.ndarray, rate: float) -> float:
    """The true accept rate at the loosest threshold with no more than ``rate`` false accepts."""
    return float(true[false <= rate].max())


def _summarise(
    verified: Verified,
    pairs: Pairs,
    label: str,
    numbers: dict[str, float],
    intervals: dict[str, tuple[float, float]],
    seed: int,
) -> None:
    false, true = roc(verified.scores, pairs.same)
    numbers[f"accuracy{label}"] = float(np.mean(verified.accuracies))
    numbers[f"standard deviation over folds{label}"] = float(np.std(verified.accuracies, ddof=1))
    numbers[f"AUC{label}"] = 100 * auc(false, true)
    numbers[f"EER{label}"] = 100 * equal_error(false, true)
    for rate in RATES:
        numbers[f"TAR at FAR {rate:g}{label}"] = 100 * true_accepts(false, true, rate)
    every = np.arange(len(pairs.same))

    def redrawn(figure: Callable[[np.ndarray, np.ndarray], float]) -> tuple[float, float]:
        def of(rows: Int[np.ndarray, " m"]) -> float:
            drawn = pairs.same[rows]  # a small set may draw one kind only
            return np.nan if drawn.all() or not drawn.any() else 100 * figure(*roc(verified.scores[rows], drawn))

        return bootstrap(of, every, 300, seed)

    intervals[f"accuracy{label}"] = bootstrap(lambda rows: float(100 * verified.right[rows].mean()), every, seed=seed)
    intervals[f"AUC{label}"] = redrawn(auc)
    intervals[f"EER{label}"] = redrawn(equal_error)
    for rate in RATES:
        intervals[f"TAR at FAR {rate:g}{label}"] = redrawn(lambda f, t, rate=rate: true_accepts(f, t, rate))


def _protocol(pairs: Pairs, faces: Faces, layer: str, crop: str, whitened: bool) -> list[str]:
    folds = len(np.unique(pairs.fold))
    where = (
        "whole pictures" if crop == "fixed" else f"the detector's ({len(faces.undetected)} not found: whole picture)"
    )
    whitening = [
        "'whitened': PCA-whitening fitted on pictures of the other folds, its components chosen on their pairs"
    ]
    return [
        f"{len(pairs.same)} pairs of {len(pairs.photos)} pictures, {folds} folds; {len(pairs.problems)} files missing, "
        f"{len(faces.problems)} unreadable, {pairs.listed - len(pairs.same)} pairs left out with them",
        f"cosine similarity on layer {layer}; the threshold of a fold comes from the other {folds - 1}",
        *whitening * whitened,
        f"faces: {where}",
        "interval: bootstrap draws of pairs (people recur, so it is a little narrow)",
    ]
