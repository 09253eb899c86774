"""Generation against synthetic ground truth: what the networks make of a face beside what it should have become."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from facecycle.apply import transform
from facecycle.apply.torch_networks import to_tensor
from facecycle.draw import flow_to_color, sheet, to_uint8
from facecycle.errors import FaceCycleError
from facecycle.evaluate.features import CodeSource, FeatureSource
from facecycle.evaluate.judges import PoseJudge, Recogniser, find_sface
from facecycle.evaluate.large import TIMES, make_large
from facecycle.evaluate.lpips import LPIPS, find_lpips
from facecycle.evaluate.lpips import MEND as LPIPS_MEND
from facecycle.evaluate.probe import bootstrap
from facecycle.evaluate.rendered import Rendered, render
from facecycle.evaluate.report import Report
from facecycle.evaluate.tasks import Options
from facecycle.losses.terms import SSIM
from facecycle.model.networks import Networks
from facecycle.model.warp import cycle_error

PEOPLE, FRAMES = 30, 4
Pictures = UInt8[np.ndarray, "n s s 3"]
PerRow = dict[str, Float[np.ndarray, " n"]]


def measure(source: FeatureSource, data: Path | None, options: Options, people: int = PEOPLE) -> Report:
    """Frontalization, de-expression, reenactment and flow, each beside the untouched input.

    Raises:
        FaceCycleError: the source has no generator.
    """
    if not isinstance(source, CodeSource):
        raise FaceCycleError(f"{source.name}: makes no pictures; give a run folder or a .safetensors file")
    truth = render(people, FRAMES, source.size, options.seed)
    made = make(source.networks, truth)
    notes: list[str] = []
    lpips, rows = open_lpips(notes), PerRow()
    for name, target, copied in (
        ("frontal", truth.frontal, truth.face),
        ("neutral", truth.neutral, truth.face),
        ("expression transferred", truth.expressed, truth.face),
        ("reenacted", truth.moved, truth.face),
        ("self-reenacted", truth.face, np.roll(truth.face.reshape(-1, FRAMES, *truth.face.shape[1:]), 1, 1)),
    ):
        copied = copied.reshape(target.shape)
        for label, shown in ((name, made[name]), (f"{name}, input copied", copied)):
            rows |= compare_pictures(shown, target, label, lpips)
    rows |= large_rows(source, people, options.seed, lpips)
    rows |= flow_errors(source.networks, truth)
    rows |= pose_errors(PoseJudge(size=source.size), made["frontal"], truth)
    rows |= identity_rows(source, made["frontal"], truth, notes)
    rows |= agreement(made, truth)
    numbers, intervals = summarise(rows, truth.person, options.seed)
    return Report(
        "generation",
        source.name,
        "motion and identity",
        source.features(to_tensor(truth.face[:1]), "motion").shape[1],
        numbers,
        intervals,
        ("frontal L1", "frontal, input copied L1", "residual yaw", "net gain", "flow error px", "flow cycle px"),
        _protocol(truth),
        source.crop,
        "synthetic held-out people",
        {"weights": source.checksum},
        {"people and bootstrap": options.seed},
        warnings=notes,
        figures={"made.png": lambda axes: _show(axes, made, truth)},
    )


def open_lpips(notes: list[str]) -> LPIPS | None:
    """The judge, or None and a note that says so."""
    file = find_lpips()
    if file is None:
        notes.append(f"LPIPS was not measured, its weights are not installed: {LPIPS_MEND}")
    return LPIPS(file) if file else None


@torch.inference_mode()
def make(networks: Networks, truth: Rendered) -> dict[str, Pictures]:
    """Everything the networks make of the faces."""
    face = to_tensor(truth.face)
    other_frame = face.unflatten(0, (-1, FRAMES)).roll(1, 1).flatten(0, 1)
    made: dict[str, Callable[[], Tensor]] = {
        "frontal": lambda: transform.frontalize(networks, face),
        "neutral": lambda: transform.deexpress(networks, face),
        "expression transferred": lambda: transform.express(networks, face, face[truth.driver]),
        "reenacted": lambda: transform.translate(networks, face, face[truth.driver]),
        "self-reenacted": lambda: transform.translate(networks, other_frame, face),
        "mean face": lambda: transform.mean_face(networks, face),
    }
    return {name: to_uint8(draw()) for name, draw in made.items()}


def compare_pictures(made: Pictures, true: Pictures, name: str, judge: LPIPS | None = None) -> PerRow:
    """L1 and mean squared error on [0, 1], PSNR in dB, SSIM, LPIPS if there is a judge; a value for each picture."""
    x, y = to_tensor(made), to_tensor(true)
    error = ((x - y) ** 2).mean((1, 2, 3)).clamp(min=1e-8)
    ssim = [float(SSIM(b[None])(a[None])) for a, b in zip(x, y, strict=True)]
    lpips = {f"{name} LPIPS": judge(x, y).double().numpy()} if judge else {}
    return {
        **lpips,
        f"{name} L1": (x - y).abs().mean((1, 2, 3)).double().numpy(),
        f"{name} PSNR": (-10 * error.log10()).double().numpy(),
        f"{name} SSIM": np.array(ssim),
    }


@torch.inference_mode()
def flow_errors(networks: Networks, truth: Rendered) -> PerRow:
    """In pixels: of the flow from the true one where the point is visible; of no flow at all; there and back."""
    flow = transform.flows(networks, to_tensor(truth.face))
    half = truth.face.shape[1] / 2
    seen = np.maximum(truth.visible.sum((1, 2)), 1)

    def mean_error(field: np.ndarray) -> Float[np.ndarray, " n"]:
        return (np.linalg.norm((field - truth.flow) * half, axis=1) * truth.visible).sum((1, 2)) / seen

    found = flow.to_neutral.float().numpy()
    return {
        "flow error px": mean_error(found),
        "flow error px, no flow": mean_error(np.zeros_like(found)),
        "flow cycle px": cycle_error(flow.to_neutral, flow.to_face).double().numpy(),
    }


def pose_errors(judge: PoseJudge, frontal: Pictures, truth: Rendered) -> PerRow:
    """|degrees| that the judge still sees: in the frontalized face, in the true frontal one (its own error), before."""
    shown = {"residual": frontal, "judge's own": truth.frontal, "before:": truth.face}
    angles = {name: np.abs(judge(pictures)) for name, pictures in shown.items()}
    return {
        f"{name} {axis}": value[:, k]
        for name, value in angles.items()
        for k, axis in enumerate(("yaw", "pitch", "roll"))
    }


def identity_rows(source: CodeSource, frontal: Pictures, truth: Rendered, notes: list[str]) -> PerRow:
    """Similarity of the frontalized and of the untouched face to the true frontal one; net gain: the difference."""
    rows = {
        "similarity by own code": code_similarity(source, frontal, truth.frontal),
        "similarity by own code, input copied": code_similarity(source, truth.face, truth.frontal),
    }
    file = find_sface()
    if file is None:
        notes.append("no independent recogniser: pip install 'facecycle[faces]' brings SFace's file")
        return rows
    judge = Recogniser(file)
    made, wanted = judge.codes(frontal, truth.frontal), judge.codes(truth.frontal)
    rows["similarity by SFace"] = (made * wanted).sum(1)
    rows["similarity by SFace, input copied"] = (judge.codes(truth.face) * wanted).sum(1)
    rows["net gain"] = rows["similarity by SFace"] - rows["similarity by SFace, input copied"]
    rows["neutrals of a clip agree, SFace"] = clips_agree(made)
    return rows


def clips_agree(codes: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Similarity of each frame's code to that of the frame before in its clip."""
    clips = codes.reshape(-1, FRAMES, codes.shape[1])
    return (clips * np.roll(clips, 1, 1)).sum(2).ravel()


def agreement(made: dict[str, Pictures], truth: Rendered) -> PerRow:
    """How far neutral faces of one clip, and mean faces of all people, lie apart (L1)."""
    frontal, mean = (made[name].astype(float) / 255 for name in ("frontal", "mean face"))
    clips = frontal.reshape(-1, FRAMES, *frontal.shape[1:])
    return {
        "frontal faces of a clip apart, L1": np.abs(clips - np.roll(clips, 1, 1)).mean((2, 3, 4)).ravel(),
        "frontal faces of two people apart, L1": np.abs(frontal - frontal[truth.driver]).mean((1, 2, 3)),
        "mean faces of two people apart, L1": np.abs(mean - mean[truth.driver]).mean((1, 2, 3)),
    }


def summarise(rows: PerRow, person: np.ndarray, seed: int) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Means over faces, intervals over people; faces for which a judge found nothing are left out and counted."""
    numbers: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    for name, values in rows.items():
        there = np.flatnonzero(np.isfinite(values))
        if not len(there):
            continue
        numbers[name] = float(values[there].mean())
        intervals[name] = bootstrap(lambda i, v=values[there]: float(v[i].mean()), person[there], 500, seed)
        if len(there) < len(values):
            numbers[f"{name}: faces"] = float(len(there))
    return numbers, intervals


def large_rows(source: CodeSource, people: int, seed: int, lpips: LPIPS | None) -> PerRow:
    """The same people at `TIMES` the networks' resolution: faces with their pictures' detail, and enlarged ones."""
    side, file = TIMES * source.size, find_sface()
    judge, rows = Recogniser(file) if file else None, PerRow()
    for name, (made, enlarged, true) in make_large(source.networks, render(people, FRAMES, side, seed)).items():
        for label, shown in ((f"{name} at {side} px", made), (f"{name} at {side} px, enlarged", enlarged)):
            rows |= compare_pictures(shown, true, label, lpips)
            if judge:
                codes = judge.codes(shown, true)
                rows[f"{label} similarity by SFace"] = (codes * judge.codes(true)).sum(1)
                if name == "frontal":
                    rows[f"{label} neutrals of a clip agree, SFace"] = clips_agree(codes)
    return rows


def code_similarity(source: CodeSource, made: Pictures, true: Pictures) -> Float[np.ndarray, " n"]:
    """Cosine of the identity codes of two pictures, by the package's own encoder."""
    a, b = (source.features(to_tensor(x), "identity") for x in (made, true))
    return (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)


def _protocol(truth: Rendered) -> list[str]:
    return [
        f"{truth.person.max() + 1} held-out synthetic people, {FRAMES} frames each; truths are clean renders",
        "neutral: without expression, own pose; expression transferred: another's expression, own pose; reenacted: "
        "another's expression and pose; self-reenacted: another frame of the same clip",
        "'input copied': the untouched face in the place of the made one",
        f"at {TIMES * truth.face.shape[1]} px: from the same faces rendered at that size; the networks see them at "
        f"{truth.face.shape[1]} px; 'enlarged': what they draw there, without the detail of the pictures",
        "residual yaw, pitch, roll: ridge on HOG, fitted on synthetic training people; 'judge's own' is what it sees "
        "in true frontal faces",
        "SFace aligns a made face by the landmarks that YuNet finds in the true one; net gain: similarity to the true "
        "frontal face, made less untouched",
        "interval: bootstrap over people",
    ]


def _show(axes, made: dict[str, Pictures], truth: Rendered) -> None:
    rows = slice(0, 8 * FRAMES, FRAMES)
    columns = {
        "face": truth.face, "made frontal": made["frontal"], "true frontal": truth.frontal,
        "made neutral": made["neutral"], "true neutral": truth.neutral, "driver": truth.face[truth.driver],
        "made expressed": made["expression transferred"], "true expressed": truth.expressed,
        "made moved": made["reenacted"], "true moved": truth.moved,
        "true flow": flow_to_color(torch.from_numpy(truth.flow)),
    }  # fmt: skip
    axes.imshow(np.asarray(sheet({name: pictures[rows] for name, pictures in columns.items()})))
    axes.axis("off")
