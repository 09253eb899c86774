"""What a measurement hands over: report.json, one Markdown row, figures; and several of them side by side."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from facecycle import __version__
from facecycle.data.files import write_atomic
from facecycle.errors import FaceCycleError

FILE = "report.json"
ROW = "row.md"
PACKAGES = (
    "torch",
    "numpy",
    "scikit-learn",
    "scikit-image",
    "scipy",
    "pillow",
    "opencv-python-headless",
    "onnxruntime",
)


def installed_versions() -> dict[str, str]:
    """Of the package, of Python, and of what the numbers depend on."""
    found = {"facecycle": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _typed() -> str:
    """The command that was given; empty where a program of somebody's own called."""
    given = Path(sys.argv[0])
    ours = given.name == "facecycle" or given.parts[-2:] == ("facecycle", "__main__.py")
    return shlex.join(["facecycle", *sys.argv[1:]]) if ours else ""


@dataclass
class Report:
    """One measurement.

    Attributes:
        task, weights, layer, dimensions: what was measured; the headline is the 256-d code.
        numbers: name -> value; percentages are 0..100, angles degrees.
        intervals: name -> 95 % interval of that number.
        headline: names of the numbers that the row shows.
        protocol: in words: sets, splits, what was chosen on what, where faces sit in the pictures.
        problems: name -> reason of every picture, pair or file that could not be used.
        details: whatever else a reader may want: confusion matrix, per-fold values, chosen settings.
        trained_on: what the probe was fitted on, where a task leaves a choice; shown in the row.
        figures: file name -> draws on matplotlib axes; not part of the JSON.
    """

    task: str
    weights: str
    layer: str
    dimensions: int
    numbers: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    headline: tuple[str, ...]
    protocol: list[str]
    crop: str
    data: str = ""
    checksums: dict[str, str] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    command: str = field(default_factory=_typed)
    versions: dict[str, str] = field(default_factory=installed_versions)
    trained_on: str = ""
    figures: dict[str, Callable[[Any], None]] = field(default_factory=dict, repr=False, compare=False)

    def cell(self, name: str) -> str:
        """A number with its interval, as tables show it."""
        if name not in self.numbers:
            return "-"
        digits = 2 if abs(self.numbers[name]) >= 1 else 3  # differences of pixels are hundredths
        shown = [f"{value:.{digits}f}" for value in (self.numbers[name], *self.intervals.get(name, ()))]
        return f"{shown[0]} [{', '.join(shown[1:])}]" if shown[1:] else shown[0]

    def row(self) -> str:
        """The Markdown row, with its heading."""
        head = ["weights", "layer", "dimensions", "task", *self.headline, "left out"]
        cells = [self.weights, self.layer, str(self.dimensions), self.task]
        if self.trained_on:
            head.insert(4, "trained on")
            cells.append(self.trained_on)
        cells += [*map(self.cell, self.headline), str(len(self.problems))]
        return table(head, [cells])

    def write(self, out: Path) -> None:
        """Write ``report.json``, ``row.md`` and the figures into a folder; figures last: they alone may fail."""
        out.mkdir(parents=True, exist_ok=True)
        plain = {name: value for name, value in asdict(_without_figures(self)).items() if name != "figures"}
        write_atomic(out / ROW, self.row().encode())
        write_atomic(out / FILE, (json.dumps(plain, indent=1, allow_nan=False) + "\n").encode())
        for name, draw in self.figures.items():
            draw_figure(out / name, draw)


def _without_figures(report: Report) -> Report:
    from dataclasses import replace

    return replace(report, figures={})


def read_report(path: Path) -> Report:
    """A report that was written before; takes its folder or file.

    Raises:
        FaceCycleError: there is none, or not such a one.
    """
    file = path / FILE if path.is_dir() else path
    try:
        values = json.loads(file.read_text("utf-8"))
        values["headline"] = tuple(values["headline"])
        values["intervals"] = {name: tuple(pair) for name, pair in values["intervals"].items()}
        return Report(**values)
    except OSError:
        raise FaceCycleError(f"{file}: no such report; name folders that facecycle evaluate wrote with --out") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FaceCycleError(f"{file}: no report of this version ({error}); measure again") from None


def compare_reports(folders: Sequence[Path], out: Path | None = None) -> str:
    """Several reports as one Markdown table, weights by rows; with ``out``, also ``report.md`` and ``report.png``.

    A second report of the same weights, layer and task (another crop, another seed) has a row of its own.
    """
    reports = [read_report(folder) for folder in folders]
    if not reports:
        raise FaceCycleError("no report named; give folders that facecycle evaluate wrote with --out")
    columns = list(dict.fromkeys((r.task, name) for r in reports for name in r.headline))
    rows: dict[tuple[str, str, int, int], dict[str, Report]] = {}
    for report in reports:
        turn = 0
        while report.task in (row := rows.setdefault((report.weights, report.layer, report.dimensions, turn), {})):
            turn += 1
        row[report.task] = report
    cells = [
        [*map(str, key[:3]), *(row[task].cell(name) if task in row else "-" for task, name in columns)]
        for key, row in rows.items()
    ]
    text = table(["weights", "layer", "dimensions", *(f"{task}: {name}" for task, name in columns)], cells)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(out / "report.md", text.encode())
        _draw_comparison(out / "report.png", reports, columns)
    return text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def draw_figure(path: Path, draw: Callable[[Any], None], size: tuple[float, float] = (6, 5)) -> None:
    """Let ``draw`` fill one pair of axes and write them as a picture."""
    figure = _figure(size)
    draw(figure.add_subplot())
    figure.savefig(path, dpi=120)


def draw_confusion(matrix: Any, labels: Sequence[str]) -> Callable[[Any], None]:
    """Draws a confusion matrix: rows are truth, shares of a row in percent."""
    import numpy as np

    counts = np.asarray(matrix, float)
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)

    def draw(axes: Any) -> None:
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        for (i, j), value in np.ndenumerate(shares):
            axes.text(j, i, f"{value:.0f}", ha="center", va="center", color="white" if value > 50 else "black")

    return draw


def draw_roc(curves: dict[str, tuple[Any, Any]]) -> Callable[[Any], None]:
    """Draws ROC curves, false accepts on a logarithmic axis."""

    def draw(axes: Any) -> None:
        for name, (fpr, tpr) in curves.items():
            axes.plot(fpr, tpr, label=name)
        axes.set(xscale="log", xlim=(1e-4, 1), ylim=(0, 1), xlabel="false accept rate", ylabel="true accept rate")
        axes.legend()

    return draw


def _draw_comparison(path: Path, reports: Sequence[Report], columns: Sequence[tuple[str, str]]) -> None:
    figure = _figure((1 + 3.2 * len(columns), 1.5 + 0.35 * len(reports)))
    for place, (task, name) in enumerate(columns, 1):
        axes = figure.add_subplot(1, len(columns), place)
        shown = [r for r in reports if r.task == task and name in r.numbers]
        values = [r.numbers[name] for r in shown]
        ends = [r.intervals.get(name, (r.numbers[name], r.numbers[name])) for r in shown]
        errors = [[max(0, v - a) for v, (a, _) in zip(values, ends, strict=True)],
                  [max(0, b - v) for v, (_, b) in zip(values, ends, strict=True)]]  # fmt: skip
        axes.barh(range(len(shown)), values, xerr=errors, color="0.6")
        axes.set_yticks(range(len(shown)), [f"{r.weights} ({r.layer})" for r in shown])
        axes.invert_yaxis()
        axes.set_title(f"{task}: {name}", fontsize=9)
    figure.savefig(path, dpi=120)


def _figure(size: tuple[float, float]) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise FaceCycleError("figures need matplotlib: pip install 'facecycle[eval]'") from None
    return Figure(figsize=size, layout="constrained")
