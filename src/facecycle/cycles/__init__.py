"""The method. Read `motion` first, then `identity`."""
