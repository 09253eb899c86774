"""Generation at four times the networks' resolution, beside the same faces merely enlarged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from facecycle.apply import transform
from facecycle.apply.torch_networks import to_tensor
from facecycle.draw import to_uint8
from facecycle.evaluate.rendered import Rendered
from facecycle.model.detail import grow
from facecycle.model.networks import Networks
from facecycle.types import Face, Fine

TIMES = 4
AT_ONCE = 16
Pictures = UInt8[np.ndarray, "n s s 3"]


@torch.inference_mode()
def make_large(networks: Networks, truth: Rendered) -> dict[str, tuple[Pictures, Pictures, Pictures]]:
    """What the networks make of faces rendered at `TIMES` their resolution: (made, enlarged, true) by name.

    The networks see the faces at their own resolution. *Enlarged* is what they draw there, *made* has the detail that
    `facecycle.model.detail` brings.
    """
    n = networks
    verbs: dict[str, tuple[Callable[[Face, Face, Fine | None], Tensor], Pictures]] = {
        "frontal": (lambda face, _, fine: transform.frontalize(n, face, fine), truth.frontal),
        "neutral": (lambda face, _, fine: transform.deexpress(n, face, fine), truth.neutral),
        "reenacted": (lambda face, other, fine: transform.translate(n, face, other, fine=fine), truth.moved),
    }
    rows = torch.arange(len(truth.face)).split(AT_ONCE)
    large = [to_tensor(truth.face[part]) for part in rows]
    small = torch.cat([F.avg_pool2d(part, TIMES) for part in large])
    made = {}
    for name, (verb, true) in verbs.items():
        drawn, grown = [], []
        for part, fine in zip(rows, large, strict=True):
            face, other = small[part], small[torch.from_numpy(truth.driver)[part]]
            drawn.append(to_uint8(verb(face, other, fine)))
            grown.append(to_uint8(grow(verb(face, other, None), fine)))
        made[name] = (np.concatenate(drawn), np.concatenate(grown), true)
    return made
