"""Head pose: frozen code, ridge regression, mean absolute error in degrees beside a constant predictor."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from facecycle.errors import FaceCycleError, concerning
from facecycle.evaluate.datasets.pose import READERS, Posed
from facecycle.evaluate.features import FeatureSource, choose_layer, compute
from facecycle.evaluate.photos import Faces, refuse_shared
from facecycle.evaluate.probe import Split, bootstrap, fit_ridge, last_fifth
from facecycle.evaluate.report import Report
from facecycle.evaluate.tasks import Options

FOLDS = 5
LIMIT = 99.0  # degrees: beyond it published protocols leave pictures out
BLOCK = 100  # neighbours that are drawn together where people are unknown: of AFLW2000, one sitter's may be as many
FEWEST_BLOCKS = 20


@dataclass
class PoseSet:
    """A set with its features; rows that could not be read are gone."""

    name: str
    posed: Posed
    features: Float[np.ndarray, "n d"]
    angles: Float[np.ndarray, "n a"]
    groups: np.ndarray
    faces: Faces
    problems: dict[str, str]


@dataclass
class Errors:
    """Absolute errors of the probe and of the constant predictor, by test picture and angle, in degrees."""

    probe: Float[np.ndarray, "m a"]
    constant: Float[np.ndarray, "m a"]
    groups: np.ndarray
    strengths: list[float] = field(default_factory=list)


def measure(source: FeatureSource, data: Path, options: Options) -> Report:
    """Mean absolute error of yaw, pitch and roll.

    With ``options.train`` (``LAYOUT:PATH``) the regression is fitted on that set. Else on five folds of the set itself:
    by person where people are known, else by consecutive fifths in file order.

    Raises:
        FaceCycleError: another layout than published, sets that share no angle, or share a picture, or 300W-LP in
            folds of itself.
    """
    if options.task == "300wlp" and not options.train:
        raise FaceCycleError(
            "--task 300wlp: its pictures are views and mirror images of the same photographs, which folds of itself "
            "would learn by heart; name another set with --train LAYOUT:PATH"
        )
    layer = choose_layer(source, options.layer, "motion")
    test = _load(source, options.task, data, layer, options)
    train = _load(source, *_train_set(options.train), layer, options) if options.train else None
    if train:
        words = f"--train {options.train}, name another set or leave it out"
        refuse_shared(test.faces, frozenset(train.faces.digests), words)
    names = tuple(name for name in test.posed.names if train is None or name in train.posed.names)
    if not names:
        raise FaceCycleError(f"--train {options.train}: shares no angle with {options.task}")
    numbers, intervals, strengths = {}, {}, {}
    for label, limit in (("", LIMIT), (" unfiltered", np.inf)):
        with concerning(data):
            errors = _errors(train, test, names, limit)
        _summarise(errors, names, label, numbers, intervals, options.seed)
        strengths[f"up to {limit:g} degrees"] = errors.strengths
    problems = {**test.problems, **(train.problems if train else {})}
    checksums = {"weights": source.checksum, "faces": test.faces.checksum}
    checksums |= {"train": train.faces.checksum} if train else {}
    return Report(
        f"{options.task}{f' from {train.name}' if train else ''}",
        source.name,
        layer,
        test.features.shape[1],
        numbers,
        intervals,
        ("MAE", *(f"MAE {name}" for name in names), "constant MAE", "MAE unfiltered"),
        _protocol(train, test, names, layer),
        source.crop,
        str(data),
        checksums,
        {"bootstrap": options.seed},
        problems,
        details={"ridge strength by fold": strengths},
        trained_on=train.name if train else _fold_words(test),
    )


def _protocol(train: PoseSet | None, test: PoseSet, names: tuple[str, ...], layer: str) -> list[str]:
    order = "" if _people(test) else " in file order (neighbours may show one sitter)"
    folds = f"on {test.name} itself: {_fold_words(test)}{order}"
    fitted = f"trained on {train.name} ({len(train.angles)} pictures)" if train else folds
    return [
        f"{fitted}; tested on {test.name} ({len(test.angles)} pictures); {', '.join(names)} in degrees",
        f"ridge regression on layer {layer}, standardised by train, its strength chosen on the last fifth of train",
        f"pictures with an |angle| above {LIMIT:g} left out of train and test; 'unfiltered' keeps them",
        f"faces: {test.posed.squares}" + (f"; train: {train.posed.squares}" if train else ""),
        f"interval: 1,000 bootstrap draws of {'people' if _people(test) else 'blocks of neighbouring test pictures'}",
    ]


def _fold_words(poses: PoseSet) -> str:
    if not _people(poses):
        return f"{FOLDS} consecutive fifths"
    return f"{min(FOLDS, len(np.unique(poses.groups)))} folds by person"


def _load(source: FeatureSource, layout: str, data: Path, layer: str, options: Options) -> PoseSet:
    posed = READERS[layout](data)
    faces = Faces(posed.photos, source.size, options.cache)
    features = compute(source, faces, layer, options.cache, options.batch_size)
    usable = np.asarray(np.isfinite(features).all(1))
    problems = {**posed.problems, **faces.problems}
    return PoseSet(layout, posed, features[usable], posed.angles[usable], posed.groups[usable], faces, problems)


def _train_set(train: str) -> tuple[str, Path]:
    layout, sign, path = train.partition(":")
    if not sign or layout not in READERS:
        raise FaceCycleError(f"--train {train}: write it as LAYOUT:PATH with {', '.join(READERS)}")
    if not Path(path).exists():
        raise FaceCycleError(f"--train {train}: no such folder {path}")
    return layout, Path(path)


def _errors(train: PoseSet | None, test: PoseSet, names: tuple[str, ...], limit: float) -> Errors:
    kept = _within(test, names, limit)
    x, y = test.features[kept], _angles(test, names)[kept]
    groups = test.groups[kept] if _people(test) else blocks(int(kept.sum())).astype(str)
    if train is None:
        splits = [_fold_split(part, len(y)) for part in _folds(test.groups[kept], len(y))]
    else:
        among = _within(train, names, limit)
        shift, count = int(among.sum()), int(kept.sum())
        x = np.concatenate([train.features[among], x])
        y = np.concatenate([_angles(train, names)[among], y])
        groups = np.concatenate([np.array([""] * shift), groups])
        splits = [Split(*last_fifth(np.arange(shift)), np.arange(shift, shift + count))]
    probe, constant, tested, strengths = [], [], [], []
    for split in splits:
        model = fit_ridge(split, x, y)
        mean = y[split.fit_rows(np.concatenate([split.train, split.validation]))].mean(0)
        rows = split.open_test()
        probe.append(np.abs(model(x[rows]).reshape(len(rows), -1) - y[rows]))
        constant.append(np.abs(mean - y[rows]))
        tested.append(groups[rows])
        strengths.append(model.setting)
    return Errors(np.concatenate(probe), np.concatenate(constant), np.concatenate(tested), strengths)


def _summarise(
    errors: Errors,
    names: tuple[str, ...],
    label: str,
    numbers: dict[str, float],
    intervals: dict[str, tuple[float, float]],
    seed: int,
) -> None:
    each = errors.probe.mean(1)
    numbers[f"MAE{label}"] = float(each.mean())
    intervals[f"MAE{label}"] = bootstrap(lambda rows: float(each[rows].mean()), errors.groups, seed=seed)
    numbers[f"constant MAE{label}"] = float(errors.constant.mean())
    for k, name in enumerate(names):
        column = errors.probe[:, k]
        numbers[f"MAE {name}{label}"] = float(column.mean())
        intervals[f"MAE {name}{label}"] = bootstrap(
            lambda rows, c=column: float(c[rows].mean()), errors.groups, seed=seed
        )
        numbers[f"constant MAE {name}{label}"] = float(errors.constant[:, k].mean())
    numbers[f"test pictures{label}"] = float(len(each))


def _angles(poses: PoseSet, names: tuple[str, ...]) -> Float[np.ndarray, "n a"]:
    return poses.angles[:, [poses.posed.names.index(name) for name in names]]


def _within(poses: PoseSet, names: tuple[str, ...], limit: float) -> Bool[np.ndarray, " n"]:
    return np.asarray((np.abs(_angles(poses, names)) <= limit).all(1))


def _people(poses: PoseSet) -> bool:
    return bool((poses.groups != "").all())


def blocks(count: int) -> Int[np.ndarray, " n"]:
    """Which block each of ``count`` pictures in file order lies in: `BLOCK` to one, fewer of a small set."""
    return np.arange(count) // min(BLOCK, max(1, count // FEWEST_BLOCKS))


def _folds(groups: np.ndarray, count: int) -> list[Int[np.ndarray, " m"]]:
    """Test rows of each fold: whole people where they are known, else consecutive parts."""
    if count < FOLDS:
        raise FaceCycleError(f"{count} usable pictures: {FOLDS} folds need more")
    if not (groups != "").all():
        return np.array_split(np.arange(count), FOLDS)
    people = np.unique(groups)
    if len(people) < 2:
        raise FaceCycleError("one person only: folds by person need two; name another set with --train")
    return [np.flatnonzero(np.isin(groups, part)) for part in np.array_split(people, min(FOLDS, len(people)))]


def _fold_split(test: Int[np.ndarray, " m"], count: int) -> Split:
    train, validation = last_fifth(np.setdiff1d(np.arange(count), test))
    return Split(train, validation, test)
