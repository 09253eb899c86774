"""What requests may cost."""

from __future__ import annotations

from dataclasses import dataclass

from facecycle.data.pictures import UploadLimits


@dataclass(frozen=True)
class Limits(UploadLimits):
    """Bounds of the service: those of `UploadLimits`, for each request, and of all requests together.

    Attributes:
        pending: requests at a time; more are told to come again.
        large: pictures of the most ``pixels`` in work at a time, or as many smaller ones as have no more pixels; at
            least 2, since a request may bring two. The other requests wait for their turn.
        batch: faces that go through the networks together.
        wait: seconds that a face waits for others to share its batch.
    """

    pending: int = 64
    large: int = 2
    batch: int = 32
    wait: float = 0.004
