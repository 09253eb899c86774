"""Pictures -> one sheet that shows both cycles: away from the face, to the mean face, and back."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from facecycle.apply.faces import FaceReader
from facecycle.apply.inputs import refuse_inputs
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
    device: str = "auto",
    detector_weights: str | None = None,
    face: str | int = "largest",
) -> list[str]:
    """Draw the cycle sheet of up to 16 faces; returns what was left out and why.

    Videos, and pictures of several faces, share the rows that single faces leave.

    Args: as for `facecycle.apply.embed.embed`; ``out`` is a PNG.

    Raises:
        FaceCycleError: nothing to read, an input that would be written over, unusable weights or those of a rival
            method, or no face in any picture.
    """
    check_suffix(out, ".png")
    torch_networks = TorchNetworks(weights, device)
    torch_networks.check_pictures("cycle")
    reader = FaceReader(pictures, torch_networks.about.image_size, cropped, detector_weights, face)
    refuse_inputs([out], reader.items)
    chosen = np.linspace(0, len(reader) - 1, min(MOST, len(reader))).round().astype(int)
    items = [reader.items[index] for index in chosen]
    found = [list(islice(reader.rows(item), MOST + 1)) for item in items]  # one more, to know that there are more
    skipped = [f"{row.name}: {row.status}" for rows in found for row in rows if row.crop is None]
    if len(reader) > MOST:
        skipped.append(f"{len(reader) - MOST} of {len(reader)} pictures: a sheet holds {MOST}, spread evenly over them")
    faces = [[row.crop for row in rows if row.crop is not None] for rows in found]
    # First the first face of each, then the second of each that has one, and so on.
    turns = sorted((turn, index) for index, own in enumerate(faces) for turn in range(len(own)))
    shown = Counter(index for _, index in turns[:MOST])
    for index, (item, rows) in enumerate(zip(items, found, strict=True)):
        if len(rows) > MOST or shown[index] < len(faces[index]):
            skipped.append(f"{item.name}: all but its first {shown[index]} faces, a sheet holds {MOST}")
    crops = [crop for index, own in enumerate(faces) for crop in own[: shown[index]]]
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
