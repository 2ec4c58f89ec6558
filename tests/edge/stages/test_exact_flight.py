"""The loop with a guarantee: every count that reaches the ground is within the greatest error, whatever becomes of the packets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.clock import ManualClock
from swathpack.edge.codec import predictive
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.protocol import CodecError, TileKey, TilePixels
from swathpack.edge.events import EventLog
from swathpack.edge.frame import Frame
from swathpack.edge.health.model_memory import Canary
from swathpack.edge.sources.acquisition import Acquisition, Offer, samples_of
from swathpack.edge.sources.folder import FolderSource
from swathpack.edge.stages.retention import layers_to_keep
from swathpack.edge.stream.quality import PREDICTIVE
from swathpack.hil_tests.simulation.flight import MISSION, Flight, Station
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.cli import main
from swathpack.tools.files.rasters import read_series
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.guarantees import promised_in
from swathpack.tools.ground.images import place_frames, places, write_images
from swathpack.tools.ground.keeping import listing
from swathpack.tools.ground.receiver import GroundReceiver
from tests.codec_models import shipped

START = 1_700_000_000
WHOLE = 10_000_000  # bytes of a pass that carries everything


class Shots:
    """A `FrameSource` of given frames, all of place 5, a day apart."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.waiting = [Acquisition(f"shot-{i}", START + 86_400 * i, 5, frame) for i, frame in enumerate(frames)]

    def poll(self) -> Offer | None:
        if not self.waiting:
            return None
        acquisition = Acquisition.unpack(self.waiting.pop(0).pack(), 1 << 26)  # as a sensor hands it over
        return Offer(acquisition.name, acquisition)

    def done(self, offer: Offer) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


def frame(
    dtype: str = "uint16", bands: Sequence[str] = BANDS[:4], side: tuple[int, int] = (96, 80), seed: int = 3
) -> Frame:
    """A frame with a ragged edge, a hole and a count of 0 in one band of pixels that have data."""
    made = values(*side, 1, seed)[0][[BANDS.index(b) for b in bands]].astype(np.int64)
    made = made // 40 if dtype == "uint8" else made - 3000 if dtype == "int16" else made
    radiometry = samples_of(dtype, -9999.0 if dtype == "int16" else 0.0)
    valid = np.add.outer(np.arange(side[0]), np.arange(side[1])) > 30
    valid[50:60, 20:45] = False
    counts = np.clip(made + radiometry.shift, *radiometry.limits)
    counts[0, 70:72] = 0
    return Frame(np.where(valid, counts, 0).astype(np.uint16), tuple(bands), valid=valid, radiometry=radiometry)


def fly(folder: Path, frames: Sequence[Frame], coding: str, tile: int = 256) -> tuple[Flight, Station]:
    """Everything coded, nothing sent yet."""
    folder.mkdir(exist_ok=True)
    text = MISSION.replace("tile = 64", f"tile = {tile}\n{coding}").replace("slot_bytes = 16384", "slot_bytes = 32768")
    flight = Flight(folder, text=text)
    put_together(flight, Shots(frames))
    station = Station(folder, flight)
    station.receiver = GroundReceiver(station.store, EdgeSegmentDecoder(shipped()), 4096)
    flight.loop.settle()
    return flight, station


def put_together(flight: Flight, source: Shots) -> None:
    flight.loop.encode.codec = FlightCodec.configured(shipped(), flight.mission.coding)
    flight.loop.intake.source = source


def send(flight: Flight, station: Station, number: int, budget: int = WHOLE, keep: Any = lambda i: True) -> int:
    """A pass with its report; returns the bytes of its packets."""
    packets = flight.contact(number, budget)
    flight.uplink.waiting.extend(station.hear(number, [p for i, p in enumerate(packets) if keep(i)]))
    flight.loop.settle()
    return sum(map(len, packets))


def left(flight: Flight) -> int:
    """Tiles in the queue of which the ground has not confirmed every layer."""
    flight.board.queue.tiles.drop_complete()
    return flight.board.queue.tiles.count()


def received(station: Station, folder: Path) -> list[Frame]:
    (place,) = places(station.store)
    return list(place_frames(station.store, shipped(), place, folder))


def assert_within(found: Frame, true: Frame, max_error: int, rows: slice = slice(None)) -> None:
    assert found.bands == true.bands and found.radiometry == true.radiometry
    assert (found.valid[rows] == true.valid[rows]).all()
    off = np.abs(found.data.astype(int) - true.data)[:, rows][:, true.valid[rows]]
    assert off.max() <= max_error


@pytest.mark.parametrize("max_error", [0, 3])
@pytest.mark.parametrize(
    ("dtype", "bands"), [("uint8", 1), ("uint8", 12), ("uint16", 1), ("uint16", 4), ("uint16", 12), ("int16", 4)]
)
def test_every_count_is_within_the_greatest_error(tmp_path: Path, dtype: str, bands: int, max_error: int) -> None:
    true = [frame(dtype, BANDS[:bands], seed=s) for s in (3, 4)]
    flight, station = fly(tmp_path, true, f"max_error = {max_error}")
    send(flight, station, 0)
    counts = flight.board.log.counts
    assert counts["tile_failed"] == counts["report_mismatch"] == counts["frame_rejected"] == 0
    assert left(flight) == 0, "all of it is confirmed"
    assert len(flight.board.context) == 0, "no date is predicted from such tiles"
    found = received(station, tmp_path)
    assert len(found) == 2
    for a, b in zip(found, true):
        assert_within(a, b, max_error)


def test_images_are_written_in_the_sensors_type_and_say_what_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    true = frame("int16")
    flight, station = fly(tmp_path, [true], "max_error = 2", 64)
    send(flight, station, 0)
    told: list[str] = []
    written, refused, _ = write_images(station.store, shipped(), tmp_path / "images", told=told.append)
    assert not refused and told[1:] == ["  2023-11-14T22:13:20Z: 4 tiles within 2"]
    with np.load(written[0]) as archive:
        assert archive["data"].dtype == np.int16 and (archive["max_error"] == 2).all()
        assert archive["max_error"].dtype == np.int32 and archive["max_error"].shape == (1, 2, 2)
    assert_within(received(station, tmp_path)[0], true, 2)
    decoder = EdgeSegmentDecoder(shipped())
    lines = list(listing(station.store, lambda key: promised_in(station.store, decoder, key)))
    assert sum("+-2" in line for line in lines) == 4
    assert read_series([written[0]]).frames[0].bands == true.bands
    station.store.close()
    say = ["receive", "--store", str(tmp_path / "ground"), "--list", "--images", str(tmp_path / "again")]
    assert main(say) == 0
    said = capsys.readouterr().out
    assert said.count("+-2") == 4 and "2023-11-14T22:13:20Z: 4 tiles within 2" in said


@pytest.mark.parametrize("max_error", [0, 4])
def test_a_tile_comes_down_in_strips_over_several_passes(tmp_path: Path, max_error: int) -> None:
    true = frame(bands=BANDS, side=(112, 96))
    flight, station = fly(tmp_path, [true], f"max_error = {max_error}")
    (key,) = [TileKey(5 << 16, START)]
    size, layers = flight.board.queue.tiles.bytes_queued(), [0]
    for number in range(1, 40):
        send(flight, station, number, size // 7)
        layers.append(station.store.layers(key))
        (found,) = received(station, tmp_path) if layers[-1] else [None]
        if found is not None:
            rows = slice(0, 112 * layers[-1] // 16)
            assert_within(found, true, max_error, rows)
            assert not found.valid[rows.stop :].any(), "what is not there is nodata"
        if layers[-1] == 16:
            break
    assert layers == sorted(layers) and len(set(layers)) > 5 and len(layers) <= 10
    assert left(flight) == 0


@pytest.mark.parametrize("tile", [64, 128, 192])
def test_tiles_lie_where_the_mission_cut_them(tmp_path: Path, tile: int) -> None:
    """Images are put together at the mission's own tile size, which no packet says."""
    true = frame(side=(200, 150))
    flight, station = fly(tmp_path, [true], "max_error = 0", tile)
    send(flight, station, 0)
    (found,) = received(station, tmp_path)
    assert found.data.shape == true.data.shape
    assert_within(found, true, 0)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    flight, station = fly(tmp_path, [frame(bands=BANDS)], "max_error = 0")
    size = flight.board.queue.tiles.bytes_queued()
    send(flight, station, 0, size // 2)
    told: list[str] = []
    write_images(station.store, shipped(), tmp_path / "images", told=told.append)
    layers = station.store.layers(TileKey(5 << 16, START))
    assert 5 < layers < 9
    said = f"1 tile lossless; not whole, the rest is nodata: 5/0/0 {layers} of 16 strips"
    assert told[1:] == [f"  2023-11-14T22:13:20Z: {said}"]


def test_lost_packets_cost_little_more_than_themselves(tmp_path: Path) -> None:
    true = [frame(bands=BANDS, side=(160, 144), seed=s) for s in (3, 4)]
    flight, station = fly(tmp_path, true, "max_error = 0")
    size, rng = flight.board.queue.tiles.bytes_queued(), np.random.default_rng(7)
    sent = [send(flight, station, 0, keep=lambda i: i < 60 or rng.random() > 0.1)]
    times = sorted({key.time for key in station.store.tile_frames()})
    assert times, "something came"
    for a, b in zip(received(station, tmp_path), [true[(time - START) // 86_400] for time in times]):
        assert (a.valid <= b.valid).all() and (a.data == b.data)[:, a.valid].all(), "no wrong count, whatever is lost"
    for number in range(1, 8):
        sent.append(send(flight, station, number, keep=lambda i: rng.random() > 0.1))
    assert left(flight) == 0 and flight.board.log.counts["report_mismatch"] == 0
    assert sum(sent[1:]) < 0.2 * size, "only what was lost goes down again"
    for a, b in zip(received(station, tmp_path), true):
        assert_within(a, b, 0)


def test_tiles_go_down_one_after_the_other(tmp_path: Path) -> None:
    flight, station = fly(tmp_path, [frame(side=(128, 256), seed=6)], "max_error = 0", 64)
    sizes = flight.board.queue.tiles.table().prefix[:, -1]
    send(flight, station, 0, int(sizes.mean() * 3.6))
    layers = sorted(station.store.layers(key) for key in station.store.tile_frames())
    assert layers.count(16) == 3 and len(layers) <= 4, "a strip of each would be an image of none"


def test_a_pass_goes_on_after_a_power_cycle(tmp_path: Path) -> None:
    true = frame(bands=BANDS)
    flight, station = fly(tmp_path, [true], "max_error = 1")
    size = flight.board.queue.tiles.bytes_queued()
    for number in range(9):
        send(flight, station, number, size // 5)
        if station.store.layers(TileKey(5 << 16, START)) < 16:
            assert flight.board.queue.work.frame_names(), "the frame stays until all strips are confirmed"
        flight.restart()
        put_together(flight, Shots([]))
        flight.loop.settle()
    assert station.store.layers(TileKey(5 << 16, START)) == 16 and left(flight) == 0
    flight.clock.advance(3600.0)
    flight.loop.settle()
    assert not flight.board.queue.work.frame_names()
    assert_within(received(station, tmp_path)[0], true, 1)


def test_tiles_that_cannot_be_coded_are_events_and_the_others_fly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, calls = predictive.encode, []

    def short_of_memory(samples: Any, *rest: Any) -> Any:
        calls.append(samples.shape)
        if samples.shape[-1] == 64 and samples.shape[-2] == 64:
            raise MemoryError
        return encode(samples, *rest)

    monkeypatch.setattr(predictive, "encode", short_of_memory)
    flight, station = fly(tmp_path, [frame(side=(96, 80))], "max_error = 0", 64)
    send(flight, station, 0)
    assert flight.board.log.counts["tile_failed"] == 3 and len(calls) == 6, "one tile of four, tried three times"
    assert len(station.store.tile_frames()) == 3


def test_a_coder_that_breaks_the_promise_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The board decodes what it has coded before it goes: a wrong count is an error there and no surprise on the ground."""
    decode = predictive.decode

    def wrong(*given: Any) -> Any:
        found = decode(*given)
        found.samples[1, 40, 40] += 9
        return found

    tile = TilePixels(TileKey(3, START), frame().data, BANDS[:4], frame().valid)
    codec = FlightCodec(shipped(), 28, max_error=3)
    assert codec.encode(tile, ()).q == PREDICTIVE
    monkeypatch.setattr(predictive, "decode", wrong)
    with pytest.raises(CodecError, match="expected 16 layers within 3, decoded 16 within"):
        codec.encode(tile, ())


def test_the_canary_codes_as_tiles_are_coded(monkeypatch: pytest.MonkeyPatch) -> None:
    flight = FlightCodec(shipped(), 28, mode="transform", promises=(0, 5))
    assert [c.max_error for c in flight.modes()] == [None, 0]
    assert [c.max_error for c in FlightCodec(shipped(), 28, mode="auto", max_error=2).modes()] == [2]
    canary = Canary(FlightCodec(shipped(), 28, mode="auto", max_error=2), EventLog(ManualClock()))
    assert canary.check()
    encode = predictive.encode

    def another(samples: Any, *rest: Any) -> Any:
        return encode(samples // 2 * 2, *rest)

    monkeypatch.setattr(predictive, "encode", another)
    assert not canary.check()


REGION = """mode = "transform"
q = 40
[[coding.regions]]
name = "harbour"
place = 5
rows = [1, 2]
columns = [0, 2]
max_error = {max_error}
urgency = 1
[[coding.regions]]
name = "fields"
place = 5
rows = [0, 1]
columns = [1, 2]
q = 8
finest_dn = 0.5
"""


@pytest.mark.parametrize("bands", [4, 12])
def test_regions_have_their_own_guarantee_and_quality(tmp_path: Path, bands: int) -> None:
    true = Frame(values(128, 192, 1, 9)[0][:bands], BANDS[:bands])
    flight, station = fly(tmp_path, [true], REGION.format(max_error=2), 64)
    table = flight.board.queue.tiles.table()
    exact = table.strips
    assert (table.urgency == exact).all() and sorted(table.tile[exact] & 0xFFFF) == [256, 257]
    send(flight, station, 0, int(table.prefix[exact, -1].sum() * 1.09) + 400)
    assert {station.store.layers(TileKey(int(t), START)) for t in table.tile[exact]} == {16}, (
        "they go before the others"
    )
    send(flight, station, 1)
    told: list[str] = []
    (path,), _, _ = write_images(station.store, shipped(), tmp_path / "images", told=told.append)
    assert told[1:] == ["  2023-11-14T22:13:20Z: 2 tiles within 2, 4 tiles without a guarantee"]
    with np.load(path) as archive:
        assert archive["max_error"].tolist() == [[[-1, -1, -1], [2, 2, -1]]]
        data = archive["data"].reshape(-1, *archive["data"].shape[-2:]).astype(int)
        assert [str(b) for b in archive["bands"]] == list(true.bands)
    off = {
        (row, column): np.abs(
            data[:, 64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
            - true.data[:, 64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
        )
        for row in range(2)
        for column in range(3)
    }
    assert max(off[1, 0].max(), off[1, 1].max()) <= 2 < off[1, 2].max()
    assert off[0, 1].mean() < 0.5 * min(off[0, 0].mean(), off[0, 2].mean()), "a finer step"


def test_exact_tiles_among_learned_ones_keep_their_counts(tmp_path: Path) -> None:
    """A place with latents is written in twelve bands; the counts of exact tiles go in as they are."""
    true = Frame(values(64, 128, 1, 9)[0], BANDS)
    coding = "[[coding.regions]]\nplace = 5\ncolumns = [1, 2]\nmax_error = 0\n"
    flight, station = fly(tmp_path, [true], f'mode = "learned"\n{coding}', 64)
    send(flight, station, 0)
    (found,) = received(station, tmp_path)
    assert found.bands == BANDS and (found.data[:, :, 64:] == true.data[:, :, 64:]).all()
    assert (found.data[:, :64, :64] != true.data[:, :, :64]).any()


def test_a_full_queue_gives_up_whole_tiles_rather_than_a_strip_of_each(tmp_path: Path) -> None:
    flight, _ = fly(tmp_path, [frame(side=(128, 256), seed=6)], "max_error = 0", 64)
    table = flight.board.queue.tiles.table()
    kept = layers_to_keep(table, int(table.prefix[:, -1].sum() * 0.4))
    assert sorted(set(kept.tolist()))[0] == 0 and (kept == 16).sum() >= 3 and ((kept > 0) & (kept < 16)).sum() <= 1


def test_signed_frames_come_from_folders_and_lossy_modes_keep_their_type(tmp_path: Path) -> None:
    data = frame("int16").radiometry.to_values(frame("int16").data, np.broadcast_to(frame("int16").valid, (4, 96, 80)))
    (tmp_path / "inbox").mkdir()
    np.savez(tmp_path / "inbox/signed.npz", data=data, bands=np.array(BANDS[:4]), place=5, nodata=-9999)
    flight, station = fly(tmp_path, [], 'mode = "transform"')
    flight.loop.intake.source = FolderSource(tmp_path / "inbox", flight.clock, 0.0)
    flight.loop.settle()
    send(flight, station, 0)
    assert flight.board.log.counts["frame_rejected"] == 0 and flight.board.log.counts["tile_failed"] == 0
    (key,) = station.store.tile_frames()
    (segment,) = station.store.of(key)
    lone, found = EdgeSegmentDecoder(shipped()).image(segment.prefix)
    assert lone.radiometry == samples_of("int16", -9999.0)
    assert np.abs(found.counts - 32768.0 - data)[:, frame("int16").valid].mean() < 10
