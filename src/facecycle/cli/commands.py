"""Every command, registered by importing the file that holds it."""

from facecycle.cli import apply, data, demo, evaluate, faces, serve, synth, train, weights  # noqa: F401
