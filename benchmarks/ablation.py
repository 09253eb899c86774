"""What each part of the recipe `facecycle` is worth: the same short budget without it, at several seeds.

    facecycle synth faces --people 6000 --clips 2 --frames 5 --neutral --seed 31
    python benchmarks/ablation.py faces runs/ablation --fer2013 sets/fer2013
    python benchmarks/ablation.py faces runs/ablation --stage identity --init facecycle-synthetic --steps 80

Every row changes one thing. All are judged on people and pictures that no headline figure is taken from: held-out
synthetic people of another seed, and the validation part of FER-2013 (8,000 of its training pictures are fitted on,
2,000 others choose C). A row that is in the folder already is not trained or judged again. Prints a Markdown table:
mean over seeds, and after ± half the distance of the farthest two.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np

FULL = "the recipe"
LEARNT = ("model.discriminants=0", "model.erase=24")
NO_TRUE_NEUTRAL = ("motion_loss.true_neutral=0", "motion_loss.drift=1")
ROWS: dict[str, dict[str, Sequence[str]]] = {
    "motion": {
        FULL: (),
        "no contrast of codes": ("motion_loss.contrast=0",),
        "no truth of the generator": ("motion_loss.truth=0",),
        "no true neutral face; drift instead": NO_TRUE_NEUTRAL,
        "neither truth nor true neutral face": ("motion_loss.truth=0", *NO_TRUE_NEUTRAL),
        "generator paints every pixel": ("model.generator_skip=false",),
        "generator does not adjust the flow": ("model.generator_adjust=false",),
        "a code made of the face alone": ("model.equivariant=false", "model.expression_code=false"),
        "published encoder, 3/8 wide": (
            "model.encoder=published", "model.encoder_width=0.375", "model.code_norm=true", "motion.code_lr=0.05",
        ),
        "flow inverse by fixed point": ("model.flow_inverse=fixed-point",),
        "flow told the landmarks": ("motion_loss.landmarks=20",),
        "views hardly disturbed": (
            "views.colour=0.1", "views.grey=0", "views.blur=0", "views.erase=0", "views.shift=0.03", "views.scale=0.05",
        ),
        "style term of ImageNet features": ("perceptual.name=mobilenetv2", "perceptual.shrink=2"),
        "SimCLR": ("method=simclr",),
        "FAb-Net": ("method=fabnet",),
        "TCAE, expression code": ("method=tcae",),
        "untrained": ("motion.steps=1", "motion.lr=[1e-12]"),
    },
    "identity": {
        FULL: (),
        "a code that knows left from right": ("model.mirrored=false",),
        "last layer as learnt": LEARNT,
        "as learnt, no contrast of codes": (*LEARNT, "identity_loss.contrast=0"),
        "as learnt, no independence": (*LEARNT, "identity_loss.independence=0"),
        "as learnt, nothing erased": (*LEARNT, "model.erase=0"),
        "as learnt, a person's clips apart": (*LEARNT, "data.across_clips=false"),
        "as learnt, restored by another frame's code": (*LEARNT, "identity_loss.swap=true"),
    },
}  # fmt: skip
PEOPLE, SEED = 24, 7
FITTED, CHOSEN = 8_000, 2_000


def main() -> None:
    """Train and judge what is missing, then print the table."""
    options = arguments()
    found: dict[str, list[dict[str, float]]] = {}
    for seed in options.seeds:  # a whole table of one seed first
        for name, changes in ROWS[options.stage].items():
            if options.only and not any(part in name for part in options.only):
                continue
            folder = options.out / options.stage / f"{name.replace(' ', '-').replace('/', 'of')}-{seed}"
            file = folder / "figures.json"
            if not file.is_file():
                train(folder, changes, seed, options)
                file.write_text(json.dumps(judge(folder, options), indent=1), "utf-8")
            found.setdefault(name, []).append(json.loads(file.read_text("utf-8")))
    print_table(found)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a face set that facecycle synth --neutral wrote")
    parser.add_argument("out", type=Path, help="folder of the runs and figures")
    parser.add_argument("--stage", choices=tuple(ROWS), default="motion")
    parser.add_argument("--init", help="weights whose motion networks the identity stage stands on")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--clips", type=int, default=12, help="clips a step")
    parser.add_argument("--only", nargs="+", help="rows whose name contains one of these")
    parser.add_argument("--fer2013", type=Path, help="FER-2013, for the code on photographs")
    return parser.parse_args()


def train(folder: Path, changes: Sequence[str], seed: int, options: argparse.Namespace) -> None:
    """One run of one stage."""
    from facecycle.train.launch import start

    stage = options.stage
    budget = (f"{stage}.steps={options.steps}", f"{stage}.batch_size={options.clips}", f"{stage}.warmup=40")
    start(
        folder,
        options.data,
        "facecycle",
        stage=stage,
        assignments=[*budget, f"train.seed={seed}", "train.ema=0.98", "train.validate_every=1000000",
                     "train.checkpoint_every=1000000", "train.keep=1", *changes],
        init=Path(options.init) if options.init else None,
        init_parts=("motion_encoder", "flow_decoder", "face_generator") if options.init else (),
        device="cpu",
    )  # fmt: skip


def judge(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Figures of a finished run, all on validation data."""
    from facecycle.evaluate.features import CodeSource, open_source

    source = open_source(str(folder))
    assert isinstance(source, CodeSource)
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    last = [line for line in map(json.loads, lines) if line["split"] == "validation"][-1]
    figures = {"directions of the code": last["code_rank"], **codes(source, options.stage)}
    if options.stage == "identity":
        figures |= {"restored L1": last["restored_l1"], "neutral rebuilt L1": last["neutral_l1"]}
    elif "flow_px" in last:  # rivals have no neutral faces
        figures |= {"restored L1": last["restored_l1"], **pictures(source)}
    if options.fer2013 and options.stage == "motion":
        figures["FER-2013 validation, %"] = expression(source, options.fer2013)
    return figures


def codes(source, stage: str) -> dict[str, float]:
    """What a straight line reads from the code of people it was not fitted on, in percent."""
    from facecycle.evaluate.crossed import FACTORS, draw_crossed
    from facecycle.evaluate.disentanglement import PENALTIES, encode, identity_error, split_for
    from facecycle.evaluate.features import default_cache
    from facecycle.evaluate.probe import fit_logistic

    crossed = draw_crossed(PEOPLE, source.size, SEED, default_cache())
    features = encode(source, crossed, stage, 256)
    figures = {"EER of person, %": identity_error(features, crossed, SEED)[0]}
    for factor in ("expression", "pose"):
        split, labels = split_for(factor, crossed, SEED), crossed.levels[:, FACTORS.index(factor)]
        probe = fit_logistic(split, features, labels, PENALTIES)
        rows = split.open_test()
        figures[f"{factor}, %"] = 100 * float((probe(features[rows]) == labels[rows]).mean())
    return figures


def pictures(source) -> dict[str, float]:
    """Faces without motion beside the true ones."""
    from facecycle.evaluate.generation import measure
    from facecycle.evaluate.tasks import Options

    numbers = measure(source, None, Options(task="generation", seed=SEED), PEOPLE).numbers
    names = {"frontal SSIM": "frontal SSIM", "residual yaw": "yaw left, degrees", "flow cycle px": "there and back, px"}
    return {label: numbers[name] for name, label in names.items()}


def expression(source, data: Path) -> float:
    """Accuracy of the linear probe on the validation part of FER-2013; its test part is not opened."""
    from facecycle.evaluate.datasets.expression import READERS
    from facecycle.evaluate.features import compute
    from facecycle.evaluate.photos import Faces
    from facecycle.evaluate.probe import Split, fit_logistic

    labelled = READERS["fer2013"](data)
    drawn = np.random.default_rng(SEED).permutation(np.flatnonzero(labelled.parts == "train"))[: FITTED + CHOSEN]
    rows = np.concatenate([drawn, np.flatnonzero(labelled.parts == "validation")])
    labels = labelled.labels[rows]
    features = compute(source, Faces([labelled.photos[row] for row in rows], source.size), "motion")
    place = np.arange(len(rows))
    split = Split(place[:FITTED], place[FITTED : FITTED + CHOSEN], place[FITTED + CHOSEN :])
    probe, measured = fit_logistic(split, features, labels), split.open_test()
    return 100 * float((probe(features[measured]) == labels[measured]).mean())


def print_table(found: dict[str, list[dict[str, float]]]) -> None:
    """Mean over seeds, and half the distance of the farthest two."""
    names = list(dict.fromkeys(name for runs in found.values() for run in runs for name in run))
    print("| |", " | ".join(names), "|")
    print("|---|" + "---|" * len(names))
    for row, runs in found.items():
        cells = []
        for name in names:
            values = [run[name] for run in runs if name in run]
            digits = 3 if max(map(abs, values), default=1) < 2 else 1
            spread = f" ±{(max(values) - min(values)) / 2:.{digits}f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.{digits}f}{spread}" if values else "")
        print(f"| {row} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
