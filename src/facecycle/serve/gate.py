"""The gate that every request comes through: how many there are at a time, how many bytes each, and how long.

It stands before FastAPI, which calls an endpoint only when the whole body is there: limits in an endpoint would not see
an upload that stalls.
"""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facecycle.serve.limits import Limits


class Gate:
    """ASGI middleware that answers 503, 408 or 504 in the application's place, and stops reading a body at its limit.

    All that costs anything is a POST; the rest passes, so that health and the page are answered on a busy service too.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return

        async def refuse(status: int, detail: str, **headers: str) -> None:
            await JSONResponse({"detail": detail}, status, headers)(scope, receive, send)

        requests: set[asyncio.Task] = scope["app"].state.service.requests
        if len(requests) >= self.limits.pending:
            await refuse(503, f"{len(requests)} requests are waiting already; come again in a moment")
            return
        seen, arrived, answering = 0, False, False

        async def counted() -> Message:
            nonlocal seen, arrived
            message = await receive()
            seen += len(message.get("body", b""))  # what a request says of its length is not believed
            if seen > self.limits.bytes:  # raised where the endpoint reads the body, and answered by its error handler
                most = f"{self.limits.bytes:,} bytes"
                raise HTTPException(413, f"the request is larger than {most}; send smaller pictures")
            arrived = not message.get("more_body", False)
            return message

        async def noted(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        request = asyncio.ensure_future(self.app(scope, counted, noted))
        requests.add(request)
        request.add_done_callback(requests.discard)
        await asyncio.wait([request], timeout=self.limits.seconds)
        if request.done() or answering:
            await request
            return
        request.cancel()  # not awaited: it counts until its threads have ended, see `Service.ended`
        within = f"within {self.limits.seconds:g} s; send smaller pictures"
        if arrived:
            await refuse(504, f"no answer {within}")
        else:
            await refuse(408, f"the request did not arrive {within}", connection="close")
