"""The shapes that travel between networks, cycles and losses, in the words of the field.

``b`` frames in a batch, ``d`` code dimensions, ``h w`` pixels. Shapes are enforced under pytest only.
"""

from jaxtyping import Float, UInt8
from torch import Tensor

Face = Float[Tensor, "b 3 h w"]
"""RGB crops, range [0, 1]."""

Fine = Float[Tensor, "b 3 H W"]
"""Faces at another resolution than the networks', range [0, 1], or a little more where they were made."""

StoredClip = UInt8[Tensor, "b k 3 s s"]
"""``k`` frames of each of ``b`` clips, as decoded: 0..255, still with their margin."""

Clip = Float[Tensor, "b k 3 h w"]
"""``k`` frames of each of ``b`` clips, RGB, range [0, 1]."""

Code = Float[Tensor, "b d"]
"""A motion or identity code, range (-1, 1), or a little more after an eraser or a mirror; an expression code, without
bounds."""

Flow = Float[Tensor, "b 2 h w"]
"""A backward sampling field: what lies at ``p`` is fetched from ``p + flow(p)``; (x, y) in normalised coordinates,
where the picture spans [-1, 1] from edge to edge (``align_corners=False``)."""

Field = Float[Tensor, "b 2 s s"]
"""What a flow decoder draws: a flow, or the velocity of one, at its own resolution."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in the luma of a face (ITU-R BT.601)."""

Scalar = Float[Tensor, ""]
"""A loss."""

Views = Float[Tensor, "b _ 3 h w"]
"""Disturbed frames of clips, any number for each frame."""
