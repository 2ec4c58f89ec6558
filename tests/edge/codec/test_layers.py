"""Latents with a base layer: exact round trips, cuts, contexts that are known to their base, and what they are worth."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from swathpack.edge.codec.base_layer import BASE_GROUPS, base_of, known_part
from swathpack.edge.codec.latents import GROUP, LATENT_LIMIT, LAYERS
from swathpack.edge.codec.layers import CodedBase, EmbeddedDecoder, encode_layers, known_context, tile_decoder
from swathpack.edge.codec.network import ExactNetwork
from swathpack.edge.codec.prediction import Base, CodingContext, CodingError, TileDecoder, bins_of, predict
from swathpack.edge.codec.tables import PRIOR_SHAPE
from swathpack.edge.codec.tile_coder import RDO_SLOPE, CodedLatent, analyse_tile, encode_tile
from swathpack.edge.stream import lone_binding, pack_segment
from swathpack.edge.stream.quality import base_step_of, quality_of, step_of
from swathpack.edge.stream.segment import unpack_front
from swathpack.hil_tests.simulation.made_frames import values
from tests.codec_models import shipped

SIDE, SIZE = 64, (4, 4)
QUALITIES = [quality_of(8, 3), quality_of(26, 2), quality_of(44, 1)]


@cache
def coefficients(seed: int = 0) -> np.ndarray:
    frame = values(SIDE, SIDE, 1, 20 + seed)[0].astype(np.float32)
    return analyse_tile(shipped(), frame, np.ones((SIDE, SIDE), bool))


@cache
def coded(quality: int, known: int = 0, slope: float = 0.0) -> CodedLatent:
    """A tile with, if known > 0, an earlier date of which that many layers are known."""
    contexts = []
    if known:
        earlier = encode_tile(shipped(), 1.02 * coefficients(), quality_of(24, 2))
        contexts = [known_context(earlier.latent, earlier.quality, known)]
    return encode_tile(shipped(), coefficients(), quality, contexts, slope=slope)


def decoder(tile: CodedLatent) -> EmbeddedDecoder:
    found = tile_decoder(shipped().engine, shipped().tables, tile.contexts, tile.quality, SIZE)
    assert isinstance(found, EmbeddedDecoder)
    return found


@pytest.mark.parametrize("slope", [0.0, RDO_SLOPE])
@pytest.mark.parametrize("known", [0, 1, 3, 16])
@pytest.mark.parametrize("quality", QUALITIES)
def test_round_trip(quality: int, known: int, slope: float) -> None:
    tile = coded(quality, known, slope)
    found = decoder(tile)
    assert found.decode(tile.layers.payload(LAYERS), LAYERS) == LAYERS
    np.testing.assert_array_equal(found.latent, tile.latent)
    assert found.layers == LAYERS and found.q == step_of(quality)


@pytest.mark.long
@pytest.mark.parametrize("quality", QUALITIES)
def test_every_cut_gives_the_layers_that_fit(quality: int) -> None:
    tile = coded(quality)
    payload = tile.layers.payload(LAYERS)
    ends = [int(end) + by for end in tile.layers.sizes[1:] for by in (-1, 4)]
    for cut in {*range(0, len(payload) + 1, max(len(payload) // 24, 7)), *ends} & {*range(len(payload) + 1)}:
        found = decoder(tile)
        layers = found.decode(payload[:cut], LAYERS)
        # A longer payload may need a few bytes more to settle a layer than one that ends there.
        assert layers >= int((tile.layers.sizes[1:] + 4 <= cut).sum())
        np.testing.assert_array_equal(found.latent, known_part(tile.latent, layers, quality))


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_a_base_that_leaves_the_range_in_fine_steps_is_refused(shift: int) -> None:
    """No encoder writes one; let in, it would come out with the other sign."""
    model, quality, most = shipped(), quality_of(8, shift), LATENT_LIMIT >> shift
    for value in (most, -most, most + 1, -most - 1):
        values = np.zeros((512, *SIZE), np.int16)
        values[3, 1, 2] = value
        said = predict(model.engine, values, (), base_step_of(quality), layers=BASE_GROUPS)
        tile, base = coded(quality), CodedBase(Base(values, shift), said)
        payload = encode_layers(model.tables, tile.prediction, tile.latent, 0, 1, base=base).payload(1)
        found = tile_decoder(model.engine, model.tables, (), quality, SIZE)
        if abs(value) > most:
            with pytest.raises(CodingError, match=f"layer 0: a value beyond {most};"):
                found.decode(payload, 1)
            continue
        assert found.decode(payload, 1) == 1
        assert found.latent[3, 1, 2] == value << shift


def test_the_rest_may_come_later() -> None:
    """Segments of layers [0, 1), [1, 7) and [7, 16), each a range coder run of its own."""
    tile = coded(QUALITIES[1], 3)
    found = decoder(tile)
    for start, stop in ((0, 1), (1, 7), (7, LAYERS)):
        part = tile.segment(0, 0, stop, (), start)
        assert part.flags == 2 and found.decode(part.payload, stop - start) == stop - start
    np.testing.assert_array_equal(found.latent, tile.latent)


def test_a_cut_inside_a_layer_of_two_groups_is_taken_back() -> None:
    tile = coded(QUALITIES[0])
    sizes = tile.layers.sizes
    found = decoder(tile)
    assert found.decode(tile.layers.payload(LAYERS)[: (sizes[1] + 9 * sizes[2]) // 10], LAYERS) == 1
    found.decode(tile.segment(0, 0, LAYERS, (), 1).payload, LAYERS - 1)
    np.testing.assert_array_equal(found.latent, tile.latent)


def test_coders_and_engines_agree() -> None:
    tile = coded(QUALITIES[1], 16)
    again = encode_layers(shipped().tables, tile.prediction, tile.latent, coder="reference", base=tile.base)
    assert again.payload(LAYERS) == tile.layers.payload(LAYERS)
    twin = ExactNetwork(shipped().parameters, np.int64)
    found = EmbeddedDecoder(twin, shipped().tables, tile.contexts, tile.quality, SIZE)
    assert found.decode(tile.layers.payload(LAYERS), LAYERS, "reference") == LAYERS
    np.testing.assert_array_equal(found.latent, tile.latent)


@pytest.mark.long
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize(
    ("quality", "coder"),
    [
        *((quality, coder) for quality in (quality_of(26), quality_of(26, 2)) for coder in ("native", "reference")),
        (quality_of(26), "constriction"),
        pytest.param(quality_of(26, 2), "constriction", marks=pytest.mark.slow),
    ],
)
def test_tables_say_whether_scales_adapt(adaptive: bool, quality: int, coder: str) -> None:
    """Every coder reads what the C coder wrote, layers [0, 16) and [3, 16), with the same tables only."""
    if coder == "constriction":
        pytest.importorskip("constriction")
    prior = np.random.default_rng(4).integers(-(1 << 18), 1 << 18, PRIOR_SHAPE).astype(np.int32)
    tables, other = (replace(shipped().tables, prior=p) for p in ((prior, None) if adaptive else (None, prior)))
    tile = encode_tile(shipped(), coefficients(), quality)
    found = [tile_decoder(shipped().engine, t, (), quality, SIZE) for t in (tables, tables, other)]
    coded = encode_layers(tables, tile.prediction, tile.latent, base=tile.base)
    whole = coded.payload(LAYERS)
    rest = encode_layers(tables, tile.prediction, tile.latent, 3, LAYERS, base=tile.base).payload(LAYERS - 3)
    assert found[0].decode(whole, LAYERS, coder) == LAYERS
    assert found[1].decode(coded.payload(3), 3, coder) == 3
    assert found[1].decode(rest, LAYERS - 3, coder) == LAYERS - 3
    for same in found[:2]:
        np.testing.assert_array_equal(same.latent, tile.latent)
    with suppress(CodingError):
        found[2].decode(whole, LAYERS, coder)
    assert not np.array_equal(found[2].latent, tile.latent)


def test_the_base_alone_is_the_coarse_codec() -> None:
    """Layer 0 is what a latent of the base's step would be, groups beyond the base left to the model."""
    tile = coded(QUALITIES[1])
    assert tile.base is not None
    np.testing.assert_array_equal(tile.base.base.values[: BASE_GROUPS * GROUP], base_of(tile.latent, 2)[: 6 * GROUP])
    found, coarse = decoder(tile), TileDecoder(shipped().engine, shipped().tables, (), 42, SIZE)
    payload = tile.layers.payload(1)
    found.decode(payload, 1)
    coarse.decode(payload, BASE_GROUPS)
    one, other = found.reconstruction(1), coarse.reconstruction()
    assert one.q == other.q == 42
    np.testing.assert_array_equal(one.values, other.values)


def test_what_is_not_refined_is_expected_inside_its_bin() -> None:
    tile = coded(QUALITIES[1])
    found = decoder(tile)
    found.decode(tile.layers.payload(3), 3)
    made = found.reconstruction()
    assert tile.base is not None and made.q == 26
    low, high = bins_of(tile.base.base)
    inside = made.values.reshape(LAYERS, GROUP, -1)[3:BASE_GROUPS]
    assert (inside >= low[3:]).all() and (inside <= high[3:]).all() and (inside % 1 > 0).any()
    np.testing.assert_array_equal(made.values[: 3 * GROUP], tile.latent[: 3 * GROUP])


def test_every_layer_brings_the_image_nearer() -> None:
    tile, frame = coded(QUALITIES[0]), values(SIDE, SIDE, 1, 20)[0]
    found = decoder(tile)
    found.decode(tile.layers.payload(LAYERS), LAYERS)
    errors = [np.square(shipped().synthesise(found.reconstruction(k)) - frame).mean() for k in (0, 1, 2, 5, 9, 16)]
    assert (np.diff(errors) < 0).all() and errors[-1] < 0.7 * errors[1]


def test_one_layer_is_worth_more_than_one_layer_without_a_base() -> None:
    plain, based = coded(26), coded(QUALITIES[1])
    frame = values(SIDE, SIDE, 1, 20)[0]
    error = []
    for tile in (plain, based):
        found = tile_decoder(shipped().engine, shipped().tables, (), tile.quality, SIZE)
        found.decode(tile.layers.payload(1), 1)
        error.append(np.square(shipped().synthesise(found.reconstruction()) - frame).mean())
    assert error[1] < 0.9 * error[0] and based.payload_sizes[1] < plain.payload_sizes[1]


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_a_context_known_to_its_base_is_one_for_both_sides(layers: int) -> None:
    """Board: from the whole latent. Ground: from the layers it decoded."""
    tile = coded(QUALITIES[1])
    found = decoder(tile)
    found.decode(tile.layers.payload(layers), layers)
    board, ground = (known_context(x, tile.quality, layers) for x in (tile.latent, found.latent))
    assert board.layers == ground.layers == BASE_GROUPS and board.q == 26
    np.testing.assert_array_equal(board.latent, ground.latent)


def test_segments_name_their_base() -> None:
    tile = coded(QUALITIES[1])
    binding = lone_binding(shipped().digest, shipped().tables_digest)
    found, _ = unpack_front(pack_segment(tile.segment(5, 6, LAYERS, ()), binding), 0, binding)
    assert found.quality_byte == QUALITIES[1]


def test_hostile_payloads_end_or_are_named() -> None:
    rng, tile = np.random.default_rng(3), coded(QUALITIES[1])
    for size in (0, 3, 50, 2000):
        found = decoder(tile)
        try:
            layers = found.decode(rng.bytes(size), LAYERS)
        except CodingError:
            continue
        assert layers < LAYERS
        np.testing.assert_array_equal(found.latent, known_part(found.latent, layers, tile.quality))


def test_contexts_of_another_size_are_refused() -> None:
    other = CodingContext(np.zeros((512, 3, 3), np.int16), 20)
    with pytest.raises(CodingError, match="expected shape"):
        encode_tile(shipped(), coefficients(), QUALITIES[1], [other])
