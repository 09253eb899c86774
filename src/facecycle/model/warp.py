"""Flow fields and what one does with them: the only place that samples a picture.

A field is a backward sampling field in normalised coordinates, ``warp(x, f)(p) = x(p + f(p))``. Outside the picture
its border is repeated, so that moving a face leaves no black rim to explain.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facecycle.types import Flow


def pixel_grid(height: int, width: int, device: torch.device) -> Float[Tensor, "1 height width 2"]:
    """The (x, y) position of every pixel centre, in normalised coordinates."""
    x = (torch.arange(width, dtype=torch.float32, device=device) + 0.5) * (2 / width) - 1
    y = (torch.arange(height, dtype=torch.float32, device=device) + 0.5) * (2 / height) - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).unsqueeze(0)


def resize(x: Float[Tensor, "b c h w"], height: int, width: int) -> Float[Tensor, "b c height width"]:
    """Bilinear; normalised coordinates do not depend on resolution, so a flow keeps its values."""
    if x.shape[-2:] == (height, width):
        return x
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)


def sample(
    x: Float[Tensor, "b c h w"], positions: Float[Tensor, "b h2 w2 2"], mode: str = "bilinear"
) -> Float[Tensor, "b c h2 w2"]:
    """Read ``x`` at the given (x, y) positions in normalised coordinates; ``bicubic`` is sharper, and may overshoot."""
    kind = torch.promote_types(x.dtype, torch.float32)  # half precision would place a pixel to 1/16 of one at best
    # Of a run that diverges: torch reads, and on the way back writes, outside of memory where a position is no number.
    positions = positions.to(kind).nan_to_num(0.0)
    # Torch lacks parts of this for Apple's devices, which ones depends on its version.
    where = torch.device("cpu") if x.device.type == "mps" else x.device
    moved = F.grid_sample(x.to(where, kind), positions.to(where), mode=mode, padding_mode="border", align_corners=False)
    return moved.to(x.device, x.dtype)


def warp(
    x: Float[Tensor, "b c h w"], flow: Float[Tensor, "b 2 hf wf"], mode: str = "bilinear"
) -> Float[Tensor, "b c h w"]:
    """``x`` fetched along ``flow``, which is first resized to the resolution of ``x``."""
    height, width = x.shape[-2:]
    flow = resize(flow.float(), height, width)  # positions need more than bfloat16's 8 bits: 1/2 pixel of 64
    return sample(x, pixel_grid(height, width, x.device) + flow.permute(0, 2, 3, 1), mode)


def compose(first: Flow, second: Flow) -> Flow:
    """The field that does ``first`` and then ``second``: warp(warp(x, first), second) = warp(x, compose(...))."""
    return second + warp(first, second)


def flip(picture: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """The mirrored picture."""
    return picture.flip(-1)


def reflect(flow: Flow) -> Flow:
    """The field that does to a mirrored picture what ``flow`` does to the picture."""
    x, y = flow.flip(-1).chunk(2, 1)
    return torch.cat([-x, y], 1)


def mean_turned_back(x: Float[Tensor, "b2 c h w"], turn: Callable[[Tensor], Tensor]) -> Float[Tensor, "b c h w"]:
    """The average of what was made of pictures and what was made of their mirror images, with the latter turned back.

    ``turn``: `reflect` for fields, `flip` for pictures.
    """
    own, other = x.unflatten(0, (2, -1))
    return (own + turn(other)) / 2


def integrate(velocity: Flow, squarings: int = 5) -> Flow:
    """exp(velocity): one unit of time along a stationary velocity field, by scaling and squaring.

    exp(v) and exp(-v) undo each other by construction (Arsigny et al., MICCAI 2006). The first small step is a midpoint
    step: an Euler step there and one back miss each other by h^2 (v . grad) v, which all squarings add up.
    """
    step = velocity / 2**squarings
    flow = warp(step, step / 2)
    for _ in range(squarings):
        flow = compose(flow, flow)
    return flow


def invert(flow: Flow, iterations: int = 12) -> Flow:
    """The inverse field by fixed point: g(p) = -f(p + g(p)) (Chen et al., Medical Physics 2008).

    Converges where ``flow`` is a contraction, that is where it does not fold.
    """
    inverse = -flow
    for _ in range(iterations):
        inverse = -warp(flow, inverse)
    return inverse


def log_area(flow: Flow) -> Float[Tensor, "b 1 h w"]:
    """Log of the area in pixels that a pixel is fetched from, by central differences: below 0 the picture is stretched.

    Stretched is what the picture hardly shows, as the far side of a turned head. Held to +-3, also where a flow folds.
    A border pixel sees half of the difference across the border: so have trained generators learnt to read it.
    """
    height, width = flow.shape[-2:]
    near = F.pad(flow, (1, 1, 1, 1), mode="replicate")
    along_x = (near[..., 1:-1, 2:] - near[..., 1:-1, :-2]) * (width / 4)
    along_y = (near[..., 2:, 1:-1] - near[..., :-2, 1:-1]) * (height / 4)
    area = (1 + along_x[:, :1]) * (1 + along_y[:, 1:]) - along_x[:, 1:] * along_y[:, :1]
    return area.clamp(math.exp(-3), math.exp(3)).log()


def cycle_error(to_neutral: Flow, to_face: Flow) -> Float[Tensor, " b"]:
    """Mean distance in pixels between a point and itself there and back, over points that stay inside the picture."""
    height, width = to_neutral.shape[-2:]
    there_and_back = compose(to_neutral, to_face)
    arrives = pixel_grid(height, width, to_face.device) + to_face.permute(0, 2, 3, 1)
    inside = (arrives.abs() <= 1).all(-1).float()
    pixels = torch.tensor([width / 2, height / 2], device=to_face.device).view(1, 2, 1, 1)
    distance = (there_and_back * pixels).norm(dim=1)
    return (distance * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
