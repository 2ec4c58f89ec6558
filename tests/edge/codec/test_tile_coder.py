"""One tile to coded layers: sizes, distortion estimates, segments."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.codec.latents import CONTEXT_LIMIT, LAYERS, LatentError, finest_step, quantise
from swathpack.edge.codec.layers import tile_decoder
from swathpack.edge.codec.prediction import CodingContext, TileDecoder
from swathpack.edge.codec.tile_coder import CodedLatent, alike, analyse_tile, encode_tile
from swathpack.edge.stream import ContextRef
from swathpack.edge.stream.quality import quality_of
from swathpack.hil_tests.simulation.made_frames import values
from tests.codec_models import shipped

SIDE = 64


def coefficients(date: int = 0) -> np.ndarray:
    return analyse_tile(shipped(), values(SIDE, SIDE, 2, seed=3)[date], np.ones((SIDE, SIDE), bool))


def coded(q: int, context: bool = False) -> CodedLatent:
    earlier = [CodingContext(encode_tile(shipped(), coefficients(1), q).latent, q)] if context else []
    return encode_tile(shipped(), coefficients(), q, earlier)


@pytest.mark.parametrize("context", [False, True])
def test_distortion_falls_with_layers_and_tells_the_image_error(context: bool) -> None:
    """The estimate (kernel energies) must follow the error of synthesised images, layer by layer."""
    tile, pixels = coded(20, context), values(SIDE, SIDE, 2, seed=3)[0].astype(np.float64)
    assert tile.distortion.shape == (LAYERS + 1,) and np.all(np.diff(tile.distortion) <= 0)
    decoder = TileDecoder(shipped().engine, shipped().tables, tile.contexts, 20, tile.latent.shape[1:])
    assert decoder.decode(tile.layers.payload(LAYERS), LAYERS) == LAYERS
    real = {k: np.square(shipped().synthesise(decoder.estimate(k), 20) - pixels).sum() for k in (1, 4, 16)}
    # Both leave out what 512 channels cannot hold once the whole latent's error is taken off.
    for k in (1, 4):
        assert 0.4 < (tile.distortion[k] - tile.distortion[16]) / (real[k] - real[16]) < 2.5


def test_finer_steps_cost_more_and_err_less() -> None:
    tiles = [coded(q) for q in (10, 25, 40, 63)]
    sizes = [int(t.payload_sizes[-1]) for t in tiles]
    errors = [float(t.distortion[-1]) for t in tiles]
    assert sizes == sorted(sizes, reverse=True) and errors == sorted(errors)
    assert len(set(sizes)) == 4


@pytest.mark.parametrize(("start", "stop"), [(0, 16), (0, 3), (5, 9)])
def test_segments_name_what_they_hold(start: int, stop: int) -> None:
    tile, ref = coded(30), (ContextRef(0, 7, b"abcd"),)
    segment = tile.segment(3, 1, stop, ref, start)
    assert (segment.frame, segment.tile, segment.quality) == (3, 1, 30)
    assert (segment.layer_start, segment.layer_stop) == (start, stop)
    assert (segment.grid_h, segment.grid_w) == (4, 4) and segment.contexts == ref
    if start == 0:
        assert len(segment.payload) == tile.payload_sizes[stop]


def test_invalid_pixels_do_not_matter() -> None:
    pixels, valid = values(SIDE, SIDE)[0], np.ones((SIDE, SIDE), bool)
    valid[10:30, 20:50] = False
    other = np.where(valid, pixels, 60000).astype(np.uint16)
    np.testing.assert_array_equal(analyse_tile(shipped(), pixels, valid), analyse_tile(shipped(), other, valid))


@pytest.mark.parametrize("slope", [0.0, 0.09])
@pytest.mark.parametrize("shift", [0, 3])
def test_bright_tiles_are_coded_exactly_against_bright_and_dark_contexts(shift: int, slope: float) -> None:
    """Values far beyond what contexts tell; and a step that is too fine for the tile gives the finest that is not."""
    model = shipped()
    pixels = np.full((12, 48, 48), 65_535, np.float32)
    pixels[:, :20] = 30_000
    bright = analyse_tile(model, pixels, np.ones((48, 48), np.bool_))
    finest = finest_step(bright)
    contexts = [
        CodingContext(encode_tile(model, bright, 20).latent, 20),
        CodingContext(quantise(coefficients(), 8, 0.1)[:, :3, :3], 8),
    ]
    for q in (0, finest, finest + 9):
        tile = encode_tile(model, bright, quality_of(q, shift), contexts, slope=slope)
        assert tile.quality == quality_of(max(q, finest), shift) and finest > 0
        assert np.abs(tile.latent).max() > 4 * CONTEXT_LIMIT
        error = np.abs(bright * 2.0 ** (-tile.q / 8) - tile.latent)
        assert error.max() <= 0.6 if slope == 0 else error.max() < 2, "nothing is clipped"
        decoder = tile_decoder(model.engine, model.tables, contexts, tile.quality, (3, 3))
        assert decoder.decode(tile.layers.payload(LAYERS), LAYERS) == LAYERS
        np.testing.assert_array_equal(decoder.latent, tile.latent)


def test_contexts_worth_trying_are_the_two_most_alike_and_none_that_shows_something_else() -> None:
    rng = np.random.default_rng(5)
    ground, other = rng.normal(0, 40, (2, 512, 4, 4)).astype(np.float32)

    def seen(share: float) -> CodingContext:
        return CodingContext(np.rint(share * ground + (1 - abs(share)) * other).astype(np.int16), 20)

    given = [
        ("cloud", seen(0.0)),
        ("hazy", seen(0.5)),
        ("negative", seen(-1.0)),
        ("same", seen(1.0)),
        ("near", seen(0.8)),
    ]
    assert [name for name, _ in alike(ground, given)] == ["same", "near"]
    assert [name for name, _ in alike(ground, given[:3])] == ["hazy"] and alike(ground, ()) == []


def test_coefficients_that_are_not_numbers_are_refused() -> None:
    broken = coefficients()
    broken[5, 1, 1] = np.nan
    with pytest.raises(LatentError, match="found nan"):
        encode_tile(shipped(), broken, 24)
