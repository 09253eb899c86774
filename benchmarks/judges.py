"""Do synthetic faces pass for real ones before networks that know only real ones?

    python benchmarks/judges.py FACESET [--real PHOTOS] [--sheets DIR]

FACESET is written by ``facecycle synth`` (report on ``--split held-out``). Judged are its 64 px crops: how often face
detectors fire, by yaw; how well recognition networks tell the people apart; and how often a FER-2013 network reads the
seven posed emotions, which are drawn anew for the same people. Every figure has its n and a 95 % interval, a bootstrap
over people. ``--real`` puts the same figures of real photos beside them, ``--sheets`` draws the failures.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from judge_networks import FER_LABELS, DlibFace, FerNetwork, Hog, Picture, SFace, YuNet
from PIL import Image, ImageDraw

from facecycle.data.crop import cut
from facecycle.data.detect import build_detector
from facecycle.data.faceset import FaceSet

SIZE = 64
NEAR, FAR = "yaw < 30", "yaw 30-60"
EMOTIONS = ("neutral", "happy", "sad", "surprise", "anger", "disgust", "fear")
DLIB_FRAMES = 400  # at most: the network takes 0.1 s a frame
# What was measured of the prototype; its frames (60 people, 720 frames) judged by this script; the goal.
REFERENCES = {
    f"HOG fires, {NEAR}": (".93-.95", ".940", ">= .97"),
    f"HOG fires, {FAR}": (".49", ".453", ">= .75"),
    "SFace AUC, all pairs": (".975", ".983", ">= .985"),
    "SFace EER, all pairs": (".076", ".069", "<= .05"),
    "FER reads the posed emotion, 7 ways": (".53", ".498", ">= .60"),
}


@dataclass
class Shot:
    """One picture to judge: 64 px RGB, who, in which clip, |yaw| in degrees, emotion ("" if unknown)."""

    picture: Picture
    person: str
    clip: str
    yaw: float
    emotion: str = ""
    name: str = ""


def clip_shots(path: str) -> list[Shot]:
    """The frames of a face set as a network sees them: without the margin."""
    faces, shots = FaceSet.open(path), []
    if faces.size != SIZE or "label/pose" not in faces.columns:
        raise SystemExit(f"{path}: needs a synthetic face set of {SIZE} px crops")
    rim = (faces.stored - SIZE) // 2
    for i in range(len(faces)):
        picture = np.ascontiguousarray(faces.image(i)[rim : rim + SIZE, rim : rim + SIZE])
        row = {name: values[i] for name, values in faces.columns.items()}
        yaw, name = abs(float(row["label/pose"][0])), f"{row['key']} yaw {row['label/pose'][0]:.0f}"
        shots.append(Shot(picture, str(row["person"]), str(row["clip"]), yaw, "", name))
    return shots


def posed_shots(path: str) -> Iterator[Shot]:
    """The people of a face set with each emotion at full strength: nearly frontal, clean, nothing before the face."""
    from facecycle.synthetic import truth
    from facecycle.synthetic.clip import Clip, ClipOptions
    from facecycle.synthetic.expression import emotion_weights
    from facecycle.synthetic.person import create_person
    from facecycle.synthetic.posing import State
    from facecycle.synthetic.stream import name_people

    made = FaceSet.open(path).meta["synthetic"]
    for key in name_people(made["people"], made["seed"], made["split"]):
        person = create_person(key)
        for k, emotion in enumerate(EMOTIONS):
            clip = Clip(person, (1000 + k,), ClipOptions(occluder="none"))
            yaw, pitch, roll = np.clip(clip.tracks.pose_at(0.0) / 3, (-15, -8, -6), (15, 8, 6)).tolist()
            state = State(emotion_weights()[k], yaw, pitch, roll, clip.tracks.torso)
            picture = truth.transfer(clip, state, 0.0, SIZE, margin=0.0)
            yield Shot(picture, str(key), f"{key}/posed", abs(yaw), emotion, f"{key} {emotion}")


def real_shots(root: str) -> list[Shot]:
    """London: neutral and smiling. Pointing'04: yaw in steps of 15 degrees, tilt within 15; from the file names."""
    detect, shots = build_detector("yunet"), []
    for path in sorted(Path(root).rglob("*.jpg")):
        angles = re.fullmatch(r"(person\d\d)(\d)\d\d([+-]\d+)([+-]\d+)", path.stem)
        if angles and (abs(int(angles[3])) > 15 or abs(int(angles[4])) > 60):
            continue
        picture = np.asarray(Image.open(path).convert("RGB"))
        faces = detect(picture)
        if not faces:
            print(f"left out: no face found in {path.name}")
            continue
        small = cut(picture, max(faces, key=lambda face: face.size).crop(), SIZE)
        if angles:
            shots.append(Shot(small, angles[1], angles[1] + angles[2], abs(int(angles[4])), "", path.stem))
        else:
            emotion = "happy" if "smiling" in path.parent.name else "neutral"
            person = path.stem.split("_")[0]
            shots.append(Shot(small, person, person, 0, emotion, path.stem))
    return shots


def bootstrap(people: np.ndarray, figure: Callable[[np.ndarray], float], rounds: int = 200) -> tuple[float, float]:
    """95 % interval of ``figure(weight of each entry)`` when people are drawn with replacement."""
    names, which = np.unique(people, return_inverse=True)
    rng = np.random.Generator(np.random.Philox(0))
    drawn = [np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names)) for _ in range(rounds)]
    low, high = np.nanquantile([figure(counts[which].astype(float)) for counts in drawn], [0.025, 0.975])
    return float(low), float(high)


class Report:
    """A row per figure, printed as soon as it is known."""

    ROW = "{:38} {:>6} {:>6}  {:>5}  {:11}  {:>10}  {:>10}  {:>7}"

    def __init__(self, title: str) -> None:
        print(f"\n{title}")
        print(self.ROW.format("", "frames", "people", "value", "95 %", "prototype", "same here", "goal"))

    def add(self, name: str, people: np.ndarray, figure: Callable[[np.ndarray], float]) -> None:
        if not len(people):
            return
        value, (low, high) = figure(np.ones(len(people))), bootstrap(people, figure)
        cells = len(people), len(np.unique(people)), f"{value:.3f}", f"{low:.3f}-{high:.3f}"
        print(self.ROW.format(name, *cells, *REFERENCES.get(name, ("", "", ""))), flush=True)

    def add_rate(self, name: str, people: np.ndarray, hits: np.ndarray) -> None:
        self.add(name, people, lambda w: float((hits * w).sum() / w.sum()) if w.sum() else np.nan)


def detectors(shots: list[Shot], report: Report) -> dict[str, list[Shot]]:
    """Firing rates by yaw; returns the misses of each detector."""
    hog, yunet = Hog(), YuNet(2 * SIZE)
    judged = {
        "HOG": np.array([hog(shot.picture) for shot in shots]),
        "YuNet > .9": np.array([yunet.score(shot.picture) > 0.9 for shot in shots]),
    }
    yaw, people = np.array([shot.yaw for shot in shots]), np.array([shot.person for shot in shots])
    for name, hits in judged.items():
        for bucket, where in ((NEAR, yaw < 30), (FAR, (yaw >= 30) & (yaw <= 60))):
            report.add_rate(f"{name} fires, {bucket}", people[where], hits[where])
    return {
        name.split()[0]: [s for s, hit in zip(shots, hits, strict=True) if not hit] for name, hits in judged.items()
    }


def roc(same: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Weighted area under the ROC curve, and the equal error rate, of pairs that come most alike first."""
    hits, alarms = np.cumsum(same * weights), np.cumsum(~same * weights)
    if not hits[-1] or not alarms[-1]:
        return np.nan, np.nan
    hits, alarms = np.r_[0, hits / hits[-1]], np.r_[0, alarms / alarms[-1]]
    k = int(np.abs(alarms - (1 - hits)).argmin())
    return float(np.trapezoid(hits, alarms)), float((alarms[k] + 1 - hits[k]) / 2)


def recognition(shots: list[Shot], name: str, network: Callable, report: Report) -> None:
    """All pairs of frames below 30 degrees, and those of one clip against those between people."""
    found = [(shot, code) for shot in shots if shot.yaw < 30 and (code := network(shot.picture)) is not None]
    codes = np.stack([code for _, code in found])
    people, clips = (np.array([getattr(shot, key) for shot, _ in found]) for key in ("person", "clip"))
    a, b = np.triu_indices(len(codes), 1)
    order = np.argsort(np.linalg.norm(codes[a] - codes[b], axis=1))
    a, b = a[order], b[order]
    same = people[a] == people[b]
    for kind, kept in (("all pairs", np.ones_like(same)), ("pairs in a clip", ~same | (clips[a] == clips[b]))):
        pairs = a[kept], b[kept], same[kept]
        for k, what in enumerate(("AUC", "EER")):

            def figure(w: np.ndarray, k: int = k, p: tuple = pairs) -> float:
                return roc(p[2], np.where(p[2], w[p[0]], w[p[0]] * w[p[1]]))[k]

            report.add(f"{name} {what}, {kind}", people, figure)


def emotions(shots: list[Shot], report: Report) -> list[Shot]:
    """Accuracy on posed emotions and their confusion; returns the misread ones."""
    network, table, wrong = FerNetwork(), np.zeros((7, 8), int), []
    hits = np.zeros(len(shots), bool)
    for i, shot in enumerate(shots):
        code = network(shot.picture)
        read = "none" if code is None else FER_LABELS[int(code.argmax())]
        hits[i] = read == shot.emotion
        table[EMOTIONS.index(shot.emotion), (*EMOTIONS, "none").index(read)] += 1
        if not hits[i]:
            wrong.append(Shot(shot.picture, shot.person, shot.clip, shot.yaw, shot.emotion, f"{shot.name} > {read}"))
    people = np.array([shot.person for shot in shots])
    report.add_rate("FER reads the posed emotion, 7 ways", people, hits)
    print("".join(f"{word:>9}" for word in ("", *EMOTIONS, "no face")) + "   (rows: posed, columns: read)")
    for emotion, row in zip(EMOTIONS, table, strict=True):
        if row.any():
            print(f"{emotion:>9}" + "".join(f"{n:9}" for n in row))
    return wrong


def draw_sheet(shots: list[Shot], path: Path, columns: int = 8) -> None:
    """Pictures at twice their size with their names, at most 96, spread over the list."""
    shots = [shots[i] for i in np.unique(np.linspace(0, len(shots) - 1, 96).astype(int))] if shots else []
    sheet = Image.new("RGB", (columns * 150, 150 * -(-len(shots) // columns) or 1), "white")
    pen = ImageDraw.Draw(sheet)
    for i, shot in enumerate(shots):
        x, y = i % columns * 150, i // columns * 150
        sheet.paste(Image.fromarray(shot.picture).resize((128, 128), Image.Resampling.BICUBIC), (x + 8, y))
        pen.text((x + 2, y + 132), shot.name[-26:], fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def judge(title: str, shots: list[Shot], posed: list[Shot], sheets: Path | None) -> None:
    """Print all figures of one collection, and draw its failures."""
    report = Report(f"{title}: {len(shots)} frames of {len({shot.person for shot in shots})} people")
    failures = detectors(shots, report)
    recognition(shots, "SFace", SFace(), report)
    near = [shot for shot in shots if shot.yaw < 30]
    recognition(near[:: max(1, -(-len(near) // DLIB_FRAMES))], "dlib", DlibFace(), report)
    failures["FER"] = emotions(posed, report)
    for name, missed in failures.items() if sheets else ():
        draw_sheet(missed, sheets / f"{title}-{name}.png")  # pyright: ignore[reportOptionalOperand]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faceset", help="a face set of 64 px crops by `facecycle synth`")
    parser.add_argument("--real", help="the folder real_small: London and Pointing'04")
    parser.add_argument("--sheets", type=Path, help="where to draw the failures")
    options = parser.parse_args()
    judge("synthetic", clip_shots(options.faceset), list(posed_shots(options.faceset)), options.sheets)
    if options.real:
        shots = real_shots(options.real)
        judge("real", shots, [shot for shot in shots if shot.emotion], options.sheets)


if __name__ == "__main__":
    main()
