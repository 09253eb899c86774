"""``facecycle serve``: the verbs as a small REST service."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from facecycle.errors import FaceCycleError

if TYPE_CHECKING:
    from facecycle.api import FaceCycle
    from facecycle.serve.limits import Limits


def serve(fc: FaceCycle, host: str = "127.0.0.1", port: int = 8000, limits: Limits | None = None) -> None:
    """Run the service until it is stopped.

    Args:
        fc: trained weights.
        host: address to listen at.
        port: to listen at.
        limits: what a request may cost.

    Raises:
        FaceCycleError: the packages of the extra ``serve`` are missing, or there can be no listening there.
    """
    try:
        from facecycle.serve.app import run
        from facecycle.serve.limits import Limits
    except ImportError as error:
        raise FaceCycleError(f"the service needs {error.name}: pip install 'facecycle[serve]'") from None
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise FaceCycleError(f"{host}:{port}: {error.strerror}; name another --host or --port") from None
    run(fc, host, port, limits or Limits())
