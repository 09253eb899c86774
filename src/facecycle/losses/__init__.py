"""What the cycles are asked for: terms, perceptual features, and the objective that adds them up."""
