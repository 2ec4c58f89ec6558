"""A payload coded once more with a trellis: as long at most, less error, and what decoders make of it whole or cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.transform_coder import (
    TransformCoderError,
    bitplane,
    counts_of,
    decode_tile,
    encode_against,
    encode_tile,
    is_predicted,
    native,
    refine_payload,
    refine_payloads,
    trellis,
)
from swathpack.edge.codec.transform_coder.head import expected_of, trellis_step, write_head
from swathpack.edge.codec.transform_coder.trellis import LONGEST
from tests.edge.codec.transform_coder.heads import head_of

pytestmark = pytest.mark.skipif(not native.available(), reason="the C library is not built")

Tile = NDArray[np.uint16]


def scene(names: tuple[str, ...], side: int = 96, seed: int = 1) -> Tile:
    """What a lens draws: a spectrum that falls, and noise."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(len(names), side, side))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    fall = 1 / np.maximum(frequency, 1 / side) ** 1.5
    smooth = np.fft.ifft2(np.fft.fft2(noise + 2 * noise[:1]) * fall).real
    pixels = 3000 + 500 * smooth / smooth.std() + rng.normal(0, 8, noise.shape)
    return np.asarray(pixels.clip(0, 65535), np.uint16)


def error(payload: bytes, pixels: Tile, names: tuple[str, ...] | None, **more: object) -> float:
    found = decode_tile(payload, pixels.shape, names, **more)  # type: ignore[arg-type]
    return float(((found.samples - pixels) ** 2).mean())


@pytest.mark.parametrize(
    ("names", "bits", "least"),
    [(("B08",), 0.5, 0.02), (("B08",), 2.0, 0.12), (("B02", "B03", "B04", "B08"), 1.0, 0.06), (BANDS, 0.3, 0.03)],
)
def test_less_error_in_as_many_bytes(names: tuple[str, ...], bits: float, least: float) -> None:
    pixels = scene(names)
    room = int(pixels.size * bits / 8)
    payload = encode_tile(pixels, names=names, max_bytes=room).payload
    found = refine_payload(payload, pixels, np.ones(pixels.shape[1:], np.bool_), names)
    assert found is not None and 0.98 * len(payload) <= len(found) <= len(payload) == room
    assert error(found, pixels, names) < (1 - least) * error(payload, pixels, names)


def test_several_worths_of_a_bit_fill_the_room_each_from_the_step_of_the_one_before(monkeypatch) -> None:
    pixels, codings, usual = scene(("B08",)), [], trellis._Coding.at
    payload = encode_tile(pixels, names=("B08",), max_bytes=1000).payload
    monkeypatch.setattr(trellis._Coding, "at", lambda *a: codings.append(1) or usual(*a))
    every, worths = np.ones(pixels.shape[1:], np.bool_), (trellis.WORTH, *trellis.OTHERS)
    together, asked = refine_payloads(payload, pixels, every, ("B08",), None, worths), len(codings)
    assert (
        together[0] == refine_payload(payload, pixels, every, ("B08",))
        and len({found for found in together if found}) == 3
    )
    assert all(found and 0.99 * len(payload) <= len(found) <= len(payload) for found in together)
    assert asked <= 11, "where each began anew there were 12"


def test_few_codings_find_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    tried, at = list[tuple[int, int]](), trellis._Coding.at
    monkeypatch.setattr(trellis._Coding, "at", lambda self, *place: (tried.append(place), at(self, *place))[1])
    cases = [(("B08",), 0.1), (("B08",), 2.0), (BANDS, 0.1), (BANDS, 1.0)]
    for names, bits in cases:
        pixels = scene(names)
        payload = encode_tile(pixels, names=names, max_bytes=int(pixels.size * bits / 8)).payload
        assert refine_payload(payload, pixels, np.ones(pixels.shape[1:], np.bool_), names) is not None
    assert len(tried) <= 3 * len(cases)


def test_every_prefix_decodes_and_more_of_it_is_better() -> None:
    pixels = scene(("B08",))
    payload = encode_tile(pixels, names=("B08",), max_bytes=2000).payload
    found = refine_payload(payload, pixels, np.ones(pixels.shape[1:], np.bool_), ("B08",))
    assert found is not None
    errors = [error(found[:size], pixels, ("B08",)) for size in range(0, len(found) + 1, 40)]
    assert all(b <= 1.01 * a for a, b in zip(errors, errors[1:])) and errors[-1] < errors[0] / 20
    plain = [error(payload[:size], pixels, ("B08",)) for size in range(0, len(payload) + 1, 40)]
    assert max(a / b for a, b in zip(errors, plain)) < 1.25, "cuts are a little worse than without, and no more"


def test_against_a_date_and_with_weights() -> None:
    names = ("B02", "B03", "B04", "B08")
    first, second = scene(names), scene(names)
    second = np.asarray(second + np.random.default_rng(5).normal(0, 40, second.shape), np.uint16)
    date = counts_of(decode_tile(encode_tile(first, names=names, max_bytes=8000).payload, first.shape, names).samples)
    coded = encode_against(
        encode_tile(second, names=names, max_bytes=9000, aim_bytes=5000), second, None, names, 5000, [date]
    )
    payload = coded.payload[:5000]
    assert coded.reference == 0 and is_predicted(payload)
    every = np.ones(second.shape[1:], np.bool_)
    found = refine_payload(payload, second, every, names, date)
    assert found is not None and is_predicted(found)
    assert error(found, second, names, date=date) < 0.97 * error(payload, second, names, date=date)
    with pytest.raises(TransformCoderError, match="earlier date"):
        decode_tile(found, second.shape, names)


def test_valid_pixels_alone() -> None:
    pixels, valid = scene(("B02", "B08")), np.ones((96, 96), np.bool_)
    valid[20:60, 30:80] = False
    valid[60:, :9] = False
    names = ("B02", "B08")
    payload = encode_tile(pixels, valid, names, max_bytes=2500, shaped=True).payload
    assert head_of(payload, (2, 96, 96), names).check is not None
    found = refine_payload(payload, pixels, valid, names)
    assert found is not None
    before, after = (
        ((decode_tile(p, pixels.shape, names, valid=valid).samples - pixels)[:, valid] ** 2).mean()
        for p in (payload, found)
    )
    assert after < 0.95 * before


def test_nothing_to_gain_is_none() -> None:
    every = np.ones((32, 32), np.bool_)
    flat = np.full((1, 32, 32), 700, np.uint16)
    assert refine_payload(encode_tile(flat, names=("B08",)).payload, flat, every, ("B08",)) is None
    pixels = scene(("B08",), 32)
    payload = encode_tile(pixels, names=("B08",), max_bytes=300).payload
    assert refine_payload(payload[:2], pixels, every, ("B08",)) is None, "a head that is cut"
    refined = refine_payload(payload, pixels, every, ("B08",))
    assert refined is not None and refine_payload(refined, pixels, every, ("B08",)) is None, "it is refined already"


def test_without_the_c_library_nothing_is_refined_and_all_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, every = scene(("B08",), 32), np.ones((32, 32), np.bool_)
    payload = encode_tile(pixels, names=("B08",), max_bytes=250).payload
    found = refine_payload(payload, pixels, every, ("B08",))
    assert found is not None
    fast = decode_tile(found, pixels.shape, ("B08",)).samples
    monkeypatch.setattr(native, "available", lambda: False)
    assert np.array_equal(decode_tile(found, pixels.shape, ("B08",)).samples, fast)
    assert refine_payload(payload, pixels, every, ("B08",)) is None


def test_the_head_says_its_step() -> None:
    pixels, names = scene(("B08",), 32), ("B08",)
    payload = encode_tile(pixels, names=names, max_bytes=250).payload
    head = head_of(payload, (1, 32, 32), names)
    for index, fine in [(0, 0), (17, 64), (63, 97)]:
        written = write_head(replace(head, step=index, fine=fine), 1, expected_of(names, 1))
        read = head_of(written, (1, 32, 32), names)
        assert (read.step, read.fine, read.planes) == (index, fine, head.planes)
        assert read.step_dn == trellis_step(index, fine)
    assert trellis_step(0, 0) == 0.25 and trellis_step(63, 97) > 1.18 * trellis_step(63, 0)


def test_indices_beyond_what_costs_know() -> None:
    layout_pixels = scene(("B08",), 32)
    layout_pixels[0, 10, 10] = 65535  # one glint among coarse steps
    payload = encode_tile(layout_pixels, names=("B08",), max_bytes=400).payload
    found = refine_payload(payload, layout_pixels, np.ones((32, 32), np.bool_), ("B08",))
    assert found is not None and len(found) <= LONGEST * 400
    assert bitplane.trellis_costs().shape == (2, 24, 18)


def test_indices_of_no_more_planes_than_there_may_be() -> None:
    pixels = np.zeros((4, 256, 256), np.uint16)
    pixels[:, :64, :64] = 65535  # what all of it comes to is one huge coefficient, and few bytes take the finest step
    payload = encode_tile(pixels, finest_step=1 / 16).payload
    found = refine_payload(payload, pixels, np.ones((256, 256), np.bool_), None)
    assert found is not None and len(found) <= len(payload)
    assert head_of(found, (4, 256, 256), None).planes <= bitplane.MAX_PLANES
    assert error(found, pixels, None) < 0.01
