"""The one error that people are meant to read."""


class FaceCycleError(Exception):
    """A mistake in the input that the user can mend: one line with the file, the value and the mend.

    The command line prints it without a traceback (``--debug`` shows one) and exits with 2.
    """
