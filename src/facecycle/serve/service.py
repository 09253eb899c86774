"""What the endpoints share: the networks behind a batcher, and room for pictures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from starlette.datastructures import UploadFile

from facecycle.api import FaceCycle
from facecycle.apply.embed import Codes, encode_rows
from facecycle.apply.faces import PASTED, PictureFace
from facecycle.errors import FaceCycleError
from facecycle.serve.batcher import Batcher
from facecycle.serve.faces import BadRequest, FaceFinder
from facecycle.serve.limits import Limits


class Service:
    """Does what requests ask for, as many at a time as there is room for their pictures.

    Args:
        fc: trained weights.
        limits: what a request may cost.
    """

    def __init__(self, fc: FaceCycle, limits: Limits) -> None:
        self.fc, self.limits = fc, limits
        self.finder, self.batcher = FaceFinder(fc, limits.pixels), Batcher(limits.batch, limits.wait)
        self.threads, self.room = ThreadPoolExecutor(), Room(limits.large * limits.pixels)
        self.requests: set[asyncio.Task] = set()  # those that the gate let in and that have not ended

    def close(self) -> None:
        """Finish what has begun and stop."""
        self.threads.shutdown()
        self.batcher.close()

    async def answer(self, work: Callable[[], Awaitable[Any]], **files: UploadFile) -> Any:
        """Run one request's work when there is room for its pictures.

        Raises:
            BadRequest: a file is no picture or too large, or what the work raises.
        """
        pixels = [await self.in_thread(self.finder.measure, file, name) for name, file in files.items()]
        async with self.room.held(sum(pixels)):  # for all at once: else two requests might wait for each other
            return await work()

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What takes long, while others are answered."""
        return await ended(self.threads.submit(function, *arguments))

    async def face(self, file: UploadFile, name: str, cropped: bool) -> PictureFace:
        """The face of an uploaded picture."""
        return await self.in_thread(self.finder.find, file, name, cropped)

    async def fine_face(self, file: UploadFile, name: str, cropped: bool, size: int, paste: bool) -> PictureFace:
        """The same, to be made anew: ``size`` pixels large, or pasted into its picture."""
        return await self.in_thread(self.finder.find, file, name, cropped, paste, PASTED if paste else size)

    async def codes(self, row: PictureFace) -> Codes:
        """Its codes, in one batch with those of other requests."""

        def encode(rows: Sequence[PictureFace]) -> list[Codes]:
            together = encode_rows(self.fc.encoders, list(rows))
            return [together.row(index) for index in range(len(rows))]

        return await ended(self.batcher.submit("embed", encode, row))

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
        return await ended(self.batcher.submit((verb, keep, size), remake, row, most))

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
        return await ended(self.batcher.submit("translate", move, wanted, 1))


class Room:
    """Room for so many pixels at a time."""

    def __init__(self, pixels: int) -> None:
        self.free = pixels
        self._turn, self._freed = asyncio.Lock(), asyncio.Event()

    @asynccontextmanager
    async def held(self, pixels: int) -> AsyncIterator[None]:
        """Wait for so much room, and hold it."""
        async with self._turn:  # first come, first served: small pictures do not pass a large one for ever
            while self.free < pixels:
                self._freed.clear()
                await self._freed.wait()
            self.free -= pixels
        try:
            yield
        finally:
            self.free += pixels
            self._freed.set()


async def ended(job: Future) -> Any:
    """The result of a thread's work.

    A request that is given up waits for work that has begun all the same: a thread cannot be stopped, and holds its
    pictures until it ends.
    """
    waiting = asyncio.wrap_future(job)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        if not job.cancel():
            await asyncio.wait([waiting])
        raise
