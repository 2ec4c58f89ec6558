"""What the commands and the Python interface tell a person when they cannot do what was asked; exit codes of commands.

UserError                bad input, or a request that cannot be met
  UsageError             an option that means nothing, whatever the input
  RefusedError           an output that would overwrite something; nothing was touched
  StreamError            bytes that are no stream, are of another model, or lack what was asked for
  MissingPackageError    an extra is not installed; the message says which
"""

from __future__ import annotations

DONE = 0
BAD_INPUT = 1  # an input that cannot be used, or a request that cannot be met
USAGE = 2  # argparse ends with it too; tests hold the table of docs/commands.md against these names
PARTLY = 3  # what could be made was written; something is missing or damaged, and was named
REFUSED = 4  # nothing was touched: an output would overwrite an input or something that exists
INTERRUPTED = 130
TERMINATED = 143  # SIGTERM: as INTERRUPTED


class UserError(Exception):
    """Bad input or an impossible request; the message names what was expected and what was found."""

    exit_code = BAD_INPUT


class UsageError(UserError):
    """An option that is missing, malformed, out of its range, or does not go with another one: wrong whatever the input."""

    exit_code = USAGE


class RefusedError(UserError):
    """An output that would overwrite something; nothing was touched."""

    exit_code = REFUSED


class StreamError(UserError):
    """Bytes that are no stream, a stream of another model, or one that lacks what was asked for: `missing` names that."""

    def __init__(self, message: str, missing: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.missing = missing


class MissingPackageError(UserError, ImportError):
    """A package that is not installed; the message names the extra that brings it."""
