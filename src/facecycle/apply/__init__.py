"""Trained networks put to use: pictures in, codes and faces out."""
