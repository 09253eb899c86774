"""The Face Research Lab London Set: a smiling face without its expression, beside the same person's neutral photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from facecycle.apply import transform
from facecycle.apply.torch_networks import to_tensor
from facecycle.draw import to_uint8
from facecycle.errors import FaceCycleError
from facecycle.evaluate.datasets.layout import picture_files, wrong_layout
from facecycle.evaluate.features import CodeSource, FeatureSource
from facecycle.evaluate.generation import PerRow, code_similarity, compare_pictures, open_lpips, summarise
from facecycle.evaluate.judges import Recogniser, find_sface
from facecycle.evaluate.photos import Faces, photo_of
from facecycle.evaluate.report import Report
from facecycle.evaluate.tasks import Options

FOLDERS = ("neutral_front", "smiling_front")


def measure(source: FeatureSource, data: Path | None, options: Options) -> Report:
    """L1, SSIM and identity of the de-expressed smiling face against the neutral photo, beside the untouched smile.

    Raises:
        FaceCycleError: another layout, or a source that makes no pictures.
    """
    if not isinstance(source, CodeSource):
        raise FaceCycleError(f"{source.name}: makes no pictures; give a run folder or a .safetensors file")
    assert data is not None  # the command asks for it
    neutral, smiling, problems, checksum = read_pairs(data, source.size, options.cache)
    import torch

    with torch.inference_mode():
        networks = source.networks
        calm = to_uint8(transform.deexpress(networks, to_tensor(smiling)))
        smile = to_uint8(transform.express(networks, to_tensor(neutral), to_tensor(smiling)))
        front, front_smiling = (to_uint8(transform.frontalize(networks, to_tensor(x))) for x in (neutral, smiling))
    notes: list[str] = []
    lpips, rows = open_lpips(notes), PerRow()
    for name, made, true in (
        ("de-expressed", calm, neutral),
        ("smile untouched", smiling, neutral),
        ("smile transferred", smile, smiling),
        ("neutral faces of both photos", front_smiling, front),
    ):
        rows |= compare_pictures(made, true, name, lpips)
    for name, made in (("de-expressed", calm), ("smile untouched", smiling)):
        rows[f"{name}, similarity by own code"] = code_similarity(source, made, neutral)
    rows |= _likeness(calm, smiling, neutral, notes)
    numbers, intervals = summarise(rows, np.arange(len(neutral)), options.seed)
    return Report(
        "london",
        source.name,
        "motion and identity",
        source.features(to_tensor(smiling[:1]), "motion").shape[1],
        {**numbers, "people": float(len(neutral))},
        intervals,
        ("de-expressed L1", "smile untouched L1", "de-expressed SSIM", "smile untouched SSIM", "smile transferred L1"),
        [
            f"{len(neutral)} people, a neutral and a smiling photo each; faces found by the detector",
            "de-expressed: the smiling face without expression in its own pose, against the neutral photo",
            "smile transferred: the neutral face with the smiling one's expression, against the smiling photo",
            "'smile untouched': the smiling photo itself in its place; interval: bootstrap over people",
        ],
        source.crop,
        str(data),
        {"weights": source.checksum, "faces": checksum},
        {"bootstrap": options.seed},
        problems,
        notes,
    )


def read_pairs(
    data: Path, size: int, cache: Path | None
) -> tuple[UInt8[np.ndarray, "n s s 3"], UInt8[np.ndarray, "n s s 3"], dict[str, str], str]:
    """Neutral and smiling crops of the people who have both, problems by name, and a checksum.

    Raises:
        FaceCycleError: the folders are missing, or nobody has two usable photos.
    """
    if not all((data / folder).is_dir() for folder in FOLDERS):
        raise wrong_layout(data, "neutral_front/ and smiling_front/ with <person>_<view>.jpg")
    people = [{file.stem.split("_")[0]: file for file in picture_files(data / folder)} for folder in FOLDERS]
    both = sorted(people[0].keys() & people[1].keys())
    problems = {f"person {name}": "one photo only" for name in sorted(people[0].keys() ^ people[1].keys())}
    sets = [Faces([photo_of(part[name], data) for name in both], size, cache) for part in people]
    crops: list[dict[int, np.ndarray]] = [{}, {}]
    for place, faces in zip(crops, sets, strict=True):
        for rows, batch in faces.batches(64):
            place.update(zip(rows, to_uint8(batch), strict=True))
        problems |= faces.problems | dict.fromkeys(faces.undetected, "no face found")
    lost = {row for faces in sets for row in range(len(both)) if faces.photos[row].name in faces.undetected}
    usable = [row for row in range(len(both)) if row in crops[0] and row in crops[1] and row not in lost]
    if not usable:
        raise FaceCycleError(
            f"{data}: nobody has two usable photos; {next(iter(problems.values()), 'no person has both')}"
        )
    neutral, smiling = (np.stack([place[row] for row in usable]) for place in crops)
    return neutral, smiling, problems, sets[0].checksum + sets[1].checksum


def _likeness(calm: np.ndarray, smiling: np.ndarray, neutral: np.ndarray, notes: list[str]) -> PerRow:
    file = find_sface()
    if file is None:
        notes.append("no independent recogniser: pip install 'facecycle[faces]' brings SFace's file")
        return {}
    judge = Recogniser(file)
    wanted = judge.codes(neutral)
    found = {"de-expressed": judge.codes(calm, smiling), "smile untouched": judge.codes(smiling)}
    return {f"{name}, similarity by SFace": (codes * wanted).sum(1) for name, codes in found.items()}
