"""Frames of a camera of this machine."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np
from jaxtyping import UInt8

from facecycle.errors import FaceCycleError


def webcam_frames(index: int) -> Iterator[tuple[float, UInt8[np.ndarray, "h w 3"]]]:
    """(Seconds since the first frame, RGB picture) for as long as the camera gives any, or until Ctrl-C.

    Raises:
        FaceCycleError: OpenCV is missing, or the camera gives nothing.
    """
    try:
        import cv2
    except ImportError:
        raise FaceCycleError("webcams need OpenCV: pip install 'facecycle[faces]'") from None
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # what is wrong is said below, in one line
    camera = cv2.VideoCapture(index)
    start = time.monotonic()
    try:
        with _interrupts() as interrupted:
            given, picture = camera.read()
            if not given:
                raise FaceCycleError(f"webcam:{index}: gives no picture; is there such a camera, and is it free?")
            while given and not interrupted():
                yield time.monotonic() - start, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
                given, picture = camera.read()
    finally:
        camera.release()


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Gives a function that tells whether Ctrl-C was pressed; a second one acts as usual.

    An exception would mostly come while networks run or files are written, and what was recorded would be lost.
    """
    pressed = False

    def on_signal(number: int, _: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(number, former)

    if threading.current_thread() is not threading.main_thread():  # signals reach that one alone
        yield lambda: False
        return
    former = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, on_signal)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, former)
