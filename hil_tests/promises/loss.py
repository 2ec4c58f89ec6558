"""Packet loss over a series: every decoded tile is the encoder's own, contexts are only what arrived, nothing stalls.

    python -m swathpack.hil_tests.promises loss --codec edge

The whole loop and its ground, ten dates, reports delayed by one pass and one in ten of them lost, packets lost at
random or in bursts; in some rows all reports of one date are lost too. After the last date come passes without new
frames, in which all that was lost has to arrive. With ../shared/data the dates are those of a real series that was not
trained on, else synthetic ones. A row is repeated with other losses until enough packets were really lost; draws
that would lose none of as many packets as the row before it sent are passed over.
"""

from __future__ import annotations

import itertools
import random
import sys
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.edge.bands import BANDS
from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.base_layer import known_part
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.protocol import CodedTile, ContextLatent, TilePixels
from swathpack.edge.frame import Frame
from swathpack.edge.packets.report import held_digest
from swathpack.edge.sources.acquisition import Acquisition, Offer
from swathpack.edge.sources.synthetic import SyntheticSource
from swathpack.edge.stream.quality import step_of
from swathpack.hil_tests.promises.watcher import codecs, waiting
from swathpack.hil_tests.simulation.fake_codec import synthesise
from swathpack.hil_tests.simulation.flight import MISSION, Flight, Station
from swathpack.hil_tests.simulation.two_ends import KEY, held_of
from swathpack.tools.ground.receiver import GroundReceiver
from swathpack.tools.ground.reports import ReportWriter

DATES = 10
OUTAGE = 4  # the date whose reports are all lost, in rows with an outage
REPORT_LOSS = 0.1
RECOVERY = 6  # passes after the last date
LEAST_LOST = 3
MOST_SERIES = 24
BURST = 8.0  # packets
DATA = Path("../shared/data/val/eotdl__boadella_east.npz")


@dataclass(frozen=True)
class Case:
    """A row: share of packets lost, alone or in bursts. policy: of contexts. outage: a date's reports are lost."""

    loss: float
    bursts: bool = False
    policy: str = "confirmed"
    outage: bool = False
    ample: bool = False  # a budget for all layers of everything


@dataclass
class LossResult:
    """What became of a row's series, added up."""

    case: Case
    series: int = 0
    packets: int = 0
    lost: int = 0
    wrong: int = 0  # latents at the ground that are not the encoder's to the layers held
    seen: int = 0
    frames: int = 0
    layers: int = 0  # over all tile-frames, those never seen count 0
    errors: list[float] = field(default_factory=list)  # DN^2 per tile-frame seen
    waited: int = 0  # most segments that waited for context at a time
    waiting: int = 0  # ... and after the passes without new frames
    complete: int = 0  # tile-frames at the ground to all layers then
    mismatches: int = 0  # told of by the board
    coded: int = 0  # tiles of the third date and after
    offered: int = 0  # of them, with confirmed (or sent) context to code against
    inter: int = 0  # of them, coded against it: the codec leaves out what does not pay
    bytes: int = 0  # of whole segments from the third date on
    over_budget: int = 0

    @property
    def good(self) -> bool:
        """Nothing wrong, and the row did what it says."""
        stalled = self.offered < (0.9 if self.case.loss < 0.1 else 0.6) * self.coded or not self.inter
        left = self.waiting or (self.waited and self.case.policy == "confirmed")
        idle = self.case.loss > 0 and self.lost < LEAST_LOST
        return not (self.wrong or self.mismatches or self.over_budget or stalled or left or idle)


class Channel:
    """Loses packets: independently, or in bursts of mean length 8 (Gilbert's model) at the same rate."""

    def __init__(self, case: Case, rng: random.Random) -> None:
        self._loss, self._bursts, self._rng = case.loss, case.bursts, rng
        self._bad = False

    def keeps(self) -> bool:
        """Whether the next packet arrives."""
        draw = self._rng.random()
        if not self._bursts:
            return draw >= self._loss
        enter = self._loss / (BURST * (1 - self._loss))
        self._bad = draw >= 1 / BURST if self._bad else draw < enter
        return not self._bad


class Remembering:
    """A `TileCodec` and its `SegmentDecoder` that do the same work once: most of a series is the same in every row."""

    def __init__(self, name: str) -> None:
        self._codec, self._decoder, self.model = codecs(name)
        self.layers, self.head = self._codec.layers, self._decoder.head
        self._coded: dict[Any, CodedTile] = {}
        self._decoded: dict[Any, tuple[np.ndarray, int]] = {}
        self._seen: dict[Any, np.ndarray] = {}
        self.log: list[CodedTile] = []
        self.offered = 0

    def encode(self, tile: TilePixels, contexts: Sequence[ContextLatent]) -> CodedTile:
        place = (tile.key, zlib.crc32(tile.data.tobytes()), tuple(c.digest for c in contexts))
        if place not in self._coded:
            self._coded[place] = self._codec.encode(tile, contexts)
        coded = self._coded[place]
        self.log.append(coded)
        self.offered += bool(contexts)
        return coded

    def decode(self, data: bytes, contexts: Sequence[ContextLatent]) -> tuple[np.ndarray, int]:
        place = (data, tuple(c.digest for c in contexts))
        if place not in self._decoded:
            self._decoded[place] = self._decoder.decode(data, contexts)
        latent, layers = self._decoded[place]
        return latent.copy(), layers

    def pixels(self, latent: np.ndarray, q: int) -> np.ndarray:
        """What the ground makes of a latent of quality byte q: (bands, H, W) DN, float."""
        place = (latent.tobytes(), q)
        if place not in self._seen:
            real = hasattr(self.model, "synthesise")
            self._seen[place] = (self.model.synthesise if real else synthesise_fake)(latent.astype(np.float32), q)
        return self._seen[place]


def synthesise_fake(latent: np.ndarray, q: int) -> np.ndarray:
    """(4, H, W) DN, float, of a latent of the fake codec."""
    return synthesise(latent, q, len(BANDS))


class DatedSource:
    """A `FrameSource`: the frames of the dates up to `date`."""

    def __init__(self, views: list[list[np.ndarray]]) -> None:
        self._due = deque((place, date, view) for date, row in enumerate(views) for place, view in enumerate(row))
        self.date = -1

    def poll(self) -> Offer | None:
        if not self._due or self._due[0][1] > self.date:
            return None
        place, date, view = self._due.popleft()
        frame = Frame.from_array(view, BANDS)
        return Offer("", Acquisition(f"f-{place}-{date}", seconds(date), place, frame))

    def done(self, offer: Offer) -> None:
        pass

    def close(self) -> None:
        pass


def seconds(date: int) -> int:
    """Acquisition time of a date."""
    return 1_700_000_000 + date * 5 * 86400


def views(places: int, real: bool = True) -> list[list[np.ndarray]]:
    """Per date and place (12, H, 64) uint16: overlapping columns of a real series, or synthetic ground."""
    if real and DATA.exists():
        with np.load(DATA) as archive:
            data = archive["data"][:DATES, :, :320]
        starts = np.linspace(0, data.shape[3] - 64, places).astype(int)
        return [[np.ascontiguousarray(frame[:, :, s : s + 64]) for s in starts] for frame in data]
    source = SyntheticSource(ManualClock(), 0, places, 128)
    return [[source.scene(place, date) for place in range(places)] for date in range(DATES)]


def series(
    folder: Path,
    case: Case,
    codec: Remembering,
    ground: list[list[np.ndarray]],
    budget: int,
    result: LossResult,
    seed: int,
) -> None:
    """One run over all dates; adds to the result."""
    text = MISSION.replace("[context]", f'[context]\npolicy = "{case.policy}"').replace("= 512", "= 256")
    flight = Flight(folder, text=text)
    flight.loop.intake.source = source = DatedSource(ground)
    flight.loop.encode.codec = codec
    station = Station(folder, flight)
    station.receiver = GroundReceiver(station.store, codec, 4096)
    rng = random.Random(seed)
    channel = Channel(case, random.Random(seed))
    reports: deque[list[bytes]] = deque([[], []])
    codec.log.clear()
    for date in range(DATES):
        flight.clock.advance(3600)
        source.date, before, codec.offered = date, len(codec.log), 0
        lost_day = case.outage and date == OUTAGE
        flight.uplink.waiting.extend(c for c in reports.popleft() if not lost_day and rng.random() >= REPORT_LOSS)
        flight.loop.settle()
        result.inter += sum(bool(c.context_digests) for c in codec.log[before:] if date > 1)
        result.coded += len(codec.log) - before if date > 1 else 0
        result.offered += codec.offered if date > 1 else 0
        result.bytes += sum(int(c.prefix_bytes[-1]) for c in codec.log[before:] if date > 1)
        reports.append(_pass(date + 1, flight, station, channel, budget, result))
    _judge(result, flight, station, codec, ground)
    for number in range(DATES + 1, DATES + 1 + RECOVERY):
        flight.clock.advance(3600)
        flight.uplink.waiting.extend(c for c in reports.popleft() if rng.random() >= REPORT_LOSS)
        flight.loop.settle()
        reports.append(_pass(number, flight, station, channel, budget, result))
    result.waiting += waiting(station.store)
    result.complete += sum(station.store.layers(key) == LAYERS for key in station.store.tile_frames())
    result.wrong += _wrong(station, codec)
    flight.board.close()
    station.store.close()
    result.series += 1


def _pass(
    number: int, flight: Flight, station: Station, channel: Channel, budget: int, result: LossResult
) -> list[bytes]:
    packets = flight.contact(number, budget)
    kept = [packet for packet in packets if channel.keeps()]
    result.over_budget += sum(map(len, packets)) > budget
    result.packets += len(packets)
    result.lost += len(packets) - len(kept)
    station.reports = ReportWriter(station.store, KEY, flight.board.boot.store)
    commands = station.hear(number, kept)
    result.waited = max(result.waited, waiting(station.store))
    return commands


def _judge(
    result: LossResult, flight: Flight, station: Station, codec: Remembering, ground: list[list[np.ndarray]]
) -> None:
    columns = ground[0][0].shape[2] // 64
    result.frames += sum(view.shape[1] // 64 * columns for row in ground for view in row)
    for key in station.store.tile_frames():
        held = held_of(station.store, key)
        result.seen, result.layers = result.seen + 1, result.layers + held.layers
        row, column = key.tile >> 8 & 255, key.tile & 255
        view = ground[(key.time - seconds(0)) // (5 * 86400)][key.tile >> 16]
        pixels = view[:, row * 64 : row * 64 + 64, column * 64 : column * 64 + 64].astype(np.float64)
        result.errors.append(
            float(((codec.pixels(held.latent, step_of(held.q)) - pixels)[:, pixels[0] > 0] ** 2).mean())
        )
    result.wrong += _wrong(station, codec)
    result.mismatches += flight.board.log.counts["report_mismatch"]


def _wrong(station: Station, codec: Remembering) -> int:
    """Latents at the ground that are not, value by value and by digest, the encoder's own to the layers held."""
    own = {coded.key: coded for coded in codec.log}  # the last coding of a tile-frame, as the queue keeps it
    wrong = 0
    for key in station.store.tile_frames():
        held, mine = held_of(station.store, key), own[key]
        same = np.array_equal(held.latent, known_part(mine.latent, held.layers, mine.q))
        digests = [held_digest(key, mine.q, held.layers, latent) for latent in (held.latent, mine.latent)]
        wrong += not (same and digests[0] == digests[1] and held.q == mine.q)
    return wrong


CASES = (
    Case(0.0),
    Case(0.0, policy="sent"),
    Case(0.0, ample=True),
    Case(0.0, policy="sent", ample=True),
    Case(0.0, outage=True),
    Case(0.001),
    Case(0.001, True),
    Case(0.01),
    Case(0.01, True),
    Case(0.05),
    Case(0.05, True),
    Case(0.2),
    Case(0.2, True),
    Case(0.05, outage=True),
    Case(0.05, True, outage=True),
    Case(0.01, policy="sent"),
    Case(0.05, True, policy="sent"),
)


def campaign(
    folder: Path, codec: str, places: int, budget: int, cases: Sequence[Case] = CASES, real: bool = True
) -> list[LossResult]:
    """The rows in turn. Those with loss repeat their series until at least LEAST_LOST packets are lost.

    codec: `fake` or `edge`. budget: bytes of a pass. real: ground of the validation split where it is there.
    """
    ground, shared = views(places, real), Remembering(codec)
    results, sent = [], 100 * places
    for i, case in enumerate(cases):
        result, seeds = LossResult(case), _biting(case, sent)
        least = LEAST_LOST if case.loss else 0
        while result.series == 0 or (result.lost < least and result.series < MOST_SERIES):
            place = folder / f"{i}-{result.series}"
            place.mkdir(parents=True)
            series(place, case, shared, ground, 100 * budget if case.ample else budget, result, next(seeds))
        sent = result.packets // result.series
        results.append(result)
        sys.stderr.write(f"\r{i + 1} of {len(cases)} rows ")
        sys.stderr.flush()
    return results


def _biting(case: Case, packets: int) -> Iterator[int]:
    """Seeds whose channel loses one of so many packets at least."""
    for seed in itertools.count():
        channel = Channel(case, random.Random(seed))
        if case.loss == 0 or not all([channel.keeps() for _ in range(packets)]):
            yield seed


def report(results: list[LossResult]) -> str:
    """A line per row, and what `confirmed` costs against `sent`."""
    lines = [
        "loss    how     policy     uplink   series  lost/packets  wrong  seen/frames  layers  RMSE DN"
        "  context offered/used/coded  waited/in the end  whole then  bytes a tile"
    ]
    for r in results:
        c = r.case
        rmse = float(np.mean(r.errors)) ** 0.5 if r.errors else float("nan")
        lines.append(
            f"{100 * c.loss:4.1f} %  {'bursts' if c.bursts else 'random'}  {c.policy:9}  "
            f"{'day lost' if c.outage else 'good':8} "
            f"{r.series:6}  {r.lost:5}/{r.packets:<6}  {r.wrong:5}  {r.seen:5}/{r.frames:<5}  {r.layers / r.frames:6.2f}  "
            f"{rmse:7.1f}  {r.offered:6}/{r.inter}/{r.coded:<14}  {r.waited:6}/{r.waiting:<9}  "
            f"{r.complete:6}/{r.frames:<4} {r.bytes / max(r.coded, 1):8.1f}"
            f"{'  ample budget' if c.ample else ''}{'' if r.good else '  BROKEN'}"
        )
    cost = {r.case.policy: r.bytes / r.coded for r in results if r.case.ample and not r.case.loss and r.coded}
    if len(cost) == 2:
        share = 100 * (cost["confirmed"] / cost["sent"] - 1)
        lines.append(
            f"`confirmed` costs {share:+.1f} % bytes against `sent`: no loss, reports one pass late, all layers down"
        )
    return "\n".join(lines)


def main(folder: Path, size: int | None, codec: str) -> tuple[str, bool]:
    places = size or 2
    results = campaign(folder, codec, places, 9000 * places)
    where = DATA.name if DATA.exists() else "synthetic ground"
    return f"{codec} codec, {where}, {DATES} dates\n" + report(results), all(r.good for r in results)
