"""Single-event upsets: one bit of the codec's memory changes.

weights   parameters of the network as numpy arrays, those that the decoding twin computes with
tables    probability tables, with the C range coder's own copy of them
engine    weights inside ONNX Runtime: found by searching the process's memory for those of the graph files
context   a confirmed latent, in memory on its way from the store to the codec
code      a coded segment, in memory between the codec and the queue
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.health.model_memory import arrays_of
from swathpack.edge.health.scrub import octets

GRAPHS = ("entropy.onnx", "entropy_base.onnx", "analysis.onnx")
HALF = 10  # TensorProto.FLOAT16
SMALLEST, ALIGNED, VARIED = 128, 64, 5  # bytes; different ones among the first eight


def arrays(model: EdgeModel, where: str) -> list[tuple[str, NDArray[Any]]]:
    """Named arrays of `weights` or `tables`, each memory once."""
    roots: dict[str, object] = (
        {"tables": model.tables}
        if where == "tables"
        else {"parameters": model.parameters, "engine": model.engine, "gains": model.gains}
    )
    seen: dict[int, tuple[str, NDArray[Any]]] = {}
    for path, array in arrays_of(roots):
        tables = path.startswith(("tables", "parameters.tables_"))
        if tables == (where == "tables"):
            seen.setdefault(array.__array_interface__["data"][0], (path, array))
    if where == "tables":
        seen |= {
            a.__array_interface__["data"][0]: (p, a)
            for p, a in arrays_of({"parameters": model.parameters})
            if p.startswith("parameters.tables_")
        }
    return list(seen.values())


def flip_array(array: NDArray[Any], rng: random.Random) -> tuple[int, int]:
    """Change one bit of an array in place, read-only or not; returns (byte, bit)."""
    at, bit = rng.randrange(array.nbytes), rng.randrange(8)
    flip_at(array.__array_interface__["data"][0] + at, bit)
    return at, bit


def flip_at(address: int, bit: int) -> None:
    """Change one bit of the process's memory."""
    cell = ctypes.c_uint8.from_address(address)
    cell.value ^= 1 << bit


def flip_model(model: EdgeModel, where: str, rng: random.Random) -> str:
    """One bit of weights or tables, every byte as likely as any other; returns where it was."""
    found = arrays(model, where)
    path, array = rng.choices(found, [array.nbytes for _, array in found])[0]
    at, bit = flip_array(array, rng)
    return f"{path} byte {at} bit {bit}"


class EngineMemory:
    """Every copy of the graphs' weights that the process holds outside the arrays that Python can see.

    others: addresses that belong to another model in the same process. ONNX Runtime keeps weights as they are in the
    file, or as float32 where the graph turns half floats into them once.
    """

    def __init__(self, model: EdgeModel, others: frozenset[int] = frozenset()) -> None:
        seen = (a for where in ("weights", "tables") for _, a in arrays(model, where))
        visible = [(a.__array_interface__["data"][0], a.nbytes) for a in seen]
        found: dict[str, list[tuple[str, int, int, int]]] = {name: [] for name in GRAPHS}
        for graph in GRAPHS:
            for name, at, size in find(dict(graph_weights(model.directory / graph))):
                if at not in others and not any(start <= at < start + length for start, length in visible):
                    found[graph].append((name, at, size, zlib.crc32(read(at, size))))
        # What the search itself held is gone by now.
        spans = list(writable())
        self.copies = {
            graph: [
                (name, at, size)
                for name, at, size, crc in copies
                if any(start <= at and at + size <= stop for start, stop in spans) and zlib.crc32(read(at, size)) == crc
            ]
            for graph, copies in found.items()
        }

    def addresses(self) -> frozenset[int]:
        """Where all copies begin."""
        return frozenset(address for copies in self.copies.values() for _, address, _ in copies)

    def flip(self, rng: random.Random) -> str:
        """One bit of one copy, either graph as likely. Raises LookupError when none was found."""
        graphs = [name for name in GRAPHS if self.copies[name]]
        if not graphs:
            raise LookupError("no weights of the graphs were found in memory")
        graph = rng.choice(graphs)
        name, address, size = rng.choices(self.copies[graph], [size for _, _, size in self.copies[graph]])[0]
        at, bit = rng.randrange(size), rng.randrange(8)
        flip_at(address + at, bit)
        return f"{graph} {name} byte {at} bit {bit}"


def graph_weights(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name, bytes as an engine may hold them) of every larger initializer of an ONNX file (onnx.proto: ModelProto.graph
    = 7, GraphProto.initializer = 5, TensorProto.dims = 1, data_type = 2, name = 8, raw_data = 9).

    Kernels of convolutions also in blocks of 8 or 16 outputs, as ONNX Runtime's processor kernels want them.
    """
    for graph in (value for field, value in _fields(path.read_bytes()) if field == 7):
        for tensor in (bytes(value) for field, value in _fields(bytes(graph)) if field == 5):
            shape = [int(value) for field, value in _fields(tensor) if field == 1 and isinstance(value, int)]
            parts = dict(_fields(tensor))
            raw, name = bytes(parts.get(9, b"")), bytes(parts[8]).decode()
            held = np.frombuffer(raw, np.float16).astype(np.float32).tobytes() if parts[2] == HALF else raw
            if len(raw) < SMALLEST or len(set(held[:8])) < VARIED:
                continue  # too common a beginning to search for
            yield name, held
            if parts[2] == HALF and len(shape) == 4:
                for block in (8, 16):
                    grid = np.frombuffer(held, np.float32).reshape(shape[0] // block, block, *shape[1:])
                    yield f"{name} in {block}s", np.ascontiguousarray(np.moveaxis(grid, 1, -1)).tobytes()


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(field number, value) of a protobuf message: varints and length-delimited fields, others skipped."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
        elif tag & 7 == 2:
            size, at = _varint(data, at)
            yield tag >> 3, memoryview(data)[at : at + size]
            at += size
        else:
            at += {1: 8, 5: 4}[tag & 7]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def find(wanted: dict[str, bytes]) -> list[tuple[str, int, int]]:
    """(name, address, bytes) of every copy of some contents in anonymous writable memory, at addresses that are
    multiples of ALIGNED, as allocators of tensors give them. The objects given are not found: they are not aligned so.
    """
    first = {int.from_bytes(data[:8], "little"): name for name, data in wanted.items()}
    keys = np.array(sorted(first), np.uint64)
    found = []
    for start, stop in writable():
        begin = -(-start // ALIGNED) * ALIGNED
        words = np.frombuffer(read(begin, (stop - begin) // ALIGNED * ALIGNED), np.uint64)
        lines = words[:: ALIGNED // 8]
        for at in np.flatnonzero(keys[np.searchsorted(keys, lines).clip(max=len(keys) - 1)] == lines):
            address, name = begin + int(at) * ALIGNED, first[int(lines[at])]
            whole = wanted[name]
            if address + len(whole) <= stop and all(
                read(address, n) == whole[:n] for n in (min(ALIGNED, len(whole)), len(whole))
            ):
                found.append((name, address, len(whole)))
    return found


def read(address: int, size: int) -> bytes:
    """Memory of this process, nothing where it is no longer there: the heap changes while it is searched."""
    handle = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        data = os.pread(handle, size, address)
    except OSError:
        data = b""
    finally:
        os.close(handle)
    return data if len(data) == size else b""


def writable() -> Iterator[tuple[int, int]]:
    """Address ranges of private, anonymous, writable memory: heap and mapped blocks, no stacks."""
    with open("/proc/self/maps", encoding="ascii", errors="replace") as file:
        lines = file.read().splitlines()
    for line in lines:
        span, rights, _, _, inode, *name = line.split(maxsplit=5)
        if rights.startswith("rw-p") and inode == "0" and (not name or name[0] == "[heap]"):
            start, stop = (int(part, 16) for part in span.split("-"))
            yield start, stop


def flip_latent(latent: NDArray[np.int16], rng: random.Random) -> NDArray[np.int16]:
    """A copy with one bit changed."""
    copy = latent.copy()
    raw = octets(copy)
    raw[rng.randrange(len(raw))] ^= np.uint8(1 << rng.randrange(8))
    return copy


def flip_bytes(data: bytes, rng: random.Random) -> bytes:
    """A copy with one bit changed."""
    copy = bytearray(data)
    copy[rng.randrange(len(copy))] ^= 1 << rng.randrange(8)
    return bytes(copy)


def with_latent(context: Any, latent: NDArray[np.int16]) -> Any:
    """The same context, its latent exchanged and its digest left: what an upset in memory makes of it."""
    return dataclasses.replace(context, latent=latent)
