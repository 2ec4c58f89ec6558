"""The codecs of the bench by name."""

from __future__ import annotations

from collections.abc import Callable

from swathpack.edge.bands import BANDS
from swathpack.tools.bench.peers.base import Encoded, Peer, PeerError, Series
from swathpack.tools.bench.peers.still import Jpeg2000, JpegXl
from swathpack.tools.bench.peers.swathpack import Layers, Rows, SwathPack, Variant
from swathpack.tools.bench.peers.video import X265, SvtAv1
from swathpack.tools.bench.peers.weighted import Visible

PEERS: dict[str, Callable[[tuple[str, ...]], Peer]] = {
    "swathpack": SwathPack,
    "j2k": lambda bands: Jpeg2000(bands),
    "j2k-klt": lambda bands: Jpeg2000(bands, klt=True),
    "jxl-klt": JpegXl,
    "x265-klt": X265,
    "av1-klt": SvtAv1,
    "j2k-klt-visible": lambda bands: Visible(Jpeg2000(bands, klt=True), bands),
    "x265-klt-visible": lambda bands: Visible(X265(bands), bands),
    "av1-klt-visible": lambda bands: Visible(SvtAv1(bands), bands),
}
# The same codec with parts left out or cut short, for `bench --evidence`.
VARIANTS: dict[str, Callable[[tuple[str, ...]], Peer]] = {
    "swathpack-equal": lambda bands: Variant("swathpack-equal", "equal weights of bands", bands, weights="equal"),
    "swathpack-learned": lambda bands: Variant("swathpack-learned", "the learned codec alone", bands, mode="learned"),
    "swathpack-intra": lambda bands: Variant("swathpack-intra", "every frame alone", bands, intra_every=1),
    "swathpack-plain": lambda bands: Variant("swathpack-plain", "no optimised quantisation", bands, slope=0.0),
    "swathpack-nobase": lambda bands: Variant("swathpack-nobase", "no base layer", bands, shift=0),
    "swathpack-k1": lambda bands: Variant("swathpack-k1", "first layer only", bands, layers=1),
    "swathpack-q24": lambda bands: Layers(24, bands),
    "swathpack-q40": lambda bands: Layers(40, bands),
    "swathpack-rows24": lambda bands: Rows(24, bands),
}


def make(name: str, bands: tuple[str, ...] = BANDS) -> Peer:
    """The codec called `name`. Raises PeerError if there is none or its packages are missing."""
    if name not in PEERS | VARIANTS:
        raise PeerError(f"unknown codec {name!r}; known: {', '.join(PEERS)}, {', '.join(VARIANTS)}")
    return (PEERS | VARIANTS)[name](bands)


__all__ = ["PEERS", "VARIANTS", "Encoded", "Peer", "PeerError", "Series", "make"]
