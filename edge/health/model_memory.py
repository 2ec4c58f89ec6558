"""The codec's memory under watch: every array of the loaded model is scrubbed, and a canary tile covers the
rest.

Arrays (weights, tables) are found by walking the model's objects, compared block by block and repaired in
place from the files; so is the C coder's copy of the tables. What sits in an engine's own memory cannot be read
from here; there the canary helps: a fixed tile is coded now and then and must give the same bytes as at the start.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge import events
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.base_layer import BASE_GROUPS
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import EdgeModel, ModelError
from swathpack.edge.codec.protocol import ContextLatent, TileCodec, TileKey, TilePixels
from swathpack.edge.codec.rangecoder import TABLES_FRAME, RangeCoderError, tables_memory
from swathpack.edge.codec.tile_coder import CodedLatent
from swathpack.edge.codec.transform_coder import bitplane
from swathpack.edge.codec.transform_coder.bitplane import ModelFileError
from swathpack.edge.events import EventLog
from swathpack.edge.health.scrub import Scrubber, octets
from swathpack.edge.stream.quality import is_learned

_MAX_DEPTH = 6
_MIN_BYTES = 64
_PROBE = 8  # positions each way


def arrays_of(thing: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, NDArray[Any]]]:
    """Every numpy array reachable from an object through attributes, lists, tuples and dicts, with its path."""
    if isinstance(thing, np.ndarray):
        if thing.nbytes >= _MIN_BYTES and thing.flags.c_contiguous and thing.dtype != object:
            yield path, thing
    elif depth < _MAX_DEPTH:
        for name, part in _parts(thing):
            yield from arrays_of(part, f"{path}.{name}" if path else name, depth + 1)


def _parts(thing: object) -> list[tuple[str, object]]:
    if isinstance(thing, dict):
        return [(str(key), value) for key, value in thing.items()]
    if isinstance(thing, (list, tuple)):
        return [(str(i), value) for i, value in enumerate(thing)]
    if dataclasses.is_dataclass(thing) or type(thing).__module__.startswith("swathpack.edge."):
        return list(vars(thing).items()) if hasattr(thing, "__dict__") else []
    return []


def watch_model(scrubber: Scrubber, model: EdgeModel, reopen: Callable[[], EdgeModel]) -> int:
    """Put every array of the model under the scrubber; returns their bytes.

    reopen: loads the model anew from its files, checking their digests; used to repair.
    """
    watched = {path: array for path, array in arrays_of(_roots(model))}
    seen: set[int] = set()
    total = 0
    for path, array in watched.items():
        where = array.__array_interface__["data"][0]
        if where in seen:
            continue
        seen.add(where)
        total += array.nbytes
        scrubber.add(path, lambda a=array: octets(a), lambda p=path, a=array: _repair(p, a, reopen))  # type: ignore[misc]
    return total + _watch_coder(scrubber, model, reopen)


def _watch_coder(scrubber: Scrubber, model: EdgeModel, reopen: Callable[[], EdgeModel]) -> int:
    """The range coder's copy of the tables: it is what symbols are coded with."""
    memory = tables_memory(model.tables)
    for name, part in memory.items():
        scrubber.add(f"coder.{name}", lambda a=part: a, lambda n=name, a=part: _repair_coder(n, a, reopen))  # type: ignore[misc]
    return sum(part.nbytes for part in memory.values())


def _repair_coder(name: str, part: NDArray[np.uint8], reopen: Callable[[], EdgeModel]) -> None:
    """Copy one array of a fresh set of tables over a damaged one. Raises ValueError, OSError."""
    if name == TABLES_FRAME:
        raise ValueError("the addresses of the range coder's tables changed")
    try:
        fresh = reopen()  # keeps its tables alive while they are copied
        part[:] = tables_memory(fresh.tables)[name]
    except (ModelError, RangeCoderError, KeyError) as error:
        raise ValueError(f"coder.{name}: {error}") from error


def _roots(model: EdgeModel, fresh: bool = False) -> dict[str, object]:
    """What is watched; fresh: what memory holds of the transform coder's model is left aside, and its file read."""
    model.tables.cost_bits(np.zeros(1, np.uint16), np.zeros(1, np.int64))  # some tables are made when first used
    parts = {"parameters": model.parameters, "tables": model.tables, "engine": model.engine}
    return {**parts, "gains": model.gains, "bitplanes": bitplane.read_model() if fresh else bitplane.model()}


def _repair(path: str, array: NDArray[Any], reopen: Callable[[], EdgeModel]) -> None:
    """Copy one array of a freshly loaded model over a damaged one. Raises ValueError, OSError."""
    try:
        fresh = dict(arrays_of(_roots(reopen(), fresh=True)))[path]
    except (ModelError, ModelFileError, KeyError) as error:
        raise ValueError(f"{path}: {error}") from error
    writable = array.flags.writeable
    if not writable:
        array.setflags(write=True)
    array[...] = fresh
    array.setflags(write=writable)


class Canary:
    """Codes a fixed tile and compares with the first time; `check` is False when the codec is no longer
    itself.

    The tile is coded with and without context, and what is compared are the values inside too, where the codec shows
    them: a changed weight alters some coefficient or mean long before it alters a quantised symbol. Both graphs of the
    entropy network also get random planes of all sizes, so that units have work that one picture leaves idle. A codec that
    chooses between modes codes the tile in each of them.
    """

    def __init__(self, codec: TileCodec, log: EventLog, side: int = 64) -> None:
        self._codec, self._log = codec, log
        self._modes: Sequence[TileCodec] = codec.modes() if isinstance(codec, FlightCodec) else [codec]
        self._tile = TilePixels(TileKey(0, 2), _pattern(side), BANDS, np.ones((side, side), np.bool_))
        self._planes = [_random_planes(seed, based) for seed, based in ((1, False), (2, False), (3, True), (4, True))]
        first = self._modes[0].encode(self._tile, [])
        near = ((TileKey(0, 1), LAYERS), (TileKey(0, 0), LAYERS // 2)) if is_learned(first.q) else ()
        self._contexts = [ContextLatent.known(key, first.q, k, first.latent) for key, k in near]
        self._expected = self._code()

    def check(self) -> bool:
        """Code the tile again. An exception counts as a difference."""
        try:
            same = self._code() == self._expected
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            same = False
        if not same:
            self._log.report(events.CODING_STOPPED, reason="the canary tile is coded differently")
        return same

    def _code(self) -> list[int]:
        found: list[int] = []
        runs: list[tuple[TileCodec, list[ContextLatent]]] = [
            (self._modes[0], self._contexts),
            *((codec, []) for codec in self._modes),
        ]
        for codec, contexts in runs:
            coded = codec.encode(self._tile, contexts)
            inside = getattr(coded, "coded", None)
            values = [coded.latent, coded.distortion]
            if isinstance(inside, CodedLatent):
                said = [inside.prediction, *([inside.base.prediction] if inside.base else [])]
                values += [inside.coefficients, *(a for p in said for a in (p.mean8, p.table_index))]
            found += [zlib.crc32(np.ascontiguousarray(v).tobytes()) for v in values]
            found.append(zlib.crc32(coded.segment(0, LAYERS)))
        model = getattr(self._codec, "model", None)
        if isinstance(model, EdgeModel):
            q = int(getattr(self._codec, "q", 0))
            passes = [(planes, layers) for planes in self._planes for layers in (LAYERS, BASE_GROUPS)]
            heads = [
                h for planes, n in passes for h in model.engine.heads_of_all(*planes, q, (_PROBE, _PROBE), layers=n)
            ]
            found += [zlib.crc32(np.ascontiguousarray(h).tobytes()) for h in heads]
        return found


def _random_planes(
    seed: int, based: bool
) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.int8], NDArray[np.int8]]:
    """Own planes (16, 64, P), contexts (2, 16, 64, P), known layers (2, 16) and neighbours (96, P) of the entropy
    network, from nearly empty positions to full ones; based: the second context is the base of what is coded.
    """
    rng, positions = np.random.default_rng(seed), _PROBE**2
    loud = np.geomspace(0.3, 60, positions)

    def draw(*shape: int) -> NDArray[np.int8]:
        return np.clip(np.rint(rng.laplace(size=(*shape, positions)) * loud), -127, 127).astype(np.int8)

    own, contexts, neighbours = draw(LAYERS, 64), draw(2, LAYERS, 64), draw(96)
    known = np.ones((2, LAYERS), np.int8)
    if based:
        contexts[0], known[0] = 0, 0
        contexts[1, BASE_GROUPS:], known[1, BASE_GROUPS:] = 0, 0
        contexts[1, :BASE_GROUPS], known[1, :BASE_GROUPS] = own[:BASE_GROUPS] // 4 * 4, -1
    return own, contexts, known, neighbours


def _pattern(side: int) -> NDArray[np.uint16]:
    """(12, side, side) DN: slopes, edges and texture in every band, so that most of the network has work."""
    ramp = np.arange(side * side).reshape(side, side)
    planes = [1000 + 37 * i + (ramp * (i + 3)) % 1500 for i in range(len(BANDS))]
    return np.stack(planes).astype(np.uint16)
