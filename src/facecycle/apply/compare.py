"""How alike two faces are, and which of many are most alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from facecycle.errors import FaceCycleError

THRESHOLD = 0.5
BY = ("identity", "motion")


@dataclass(frozen=True)
class Comparison:
    """Cosine similarities of two faces' codes, in [-1, 1]."""

    identity: float
    motion: float
    threshold: float
    calibrated: bool
    """Whether the threshold was measured for these weights, or given, rather than a guess."""
    of_drawn_people: bool = False
    """Whether it was measured on synthetic people alone: on photographs its errors are many times as many."""

    @property
    def same_person(self) -> bool:
        """The verdict: whether identity is at or above the threshold."""
        return self.identity >= self.threshold

    def __str__(self) -> str:
        verdict = "same person" if self.same_person else "different people"
        return (
            f"identity {self.identity:.3f}, motion {self.motion:.3f}: {verdict} "
            f"(threshold {self.threshold:.3f}{self.reservation})"
        )

    @property
    def reservation(self) -> str:
        """What to think of the threshold, where it is not to be trusted; for people."""
        if self.of_drawn_people:
            return ", found on drawn people: on photographs it is often wrong"
        return "" if self.calibrated else ", not calibrated for these weights"


def cosine(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "n m"]:
    """Similarity of every code of ``a`` with every one of ``b``."""
    a, b = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (a, b))
    return a @ b.T


@dataclass(frozen=True)
class Hits:
    """The most similar rows, best first."""

    indices: Int[np.ndarray, " k"]
    similarity: Float[np.ndarray, " k"]


def nearest(query: Float[np.ndarray, " d"], codes: Float[np.ndarray, "n d"], top: int) -> Hits:
    """The ``top`` rows of ``codes`` most similar to ``query``: exact, by scikit-learn; NaN rows are passed over.

    Raises:
        FaceCycleError: scikit-learn is missing, or there is no usable row.
    """
    try:
        from sklearn.neighbors import NearestNeighbors
    except ImportError:
        raise FaceCycleError("search needs scikit-learn: pip install 'facecycle[search]'") from None
    usable = np.flatnonzero(np.isfinite(codes).all(axis=1))
    if not len(usable):
        raise FaceCycleError("nothing to search: no face was found in any of the pictures")
    index = NearestNeighbors(metric="cosine", algorithm="brute").fit(codes[usable])
    distance, found = index.kneighbors(query[None], min(top, len(usable)))
    return Hits(usable[found[0]], 1 - distance[0])
