"""Codes as pictures for people: a similarity matrix, a map with thumbnails, a curve over a video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from facecycle.apply.compare import BY, cosine
from facecycle.apply.embed import Codes
from facecycle.apply.faces import PictureFace
from facecycle.apply.inputs import Item
from facecycle.data.files import disk_space
from facecycle.errors import FaceCycleError

PLOTS = ("auto", "matrix", "map", "curve")
MATRIX_MOST = 40  # faces for which `auto` draws a matrix
LEADING = 3  # principal components of a curve
FEW = "a figure needs at least two faces"


class Sample:
    """Evenly spread rows of a stream whose length is not known: when it is full, every other row goes.

    Args:
        most: rows kept, an even number.
    """

    def __init__(self, most: int = 2000) -> None:
        self.most, self.stride, self.seen = most, 1, 0
        self.rows: list[tuple[str, float, dict[str, Any], Any]] = []

    def add(self, codes: Codes, faces: list[PictureFace]) -> None:
        """Take in a batch; rows without a face are passed over."""
        for index, row in enumerate(faces):
            if row.crop is None:
                continue
            if self.seen % self.stride == 0:
                self.rows.append((row.name, row.time, {by: getattr(codes, by)[index] for by in BY}, row.crop))
            self.seen += 1
            if len(self.rows) == self.most:
                self.rows, self.stride = self.rows[::2], 2 * self.stride

    def codes(self, by: str) -> Float[np.ndarray, "n d"]:
        """The codes kept."""
        return np.stack([row[2][by] for row in self.rows])

    def crops(self) -> list[UInt8[np.ndarray, "s s 3"]]:
        """Their faces."""
        return [row[3] for row in self.rows]


def check_plot(plot: str, by: str, figure: Path | None) -> None:
    """Refuse what cannot be drawn before any work is done.

    Raises:
        FaceCycleError: an unknown kind or code, another suffix than .png, or matplotlib is missing.
    """
    if plot not in PLOTS or by not in BY:
        raise FaceCycleError(f"--plot {plot} --by {by}: plots are {', '.join(PLOTS)}; codes are {' and '.join(BY)}")
    if figure is not None:
        if figure.suffix.lower() != ".png":
            raise FaceCycleError(f"{figure}: figures are written as .png; choose this suffix")
        _new_figure((1, 1))


def check_items(path: Path, plot: str, items: Sequence[Item], face: str) -> None:
    """Refuse what `draw_figure` would, as far as the inputs tell before they are opened.

    Raises:
        FaceCycleError: a curve of photos, or a figure of one face.
    """
    still = [item for item in items if not item.moving]
    if plot == "curve" and still:
        raise FaceCycleError(f"{path}: a curve needs the frames of a video, and {still[0].name} is none")
    if len(items) == len(still) == 1 and face != "all":
        raise FaceCycleError(f"{path}: {FEW}, and {still[0].name} gives one")


def draw_figure(sample: Sample, path: Path, plot: str = "auto", by: str = "identity") -> None:
    """Draw ``sample`` as ``plot`` says; ``auto``: a curve for a video, a matrix for a few faces, else a map.

    Raises:
        FaceCycleError: fewer than two faces, or a curve of what has no times.
    """
    if len(sample.rows) < 2:
        raise FaceCycleError(f"{path}: {FEW}")
    times = np.array([row[1] for row in sample.rows])
    if plot == "auto":
        plot = "curve" if np.isfinite(times).all() else "matrix" if len(sample.rows) <= MATRIX_MOST else "map"
    if plot == "curve":
        if not np.isfinite(times).all():
            raise FaceCycleError(f"{path}: a curve needs the frames of a video")
        figure = _curve(times, sample.codes("motion"))
    elif plot == "matrix":
        figure = _matrix(sample.codes(by), sample.crops(), by)
    else:
        figure = _map(sample.codes(by), sample.crops(), by)
    path.parent.mkdir(parents=True, exist_ok=True)
    with disk_space(path):
        figure.savefig(path, dpi=110, format="png")


def principal(codes: Float[np.ndarray, "n d"], count: int) -> Float[np.ndarray, "n count"]:
    """Coordinates along the directions of greatest variance; each points where its largest entry is positive."""
    centred = codes - codes.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:count] * np.sign(axes[np.arange(min(count, len(axes))), np.abs(axes[:count]).argmax(axis=1)])[:, None]
    found = centred @ axes.T
    return np.pad(found, ((0, 0), (0, count - found.shape[1])))


def _new_figure(size: tuple[float, float]) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise FaceCycleError("figures need matplotlib: pip install 'facecycle[plot]'") from None
    return Figure(figsize=size, layout="constrained")


def _matrix(codes: np.ndarray, crops: list[np.ndarray], by: str) -> Any:
    figure = _new_figure((7, 6))
    axes = figure.add_subplot()
    image = axes.imshow(cosine(codes, codes), vmin=-1, vmax=1, cmap="RdBu_r")
    figure.colorbar(image, label=f"cosine similarity of {by}")
    axes.set_xticks([])
    axes.set_yticks([])
    if len(crops) <= MATRIX_MOST:
        zoom = min(0.9, 9.0 / len(crops))
        for index, crop in enumerate(crops):
            for place, align in (((index, -0.6), (0.5, 0)), ((-0.6, index), (1, 0.5))):
                _thumbnail(axes, crop, place, zoom * 36 / crop.shape[0], align)
    return figure


def _map(codes: np.ndarray, crops: list[np.ndarray], by: str) -> Any:
    figure = _new_figure((10, 8))
    axes = figure.add_subplot()
    places = principal(codes, 2)
    axes.scatter(*places.T, s=4, color="lightgrey")
    for index in np.linspace(0, len(crops) - 1, min(len(crops), 150)).astype(int):
        _thumbnail(
            axes,
            crops[index],
            (float(places[index, 0]), float(places[index, 1])),
            30 / crops[index].shape[0],
            (0.5, 0.5),
        )
    axes.set_title(f"{len(codes)} {by} codes along their two directions of greatest variance")
    return figure


def _curve(times: np.ndarray, codes: np.ndarray) -> Any:
    figure = _new_figure((10, 4.5))
    axes = figure.add_subplot()
    for index, component in enumerate(principal(codes, LEADING).T):
        axes.plot(times, component, lw=0.9, label=f"component {index + 1} of motion")
    rest = np.linalg.norm(codes - np.median(codes, axis=0), axis=1)
    axes.plot(times, rest, lw=1.6, color="black", label="distance from the median motion")
    axes.set_xlabel("seconds")
    axes.legend()
    return figure


def _thumbnail(
    axes: Any, crop: np.ndarray, place: tuple[float, float], zoom: float, align: tuple[float, float]
) -> None:
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    image = OffsetImage(crop, zoom=zoom)
    box = AnnotationBbox(image, place, frameon=False, pad=0, box_alignment=align, annotation_clip=False)
    axes.add_artist(box)  # a matrix has its faces in the margin, where annotations are not drawn by default
