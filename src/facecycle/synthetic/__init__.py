"""Synthetic face clips with exact ground truth, drawn from CC0 parametric heads."""
