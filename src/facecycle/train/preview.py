"""Pictures of everything a cycle makes: one row for each face, one column for each intermediate."""

from __future__ import annotations

import colorsys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

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
        elif value.dim() == 4:
            columns[entry.name] = to_uint8(value.expand(len(cycle.face), -1, -1, -1)[:count])
    return sheet({TITLES.get(name, name): pictures for name, pictures in columns.items()})


def sheet(columns: dict[str, UInt8[np.ndarray, "r h w 3"]], zoom: int | None = None) -> Image.Image:
    """Pictures side by side under their titles; small ones are enlarged so that they can be seen."""
    size = next(iter(columns.values())).shape[1]
    zoom = zoom or max(1, round(96 / size))
    side, gap, head = size * zoom, 4, 18
    rows = len(next(iter(columns.values())))
    page = Image.new("RGB", (len(columns) * (side + gap) + gap, rows * (side + gap) + head + gap), "white")
    pen = ImageDraw.Draw(page)
    for column, (title, pictures) in enumerate(columns.items()):
        left = gap + column * (side + gap)
        pen.text((left, 4), title, fill="black")
        for row, picture in enumerate(pictures):
            tile = Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC if zoom > 1 else None)
            page.paste(tile, (left, head + row * (side + gap)))
    return page


def to_uint8(pictures: Float[Tensor, "b 3 h w"]) -> UInt8[np.ndarray, "b h w 3"]:
    """[0, 1] -> 0..255, clipped."""
    scaled = (pictures.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).cpu().numpy()


def flow_to_color(flow: Float[Tensor, "b 2 h w"], largest: float = 0.25) -> UInt8[np.ndarray, "b h w 3"]:
    """Direction as hue, length as saturation (white: no motion; full colour: an eighth of the picture or more)."""
    x, y = flow.detach().float().cpu().unbind(1)
    hue = (torch.atan2(y, x) / (2 * torch.pi)) % 1
    strength = (torch.hypot(x, y) / largest).clamp(0, 1)
    wheel = torch.tensor([colorsys.hsv_to_rgb(i / 256, 1, 1) for i in range(256)])
    color = wheel[(hue * 255).round().long()]
    return to_uint8((1 - strength[..., None] * (1 - color)).permute(0, 3, 1, 2))


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a PNG in one piece."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    picture.save(partial, "PNG")
    partial.replace(path)
