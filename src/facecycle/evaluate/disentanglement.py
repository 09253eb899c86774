"""Disentanglement: what each code tells of person, expression, pose and light, and what it should not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from facecycle.errors import FaceCycleError
from facecycle.evaluate.baselines import random_encoder
from facecycle.evaluate.crossed import FACTORS, Crossed, draw_crossed
from facecycle.evaluate.features import FeatureSource, choose_layer
from facecycle.evaluate.groups import groups_of, within
from facecycle.evaluate.modularity import dci, mutual_information_gap, separated_predictability
from facecycle.evaluate.probe import Probe, Split, bootstrap, fit_logistic, fit_mlp
from facecycle.evaluate.report import Report, installed_versions
from facecycle.evaluate.tasks import Options
from facecycle.evaluate.verification import equal_error, roc

PEOPLE = 40
PAIRS = 20_000
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
CODES = ("motion", "identity")
ALL_CODES = (*CODES, "expression")
UNTRAINED = "untrained encoder"


def measure(source: FeatureSource, data: Path | None, options: Options, people: int = PEOPLE) -> Report:
    """The matrix of codes x {person, expression, pose, light}, by linear and by MLP probes, in percent.

    Person is read on combinations never trained on; the other factors on people never trained on. A source without
    two codes (a baseline) is measured on its one layer.
    """
    notes: list[str] = []
    asked = [choose_layer(source, options.layer, "")] if options.layer else []
    references = _untrained(source.size, notes)
    crossed = draw_crossed(people, source.size, options.seed, options.cache)
    layers = asked or [code for code in ALL_CODES if code in source.layers]
    layers = layers or [source.layers[0]]
    numbers: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    for factor, count in zip(FACTORS, crossed.counts, strict=True):
        numbers[f"chance, {factor}"] = 100 / count
    codes = {layer: encode(source, crossed, layer, options.batch_size) for layer in layers}
    known = {name: encode(encoder, crossed, "motion", options.batch_size) for name, encoder in references.items()}
    for layer, features in (codes | known).items():
        _probe_all(features, crossed, layer, numbers, intervals, options.seed)
        rate, interval = identity_error(features, crossed, options.seed)
        numbers[f"EER of person, {layer}"], intervals[f"EER of person, {layer}"] = rate, interval
    for group, members in groups_of(crossed, options.seed).items():
        for layer, features in codes.items():
            name = f"EER of person, {layer}, {group}"
            numbers[name], intervals[name] = identity_error(*within(members, features, crossed), options.seed)
    together = np.concatenate([part for layer, part in codes.items() if layer in CODES] or list(codes.values()), 1)
    _modularity(together, crossed, numbers, options.seed)
    headline = tuple(f"{factor} from {layer}" for layer in layers for factor in FACTORS)
    return Report(
        "disentanglement",
        source.name,
        " and ".join(layers),
        sum(features.shape[1] for features in codes.values()),
        numbers,
        intervals,
        (*headline, *(f"EER of person, {layer}" for layer in layers)),
        _protocol(crossed),
        source.crop,
        "synthetic held-out people",
        {"weights": source.checksum, "faces": crossed.checksum},
        {"people, splits, bootstrap": options.seed},
        warnings=notes,
        figures={"matrix.png": _draw(numbers, [*layers, *references])},
        versions=installed_versions(),
    )


def _untrained(size: int, notes: list[str]) -> dict[str, FeatureSource]:
    """The encoder to compare with, where there is one for crops of that size."""
    try:
        return {UNTRAINED: random_encoder(0, size)}
    except FaceCycleError as error:
        notes.append(f"no {UNTRAINED} beside it: {error}")
        return {}


def encode(source: FeatureSource, crossed: Crossed, layer: str, batch_size: int) -> Float[np.ndarray, "n d"]:
    """The codes of all pictures."""
    import torch

    pictures = torch.from_numpy(crossed.pictures).permute(0, 3, 1, 2)
    return np.concatenate([source.features(part.float() / 255, layer) for part in pictures.split(batch_size)])


def split_for(factor: str, crossed: Crossed, seed: int) -> Split:
    """People apart for everything but the person; for the person, combinations of the other three apart."""
    column = crossed.levels[:, 0]
    if factor == "person":
        _, column = np.unique(crossed.levels[:, 1:], axis=0, return_inverse=True)
        column = column.ravel()
    groups = np.random.default_rng([seed, 7]).permutation(column.max() + 1)
    fifth = max(1, len(groups) // 5)

    def rows(part: Int[np.ndarray, " g"]) -> Int[np.ndarray, " m"]:
        return np.flatnonzero(np.isin(column, part))

    return Split(rows(groups[2 * fifth :]), rows(groups[fifth : 2 * fifth]), rows(groups[:fifth]))


def _probe_all(
    features: Float[np.ndarray, "n d"],
    crossed: Crossed,
    layer: str,
    numbers: dict[str, float],
    intervals: dict[str, tuple[float, float]],
    seed: int,
) -> None:
    fits: dict[str, Callable[[Split, np.ndarray, np.ndarray], Probe]] = {
        "": lambda split, x, y: fit_logistic(split, x, y, PENALTIES),
        " by MLP": lambda split, x, y: fit_mlp(split, x, y, seed=seed),
    }
    for k, factor in enumerate(FACTORS):
        for label, fit in fits.items():
            split = split_for(factor, crossed, seed)
            probe = fit(split, features, crossed.levels[:, k])
            rows = split.open_test()
            right = probe(features[rows]) == crossed.levels[rows, k]
            name = f"{factor} from {layer}{label}"
            numbers[name] = float(100 * right.mean())
            intervals[name] = bootstrap(
                lambda i, right=right: float(100 * right[i].mean()), crossed.levels[rows, 0], seed=seed
            )


def identity_error(
    features: Float[np.ndarray, "n d"], crossed: Crossed, seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """Equal error rate, in percent, of telling people apart by cosine.

    Both pictures of a pair differ in expression, pose and light; codes are centred on all the pictures compared. The
    interval is a bootstrap over people: a pair counts as often as its people are drawn.
    """
    rng = np.random.default_rng([seed, 8])
    drawn = rng.integers(len(features), size=(8 * PAIRS, 2))
    one, two = crossed.levels[drawn[:, 0]], crossed.levels[drawn[:, 1]]
    others = (one[:, 1:] != two[:, 1:]).all(1)
    same = one[:, 0] == two[:, 0]
    kept = np.concatenate([np.flatnonzero(others & kind)[: PAIRS // 2] for kind in (same, ~same)])
    centred = features - features.mean(0)
    centred = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    scores, same = (centred[drawn[kept, 0]] * centred[drawn[kept, 1]]).sum(1), same[kept]
    people, who = np.unique(crossed.levels[:, 0], return_inverse=True)
    a, b = who[drawn[kept]].T

    def rate(people_drawn: Int[np.ndarray, " p"]) -> float:
        times = np.bincount(people_drawn, minlength=len(people))
        rows = np.repeat(np.arange(len(kept)), np.where(same, times[a], times[a] * times[b]))
        if len(np.unique(same[rows])) < 2:  # of a few people one alone may be drawn
            return np.nan
        return 100 * equal_error(*roc(scores[rows], same[rows]))

    everybody = np.arange(len(people))
    return rate(everybody), bootstrap(rate, everybody, 500, seed)


def _modularity(codes: Float[np.ndarray, "n d"], crossed: Crossed, numbers: dict[str, float], seed: int) -> None:
    numbers["MIG"] = mutual_information_gap(codes, crossed.levels)
    numbers["SAP"] = separated_predictability(codes, crossed.levels)
    split = split_for("person", crossed, seed)  # every person must be known to the forest
    for name, value in dci(codes, crossed.levels, split, seed).items():
        numbers[f"DCI {name}"] = value


def _protocol(crossed: Crossed) -> list[str]:
    people, expressions, poses, lights = crossed.counts
    return [
        f"{people} held-out synthetic people x {expressions} expressions x {poses} yaws x {lights} lights, fully "
        f"crossed: {len(crossed.pictures)} pictures; background, clothes and camera drawn anew for each",
        "expression, pose and light are read on a fifth of the people, trained on the others; person on a fifth of the "
        "combinations, trained on the others; a fifth chooses C",
        "untrained encoder: the published one before training, seed 0, by the same probes on the same splits",
        "linear: logistic regression on standardised codes; MLP: one hidden layer of 256",
        "EER: cosine of centred codes, pairs that differ in expression, pose and light",
        "EER by group: both people of a pair belong to it; thirds by depth of skin tone, darkest last",
        "interval: bootstrap over people",
    ]


def _draw(numbers: dict[str, float], layers: list[str]) -> Callable:
    shown = np.array([[numbers[f"{factor} from {layer}"] for factor in FACTORS] for layer in layers])

    def draw(axes) -> None:
        axes.imshow(shown, cmap="Blues", vmin=0, vmax=100, aspect="auto")  # equal sides cut the names off
        axes.set_xticks(range(len(FACTORS)), [f"{f}\nchance {numbers[f'chance, {f}']:.3g} %" for f in FACTORS])
        axes.set_yticks(range(len(layers)), layers)
        for (i, j), value in np.ndenumerate(shown):
            axes.text(j, i, f"{value:.0f} %", ha="center", va="center", color="white" if value > 50 else "black")

    return draw
