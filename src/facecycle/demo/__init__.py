"""``facecycle demo``: a local page to play with."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from facecycle.errors import FaceCycleError

if TYPE_CHECKING:
    from facecycle.api import FaceCycle


def demo(fc: FaceCycle, host: str = "127.0.0.1", port: int | None = None, open_browser: bool = False) -> None:
    """Show the page until it is stopped.

    Args:
        fc: trained weights.
        host: address to listen at; the default is this machine alone.
        port: to listen at; None takes a free one from 7860 on.
        open_browser: open the page in the browser.

    Raises:
        FaceCycleError: the weights make no pictures, gradio is missing, or there can be no listening there.
    """
    fc.networks("the page")
    try:
        from facecycle.demo.page import launch
    except ImportError as error:
        raise FaceCycleError(f"the page needs {error.name}: pip install 'facecycle[demo]'") from None
    try:  # gradio would try one port after the other, whatever is wrong with the host
        socket.create_server((host, port or 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise FaceCycleError(f"{host}:{port or 7860}: {error.strerror}; name another --host or --port") from None
    try:
        launch(fc, host, port, open_browser)
    except OSError as error:
        raise FaceCycleError(f"{host}:{port or 'any port'}: cannot be listened at; name a free --port") from error
