"""``facecycle embed``, ``compare``, ``search`` and ``cycle``: what needs codes alone, and the sheet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facecycle.cli import app
from facecycle.errors import FaceCycleError
from facecycle.hub import DEFAULT

if TYPE_CHECKING:
    from facecycle.api import FaceCycle

FRAME = re.compile(r"#\d{6,}$")  # how a frame's name ends after its video's

Pictures = Annotated[
    list[str], typer.Argument(help="Pictures, videos, folders, globs, webcam:0, or face sets.", show_default=False)
]
WeightsOption = Annotated[
    str, typer.Option(help="A run folder, a .safetensors or .onnx file, a name, or a Hub repository.")
]
Cropped = Annotated[bool, typer.Option("--cropped", help="The pictures are face crops already; run no detector.")]
FaceOption = Annotated[str, typer.Option(help="largest, all, or the number of a face counted from the left, from 0.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Faces at a time.")]
DetectorWeights = Annotated[str | None, typer.Option(help="File of the face detector.")]
Download = Annotated[bool, typer.Option("--download", help="Fetch weights from the Hub if they are not here.")]


def open_weights(weights: str, device: str, download: bool, detector_weights: str | None) -> FaceCycle:
    """The weights that a command names."""
    from facecycle.api import FaceCycle

    return FaceCycle.from_pretrained(weights, device, download, detector_weights)


def try_detector(detector_weights: str | None) -> None:
    """Refuse a file that is none now, not when the first picture comes."""
    from facecycle.data.detect import shared_detector

    if detector_weights is not None:
        shared_detector(weights=detector_weights)


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Any]:
    """A bar on stderr where that is a terminal; gives a function to call with the number of steps done."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

    console = Console(stderr=True)
    bar = Progress(*Progress.get_default_columns(), SpinnerColumn(), TimeElapsedColumn(), console=console)
    bar.disable = not console.is_terminal
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda steps=1: bar.advance(task, steps)


def tell_bad(bad: list[tuple[str, str]]) -> None:
    """One line on stderr for each input that could not be used; one for all frames of a video that fail alike."""
    from facecycle.errors import as_text

    alike: dict[tuple[str, str], list[str]] = {}
    for name, status in bad:
        alike.setdefault((FRAME.sub("", name), status), []).append(name)
    for (video, status), names in alike.items():
        said = f"{video}: {status} in {len(names)} frames" if len(names) > 1 else f"{names[0]}: {status}"
        typer.echo(as_text(said), err=True)


@app.command()
def embed(
    pictures: Pictures,
    weights: WeightsOption = DEFAULT,
    out: Annotated[Path, typer.Option(help="The codes: .npz, .csv or .parquet.")] = Path("codes.npz"),
    figure: Annotated[Path | None, typer.Option(help="Also draw the codes, a PNG.")] = None,
    plot: Annotated[str, typer.Option(help="What to draw: auto, matrix, map or curve.")] = "auto",
    by: Annotated[str, typer.Option(help="Which code to draw: identity or motion.")] = "identity",
    cropped: Cropped = False,
    face: FaceOption = "largest",
    device: Device = "auto",
    batch_size: BatchSize = 64,
    detector_weights: DetectorWeights = None,
    download: Download = False,
) -> None:
    """Write the motion, identity and expression code of each face; of a video, of each frame."""
    from facecycle.apply.embed import about_codes, encode_rows, refuse_single
    from facecycle.apply.figures import Sample, check_items, check_plot, draw_figure
    from facecycle.apply.inputs import OK, refuse_inputs
    from facecycle.apply.tables import save_codes, writer_for

    writer_for(out)
    check_plot(plot, by, figure)
    fc = open_weights(weights, device, download, detector_weights)
    reader, sample = fc.read(pictures, cropped=cropped, face=face), Sample()
    if figure is not None:
        refuse_inputs([figure], reader.items)
        check_items(figure, plot, reader.items, face)
    still = not any(item.moving for item in reader.items)
    with progress("embed", len(reader) if still and face != "all" else None) as step:

        def batches() -> Iterator[Any]:
            total, faces, codes = 0, 0, None
            for rows in reader.batches(batch_size):
                codes = encode_rows(fc.encoders, rows)
                if figure is not None:
                    sample.add(codes, rows)
                step(len(rows))
                total += len(rows)
                faces += codes.status.count(OK)
                yield codes
            if codes is not None and not faces:
                refuse_single(reader, codes, total)

        tally = save_codes(batches(), out, about_codes(fc.encoders))
    tell_bad(tally.bad)
    if not tally.faces:
        seen = all(status == "no face" for _, status in tally.bad)
        mend = "add --cropped if they are face crops already" if seen else "check what was given"
        raise FaceCycleError(f"{out}: written, but none of {len(tally.bad)} pictures shows a face; {mend}")
    noun = "face" if tally.faces == 1 else "faces"
    typer.echo(f"{out}: {tally.faces} {noun}, {tally.dim}-d codes, {len(tally.bad)} left out")
    if figure is not None:
        draw_figure(sample, figure, plot, by)
        typer.echo(str(figure))


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="A picture.")],
    b: Annotated[str, typer.Argument(help="Another.")],
    weights: WeightsOption = DEFAULT,
    threshold: Annotated[float | None, typer.Option(help="Similarity from which two faces are one person's.")] = None,
    cropped: Cropped = False,
    device: Device = "auto",
    detector_weights: DetectorWeights = None,
    download: Download = False,
) -> None:
    """Print how alike two faces are, and whether they are one person's."""
    fc = open_weights(weights, device, download, detector_weights)
    typer.echo(str(fc.compare(a, b, threshold=threshold, cropped=cropped)))


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="A picture.")],
    pictures: Pictures,
    weights: WeightsOption = DEFAULT,
    by: Annotated[str, typer.Option(help="identity (the same person) or motion (the same expression).")] = "identity",
    top: Annotated[int, typer.Option(min=1, help="How many to list.")] = 10,
    cropped: Cropped = False,
    face: FaceOption = "largest",
    device: Device = "auto",
    batch_size: BatchSize = 64,
    detector_weights: DetectorWeights = None,
    download: Download = False,
) -> None:
    """Rank pictures by how much they resemble one; exact search."""
    from facecycle.errors import as_text

    fc = open_weights(weights, device, download, detector_weights)

    def on_bad(name: str, status: str) -> None:
        tell_bad([(name, status)])

    hits = fc.search(query, pictures, by=by, top=top, batch_size=batch_size, on_bad=on_bad, cropped=cropped, face=face)
    for name, similarity in hits:
        typer.echo(f"{similarity:.3f}  {as_text(name)}")


@app.command()
def cycle(
    pictures: Pictures,
    weights: WeightsOption = DEFAULT,
    out: Annotated[Path, typer.Option(help="The sheet, a PNG.")] = Path("sheet.png"),
    cropped: Cropped = False,
    face: FaceOption = "largest",
    device: Device = "auto",
    detector_weights: DetectorWeights = None,
    download: Download = False,
) -> None:
    """Draw what was learnt: face, flow, neutral face, mean face, and the way back."""
    from facecycle.apply.cycle import cycle
    from facecycle.hub import find_weights

    for line in cycle(pictures, find_weights(weights, download), out, cropped, device, detector_weights, face):
        typer.echo(f"left out: {line}", err=True)
    typer.echo(str(out))
