"""FaceCycle: motion and identity codes from unlabelled faces, by undoing and redoing them.

Importing this package loads neither torch nor OpenCV; what needs them is imported where it is used.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["FaceCycle", "FaceCycleError", "__version__", "list_weights"]

if TYPE_CHECKING:
    from facecycle.api import FaceCycle
    from facecycle.errors import FaceCycleError
    from facecycle.hub import list_weights

_HOME = {"FaceCycle": "facecycle.api", "FaceCycleError": "facecycle.errors", "list_weights": "facecycle.hub"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'facecycle' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
