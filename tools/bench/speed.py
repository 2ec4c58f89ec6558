"""Tiles a second of the onboard path on this machine, stage by stage, with JPEG2000 in the same run.

    python -m swathpack.tools.bench.speed                         two processes, 24 tiles each
    python -m swathpack.tools.bench.speed --model build/edge --engine onnxruntime:basic

Every process codes tiles of 256 x 256 pixels and twelve bands with the codec that flies
(`swathpack.edge.codec.flight.FlightCodec`), cuts them from frames before and packs them into Space Packets behind it. Frames
are the longest val series of the data folder, mirrored to 512 x 256 pixels; without data, made-up ones. Times of a
stage are CPU milliseconds of the process without what it calls of another stage. Tiles a second are wall-clock,
all processes together; on a busy machine read the CPU column. JPEG2000 (OpenJPEG, one thread) codes the same tiles
to about the same bytes in as many processes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel
from swathpack.edge.codec.pixels import tile_windows
from swathpack.edge.codec.protocol import ContextLatent, TileKey, TilePixels
from swathpack.edge.codec.tile_coder import RDO_SLOPE
from swathpack.edge.packets.pieces import PiecePacker, Span
from swathpack.edge.packets.space_packet import OVERHEAD_BYTES, Apid, SpacePacket
from swathpack.tools.files.outputs import add_force, check_output, write_text
from swathpack.tools.guard import guarded

SIDE = 256
PACKET_BYTES = 1024
DEFAULT_JSON = Path("build/speed.json")  # a build product: replaced without --force
STAGES = ("tiling", "analysis", "quantiser, RDO", "entropy pass", "range coding", "packing", "rest")
# Published TEC-TT code, one frame of 256 x 256 x 12 on a server like this one: docs/terracodec.md.
PUBLISHED_CPU_S = 55.0
Frames = NDArray[np.uint16]


class StageClock:
    """CPU seconds by stage; a stage inside another counts for itself only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._stack: list[str] = []
        self._since = 0.0
        self._watched: list[tuple[object, str, Any]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time goes to `name` until the block ends or a stage inside begins."""
        self._charge()
        self._stack.append(name)
        try:
            yield
        finally:
            self._charge()
            self._stack.pop()

    def _charge(self) -> None:
        now = time.process_time()
        if self._stack:
            self.seconds[self._stack[-1]] += now - self._since
        self._since = now

    def watch(self, owner: object, name: str, stage: str) -> None:
        """Replace a function of a module or object by one that is timed."""
        inner: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(stage):
                return inner(*args, **kwargs)

        self._watched.append((owner, name, inner))
        setattr(owner, name, timed)

    def restore(self) -> None:
        """Take every `watch` back."""
        while self._watched:
            setattr(*self._watched.pop())


def watch_codec(clock: StageClock, model: EdgeModel) -> None:
    """Put the parts of the flying codec under the clock."""
    from swathpack.edge.codec import context_choice, flight, layers, tile_coder
    from swathpack.edge.codec import model as model_module

    for owner, name, stage in (
        (flight, "complete_bands", "tiling"),
        (tile_coder, "fill_invalid", "tiling"),
        (model_module, "padded", "tiling"),
        (model, "analyse", "analysis"),
        (tile_coder, "quantise", "quantiser, RDO"),
        (tile_coder, "choose_levels", "quantiser, RDO"),
        (context_choice, "predict", "entropy pass"),
        (layers, "predict", "entropy pass"),
        (context_choice, "encode_layers", "range coding"),
        (tile_coder, "encode_layers", "range coding"),
        (flight, "pack_segment", "packing"),
    ):
        clock.watch(owner, name, stage)


@dataclass(frozen=True)
class Setting:
    """One way to fly: contexts per tile, RDO or not. `model`, `engine`: as `EdgeModel` takes them."""

    name: str
    contexts: int
    slope: float
    q: int
    model: Path
    engine: str


@dataclass(frozen=True)
class Measured:
    """One process: `tiles` in `wall_s`; `cpu_s` by stage; bytes of all segments; tiles that used a context."""

    tiles: int
    wall_s: float
    cpu_s: dict[str, float]
    bytes: int
    with_context: int = 0


def load_frames(data: Path) -> tuple[Frames, str]:
    """(T, 12, 512, 256) uint16 and where they are from."""
    if (data / "catalog.json").is_file():
        from swathpack.tools.bench.cubes import load

        cube = max(load(data), key=lambda c: c.data.shape[0])
        height, width = cube.data.shape[2:]
        pads = [(0, 0), (0, 0), (0, max(0, 2 * SIDE - height)), (0, max(0, SIDE - width))]
        frames = np.pad(cube.data, pads, mode="symmetric")[..., : 2 * SIDE, :SIDE]
        return np.ascontiguousarray(frames), f"{cube.name}, {height} x {width} pixels mirrored"
    from swathpack.tools.files.synthetic_scene import synthetic_series

    series, _ = synthetic_series(dates=6, size=2 * SIDE)
    return np.stack([np.asarray(f.data[..., :SIDE], np.uint16) for f in series.frames]), "made-up scene"


def cut(frame: Frames, time_s: int) -> list[TilePixels]:
    """The tiles of a frame (12, H, W), as the flight loop cuts them."""
    valid = np.ones(frame.shape[1:], np.bool_)
    return [
        TilePixels(
            TileKey(w.index, time_s), np.ascontiguousarray(w.of(frame)), BANDS, np.ascontiguousarray(w.of(valid))
        )
        for w in tile_windows(frame.shape[1], frame.shape[2], SIDE)
    ]


def packets(segment: bytes) -> int:
    """Bytes of the Space Packets that carry a segment."""
    packer, size = PiecePacker([Span(0, 0, len(segment))], lambda s: segment[s.start : s.stop]), 0
    while payload := packer.payload(PACKET_BYTES - OVERHEAD_BYTES)[0]:
        size += len(SpacePacket(Apid.IMAGE, size // PACKET_BYTES, 0, 0, payload).pack())
    return size


def fly(setting: Setting, frames: Frames, tiles: int, start: Callable[[], None] = lambda: None) -> Measured:
    """Code `tiles` tiles in this process, after one that is not counted; `start` is called between the two."""
    from swathpack.edge.codec.flight import FlightCodec

    model = EdgeModel(setting.model, 1, setting.engine)
    codec, clock = FlightCodec(model, setting.q, setting.slope), StageClock()
    held: dict[int, list[ContextLatent]] = {}
    for pixels in cut(frames[0], 0):  # warms up and gives the first contexts
        _keep(held, codec.encode(pixels, []), setting.contexts)
    watch_codec(clock, model)
    try:
        start()
        return _measured(setting, frames, tiles, codec, clock, held)
    finally:
        clock.restore()


def _measured(
    setting: Setting,
    frames: Frames,
    tiles: int,
    codec: Any,
    clock: StageClock,
    held: dict[int, list[ContextLatent]],
) -> Measured:
    clock.seconds.clear()
    began, done, size, used, date = time.monotonic(), 0, 0, 0, 0
    while done < tiles:
        date += 1
        with clock.stage("tiling"):
            todo = cut(frames[date % len(frames)], date)
        for pixels in todo[: tiles - done]:
            with clock.stage("rest"):
                coded = codec.encode(pixels, held[pixels.key.tile][: setting.contexts])
                segment = coded.segment(0, LAYERS)
            with clock.stage("packing"):
                size += packets(segment)
            _keep(held, coded, setting.contexts)
            used += bool(coded.refs)
            done += 1
    return Measured(done, time.monotonic() - began, dict(clock.seconds), size, used)


def _keep(held: dict[int, list[ContextLatent]], coded: Any, count: int) -> None:
    """The coded tile becomes the newest context of its place."""
    new = ContextLatent.known(coded.key, coded.q, LAYERS, coded.latent)
    held[coded.key.tile] = [new, *held.get(coded.key.tile, [])][: max(count, 1)]


def jpeg2000(frames: Frames, tiles: int, knob: float, start: Callable[[], None] = lambda: None) -> Measured:
    """The same tiles with JPEG2000 at one knob."""
    from swathpack.tools.bench.peers import make

    peer = make("j2k")
    dates = [*range(1, len(frames)), 0]  # the same order as `fly`
    cubes = [pixels.data[None] for date in dates for pixels in cut(frames[date], date)]
    peer.encode(cubes[0], knob)
    start()
    began, cpu, size = time.monotonic(), time.process_time(), 0
    for n in range(tiles):
        size += peer.encode(cubes[n % len(cubes)], knob).total_bytes
    return Measured(tiles, time.monotonic() - began, {"all": time.process_time() - cpu}, size)


def jpeg2000_knob(frames: Frames, tile_bytes: float, count: int) -> float:
    """The knob at which JPEG2000 takes about `tile_bytes` a tile over the first `count` tiles that `fly` codes."""
    from swathpack.tools.bench.peers import make

    peer, low, high = make("j2k"), 36.0, 76.0
    dates = range(1, -(-count // 2) + 1)
    tiles = [pixels.data[None] for date in dates for pixels in cut(frames[date % len(frames)], date)][:count]
    for _ in range(6):
        knob = (low + high) / 2
        size = sum(peer.encode(tile, knob).total_bytes for tile in tiles) / len(tiles)
        low, high = (knob, high) if size < tile_bytes else (low, knob)
    return (low + high) / 2


def _process(work: Callable[..., Measured], args: tuple[Any, ...], barrier: Any, answers: Any) -> None:
    try:
        answers.put(work(*args, barrier.wait))
    except Exception as error:  # the parent would wait for ever
        barrier.abort()
        answers.put(f"{type(error).__name__}: {error}")


def together(count: int, work: Callable[..., Measured], *args: Any) -> list[Measured]:
    """`work(*args, start)` in `count` processes that start together. Raises RuntimeError."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(count), context.Queue()
    workers = [context.Process(target=_process, args=(work, args, barrier, answers)) for _ in range(count)]
    for worker in workers:
        worker.start()
    found = [answers.get() for _ in workers]
    for worker in workers:
        worker.join()
    failed = [one for one in found if isinstance(one, str)]
    if failed:
        raise RuntimeError(failed[0])
    return found


def summary(runs: list[Measured]) -> dict[str, Any]:
    """Tiles a second of all processes, CPU milliseconds and bytes a tile, CPU milliseconds by stage."""
    tiles = sum(r.tiles for r in runs)
    stages: Counter[str] = Counter()
    for run in runs:
        stages.update(run.cpu_s)
    per_tile = {name: seconds / tiles * 1e3 for name, seconds in stages.items()}
    return {
        "tiles": tiles,
        "tiles_per_s": sum(r.tiles / r.wall_s for r in runs),
        "cpu_ms_per_tile": sum(per_tile.values()),
        "bytes_per_tile": sum(r.bytes for r in runs) / tiles,
        "with_context": sum(r.with_context for r in runs) / tiles,
        "stages_ms": per_tile,
    }


def table(results: dict[str, dict[str, Any]], processes: int) -> str:
    """The table that is printed: CPU ms per tile by stage, a column for each setting."""
    head = ["CPU ms per tile", *results]
    rows = [
        [s, *(f"{r['stages_ms'].get(s, 0):.1f}" if s in r["stages_ms"] else "" for r in results.values())]
        for s in STAGES
    ]
    own = ("tiling", "range coding", "packing")
    shares = [sum(r["stages_ms"].get(s, 0) for s in own) / r["cpu_ms_per_tile"] for r in results.values()]
    rows += [
        ["all", *(f"{r['cpu_ms_per_tile']:.1f}" for r in results.values())],
        ["tiling, range coder, packing", *(f"{s:.1%}" if s else "" for s in shares)],
        ["bytes per tile", *(f"{r['bytes_per_tile']:.0f}" for r in results.values())],
        ["used a context", *(f"{r['with_context']:.0%}" if s else "" for r, s in zip(results.values(), shares))],
        [f"tiles/s, {processes} processes", *(f"{r['tiles_per_s']:.1f}" for r in results.values())],
        [
            f"tiles/s by CPU time, {processes} cores",
            *(f"{processes * 1e3 / r['cpu_ms_per_tile']:.1f}" for r in results.values()),
        ],
        [
            "less CPU than published TEC-TT",
            *(f"{PUBLISHED_CPU_S * 1e3 / r['cpu_ms_per_tile']:.0f} x" for r in results.values()),
        ],
    ]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [
        [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))] for row in [head, *rows]
    ]
    return "\n".join("  ".join(line) for line in lines)


def settings(model: Path, engine: str, q: int) -> list[Setting]:
    """What is measured: with and without context, with and without rate-distortion optimisation."""
    return [
        Setting("intra", 0, 0.0, q, model, engine),
        Setting("intra, RDO", 0, RDO_SLOPE, q, model, engine),
        Setting("one context", 1, 0.0, q, model, engine),
        Setting("one context, RDO", 1, RDO_SLOPE, q, model, engine),
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", type=Path, default=DEFAULT_DIRECTORY)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--q", type=int, default=32, help="quantiser step index (32)")
    parser.add_argument("--tiles", type=int, default=24, help="per process (24)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path, default=DEFAULT_JSON)
    add_force(parser)
    args = parser.parse_args(argv)
    return guarded("speed", lambda: run(args))


def run(args: argparse.Namespace) -> int:
    """Measures, prints, writes."""
    check_output(args.json, [args.data, args.model], args.force or args.json == DEFAULT_JSON)
    frames, source = load_frames(args.data)
    chosen = EdgeModel(args.model, 1, args.engine)
    name = next((e.engine for e in chosen.engine_events if e.reason == "opened"), args.engine)
    print(f"{source}; engine {name}; {args.processes} processes x {args.tiles} tiles of {SIDE} x {SIDE}, q {args.q}")
    results: dict[str, dict[str, Any]] = {}
    for one in settings(args.model, args.engine, args.q):
        results[one.name] = summary(together(args.processes, fly, one, frames, args.tiles))
    try:
        knob = jpeg2000_knob(frames, results["intra"]["bytes_per_tile"], min(args.tiles, 8))
        results["JPEG2000"] = summary(together(args.processes, jpeg2000, frames, args.tiles, knob))
    except Exception as error:  # imagecodecs is not part of the flight
        print(f"JPEG2000: {error}")
    print(table(results, args.processes))
    args.json.parent.mkdir(parents=True, exist_ok=True)
    write_text(args.json, json.dumps({"engine": name, "frames": source, "results": results}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
