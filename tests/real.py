"""Photographs of real people, which are no part of the repository: tests that want them are skipped aloud without."""

from __future__ import annotations

import os
from pathlib import Path

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data" / "real_small"
REAL = Path(os.environ.get("FACECYCLE_REAL_FACES") or _BESIDE)
"""A folder with ``london/``, the Face Research Lab London Set, as `facecycle evaluate --task london` reads it."""
