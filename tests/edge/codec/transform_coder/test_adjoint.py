"""The transpose of the inverse wavelet: the same inner products, and coefficients that make up for missing ones."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.codec.transform_coder import decode_tile, encode_tile, native, trellis
from swathpack.edge.codec.transform_coder.adjoint import adjoint, made_up
from swathpack.edge.codec.transform_coder.head import Part
from swathpack.edge.codec.transform_coder.layout import Pyramid
from swathpack.edge.codec.transform_coder.rasters import Grid, Raster
from swathpack.edge.codec.transform_coder.shaped import RasterShape, Shape, inverse
from swathpack.edge.codec.transform_coder.spectral import default_spectrum
from swathpack.edge.codec.transform_coder.synthesis import add_bands
from tests.edge.codec.transform_coder.test_trellis import scene


@pytest.mark.parametrize(("height", "width", "levels"), [(1, 1, 0), (9, 13, 1), (40, 40, 2), (61, 47, 3)])
@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
def test_inner_products_are_the_same(height: int, width: int, levels: int, share: float) -> None:
    rng = np.random.default_rng(height)
    shape = Shape.of(rng.random((height, width)) < share, levels)
    coefficients = rng.normal(size=(3, height * width)).astype(np.float32) * ~shape.holes
    pixels = rng.normal(size=(3, height, width)).astype(np.float32)
    there = (inverse(coefficients, shape).astype(np.float64) * pixels).sum()
    back = (coefficients.astype(np.float64) * adjoint(pixels, shape)).sum()
    assert back == pytest.approx(there, rel=1e-4, abs=1e-3)


def test_of_bands_on_two_grids_too() -> None:
    rng, valid = np.random.default_rng(2), np.ones((40, 36), np.bool_)
    valid[9:30, 5:25] = False
    raster, pyramid = Raster(Grid(1), (0, 2), (1,)), Pyramid(40, 36, 2, 2, 3)
    part = Part(raster, pyramid, default_spectrum(pyramid, np.diag([3.0, 2.0, 1.0])))
    shape = RasterShape.of(raster, pyramid, valid)
    given, missing = (rng.normal(size=(3, 40 * 36)).astype(np.float32) * ~shape.holes(pyramid) for _ in range(2))
    given[2, 20 * 18 :], missing[2, 20 * 18 :] = 0, 0
    drawn = np.zeros((2, 3, 40, 36), np.float32)
    for pixels, components in zip(drawn, (given, missing)):
        add_bands(pixels, raster, pyramid, part.spectrum.inverse(components), shape)
    more = made_up([part], [shape], valid, [missing])[0]
    there = (drawn[0].astype(np.float64) * drawn[1] * valid).sum()
    assert (given.astype(np.float64) * more).sum() == pytest.approx(there, rel=1e-4)


@pytest.mark.skipif(not native.available(), reason="the C library is not built")
def test_tiles_with_holes_have_less_error_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, valid, errors = scene(("B02", "B08")), np.ones((96, 96), np.bool_), []
    y, x = np.mgrid[:96, :96]
    for row, column in ((20, 30), (60, 70), (80, 20)):
        valid &= (y - row) ** 2 + (x - column) ** 2 > 15**2
    names = ("B02", "B08")
    payload = encode_tile(pixels, valid, names, max_bytes=700, shaped=True).payload
    for part in (0.0, 0.5):
        monkeypatch.setattr(trellis, "COMPENSATED", part)
        found = trellis.refine_payload(payload, pixels, valid, names)
        assert found is not None and 0.98 * len(payload) <= len(found) <= len(payload)
        drawn = decode_tile(found, pixels.shape, names, valid=valid).samples
        errors.append(float(((drawn - pixels)[:, valid] ** 2).mean()))
    assert errors[1] < 0.997 * errors[0]
