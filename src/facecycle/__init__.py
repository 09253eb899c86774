"""FaceCycle: motion and identity codes from unlabelled faces, by undoing and redoing them.

Importing this package loads neither torch nor OpenCV; what needs them is imported where it is used.
"""

__version__ = "0.1.0"
