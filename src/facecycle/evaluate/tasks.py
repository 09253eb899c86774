"""Every benchmark by name. A task is a function of (source, data, options) in a file of its own."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from facecycle.errors import FaceCycleError
from facecycle.evaluate.features import FeatureSource, default_cache, open_source
from facecycle.evaluate.report import Report


@dataclass(frozen=True)
class Options:
    """What all tasks take.

    Attributes:
        task: the name it was asked for by: one function may serve several layouts.
        layer: None for the task's usual one.
        train: another set to fit on, as ``LAYOUT:PATH``, where a task can use one.
        crop: ``auto``, ``fixed`` (a stated square) or ``detector``, where a task's pictures can be cut either way.
        cache: where features are kept; None keeps none.
        batch_size: faces at a time.
        seed: of random splits, of bootstraps and of small networks.
        others: faces to fit a baseline's PCA on.
    """

    task: str = ""
    layer: str | None = None
    train: str | None = None
    crop: str = "auto"
    cache: Path | None = None
    batch_size: int = 256
    seed: int = 0
    others: Path | None = None


@runtime_checkable
class Task(Protocol):
    """Measures a source on the data of one benchmark."""

    def __call__(self, source: FeatureSource, data: Path | None, options: Options) -> Report: ...


EXPRESSION = ("fer2013", "rafdb", "folder")
POSE = ("aflw2000", "300wlp", "pointing04", "synthetic")
VERIFICATION = ("lfw", "cfp-ff", "cfp-fp", "cplfw", "pairs")
DRAWN = ("disentanglement", "generation")  # tasks whose faces are drawn by the package itself
CROPS = ("auto", "fixed", "detector")

# Name -> module and function, loaded when asked for.
TASKS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(EXPRESSION, ("facecycle.evaluate.expression", "measure")),
    **dict.fromkeys(POSE, ("facecycle.evaluate.pose", "measure")),
    **{name: (f"facecycle.evaluate.{name}", "measure") for name in (*DRAWN, "london")},
    **dict.fromkeys(VERIFICATION, ("facecycle.evaluate.verification", "measure")),
}


def get_task(name: str) -> Task:
    """The task of that name.

    Raises:
        FaceCycleError: there is none.
    """
    if name not in TASKS:
        raise FaceCycleError(f"--task {name}: not known; choose from {', '.join(TASKS)}")
    module, function = TASKS[name]
    return getattr(importlib.import_module(module), function)


def check_options(options: Options, data: Path | None = None) -> None:
    """No option is passed over in silence.

    Raises:
        FaceCycleError: a word that is not known, or an option that the task has no use for.
    """
    task = options.task
    if options.crop not in CROPS:
        raise FaceCycleError(f"--crop {options.crop}: choose {', '.join(CROPS)}")
    unused = {
        "--crop": options.crop != "auto" and task not in (*EXPRESSION, *VERIFICATION),
        "--train": options.train is not None and task not in POSE,
        "--layer": options.layer is not None and task in ("generation", "london"),
        "--data": data is not None and task in DRAWN,
    }
    for name, given in unused.items():
        if given:
            raise FaceCycleError(f"{name}: the task {task} has no use for it; leave it out")


def evaluate(
    weights: str | Path,
    task: str,
    data: str | Path | None = None,
    out: str | Path | None = None,
    options: Options | None = None,
) -> Report:
    """Measure ``weights`` on one benchmark; see `facecycle.evaluate.features.open_source` for what they may be.

    Args:
        weights: a run, a file, a shipped name or a baseline.
        task: such as ``fer2013``; see docs/evaluation.md.
        data: where the set lies, for tasks that draw nothing themselves.
        out: folder for the report; None writes none.
        options: how it is done.

    Raises:
        FaceCycleError: unknown weights or task, or data that is not laid out as published.
    """
    from dataclasses import replace

    weights = str(weights)
    data, out = (None if given is None else Path(given) for given in (data, out))
    options = replace(options or Options(cache=default_cache()), task=task)
    measure = get_task(task)
    check_options(options, data)
    if data is None and task not in DRAWN:
        raise FaceCycleError(f"--task {task}: name the set's folder with --data")
    if data is not None and not data.exists():
        raise FaceCycleError(f"{data}: no such file or folder; name the set's folder with --data")
    if options.others is not None and (not weights.endswith("-256") or Path(weights).exists()):
        raise FaceCycleError(f"--others: {weights} is fitted on no faces; leave it out, or name a baseline with -256")
    source = open_source(weights, options.others, options.cache)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)  # what cannot be written must not be told after an hour's work
    report = measure(source, data, options)
    if out is not None:
        report.write(out)
    return report
