"""What several processes must agree on."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn


def several() -> bool:
    """Is this process one of several?"""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def whole_batch_mean(x: Tensor) -> Tensor:
    """The mean over the batch of all processes, ``1 ...``; gradients flow back to every process's share."""
    mean = x.mean(0, keepdim=True)
    if not several():
        return mean
    return _Average.apply(mean)  # type: ignore[no-any-return]


def whole_batch(x: Tensor) -> Tensor:
    """The batch of all processes, this process's share first; gradients flow back to every process's share."""
    if not several():
        return x
    rank, shares = dist.get_rank(), list(_Gather.apply(x))  # type: ignore[arg-type]
    return torch.cat([shares.pop(rank), *shares])


def is_lost(error: RuntimeError) -> bool:
    """Is another process of the run gone? What this one is told of it depends on how they talk."""
    if not several():
        return False
    words = (
        "connection closed",
        "connection reset",
        "connection refused",
        "broken pipe",
        "timed out",
        "remote process",
    )
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in words)


@torch.no_grad()
def same_everywhere(module: nn.Module, device: torch.device) -> None:
    """Every process takes the first one's numbers.

    What each of them solves for on a device of its own differs in its last digits, and where two directions are about
    as good, in which of them is taken.
    """
    if not several():
        return
    for mine in module.state_dict().values():
        firsts = mine.to(device).contiguous()  # on the device, for that is where processes talk
        dist.broadcast(firsts, 0)
        mine.copy_(firsts)


class _Gather(torch.autograd.Function):
    """All-gather; backwards each share's gradient is summed over the processes that used it."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        gathered = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, x.contiguous())
        return torch.stack(gathered)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
        total = gradient.contiguous()
        dist.all_reduce(total)
        return total[dist.get_rank()]


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
