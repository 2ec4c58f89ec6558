"""Single bit flips in the codec's memory: which change a stream, and which of those would leave the board.

    python -m swathpack.hil_tests.campaigns.bitflips --flips 1000 [--json FILE]

Every flip is made in a forked copy of a process that holds the flight codec, its scrubber and its canary. The copy
codes a tile against two contexts and then does what the loop does before it passes a tile on: a full look at all
watched memory, and the canary. A stream that differs from the undisturbed one and passes both has escaped.

    weights   arrays of the network that the process can see (also the decoding twin's)
    tables    probability tables, and the C range coder's copy of them
    engine    weights inside ONNX Runtime, of the entropy network and of the analysis
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import signal
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from swathpack.edge.bands import BANDS
from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.base_layer import known_part
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.protocol import ContextLatent, TileKey, TilePixels
from swathpack.edge.events import EventLog
from swathpack.edge.health.model_memory import Canary, watch_model
from swathpack.edge.health.scrub import Scrubber
from swathpack.hil_tests.simulation import memory
from swathpack.tools.files.outputs import write_text
from swathpack.tools.files.synthetic_scene import synthetic_series
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.decoder import DecodeError
from swathpack.tools.progress import Progress

SHARES = {"weights": 0.4, "tables": 0.2, "engine": 0.4}
Q, SIDE, SEEDS, LIMIT_S = 28, 64, 4, 60
C_COPY = 0.5  # of the flips in tables


@dataclass(frozen=True)
class Flip:
    """What one flip did. changed: the stream or the latent differs. caught: by what, empty when by nothing.

    wrong: of an escape, whether the ground would hold another latent than the undisturbed one, or nothing at all.
    """

    where: str
    what: str
    changed: bool
    caught: str
    wrong: str = ""

    @property
    def escaped(self) -> bool:
        """Something else than the right stream leaves the board, and nobody there knows."""
        return self.changed and not self.caught


class Bench:
    """The codec under test in this process, and a second, undisturbed model to repair and judge with."""

    def __init__(self) -> None:
        self.pristine = EdgeModel()
        self.tiles = [self._tile(seed) for seed in range(SEEDS)]
        others = memory.EngineMemory(self.pristine).addresses()
        self.model = EdgeModel()
        self.codec, log = FlightCodec(self.model, Q), EventLog(ManualClock())
        self.codec.encode(*self.tiles[0])
        self.engine = memory.EngineMemory(self.model, others)
        self.scrubber = Scrubber(log)
        self.references = [self._coded(i) for i in range(SEEDS)]
        self.bytes_watched = watch_model(self.scrubber, self.model, lambda: self.pristine)
        self.canary = Canary(self.codec, log)
        self.decoder = EdgeSegmentDecoder(self.pristine)

    def _tile(self, seed: int) -> tuple[TilePixels, list[ContextLatent]]:
        """A tile and the latents of two earlier dates as contexts."""
        series, _ = synthetic_series(3, SIDE, seed + 100, cloudy=0.3)
        tiles = [TilePixels(TileKey(1, day), f.data, BANDS, f.valid) for day, f in enumerate(series.frames)]
        contexts: list[ContextLatent] = []
        for tile in tiles[:2]:
            coded = FlightCodec(self.pristine, Q).encode(tile, contexts)
            contexts.insert(0, ContextLatent.known(tile.key, Q, LAYERS, coded.latent))
        return tiles[2], contexts

    def _coded(self, number: int) -> tuple[bytes, np.ndarray]:
        coded = self.codec.encode(*self.tiles[number])
        return coded.segment(0, LAYERS), coded.latent

    def trial(self, where: str, rng: random.Random) -> Flip:
        """Flip a bit of this process's memory and see. Spoils the process: run it in a forked copy."""
        number = rng.randrange(SEEDS)
        what = self._flip(where, rng)
        try:
            segment, latent = self._coded(number)
        except Exception as error:  # whatever the codec raises costs the tile a try, and nothing leaves
            return Flip(where, what, True, f"exception {type(error).__name__}")
        right, true = self.references[number]
        changed = segment != right or not np.array_equal(latent, true)
        caught = ""
        if not self.scrubber.untouched(0):
            caught = "scrub"
        elif not self.canary.check():
            caught = "canary"
        wrong = self._harm(number, segment, true) if changed and not caught else ""
        return Flip(where, what, changed, caught, wrong)

    def _flip(self, where: str, rng: random.Random) -> str:
        if where == "tables" and rng.random() < C_COPY:
            return flip_c_tables(self.model, rng)
        return self.engine.flip(rng) if where == "engine" else memory.flip_model(self.model, where, rng)

    def _harm(self, number: int, segment: bytes, true: np.ndarray) -> str:
        """What the ground makes of an escaped stream."""
        _, contexts = self.tiles[number]
        try:
            head = self.decoder.head(segment)
            named = {c.digest: c for c in contexts}
            used = [named[d] for d in head.context_digests] if head else []
            latent, layers = self.decoder.decode(segment, used)
        except (DecodeError, KeyError) as error:
            return f"does not decode: {error}"
        off = int((latent != known_part(true, layers, head.q if head else Q)).sum())
        return f"{off} of {true.size} latent values differ, {layers} layers" if off or layers < LAYERS else ""


class _CTables(ctypes.Structure):
    """`tables_t` of edge/codec/rangecoder/coder.h."""

    _fields_ = [
        ("n_tables", ctypes.c_uint32),
        ("cum", ctypes.c_void_p),
        ("start", ctypes.c_void_p),
        ("half", ctypes.c_void_p),
        ("shift", ctypes.c_void_p),
        ("order", ctypes.c_void_p),
        ("lut", ctypes.c_void_p),
    ]


def flip_c_tables(model: EdgeModel, rng: random.Random) -> str:
    """One bit of the C range coder's own tables; its Python twin has none, then of the arrays."""
    from swathpack.edge.codec.rangecoder import native

    if not native.available():
        return memory.flip_model(model, "tables", rng)
    handle = native._c_tables(model.tables).handle
    tables = ctypes.cast(handle, ctypes.POINTER(_CTables)).contents
    slots, n = model.tables.widths.size, int(tables.n_tables)
    parts = {"cum": (slots + n) * 4, "start": n * 4, "half": n * 2, "shift": n, "order": n, "lut": n * 257 * 2}
    name = rng.choices(list(parts), list(parts.values()))[0]
    at, bit = rng.randrange(parts[name]), rng.randrange(8)
    memory.flip_at(getattr(tables, name) + at, bit)
    return f"C coder {name} byte {at} bit {bit}"


def forked(bench: Bench, where: str, seed: int) -> Flip:
    """One trial in a forked copy; a copy that crashes or hangs counts as caught: the process is started anew."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        signal.alarm(LIMIT_S)
        code = 1
        try:
            os.write(write, json.dumps(asdict(bench.trial(where, random.Random(seed)))).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if said and os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        return Flip(**json.loads(said))
    how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
    return Flip(where, "unknown", True, f"process ended, {how}")


def campaign(flips: int, seed: int = 1) -> tuple[list[Flip], int]:
    """All flips, and the bytes of memory that the scrubber watches."""
    bench = Bench()
    wanted = [where for where, share in SHARES.items() for _ in range(round(flips * share))]
    bar, found = Progress(len(wanted), "bit flips"), []
    for number, where in enumerate(wanted):
        found.append(forked(bench, where, seed * 1_000_000 + number))
        bar.step()
    return found, bench.bytes_watched


def report(found: list[Flip], watched: int) -> str:
    """The table that the command prints."""
    lines = [
        f"{len(found)} single bit flips; {watched / 1e6:.1f} MB of arrays watched",
        f"{'region':10}{'flips':>7}{'changed a stream':>18}{'caught before it left':>23}{'escaped':>9}",
    ]
    for where in (*SHARES, "all"):
        rows = [f for f in found if where in ("all", f.where)]
        changed = [f for f in rows if f.changed]
        escaped = sum(f.escaped for f in rows)
        lines.append(f"{where:10}{len(rows):7}{len(changed):18}{len(changed) - escaped:23}{escaped:9}")
    by = Counter(f.caught.split(" ")[0] for f in found if f.changed and f.caught)
    silent = Counter(f.caught or "nothing" for f in found if not f.changed)
    lines.append("streams that changed were caught by: " + (", ".join(f"{k} {v}" for k, v in by.most_common()) or "-"))
    lines.append("flips that changed no stream were seen by: " + ", ".join(f"{k} {v}" for k, v in silent.most_common()))
    lines += [
        f"  escaped: {f.where}: {f.what}: {f.wrong or 'other bytes, the same latent'}" for f in found if f.escaped
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Entry point; 1 when anything escaped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    if args.flips < 10:
        parser.error(f"--flips: expected 10 or more, found {args.flips}")
    found, watched = campaign(args.flips, args.seed)
    if args.json is not None:
        write_text(args.json, json.dumps([asdict(f) for f in found], indent=1) + "\n")
    print(report(found, watched))
    return 1 if any(f.escaped for f in found) else 0


if __name__ == "__main__":
    sys.exit(main())
