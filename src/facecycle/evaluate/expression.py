"""Expression: frozen code, standardised by train, multinomial logistic regression, accuracy on the test split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from facecycle.data.pictures import PictureError, read_picture
from facecycle.errors import concerning
from facecycle.evaluate.datasets.expression import READERS, Labelled
from facecycle.evaluate.features import FeatureSource, choose_layer, compute
from facecycle.evaluate.photos import WHOLE, Faces, Photo
from facecycle.evaluate.probe import Split, bootstrap, fit_logistic, random_part
from facecycle.evaluate.report import Report, draw_confusion
from facecycle.evaluate.tasks import Options

TENTH, FIFTH = 0.1, 0.2


def measure(source: FeatureSource, data: Path, options: Options) -> Report:
    """Accuracy of a linear probe: all pictures, by class, and without those that also lie in train or validation.

    Raises:
        FaceCycleError: another layout than published.
    """
    layer = choose_layer(source, options.layer, "expression" if "expression" in source.layers else "motion")
    labelled = cut_as_asked(READERS[options.task](data), options.crop)
    faces = Faces(labelled.photos, source.size, options.cache)
    features = compute(source, faces, layer, options.cache, options.batch_size)
    usable = np.asarray(np.isfinite(features).all(1))
    with concerning(data):
        split, chosen_on = split_rows(labelled, usable, options.seed)
        probe = fit_logistic(split, features, labelled.labels)
    copies = repeated(labelled.photos, split)
    rows = split.open_test()
    truth, guess = labelled.labels[rows], np.asarray(probe(features[rows]))
    numbers, intervals = summarise(truth, guess, np.isin(rows, copies), len(labelled.classes), options.seed)
    if len(split.validation):
        numbers["validation accuracy"] = 100 * probe.validation[probe.setting]
    matrix = confusion(truth, guess, len(labelled.classes))
    return Report(
        options.task,
        source.name,
        layer,
        features.shape[1],
        numbers,
        intervals,
        ("accuracy", "mean class accuracy", "accuracy without copies"),
        _protocol(labelled, split, chosen_on, layer, len(copies)),
        source.crop,
        str(data),
        {"weights": source.checksum, "faces": faces.checksum},
        {"split and bootstrap": options.seed},
        {**labelled.problems, **faces.problems},
        [labelled.warning] if labelled.warning else [],
        details={
            "C": probe.setting,
            "validation accuracy by C": probe.validation,
            "classes": labelled.classes,
            "confusion": matrix.tolist(),
            "faces not found, whole picture used": len(faces.undetected),
        },
        figures={"confusion.png": draw_confusion(matrix, labelled.classes)},
    )


def cut_as_asked(labelled: Labelled, crop: str) -> Labelled:
    """The set with its faces found as ``--crop`` says."""
    if crop == "auto":
        return labelled
    square, words = (None, "the detector's") if crop == "detector" else (WHOLE, "whole pictures")
    return replace(labelled, photos=[replace(photo, square=square) for photo in labelled.photos], squares=words)


def split_rows(labelled: Labelled, usable: Bool[np.ndarray, " n"], seed: int) -> tuple[Split, str]:
    """Usable rows of the published parts, and in words what the setting is chosen on."""

    def rows(part: str) -> Int[np.ndarray, " m"]:
        return np.flatnonzero((labelled.parts == part) & usable)

    everything, train, validation, test = (rows(part) for part in ("all", "train", "validation", "test"))
    drawn = ""
    if len(everything):
        train, test = random_part(everything, FIFTH, seed)
        drawn = f"; no parts are published: test is a random fifth (seed {seed})"
    if len(validation):
        return Split(train, validation, test), "the validation part"
    train, validation = random_part(train, TENTH, seed)
    chosen = "a random tenth of train" if len(validation) else "nothing, too few pictures: 1"
    return Split(train, validation, test), chosen + drawn


def repeated(photos: Sequence[Photo], split: Split) -> Int[np.ndarray, " k"]:
    """Test rows whose pixels are those of a train or validation picture."""
    fitted = {_pixels(photos[row]) for row in np.concatenate([split.train, split.validation])}
    return np.array([row for row in split.test if _pixels(photos[row]) in fitted], int)


def _pixels(photo: Photo) -> bytes:
    try:
        picture = read_picture(photo.read(), photo.name)
    except (PictureError, OSError):
        return photo.name.encode()
    return hashlib.sha256(f"{picture.shape}".encode() + picture.tobytes()).digest()


def summarise(
    truth: Int[np.ndarray, " m"], guess: Int[np.ndarray, " m"], copies: Bool[np.ndarray, " m"], classes: int, seed: int
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Percentages, and their 95 % intervals over test pictures."""
    right = truth == guess

    def by_class(rows: Int[np.ndarray, " k"]) -> float:
        hits, counts = (np.bincount(truth[r], minlength=classes) for r in (rows[right[rows]], rows))
        return float(100 * (hits[counts > 0] / counts[counts > 0]).mean())

    figures = {
        "accuracy": lambda rows: float(100 * right[rows].mean()),
        "mean class accuracy": by_class,
    }
    every, own = np.arange(len(truth)), np.flatnonzero(~copies)
    numbers = {name: figure(every) for name, figure in figures.items()}
    intervals = {name: bootstrap(figure, every, seed=seed) for name, figure in figures.items()}
    if len(own):
        numbers["accuracy without copies"] = figures["accuracy"](own)
        intervals["accuracy without copies"] = bootstrap(lambda i: figures["accuracy"](own[i]), own, seed=seed)
    counts = {"test pictures": float(len(truth)), "copies of train or validation": float(copies.sum())}
    return {**numbers, **counts}, intervals


def confusion(truth: Int[np.ndarray, " m"], guess: Int[np.ndarray, " m"], classes: int) -> Int[np.ndarray, "c c"]:
    """Counts: row is truth, column is prediction."""
    matrix = np.zeros((classes, classes), int)
    np.add.at(matrix, (truth, guess), 1)
    return matrix


def _protocol(labelled: Labelled, split: Split, chosen_on: str, layer: str, copies: int) -> list[str]:
    return [
        f"{len(split.train)} train, {len(split.validation)} validation, {len(split.test)} test pictures, "
        f"{len(labelled.classes)} classes",
        f"multinomial logistic regression on layer {layer}, standardised by train; C chosen on {chosen_on}; "
        "the test part was looked at once",
        f"{copies} test pictures equal one of train or validation pixel for pixel; 'without copies' leaves them out",
        f"faces: {labelled.squares}",
        "interval: 1,000 bootstrap draws of test pictures",
    ]
