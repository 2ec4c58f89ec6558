"""The codecs of the bench by name."""

from __future__ import annotations

from collections.abc import Callable

from edge.bands import BANDS
from tools.peers.base import Encoded, Peer, PeerError, Series
from tools.peers.still import Jpeg2000, JpegXl
from tools.peers.swathpack import SwathPack
from tools.peers.video import X265, SvtAv1

PEERS: dict[str, Callable[[tuple[str, ...]], Peer]] = {
    "swathpack": SwathPack,
    "j2k": lambda bands: Jpeg2000(bands),
    "j2k-klt": lambda bands: Jpeg2000(bands, klt=True),
    "jxl-klt": JpegXl,
    "x265-klt": X265,
    "av1-klt": SvtAv1,
}


def make(name: str, bands: tuple[str, ...] = BANDS) -> Peer:
    """The codec called `name`. Raises PeerError if there is none or its packages are missing."""
    if name not in PEERS:
        raise PeerError(f"unknown codec {name!r}; known: {', '.join(PEERS)}")
    return PEERS[name](bands)


__all__ = ["PEERS", "Encoded", "Peer", "PeerError", "Series", "make"]
