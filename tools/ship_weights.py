"""Make a run's weights the shipped ones:  python tools/ship_weights.py RUN NAME [FOLDER]

Writes ``NAME.safetensors`` into ``src/facecycle/pretrained`` (or another folder) in half precision, and its SHA-256
into ``SHA256SUMS`` there. What not everybody may use goes into ``weights``, which is no part of the package. With it
goes the similarity of identity codes from which two faces count as one person's: the run's own, or else that of equal
error rate on held-out synthetic people.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch

from facecycle.evaluate.crossed import draw_crossed
from facecycle.evaluate.disentanglement import PAIRS, encode
from facecycle.evaluate.features import CodeSource
from facecycle.evaluate.verification import roc
from facecycle.hub import SHIPPED, SUMS
from facecycle.model.weights import load_networks, save_weights

SEED, PEOPLE = 1, 40  # not the people of the published figures
MOST = 40 * 10**6  # bytes; more does not belong into a repository


def threshold_of(source: CodeSource) -> float:
    """The cosine at which as many strangers are accepted as people are refused."""
    crossed, rng = draw_crossed(PEOPLE, source.size, SEED), np.random.default_rng(SEED)
    codes = encode(source, crossed, "identity", 256)
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    a, b = rng.integers(len(codes), size=(2, 8 * PAIRS))
    person = crossed.levels[:, 0]
    kept = np.concatenate(
        [np.flatnonzero((a != b) & kind)[:PAIRS] for kind in (person[a] == person[b], person[a] != person[b])]
    )
    scores, same = (codes[a[kept]] * codes[b[kept]]).sum(1), (person[a] == person[b])[kept]
    false, true = roc(scores, same)
    place = int(np.argmax(false >= 1 - true))
    return float(np.sort(np.unique(scores))[::-1][max(0, place - 1)])


def main() -> None:
    run, name, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3]) if sys.argv[3:] else SHIPPED
    networks, about = load_networks(run)
    source = CodeSource(networks, about.model.image_size, name)
    data = "synthetic" if about.licence == "CC0-1.0" else "synthetic, photographs"
    threshold = about.trained.get("identity_threshold")
    print(f"threshold: {'the run has none, measured' if threshold is None else 'of the run'}")
    threshold = threshold_of(source) if threshold is None else threshold
    trained = {**about.trained, "identity_threshold": round(float(threshold), 4), "data": data}
    trained.pop("version", None)
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.safetensors"
    save_weights(networks, file, about.model, about.licence, trained, torch.float16)
    file.chmod(0o644)
    if file.stat().st_size > MOST:
        raise SystemExit(f"{file}: {file.stat().st_size:,} bytes, more than {MOST:,}")
    shipped = sorted(folder.glob("*.safetensors"))
    (folder / SUMS.name).write_text(
        "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in shipped), "utf-8"
    )
    print(f"{file.name}: {file.stat().st_size:,} bytes, {trained}")


if __name__ == "__main__":
    main()
