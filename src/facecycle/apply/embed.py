"""Pictures -> motion and identity codes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from facecycle.apply.faces import OK, FaceReader
from facecycle.errors import FaceCycleError
from facecycle.model.weights import load_networks


@dataclass(frozen=True)
class Codes:
    """Codes of ``n`` pictures; rows without a face hold NaN, and ``status`` says why."""

    names: list[str]
    status: list[str]
    motion: Float[np.ndarray, "n d"]
    identity: Float[np.ndarray, "n d"]
    boxes: Float[np.ndarray, "n 4"]

    def save(self, path: Path, about: dict[str, str]) -> None:
        """Write an ``.npz`` that opens without pickles; ``about`` is kept as JSON text."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                names=np.array(self.names),
                status=np.array(self.status),
                motion=self.motion,
                identity=self.identity,
                boxes=self.boxes,
                about=np.array(json.dumps(about)),
            )


@torch.inference_mode()
def embed(
    pictures: Sequence[Path],
    weights: Path,
    out: Path | None = None,
    cropped: bool = False,
    device: str = "cpu",
    batch_size: int = 64,
    detector_weights: str | None = None,
) -> Codes:
    """Both codes of each picture's main face.

    Args:
        pictures: files, folders of pictures, and face sets.
        weights: a run folder or a weights file.
        out: where to write the codes as ``.npz``.
        cropped: the pictures are face crops already: no detector is run.
        device: where the networks run.
        batch_size: pictures at a time.
        detector_weights: file of the face detector, where the installed one is not wanted.

    Raises:
        FaceCycleError: nothing to read, unusable weights, or a single picture without a face.
    """
    networks, about = load_networks(weights, device)
    reader, dim = FaceReader(pictures, about.model.image_size, cropped, detector_weights), about.model.code_dim
    rows, motion, identity = [], [], []
    for batch, faces in reader.batches(batch_size):
        rows += batch
        faces = faces.to(device)
        for codes, encoder in ((motion, networks.motion_encoder), (identity, networks.identity_encoder)):
            filled = np.full((len(batch), dim), np.nan, np.float32)
            if len(faces):
                filled[[row.status == OK for row in batch]] = encoder(faces).float().cpu().numpy()
            codes.append(filled)
    if len(rows) == 1 and rows[0].status != OK:
        raise FaceCycleError(f"{rows[0].name}: {rows[0].status}")
    found = Codes(
        [row.name for row in rows],
        [row.status for row in rows],
        np.concatenate(motion),
        np.concatenate(identity),
        np.stack([row.box for row in rows]),
    )
    if out is not None:
        found.save(out, {"crop": about.crop, "licence": about.licence, "weights": str(weights)})
    return found
