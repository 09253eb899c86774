"""Every command, registered by importing the file that holds it."""

from facecycle.cli import data, synth, train  # noqa: F401
