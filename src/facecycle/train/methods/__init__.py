"""The method, and rivals that the same loop trains on the same data, budget and encoder: a fair comparison."""

from __future__ import annotations

from facecycle.train.methods.fabnet import FabNetStage
from facecycle.train.methods.simclr import SimclrStage
from facecycle.train.methods.tcae import TcaeStage
from facecycle.train.stage import STAGES, Stage

METHODS: dict[str, dict[str, type[Stage]]] = {
    "facecycle": STAGES,
    "simclr": {"motion": SimclrStage},
    "fabnet": {"motion": FabNetStage},
    "tcae": {"motion": TcaeStage},
}
"""Method -> its stages by name, in order. A rival has one, which takes the motion stage's steps, batch and rates."""
