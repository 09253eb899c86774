"""The one error that people are meant to read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unicodedata import category


class FaceCycleError(Exception):
    """A mistake in the input that the user can mend: one line with the file, the value and the mend.

    The command line prints it without a traceback (``--debug`` shows one) and exits with 2.
    """


@contextmanager
def concerning(what: object) -> Iterator[None]:
    """Begins the errors of what it holds with ``what``: those who count rows do not know whose rows they are."""
    try:
        yield
    except FaceCycleError as error:
        raise FaceCycleError(f"{what}: {error}") from error


def as_text(name: str) -> str:
    """The name of a file as text that can be shown on one line; what does not print, as its escape."""
    return "".join(c if c.isprintable() or category(c) == "Zs" else ascii(c)[1:-1] for c in as_utf8(name))


def as_utf8(name: str) -> str:
    """The name of a file as text that can be written: one that is not UTF-8 holds what no encoder takes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
