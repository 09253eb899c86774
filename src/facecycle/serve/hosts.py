"""By which names a server may be asked.

A server that listens at this machine alone is still within reach of any site that its user visits: the site's name may
be turned into 127.0.0.1, and the browser then lets the site's scripts ask and read. Its requests name the site as their
host.
"""

from __future__ import annotations

import ipaddress
import re
import socket

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL = ("localhost", "127.0.0.1", "[::1]")


def names(host: str) -> frozenset[str] | None:
    """The names by which a server that listens at ``host`` may be asked; None where other machines reach it."""
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", None)
    except OSError:  # nothing can listen there
        return frozenset(LOCAL)
    if not all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found):
        return None
    return frozenset({*LOCAL, f"[{host}]" if ":" in host else host.lower()})


class Hosts:
    """ASGI middleware that answers 400 where a request is for another host, whatever the port.

    Args:
        app: the application.
        names: the names that are taken, in lower case.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self.app, self.names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            host = Headers(scope=scope).get("host", "")
            if re.sub(r":\d*$", "", host).lower() not in self.names:
                mend = "ask for localhost, or start the server with the --host that others shall reach"
                await JSONResponse({"detail": f"host {host[:80]!r}: not this machine; {mend}"}, 400)(
                    scope, receive, send
                )
                return
        await self.app(scope, receive, send)
