"""The one error that the command line shows to a person."""


class UserError(Exception):
    """Bad input or an impossible request; the message names what was expected and what was found."""
