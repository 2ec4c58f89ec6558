"""The slot's own test, run in its environment: `python -m swathpack.edge.install.selftest [MISSION]` writes JSON lines.

mission     the mission of this board, where it has one, is one that this release flies
engine      every engine that can be had builds or loads, and reproduces the golden vectors on this machine
coder       the C range coder writes the words of the slow Python one
round trip  one tile: coded, decoded, the same latent
speed       tiles per second of the onboard path, and module power where tegrastats tells it

Status 1 when one of the first four fails. Speed and power are figures, not conditions.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.clock import SystemClock
from swathpack.edge.codec.engines.report import NOTES
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.layers import tile_decoder
from swathpack.edge.codec.model import EdgeModel, ModelError
from swathpack.edge.codec.rangecoder import native, new_encoder
from swathpack.edge.codec.tile_coder import analyse_tile, encode_tile
from swathpack.edge.config import ConfigError, read_mission
from swathpack.edge.install.power import PowerMeter
from swathpack.edge.install.report import Reporter
from swathpack.edge.outside import uplink_keys
from swathpack.edge.sources.synthetic import SyntheticSource
from swathpack.edge.stream.quality import quality_of, usual_shift

ENGINES = "tensorrt,auto"  # as the example mission flies
QUALITY = quality_of(28, usual_shift(28))
SIZES = (256, 64)  # tile sides: the flight's, and a small one for machines that need minutes for it
SLOW_S = 4.0
SPEED_S = 5.0
MAX_TILES = 50


class _Heartbeat:
    """Says every few seconds that a long step is still going on."""

    def __init__(self, report: Reporter, step: str, every_s: float = 5.0) -> None:
        self._report, self._step, self._every = report, step, every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        begin = time.monotonic()
        while not self._over.wait(self._every):
            self._report.say(self._step, "progress", f"{time.monotonic() - begin:.0f} s")


def open_model(report: Reporter) -> EdgeModel:
    """The slot's model with the first engine that may code; TensorRT builds its engines here. Raises ModelError."""
    report.say("engine", "begin", f"trying {ENGINES}; TensorRT builds for minutes where it is")
    with _Heartbeat(report, "engine"):
        model = EdgeModel(engine=ENGINES)
        model.check_files()
    for event in model.engine_events[:-1]:
        told = event.reason if event.reason in NOTES else f"not used ({event.reason})"
        report.say("engine", "note", f"{event.engine} {told}: {event.detail}")
    used = model.engine_events[-1].engine
    report.say("engine", "done", f"{used} reproduces the golden vectors", engine=used)
    return model


def check_coder(model: EdgeModel, report: Reporter) -> bool:
    """Whether the C range coder, where there is one, writes what the reference writes."""
    if not native.available():
        report.say("coder", "note", "no C range coder: the slow Python one codes; bundle with a cross compiler")
        return True
    rng = np.random.default_rng(1)
    index = rng.integers(0, model.tables.n_tables, 4096).astype(np.uint16)
    symbols = rng.integers(-40, 40, index.size).astype(np.int32)
    written = []
    for name in ("native", "reference"):
        encoder = new_encoder(model.tables, name)
        encoder.encode(symbols, index)
        written.append(encoder.payload())
    good = written[0] == written[1]
    report.say(
        "coder",
        "done" if good else "failed",
        f"{len(written[0])} bytes, " + ("equal" if good else "not equal") + " to the reference",
    )
    return good


def code_tile(model: EdgeModel, pixels: NDArray[Any]) -> tuple[Any, bytes]:
    """The onboard path of one tile (12, H, W): the coded latent and its payload of all layers."""
    valid = np.ones(pixels.shape[1:], np.bool_)
    coded = encode_tile(model, analyse_tile(model, pixels, valid), QUALITY)
    return coded, coded.layers.payload(LAYERS)


def round_trip(model: EdgeModel, size: int, report: Reporter) -> float:
    """Code and decode one tile of that side; -> seconds of the coding, negative when the latents differ."""
    pixels = SyntheticSource(SystemClock(), 1, 1, size).scene(0, 0)
    begin = time.monotonic()
    coded, payload = code_tile(model, pixels)
    seconds = time.monotonic() - begin
    h, w = coded.latent.shape[1:]
    decoder = tile_decoder(model.engine, model.tables, (), QUALITY, (h, w))
    count = decoder.decode(payload, LAYERS)
    good = count == LAYERS and np.array_equal(decoder.latent, coded.latent)
    text = f"{size}x{size} tile, {len(payload)} bytes, {seconds:.2f} s to code: latents "
    report.say("round trip", "done" if good else "failed", text + ("equal" if good else "differ"))
    return seconds if good else -1.0


def measure_speed(model: EdgeModel, size: int, report: Reporter) -> None:
    """Tiles per second over SPEED_S or MAX_TILES, with the module's mean power."""
    pixels, count = SyntheticSource(SystemClock(), 1, 1, size).scene(0, 1), 0
    begin = time.monotonic()
    with PowerMeter() as meter:
        while count < MAX_TILES and (count == 0 or time.monotonic() - begin < SPEED_S):
            code_tile(model, pixels)
            count += 1
    rate = count / (time.monotonic() - begin)
    power = meter.mean_w
    shown = f", {power:.1f} W module, {power / rate:.2f} J per tile" if power else ", power not measured here"
    report.say(
        "speed",
        "done",
        f"{rate:.2f} tiles/s of {size}x{size} over {count} tiles{shown}",
        tiles_per_s=rate,
        tile=size,
        watts=power,
    )


def check_mission(path: Path, report: Reporter) -> None:
    """What a start would refuse in its first second is refused before the switch. Raises ConfigError."""
    uplink_keys(read_mission(path))
    report.say("mission", "done", f"{path} is one that this release flies")


def main(argv: Sequence[str] = ()) -> int:
    """All tests; the exit status."""
    report = Reporter()
    try:
        for path in argv:
            check_mission(Path(path), report)
        model = open_model(report)
        good = check_coder(model, report)
        size = SIZES[1]
        seconds = round_trip(model, size, report)
        if 0 <= seconds * (SIZES[0] / SIZES[1]) ** 2 < SLOW_S * 4:
            size = SIZES[0]
            seconds = round_trip(model, size, report)
        if not good or seconds < 0:
            return 1
        measure_speed(model, size, report)
    except (ModelError, ConfigError) as error:
        report.say("mission" if isinstance(error, ConfigError) else "engine", "failed", str(error))
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
