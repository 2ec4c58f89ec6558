"""The one error of everything that parses bytes from the link."""


class PacketError(ValueError):
    """Bytes that are not what the format says; the message carries what was expected and what was found."""
