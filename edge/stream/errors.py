"""The errors of the stream container."""

from __future__ import annotations


class StreamError(Exception):
    """Bytes that are not a usable stream (or record), or values that a stream cannot hold."""
