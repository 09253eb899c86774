"""Frames of a camera of this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator

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
        given, picture = camera.read()
        if not given:
            raise FaceCycleError(f"webcam:{index}: gives no picture; is there such a camera, and is it free?")
        while given:
            yield time.monotonic() - start, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            given, picture = camera.read()
    except KeyboardInterrupt:
        return
    finally:
        camera.release()
