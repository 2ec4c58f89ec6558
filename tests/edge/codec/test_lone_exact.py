"""Exact tiles that fly alone: what their payloads say, what any prefix of them holds, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.carrier import carried, carry_counts
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.lone import lone_head, may_be_context, read_lone_head, stands_alone
from swathpack.edge.codec.lone_exact import ExactCoder, decode_exact, promised_error, read_exact_front
from swathpack.edge.codec.plain import PlainError, error_bytes, error_of_strips
from swathpack.edge.codec.protocol import TileKey, TilePixels
from swathpack.edge.radiometry import PLAIN
from swathpack.edge.sources.acquisition import samples_of
from swathpack.edge.stream import ContextRef, lone_binding, pack_segment
from swathpack.edge.stream.header import BAND_ORDER
from swathpack.edge.stream.quality import PREDICTIVE
from swathpack.edge.stream.segment import unpack_front
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.decoder import DecodeError
from tests.codec_models import shipped

INT16 = samples_of("int16", -9999.0)


def tile(bands: int = 3, side: tuple[int, int] = (40, 33)) -> tuple[np.ndarray, np.ndarray]:
    counts = values(*side, 1, 2)[0][:bands]
    counts[-1] = np.kron(counts[-1, ::3, ::3], np.ones((3, 3), int))[: side[0], : side[1]]  # of a coarser grid
    valid = np.ones(side, np.bool_)
    valid[5:20, 8:30] = False
    return counts, valid


@pytest.mark.parametrize("max_error", [0, 2, 254, 255, 70, 65535])
@pytest.mark.parametrize("radiometry", [PLAIN, INT16, samples_of("uint8")])
def test_payloads_say_what_they_are(max_error: int, radiometry) -> None:
    counts, valid = tile()
    counts = np.minimum(counts, radiometry.limits[1])
    coded = ExactCoder().encode(counts, valid, BANDS[:3], max_error, radiometry)
    found = decode_exact(coded.payload)
    assert found is not None and found.layers == 16 and (found.front.valid == valid).all()
    assert found.front.max_error == max_error == promised_error(coded.payload)
    lone = found.front.lone
    assert (lone.names, lone.shape, lone.radiometry) == (BANDS[:3], counts.shape, radiometry)
    assert np.abs(found.counts.astype(int) - counts)[:, valid].max() <= max_error and not found.counts[:, ~valid].any()
    assert (found.stand_in == coded.latent).all()


@pytest.mark.parametrize("max_error", [0, 6])
def test_every_prefix_holds_whole_strips(max_error: int) -> None:
    counts, valid = tile()
    coded = ExactCoder().encode(counts, valid, BANDS[:3], max_error)
    whole = decode_exact(coded.payload)
    assert whole is not None
    for cut in range(0, len(coded.payload) + 1, 7):
        found = decode_exact(coded.payload[:cut])
        layers = int(np.searchsorted(coded.payload_sizes, cut, side="right") - 1)
        if found is None:
            assert cut < coded.least and layers == 0
            continue
        assert found.layers == layers and found.known[:2, : 40 * layers // 16].all()
        assert (found.counts[found.known] == whole.counts[found.known]).all()
        assert (found.stand_in[: 32 * layers] == coded.latent[: 32 * layers]).all() and not found.stand_in[
            32 * layers :
        ].any()


def test_digests_are_of_counts() -> None:
    counts, valid = tile(2)
    coded = ExactCoder().encode(counts, valid, BANDS[:2], 0)
    again = ExactCoder().encode(counts, valid, BANDS[:2], 1)
    assert (coded.latent != again.latent).any(), "other counts"
    since = np.ones(counts.shape, np.uint8)
    one = carry_counts(counts, since, 1, (3, 3))
    counts[1, 7, 3] ^= 1
    assert (carry_counts(counts, since, 1, (3, 3)) != one).any()


def test_exact_tiles_are_nobodys_context() -> None:
    counts, valid = tile()
    coded = ExactCoder().encode(counts, valid, BANDS[:3], 0)
    assert (
        carried(coded.latent) == b"" and not stands_alone(coded.latent) and not may_be_context(PREDICTIVE, coded.latent)
    )


def test_errors_of_strips_fall_to_what_is_promised() -> None:
    counts, valid = tile()
    flat = np.full_like(counts, 900)
    for given_counts, error in ((counts, 0), (counts, 40), (flat, 0), (flat, 3), (counts, 60000)):
        found = error_of_strips(given_counts, valid, error)
        assert (np.diff(found) < 0).all() and found[-1] == error * (error + 1) / 3 * 3 * valid.sum()
        assert np.allclose(np.diff(found), np.diff(found)[0])


def test_a_coder_keeps_its_memory_for_tiles_of_one_shape() -> None:
    coder, (counts, valid) = ExactCoder(), tile()
    first = coder.encode(counts, valid, BANDS[:3], 0)
    room = coder._workspace
    coder.encode(counts + 5, valid, BANDS[:3], 0)
    assert coder._workspace is room
    coder.encode(counts[:, :20], valid[:20], BANDS[:3], 0)
    assert coder.encode(counts, valid, BANDS[:3], 0).payload == first.payload


@pytest.mark.parametrize("radiometry", [PLAIN, INT16, samples_of("int8")])
@pytest.mark.parametrize("names", [("B08",), BAND_ORDER, ("nir", "B02"), ("B03", "B02")])
def test_heads_of_lone_tiles_say_their_samples(names: tuple[str, ...], radiometry) -> None:
    head = lone_head(names, 256, 77, radiometry)
    found = read_lone_head(head + b"more")
    assert found is not None and (found.names, found.height, found.width) == (names, 256, 77)
    assert (found.radiometry, found.start) == (radiometry, len(head))
    assert all(read_lone_head(head[:n]) is None for n in range(len(head)))


def test_fronts_that_none_wrote_are_refused() -> None:
    counts, valid = tile()
    payload = ExactCoder().encode(counts, valid, BANDS[:3], 300, INT16).payload
    lone = read_lone_head(payload)
    assert lone is not None
    head, length = payload[: lone.start], payload[lone.start + 5]
    assert payload[lone.start] == 255 and 0 < length < 128
    for wrong, message in (
        (head + b"\0\xff\x7f" + bytes(20), "expected a mask of 40 x 33 pixels, found 16383 bytes"),
        (head + b"\0" + b"\x80" * 20, "malformed varint"),
        (head + b"\0" + bytes([length]) + bytes(length + 40), "mask"),
        (payload[:4] + b"\x02\x0f" + bytes(30), "unknown sample type"),
        (payload[:4] + b"\x03\x00\x00\x00" + bytes(30), "unexpected bytes"),
    ):
        with pytest.raises(PlainError, match=message):
            read_exact_front(wrong)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200), at=st.integers(0, 400), flips=st.integers(0, 255))
def test_noise_is_refused_or_decoded_within_its_size(data: bytes, at: int, flips: int) -> None:
    counts, valid = tile(1, (17, 9))
    payload = bytearray(ExactCoder().encode(counts, valid, BANDS[:1], 1).payload)
    payload[at % len(payload)] ^= flips
    for tried in (data, bytes(payload)):
        try:
            found = decode_exact(tried)
        except PlainError:
            continue
        assert found is None or found.counts.shape == found.front.lone.shape


def test_a_mix_up_within_a_segment_keeps_the_strips_before_it() -> None:
    codec, decoder = FlightCodec(shipped(), 28, max_error=0), EdgeSegmentDecoder(shipped())
    scenes = values(96, 96, 2, 8)[:, :4]
    one, other = (
        codec.encode(TilePixels(TileKey(1, 1000 + t), scene, BANDS[:4], np.ones((96, 96), np.bool_)), ())
        for t, scene in enumerate(scenes)
    )
    good, bad = one.segment(0, 16), other.segment(0, 16)
    at = int(one.prefix_bytes[9])
    with pytest.raises(DecodeError) as found:
        decoder.decode(good[:at] + bad[at : at + 300] + good[at + 300 :], ())
    assert 6 <= found.value.layers <= 9 and found.value.latent is not None
    known = 32 * found.value.layers
    assert (found.value.latent[:known] == one.latent[:known]).all() and not found.value.latent[known:].any()
    with pytest.raises(DecodeError, match="at most one context"):
        decoder.decode(_with_a_context(good), ())


def _with_a_context(segment: bytes) -> bytes:
    """The same record as if it were coded against an earlier date."""
    model = shipped()
    binding = lone_binding(model.digest, model.tables_digest)
    front, start = unpack_front(segment, 0, binding)
    named = replace(
        front,
        contexts=(ContextRef(900, 16, b"abcd"),),
        payload=segment[start : start + 40],
        payload_bytes=-1,
        truncated=False,
    )
    return pack_segment(named, binding)


def test_refined_predictions_do_not_fly() -> None:
    front = lone_head(("B08",), 4, 4, PLAIN) + error_bytes(0, refined=True) + b"\0"
    with pytest.raises(PlainError, match="found refined ones"):
        read_exact_front(front + b"payload")
