"""Errors that a person can act on, shared by every layer."""


class TicklakeError(Exception):
    """A fault with a way out: one sentence on what was found, what is allowed and what to do.

    The command line prints the message as one line and exits with `exit_code`.
    """

    exit_code = 2


class UnavailableError(TicklakeError):
    """A server that is needed does not answer, or an outcome could not be determined."""

    exit_code = 3
