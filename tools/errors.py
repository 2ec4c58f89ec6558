"""What the command line tells a person when it cannot do what was asked, and the exit codes of every command."""

from __future__ import annotations

DONE = 0
BAD_INPUT = 1  # an input that cannot be used, or a request that cannot be met
USAGE = 2  # argparse
PARTLY = 3  # what could be made was written; something is missing or damaged, and was named
REFUSED = 4  # nothing was touched: an output would overwrite an input or something that exists
INTERRUPTED = 130


class UserError(Exception):
    """Bad input or an impossible request; the message names what was expected and what was found."""

    exit_code = BAD_INPUT


class RefusedError(UserError):
    """An output that would overwrite something; nothing was touched."""

    exit_code = REFUSED
