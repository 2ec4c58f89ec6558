"""Of a single band the one basis that there is: what the decoder makes of a head that says nothing of it."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.codec.transform_coder import encode_tile
from swathpack.edge.codec.transform_coder.analysis import Analysis
from swathpack.edge.codec.transform_coder.head import expected_of
from swathpack.edge.codec.transform_coder.header import BitReader, BitWriter
from swathpack.edge.codec.transform_coder.spectral import lone_spectrum, read_spectrum, write_spectrum
from swathpack.edge.codec.transform_coder.weights import Weights


@pytest.mark.parametrize("factor", [1, 2, 6])
@pytest.mark.parametrize("name", ["B08", "B01", None])
def test_as_the_decoder_has_it(name: str | None, factor: int) -> None:
    rng = np.random.default_rng(factor)
    band = np.repeat(np.repeat(rng.integers(100, 4000, (1, 96 // factor, 96 // factor)), factor, 1), factor, 2)
    names = None if name is None else (name,)
    found = Analysis.of(band.astype(np.float32), np.ones((96, 96), np.bool_), expected_of(names, 1), Weights.equal(1))
    (pyramid,) = found.pyramids
    lone, out = lone_spectrum(pyramid), BitWriter()
    write_spectrum(lone, 1, out)
    assert out.bytes() == b""
    read = read_spectrum(pyramid, None, BitReader(b""))
    for one, other in zip(lone.zones, read.zones, strict=True):
        assert (one.start, one.stop, one.size) == (other.start, other.stop, other.size)
        assert (one.basis == other.basis).all()
    assert encode_tile(band.astype(np.uint16), None, names, 4.0).payload
