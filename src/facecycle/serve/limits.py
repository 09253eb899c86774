"""What a request may cost, and the body that costs too much."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True)
class Limits:
    """Bounds of the service.

    Attributes:
        bytes: of a request's body.
        pixels: of a picture.
        seconds: that a request may wait for its answer.
        pending: requests at a time; more are told to come again.
        batch: faces that go through the networks together.
        wait: seconds that a face waits for others to share its batch.
    """

    bytes: int = 10_000_000
    pixels: int = 25_000_000
    seconds: float = 20.0
    pending: int = 64
    batch: int = 32
    wait: float = 0.004


class LimitBody:
    """ASGI middleware that stops reading a body at the limit: what it says of its length is not believed."""

    def __init__(self, app: Callable[..., Awaitable[None]], most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.most:  # raised where the endpoint reads the body, and answered by its error handler
                raise HTTPException(413, f"the request is larger than {self.most:,} bytes; send smaller pictures")
            return message

        await self.app(scope, counted, send)
