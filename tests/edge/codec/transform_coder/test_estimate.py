"""What is expected of coefficients: the same in C and in numpy, nothing where nothing is known, and nearer to the truth."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.transform_coder import bitplane, decode_tile, encode_tile, native, tile
from swathpack.edge.codec.transform_coder.estimate import MOST, SHAPE, estimate, middles_of
from swathpack.edge.codec.transform_coder.layout import Layout, Pyramid, layout_of

needs_c = pytest.mark.skipif(not native.available(), reason="the C library is not built")


def _known(layout: Layout, seed: int, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Middles of intervals as a decoder leaves them, in a plane that is half coded."""
    rng = np.random.default_rng(seed)
    values, bits = np.zeros(layout.n_values, np.int32), np.full(layout.n_values, 3, np.uint8)
    for view, plane in zip(layout.views(values), layout.views(bits)):
        plane[:] = rng.integers(2, 5, plane.shape)
        size = (2 * rng.integers(1, 1 << top, view.shape) + 1) << plane
        view[:] = np.where(rng.random(view.shape) < 0.4, size * rng.choice([-1, 1], view.shape), 0)
    return values, bits


@needs_c
@pytest.mark.parametrize("top", [1, 3, 17])
@pytest.mark.parametrize(
    "pyramids", [(Pyramid(24, 20, 2, 2, 3),), (Pyramid(17, 33, 3, 1, 1), Pyramid(5, 6, 0, 2, 2, 1))]
)
def test_c_and_numpy_agree(pyramids: tuple[Pyramid, ...], top: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = layout_of(pyramids)
    values, bits = _known(layout, 3, top)
    wild = np.random.default_rng(4).integers(-32768, 32768, SHAPE).astype(np.int16)
    middles = native.middles(values, bits)
    assert np.array_equal(middles, middles_of(values, bits))
    for tables in (*bitplane.model()[2:], wild):
        fast = estimate(layout, middles, bits, tables, 1.19)
        with monkeypatch.context() as patch:
            patch.setattr(native, "available", lambda: False)
            slow = estimate(layout, middles, bits, tables, 1.19)
        assert np.array_equal(fast.view(np.int32), slow.view(np.int32))


def test_one_weight_does_what_it_says() -> None:
    layout = layout_of((Pyramid(8, 8, 0, 1, 1),))
    values, bits = np.zeros(layout.n_values, np.int32), np.full(layout.n_values, 2, np.uint8)
    (view,) = layout.views(values)
    view[3, 3] = 3 << 2  # between 4 and 8: expected at 5 11/16
    tables = np.zeros(SHAPE, np.int16)
    tables[..., 0, 2] = 1024  # a quarter of what stands at both sides, where nothing was found
    (found,) = layout.views(estimate(layout, middles_of(values, bits), bits, tables, 1.0))
    here = middles_of(values, bits).max() / 64
    wanted = np.zeros((8, 8))
    wanted[3, 3], wanted[3, [2, 4]] = here, here / 4
    assert here == 5.6875 and np.array_equal(found, wanted)
    tables[..., 0, 2] = 32767
    (found,) = layout.views(estimate(layout, middles_of(values, bits), bits, tables, 1.0))
    assert found[3, 2] == 4 and MOST > 4, "no estimate moves by more than an interval"


def test_nothing_known_is_nothing_expected() -> None:
    layout = layout_of((Pyramid(16, 16, 2, 2, 2),))
    none = np.zeros(layout.n_values, np.int64)
    assert not estimate(layout, none, np.full(layout.n_values, 9, np.uint8), bitplane.model()[2], 1.0).any()


@pytest.mark.parametrize(
    ("names", "least"), [(("B08",), 0.02), (("B02", "B03", "B04"), 0.015), (BANDS, 0.005)], ids=str
)
def test_it_is_nearer_to_the_truth(names: tuple[str, ...], least: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(len(names), 128, 128))
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128))
    fall = np.where(frequency, 1 / np.maximum(frequency, 1 / 128) ** 1.7, 0) * np.exp(-12 * frequency**2)  # a lens
    smooth = np.fft.ifft2(np.fft.fft2(noise + 2 * noise[:1]) * fall).real
    pixels = (3000 + 500 * smooth / smooth.std()).clip(0, 65535).astype(np.uint16)
    payload = encode_tile(pixels, names=names, max_bytes=pixels.size // 8).payload

    def error() -> float:
        return float(((decode_tile(payload, pixels.shape, names).samples - pixels) ** 2).mean())

    estimated = error()
    monkeypatch.setattr(tile.bitplane, "estimate", lambda layout, *found: bitplane.reconstruct(*found[:3]))
    assert estimated < (1 - least) * error()
