"""What a configuration's sections are made of: dataclasses whose fields know their ranges and choices."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from facecycle.errors import FaceCycleError


def number(default: Any, low: float | None = None, high: float | None = None) -> Any:
    """A numeric field that must lie in [low, high]."""
    return field(default=default, metadata={"low": low, "high": high})


def choice(default: str, *names: str) -> Any:
    """A text field that must be one of ``names``."""
    return field(default=default, metadata={"choices": names})


def convert(value: Any, hint: Any, label: str, choices: tuple[str, ...] = ()) -> Any:
    """The value as the declared type: whole numbers pass for floats, lists for tuples, nothing else is bent."""
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise FaceCycleError(f"{label} = {value!r}: expected a list, such as [0.1, 0.2]")
        return tuple(convert(item, get_args(hint)[0], label) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        if choices:
            raise FaceCycleError(f"{label} = {value!r}: must be one of {', '.join(choices)}")
        raise FaceCycleError(f"{label} = {value!r}: expected {hint.__name__}, got {type(value).__name__}")
    return value


def check_range(value: Any, limits: Any, label: str) -> None:
    """Refuse a value outside the ranges and choices that a field's metadata names."""
    low, high, choices = limits.get("low"), limits.get("high"), limits.get("choices")
    if choices and value not in choices:
        raise FaceCycleError(f"{label} = {value!r}: must be one of {', '.join(choices)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise FaceCycleError(f"{label} = {value}: must be a finite number")
    if low is not None and not value >= low:
        raise FaceCycleError(f"{label} = {value}: must be at least {low}")
    if high is not None and not value <= high:
        raise FaceCycleError(f"{label} = {value}: must be at most {high}")


@dataclass(frozen=True)
class Section:
    """A part of the configuration: checks every field against its declared range and choices."""

    def __post_init__(self) -> None:
        section = type(self).__name__.removesuffix("Config").lower()
        for entry in dataclasses.fields(self):
            check_range(getattr(self, entry.name), entry.metadata, f"{section}.{entry.name}")
