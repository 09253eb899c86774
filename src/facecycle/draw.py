"""Pictures for people: tensors as images, flows as colours, sheets with titles."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import ExifTags, Image, ImageDraw
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from facecycle.data.files import in_one_piece

MADE = "FaceCycle: this face was made, not photographed"


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


def save_picture(picture: Image.Image, path: Path, **options: Any) -> None:
    """Write a PNG in one piece.

    Raises:
        FaceCycleError: the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with in_one_piece(path) as partial:
        picture.save(partial, "PNG", **options)


def made(suffix: str) -> dict[str, Any]:
    """Options of Pillow's ``save`` by which a file says that its face was made; PNG for ``.png``, else Exif."""
    if suffix == ".png":
        info = PngInfo()
        info.add_text("Software", MADE)
        return {"pnginfo": info}
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = MADE
    return {"exif": exif}
