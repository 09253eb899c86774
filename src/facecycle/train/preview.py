"""Pictures of everything a cycle makes: one row for each face, one column for each intermediate."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from facecycle.draw import flow_to_color, sheet, to_uint8
from facecycle.model.flow import FlowPair

TITLES = {
    "face": "face I",
    "to_neutral": "flow F",
    "to_face": "flow B",
    "neutral": "neutral N",
    "other_neutral": "other's N~",
    "restored": "restored",
    "redrawn": "redrawn",
    "warped": "W(I,F)",
    "round_trip": "round trip",
    "neutral_to_face": "W(N~,B)",
    "mean_faces": "mean M_i",
    "mean_face": "mean face",
    "mean_neutral": "mean of N",
    "restored_neutral": "N restored",
}


def draw_cycle(cycle: Any, rows: int = 8) -> Image.Image:
    """A sheet of a `MotionCycle` or `IdentityCycle`: its first ``rows`` faces, every picture and flow it holds."""
    columns: dict[str, UInt8[np.ndarray, "r h w 3"]] = {}
    count = min(rows, len(cycle.face))
    for entry in fields(cycle):
        value = getattr(cycle, entry.name)
        if isinstance(value, FlowPair):
            columns["to_neutral"] = flow_to_color(value.to_neutral[:count])
            columns["to_face"] = flow_to_color(value.to_face[:count])
        elif value.dim() == 4 and value.shape[1] == 3:
            columns[entry.name] = to_uint8(value.expand(len(cycle.face), -1, -1, -1)[:count])
    return sheet({TITLES.get(name, name): pictures for name, pictures in columns.items()})
