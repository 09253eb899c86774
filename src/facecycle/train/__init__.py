"""Training: a stage is a cycle and its objective, `loop` runs it, `launch` sets everything up."""

from facecycle.train.launch import start

__all__ = ["start"]
