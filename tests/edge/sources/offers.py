"""Acquisitions that tests of sources send."""

import numpy as np

from swathpack.edge.frame import Frame
from swathpack.edge.sources.acquisition import Acquisition

BANDS = ("B02", "B03", "B04")


def acquisition(name="frame one", seed=0, side=20):
    """Three bands, two rows of them without data."""
    data = np.random.default_rng(seed).integers(0, 9000, (3, side, side + 3)).astype(np.uint16)
    data[:, :2] = 0
    return Acquisition(name, 1_700_000_000, 77, Frame(data, BANDS, level="L2A", boa_offset=True), 2.5, 1)


def same(a, b):
    """Whether two acquisitions are one, the time of their frames left out."""
    heads = [
        (x.name, x.time, x.place, x.weight, x.urgency, x.frame.bands, x.frame.level, x.frame.boa_offset) for x in (a, b)
    ]
    return heads[0] == heads[1] and (a.frame.data == b.frame.data).all() and (a.frame.valid == b.frame.valid).all()


def drain(source):
    """All that a source offers now, each done with."""
    found = []
    while (one := source.poll()) is not None:
        found.append(one)
        source.done(one)
    return found
