"""What the endpoints share: the networks behind a batcher, and the limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np

from facecycle.api import FaceCycle
from facecycle.apply.embed import Codes, encode_rows
from facecycle.apply.faces import PASTED, PictureFace
from facecycle.errors import FaceCycleError
from facecycle.serve.batcher import Batcher
from facecycle.serve.faces import BadRequest, FaceFinder
from facecycle.serve.limits import Limits


class Service:
    """Answers requests within limits.

    Args:
        fc: trained weights.
        limits: what a request may cost.
    """

    def __init__(self, fc: FaceCycle, limits: Limits) -> None:
        self.fc, self.limits = fc, limits
        self.finder, self.batcher = FaceFinder(fc, limits.pixels), Batcher(limits.batch, limits.wait)
        self.pending = 0

    async def answer(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Run one request's work within the limits.

        Raises:
            BadRequest: 503 too many at a time, 504 too slow, or what the work raises.
        """
        if self.pending >= self.limits.pending:
            raise BadRequest(503, f"{self.pending} requests are waiting already; come again in a moment")
        self.pending += 1
        try:
            return await asyncio.wait_for(work(), self.limits.seconds)
        except TimeoutError:
            raise BadRequest(504, f"no answer within {self.limits.seconds:g} s; send smaller pictures") from None
        finally:
            self.pending -= 1

    async def face(self, file: Any, name: str, cropped: bool) -> PictureFace:
        """The face of an uploaded picture, found in a thread of its own."""
        return await asyncio.to_thread(self.finder.find, await file.read(), name, cropped)

    async def fine_face(self, file: Any, name: str, cropped: bool, size: int, paste: bool) -> PictureFace:
        """The same, to be made anew: ``size`` pixels large, or pasted into its picture."""
        fine = PASTED if paste else size
        return await asyncio.to_thread(self.finder.find, await file.read(), name, cropped, paste, fine)

    async def codes(self, row: PictureFace) -> Codes:
        """Its codes, in one batch with those of other requests."""

        def encode(rows: Sequence[PictureFace]) -> list[Codes]:
            together = encode_rows(self.fc.encoders, list(rows))
            return [together.row(index) for index in range(len(rows))]

        return await asyncio.wrap_future(self.batcher.submit("embed", encode, row))

    async def remade(self, verb: str, row: PictureFace, keep: float = 0.0) -> np.ndarray:
        """The face changed by a verb, or the whole picture with that pasted in; ``row`` is a `fine_face`."""
        from facecycle.apply.remake import fitting, remake_rows, verb_of

        networks = self.fc.networks(verb)
        change = verb_of(networks, verb, keep)
        assert row.fine is not None
        size = len(row.fine)

        def remake(rows: Sequence[PictureFace]) -> list[np.ndarray]:
            made = remake_rows(networks, list(rows), change, size)
            return [face if whole is None else whole for face, whole in zip(made.faces, made.pictures, strict=True)]

        most = fitting(self.limits.batch, size)
        return await asyncio.wrap_future(self.batcher.submit((verb, keep, size), remake, row, most))

    async def translated(
        self, source: PictureFace, driver: PictureFace, identity: float, motion: float, keep_pose: bool
    ) -> np.ndarray:
        """The source's face with the driver's expression and pose; its picture with that face, if it was kept.

        ``source`` is a `fine_face`.

        Raises:
            BadRequest: 422, strengths that do not go together.
        """
        from facecycle.apply.transfer import Puppet, check_strengths

        try:  # here, where it is one request's fault alone
            check_strengths(identity, motion, keep_pose)
        except FaceCycleError as error:
            raise BadRequest(422, str(error)) from None
        networks = self.fc.networks("translate")

        def move(asked: Sequence[tuple[PictureFace, PictureFace, float, float, bool]]) -> list[np.ndarray]:
            return [Puppet(networks, one, who, how, still).picture(other) for one, other, who, how, still in asked]

        wanted = (source, driver, identity, motion, keep_pose)
        return await asyncio.wrap_future(self.batcher.submit("translate", move, wanted, 1))
