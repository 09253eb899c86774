"""Pictures -> one sheet that shows both cycles: away from the face, to the mean face, and back."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from facecycle.apply.faces import OK, FaceReader
from facecycle.apply.torch_networks import TorchNetworks
from facecycle.cycles.identity import remove_identity, restore_identity
from facecycle.cycles.motion import remove_motion, restore_motion
from facecycle.data.files import check_suffix
from facecycle.draw import flow_to_color, save_picture, sheet, to_uint8
from facecycle.errors import FaceCycleError
from facecycle.model.networks import Networks
from facecycle.types import Face

MOST = 16  # rows that a sheet holds


@torch.inference_mode()
def cycle(
    pictures: Any,
    weights: Path,
    out: Path,
    cropped: bool = False,
    device: str = "cpu",
    detector_weights: str | None = None,
    face: str | int = "largest",
) -> list[str]:
    """Draw the cycle sheet of up to 16 pictures; returns what was left out and why.

    Args: as for `facecycle.apply.embed.embed`; ``out`` is a PNG.

    Raises:
        FaceCycleError: nothing to read, unusable weights, or no face in any picture.
    """
    check_suffix(out, ".png")
    torch_networks = TorchNetworks(weights, device)
    reader = FaceReader(pictures, torch_networks.about.image_size, cropped, detector_weights, face)
    chosen = np.linspace(0, len(reader) - 1, min(MOST, len(reader))).round().astype(int)
    rows = [row for index in chosen for row in islice(reader.rows(reader.items[index]), MOST)][:MOST]
    skipped = [f"{row.name}: {row.status}" for row in rows if row.status != OK]
    if len(reader) > MOST:
        skipped.append(f"{len(reader) - MOST} of {len(reader)} pictures: a sheet holds {MOST}, spread evenly over them")
    crops = [row.crop for row in rows if row.crop is not None]
    if not crops:
        raise FaceCycleError(skipped[0])
    save_picture(draw(torch_networks.networks, torch_networks.tensor(np.stack(crops))), out)
    return skipped


def draw(networks: Networks, faces: Face) -> Image.Image:
    """Face, flow, neutral face, mean face, and the same way back, for a batch of faces."""
    _, flow, neutral = remove_motion(networks, faces)
    identity = networks.identity_encoder(faces)
    mean_faces = remove_identity(networks, neutral, identity)
    # The way back begins at one mean face, the same for everybody: what returns is in the codes.
    mean_face = mean_faces.mean(0, keepdim=True)
    again = restore_identity(networks, mean_face, identity)
    return sheet(
        {
            "face": to_uint8(faces),
            "flow to neutral": flow_to_color(flow.to_neutral),
            "neutral": to_uint8(neutral),
            "mean face": to_uint8(mean_faces),
            "common mean": to_uint8(mean_face.expand_as(mean_faces)),
            "+ identity": to_uint8(again),
            "flow to face": flow_to_color(flow.to_face),
            "+ motion": to_uint8(restore_motion(networks, again, flow)),
        }
    )
