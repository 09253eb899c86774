"""The method learns: one clip by heart, in seconds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from facecycle.config import AugmentConfig
from tiny import make_faceset, records, tiny_config, train_tiny


def test_one_clip_is_learnt_by_heart(tmp_path: Path) -> None:
    """Restored from the other frame's neutral face, a frame must come out nearer than that other frame was.

    At twice the rate the code of one seed in four dies.
    """
    faces = make_faceset(tmp_path / "set", [4])
    config = tiny_config(faces, motion=160, identity=60, log_every=10, validate_every=1000, checkpoint_every=1000)
    config = dataclasses.replace(
        config,
        augment=AugmentConfig(mirror=0, shift=0, scale=0),
        motion=dataclasses.replace(config.motion, lr=(2e-3,), batch_size=2),
        identity=dataclasses.replace(config.identity, lr=(2e-3,), batch_size=2),
    )
    assert train_tiny(tmp_path / "run", config) is True
    lines = records(tmp_path / "run")
    for stage, factor in (("motion", 2.0), ("identity", 1.5)):
        losses = [line["loss"] for line in lines if line["stage"] == stage and line["split"] == "train"]
        assert losses[-1] < losses[0] / factor
    figures = {line["stage"]: line for line in lines if line["split"] == "validation"}
    assert figures["motion"]["restored_l1"] < 0.7 * figures["motion"]["copied_l1"]
    assert figures["motion"]["flow_cycle_px"] < 0.1
    assert figures["motion"]["code_std"] > 0.01
