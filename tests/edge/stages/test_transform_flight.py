"""The loop with the transform coder: cut streams are worth their bytes, board and ground agree, confirmed dates are context."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.carrier import carried, carry
from swathpack.edge.codec.flight import USUAL_AIM, FlightCodec
from swathpack.edge.codec.lone import date_in, lone_ends, lone_head, read_lone_head, stands_alone
from swathpack.edge.codec.plain import PlainError
from swathpack.edge.codec.protocol import CodedTile, ContextLatent, Goal, TileKey, TilePixels
from swathpack.edge.radiometry import PLAIN
from swathpack.edge.sources.acquisition import samples_of
from swathpack.edge.sources.synthetic import SyntheticSource
from swathpack.edge.stream.quality import TRANSFORM
from swathpack.hil_tests.simulation.flight import MISSION, Flight, Station
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.decoder import DecodeError
from swathpack.tools.ground.images import place_frames, places
from swathpack.tools.ground.receiver import GroundReceiver
from tests.codec_models import shipped

SIDE, DATES = 80, 3
SCENES = values(SIDE, SIDE, DATES, seed=12)


class Source(SyntheticSource):
    """One date after the other of one place."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock, DATES, size=SIDE, every_s=3600.0)

    def scene(self, place: int, date: int) -> np.ndarray:
        return SCENES[date]


def fly(folder: Path, budget: int, mode: str, refresh_every: int = 20) -> tuple[list[float], Flight, Station]:
    """RMSE of every date on the ground after a pass of so many bytes each, with a report behind it."""
    text = MISSION.replace("tile = 64", "tile = 256")
    flight = Flight(folder, text=text.replace("[context]", f"[context]\nrefresh_every = {refresh_every}"))
    flight.loop.encode.codec = FlightCodec(shipped(), 28, mode=mode)
    flight.loop.intake.source = Source(flight.clock)
    station = Station(folder, flight)
    station.receiver = GroundReceiver(station.store, EdgeSegmentDecoder(shipped()), 4096)
    for number in range(DATES):
        flight.loop.settle()
        flight.uplink.waiting.extend(station.hear(number, flight.contact(number, budget)))
        flight.loop.settle()
        flight.clock.advance(3600.0)
    (place,) = places(station.store)
    frames = place_frames(station.store, shipped(), place, folder)
    errors = [float(np.sqrt(((f.data.astype(float) - s) ** 2).mean())) for f, s in zip(frames, SCENES)]
    return errors, flight, station


@pytest.mark.parametrize("mode", ["transform", "auto"])
def test_larger_passes_bring_better_images_and_both_sides_agree(tmp_path: Path, mode: str) -> None:
    means = []
    for budget in (1500, 6000, 60_000):
        folder = tmp_path / str(budget)
        folder.mkdir()
        errors, flight, station = fly(folder, budget, mode)
        assert len(errors) == DATES and flight.board.log.counts["tile_failed"] == 0
        assert flight.board.log.counts["report_mismatch"] == 0
        held = [station.store.latent(key) for key in station.store.tile_frames()]
        assert all(h is not None and h.layers > 0 for h in held)
        if mode == "transform":
            assert {h.q for h in held if h is not None} == {TRANSFORM} and len(flight.board.context) >= 1
        means.append(sum(errors))
        flight.board.close()
    assert means == sorted(means, reverse=True) and means[-1] < 20 * DATES


def tile(bands: tuple[str, ...]) -> TilePixels:
    data = SCENES[0][[BANDS.index(b) if b in BANDS else 9 for b in bands]]
    return TilePixels(TileKey(3, 1_700_000_000), data, bands, np.ones((SIDE, SIDE), np.bool_))


@pytest.mark.parametrize("bands", [("B08",), BANDS[:4], (*BANDS[:10], "B10", "B11", "B12")], ids=len)
def test_every_prefix_holds_what_the_board_says(bands: tuple[str, ...]) -> None:
    coded = FlightCodec(shipped(), 28, mode="auto").encode(tile(bands), ())
    assert coded.q == TRANSFORM and (np.diff(coded.prefix_bytes) >= 0).all() and (np.diff(coded.distortion) <= 0).all()
    whole, decoder = coded.segment(0, 16), EdgeSegmentDecoder(shipped())
    for k in (1, 7, 15, 16):
        found, layers = decoder.decode(whole[: int(coded.prefix_bytes[k])], ())
        known = 32 * layers
        assert layers >= k and (found[:known] == coded.latent[:known]).all() and not found[known:].any()
    lone, image = decoder.image(whole)
    assert lone.names == bands and np.abs(image.counts - tile(bands).data).mean() < 6


def test_bands_weigh_the_same_where_a_contact_has_much_for_a_tile() -> None:
    """Weights are for few bytes; where a contact has next to nothing, more that comes later still makes as good an image."""
    codec, decoder = FlightCodec(shipped(), 28, mode="transform"), EdgeSegmentDecoder(shipped())
    asked = tile(BANDS)
    size, found = asked.data.size, {}
    for room in (None, 0, size // 16, size // 4, 10**12):
        coded = codec.encode(replace(asked, goal=Goal(room_bytes=room)), ())
        _, image = decoder.image(coded.segment(0, 16)[: size // 4])
        squared = ((image.counts.astype(float) - asked.data) ** 2).mean(axis=(1, 2))
        found[room] = squared.mean(), squared[1:4].mean() / squared.mean()
    assert found[size // 4] == pytest.approx(found[10**12], rel=0.005), "alike but for bases chosen for fewer bytes"
    assert found[0][0] < 1.2 * found[None][0] and abs(found[0][1] - found[None][1]) < 0.05
    assert found[0][0] > 1.2 * found[size // 16][0] > 1.2 * found[10**12][0]
    assert found[0][1] < found[size // 16][1] < found[10**12][1]
    either = FlightCodec(shipped(), 28, mode="auto")
    assert either.encode(replace(asked, goal=Goal(room_bytes=2**70)), ()).q == TRANSFORM, (
        "whatever a contact is said to have"
    )
    finer = FlightCodec(shipped(), 4, mode="transform")
    usual = replace(asked, goal=Goal(room_bytes=finer.aims(size)[USUAL_AIM]))
    assert finer.encode(asked, ()).segment(0, 16) == finer.encode(usual, ()).segment(0, 16)


def natural_texture(bands: int) -> np.ndarray:
    """(bands, SIDE, SIDE) with the spectrum of pictures, alike in all bands in part, spread about 1."""
    rng = np.random.default_rng(5)
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE))
    frequency[0, 0] = 1
    drawn = np.fft.ifft2(np.fft.fft2(rng.normal(size=(bands, SIDE, SIDE))) / frequency**1.2).real
    drawn /= drawn.std(axis=(1, 2), keepdims=True)
    return np.asarray(drawn[:1] + drawn / 2)


def test_a_contact_that_has_more_for_a_tile_never_brings_a_worse_picture() -> None:
    """Neither over all bands nor in true colour: weights fall as slowly as errors do."""
    codec, decoder = FlightCodec(shipped(), 28, mode="transform"), EdgeSegmentDecoder(shipped())
    asked, errors, natural = tile(BANDS), [], natural_texture(12)
    asked.data[:] = np.clip(2500 + 500 * natural, 1, None)
    asked.data[1:4] = np.clip(600 + 90 * natural[1:4], 1, None)  # dark: the weights begin at 4
    for bppb in 0.2 * 1.2 ** np.arange(12):
        room = int(bppb * asked.data.size / 8)
        coded = codec.encode(replace(asked, goal=Goal(room_bytes=room)), ())
        _, image = decoder.image(coded.segment(0, 16)[:room])
        squared = ((image.counts.astype(float) - asked.data) ** 2).mean(axis=(1, 2))
        errors.append(np.sqrt([squared.mean(), squared[1:4].mean()]))
    least = np.minimum.accumulate(errors)
    assert (errors / least).max() < 1.08 and least[-1, 0] < 0.4 * least[0, 0] and least[-1, 1] < 0.9 * least[0, 1]


def dated(number: int, bands: tuple[str, ...] = BANDS[:4]) -> TilePixels:
    data = SCENES[number][[BANDS.index(b) for b in bands]]
    return TilePixels(TileKey(3, 1_700_000_000 + 86_400 * number), data, bands, np.ones((SIDE, SIDE), np.bool_))


def confirmed(coded: CodedTile, layers: int) -> ContextLatent:
    return ContextLatent.known(coded.key, coded.q, layers, coded.latent)


@pytest.mark.parametrize("layers", [6, 9, 16])
def test_a_confirmed_date_is_context_on_both_sides(layers: int) -> None:
    codec, decoder = FlightCodec(shipped(), 28, mode="transform"), EdgeSegmentDecoder(shipped())
    first, alone = codec.encode(dated(0), ()), codec.encode(dated(1), ())
    context = confirmed(first, layers)
    coded = codec.encode(dated(1), [context])
    assert coded.context_digests == (context.digest,) and not alone.context_digests
    size = int(alone.prefix_bytes[7])
    truth = dated(1).data
    _, image = decoder.image(coded.segment(0, 16)[:size], [context])
    _, other = decoder.image(alone.segment(0, 16)[:size])
    assert ((image.counts - truth) ** 2).mean() < 0.9 * ((other.counts - truth) ** 2).mean()
    head = decoder.head(coded.segment(0, 16))
    assert head is not None and head.context_digests == (context.digest,) and head.shape == coded.latent.shape
    latent, found = decoder.decode(coded.segment(0, 16), [context])
    assert found == 16 and (latent == coded.latent).all()
    with pytest.raises(DecodeError, match="other contexts"):
        decoder.decode(coded.segment(0, 16), [])
    with pytest.raises(DecodeError, match="earlier date that it was coded against is not here"):
        decoder.image(coded.segment(0, 16))
    assert stands_alone(first.latent) and not stands_alone(coded.latent)
    assert not codec.encode(dated(2), [confirmed(coded, 16)]).context_digests, "only tiles that stand alone are dates"


def test_dates_of_other_bands_or_sizes_are_passed_over() -> None:
    codec = FlightCodec(shipped(), 28, mode="transform")
    contexts = [confirmed(codec.encode(dated(0, BANDS[:3]), ()), 16), confirmed(codec.encode(tile(("B08",)), ()), 16)]
    assert not codec.encode(dated(1), contexts).context_digests


def test_earlier_dates_make_flights_images_better(tmp_path: Path) -> None:
    means = []
    for every in (1, 20):
        folder = tmp_path / str(every)
        folder.mkdir()
        errors, flight, station = fly(folder, 1500, "transform", every)
        assert flight.board.log.counts["report_mismatch"] == flight.board.log.counts["tile_failed"] == 0
        heads = [
            EdgeSegmentDecoder(shipped()).head(segment.prefix)
            for key in station.store.tile_frames()
            for segment in station.store.of(key)
        ]
        named = [bool(head.context_digests) for head in heads if head is not None]
        assert named == [False, every > 1, every > 1]
        means.append(sum(errors[1:]))
        flight.board.close()
    assert means[1] < 0.95 * means[0]


def test_carriers_hold_the_bytes_that_fit() -> None:
    rng = np.random.default_rng(1)
    payload, ends = rng.bytes(9000), np.concatenate([np.arange(13) * 50, [1500, 4000, 8000, 9000]])
    latent = carry(payload, ends, (5, 5))  # 1,600 bytes a layer
    assert latent.shape == (512, 5, 5) and carried(latent) == payload[:1500]
    part = carry(payload[:333], ends, (5, 5))
    assert carried(part) == payload[:300] and not part[6 * 32 :].any() and (part[: 6 * 32] == latent[: 6 * 32]).all()
    damaged = latent.copy()
    damaged[32, 1, 1] ^= 1
    assert carried(damaged) == payload[:50] and carried(latent[:16]) == b""
    assert not stands_alone(latent) and date_in(latent) is None


@pytest.mark.parametrize("size", [(256, 77), (1, 256), (257, 1), (300, 512), (512, 512)], ids=str)
def test_heads_of_lone_tiles(size: tuple[int, int]) -> None:
    for names in (("B08",), BANDS, ("nir", "B02"), ("B03", "B02")):
        head = lone_head(names, *size, samples_of("int16", -9999) if names == BANDS else PLAIN)
        found = read_lone_head(head + b"more")
        assert found is not None and (found.names, found.height, found.width) == (names, *size)
        assert found.start == len(head) and all(read_lone_head(head[:n]) is None for n in range(len(head)))
    assert len(lone_head(BANDS, *size)) == (5 if max(size) > 256 else 4)
    assert lone_ends(b"", 100) is None


def test_heads_that_no_board_writes_are_refused() -> None:
    head = bytearray(lone_head(BANDS[:3], 300, 512))
    head[4] |= 2  # 812 rows
    with pytest.raises(PlainError, match="257 to 512 pixels a side, found 812 x 512"):
        read_lone_head(bytes(head))
    head[4] = 0  # 44 rows, 256 columns: not in this form
    with pytest.raises(PlainError, match="257 to 512 pixels a side, found 44 x 256"):
        read_lone_head(bytes(head))
    with pytest.raises(PlainError, match="unknown bands in mask 0x2000"):
        read_lone_head(bytes([9, 9, 0, 0x20]))
    with pytest.raises(PlainError, match="1 to 16 different bands"):
        read_lone_head(bytes([9, 9, 0, 0, 17]))
