"""How networks take one step, and the same recorded once on a GPU and replayed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from facecycle.config import RunConfig
from facecycle.errors import FaceCycleError
from facecycle.train.truth import Known
from facecycle.types import Clip, Views

Told = tuple[Tensor, dict[str, Tensor]]
Update = Callable[..., Told]  # `update`, or a `CapturedUpdate`
WARM_UP = 3  # libraries choose their kernels, and Adam begins its averages, before anything can be recorded


def update(
    fabric: Fabric,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    clip_gradient: float,
    clips: Clip,
    noise: torch.Generator | None,
    views: Views | None,
    known: Known,
) -> Told:
    """Forward, backward, and one step of the optimizer.

    Args:
        fabric, model, optimizer: set up together; a group of the optimizer may say that it ``rests``.
        clip_gradient: the largest norm of the gradient; 0: any.
        clips, noise, views, known: see `facecycle.train.stage.Stage.forward`.

    Returns:
        The loss and its parts, without gradients.
    """
    loss, parts = model(clips, noise, views, known)
    optimizer.zero_grad()
    fabric.backward(loss)
    for resting in (group["params"] for group in optimizer.param_groups if group.get("rests")):
        for parameter in resting:  # what moves nothing must not shorten the rest of the gradient
            if parameter.grad is not None:
                parameter.grad.zero_()
    if clip_gradient:
        fabric.clip_gradients(model, optimizer, max_norm=clip_gradient, error_if_nonfinite=False)
    optimizer.step()
    return loss.detach(), {name: part.detach() for name, part in parts.items()}


def capturable(config: RunConfig, fabric: Fabric) -> bool:
    """Can a step of this run be recorded, and is it wanted?"""
    wanted = config.train.capture and config.train.precision != "16-mixed"  # which looks at every gradient's scale
    return wanted and fabric.device.type == "cuda" and fabric.world_size == 1


class CapturedUpdate:
    """`update` as a CUDA graph: a GPU that is told some thousand small things one by one mostly waits for the next.

    The first `WARM_UP` updates run as they are; the next is recorded. From then on the batch is copied to where the
    recorded one lay, and everything recorded runs at once. The tensors returned are overwritten by the next update.

    Always for the same model, optimizer and shapes, with the same groups at rest, in one process; rates that change
    must be tensors (`facecycle.train.optimizer.build_adam`).
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)
        self._graph = torch.cuda.CUDAGraph()
        self._noise = torch.Generator(device)
        self._count = 0
        self._given: list[Tensor | None] = []
        self._told: Told

    def __call__(
        self,
        fabric: Fabric,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        clip_gradient: float,
        clips: Clip,
        noise: torch.Generator | None,
        views: Views | None,
        known: Known,
    ) -> Told:
        def run(clips: Clip, views: Views | None, *known: Tensor | None) -> Told:
            own = None if noise is None else self._noise
            return update(fabric, model, optimizer, clip_gradient, clips, own, views, Known(*known))

        if noise is not None:
            self._noise.manual_seed(noise.initial_seed())
        given = [clips, views, *known]
        self._count += 1
        if self._count <= WARM_UP:
            return self._aside(lambda: run(*given))  # type: ignore[arg-type]
        if self._count == WARM_UP + 1:
            self._given = [None if x is None else x.clone() for x in given]
            if noise is not None:
                self._graph.register_generator_state(self._noise)
            optimizer.zero_grad()  # gradients are to be made anew, where the recording can find them
            try:
                with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                    self._told = run(*self._given)  # type: ignore[arg-type]  # recorded, not run
            except RuntimeError as error:
                why = (str(error.__context__ or error).splitlines() or ["no reason given"])[0]
                raise FaceCycleError(
                    f"a step could not be captured as a CUDA graph ({why}); set capture = false under [train] in the "
                    "run's config.toml and go on with --resume"
                ) from error
        for own, x in zip(self._given, given, strict=True):
            assert (own is None) == (x is None)
            if own is not None and x is not None:
                own.copy_(x)
        self._graph.replay()
        return self._told

    def _aside(self, run: Callable[[], Told]) -> Told:
        """On the stream of the recording, whatever begins there belonging to it."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            told = run()
        torch.cuda.current_stream().wait_stream(self._stream)
        return told
