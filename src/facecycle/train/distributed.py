"""What several processes must agree on."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def whole_batch_mean(x: Tensor) -> Tensor:
    """The mean over the batch of all processes, ``1 ...``; gradients flow back to every process's share."""
    mean = x.mean(0, keepdim=True)
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return mean
    return _Average.apply(mean)  # type: ignore[no-any-return]


class _Average(torch.autograd.Function):
    """All-reduce to the mean, forwards and backwards.

    The run's loss is the average of the processes' losses, so its gradient with respect to the common mean is the
    average of theirs; that each process's share counts 1 / world is left to the data-parallel average of gradients.
    """

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return _reduced(x)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return _reduced(gradient)


def _reduced(x: Tensor) -> Tensor:
    total = x.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()
