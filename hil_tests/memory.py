"""Single-event upsets: one bit of the codec's memory changes.

    weights   parameters of the network as numpy arrays, those that the decoding twin computes with
    tables    probability tables, with the C range coder's own copy of them
    engine    what ONNX Runtime holds: found by searching the process's memory for pieces of the graph files
    context   a confirmed latent, in memory on its way from the store to the codec
    code      a coded segment, in memory between the codec and the queue
"""

from __future__ import annotations

import ctypes
import dataclasses
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.model import EdgeModel
from edge.model_memory import arrays_of
from edge.scrub import octets

GRAPHS = ("entropy.onnx", "analysis.onnx")
NEEDLE = 24  # bytes that find a weight again; enough of them differ to be found once


def arrays(model: EdgeModel, where: str) -> list[tuple[str, NDArray[Any]]]:
    """Named arrays of `weights` or `tables`, each memory once."""
    roots: dict[str, object] = {"tables": model.tables} if where == "tables" else {
        "parameters": model.parameters, "engine": model.engine, "gains": model.gains
    }  # fmt: skip
    seen: dict[int, tuple[str, NDArray[Any]]] = {}
    for path, array in arrays_of(roots):
        tables = path.startswith(("tables", "parameters.tables_"))
        if tables == (where == "tables"):
            seen.setdefault(array.__array_interface__["data"][0], (path, array))
    if where == "tables":
        seen |= {a.__array_interface__["data"][0]: (p, a) for p, a in arrays_of({"parameters": model.parameters})
                 if p.startswith("parameters.tables_")}  # fmt: skip
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
    """One bit of weights, tables or engine, every byte as likely as any other; returns where it was."""
    if where == "engine":
        return flip_engine(model, rng)
    found = arrays(model, where)
    path, array = rng.choices(found, [array.nbytes for _, array in found])[0]
    at, bit = flip_array(array, rng)
    return f"{path} byte {at} bit {bit}"


def flip_engine(model: EdgeModel, rng: random.Random, tries: int = 60) -> str:
    """One bit of a weight inside ONNX Runtime. Raises LookupError when no weight is found in memory."""
    for _ in range(tries):
        name = rng.choice(GRAPHS)
        needle, offset = piece(model, name, rng)
        for address in find(needle, 4):
            at, bit = rng.randrange(NEEDLE), rng.randrange(8)
            flip_at(address + at, bit)
            return f"{name} byte {offset + at} bit {bit}"
    raise LookupError("no piece of the graphs was found in memory")


def piece(model: EdgeModel, name: str, rng: random.Random) -> tuple[bytes, int]:
    """Random bytes of a graph file with some variety, and where they start."""
    data = (model.directory / name).read_bytes()
    while True:
        offset = rng.randrange(len(data) - NEEDLE) & ~3
        needle = data[offset : offset + NEEDLE]
        if len(set(needle)) > 8:
            return needle, offset


def find(needle: bytes, limit: int) -> list[int]:
    """Addresses at which writable memory of its own (no file behind it) holds these bytes; our needle excluded."""
    own = id(needle)
    found: list[int] = []
    for start, stop in writable():
        for address in _search(needle, start, stop, limit - len(found)):
            if not own <= address < own + len(needle) + 64:
                found.append(address)
        if len(found) >= limit:
            break
    return found


def writable() -> Iterator[tuple[int, int]]:
    """Address ranges of private, anonymous, writable memory: heap and mapped blocks, no stacks."""
    with open("/proc/self/maps", encoding="ascii", errors="replace") as file:
        lines = file.read().splitlines()
    for line in lines:
        span, rights, _, _, inode, *name = line.split(maxsplit=5)
        if rights.startswith("rw-p") and inode == "0" and (not name or name[0] == "[heap]"):
            start, stop = (int(part, 16) for part in span.split("-"))
            yield start, stop


def _search(needle: bytes, start: int, stop: int, limit: int) -> list[int]:
    memory = memoryview((ctypes.c_char * (stop - start)).from_address(start)).cast("B")
    block = 1 << 22
    found: list[int] = []
    for at in range(0, len(memory), block):
        part = bytes(memory[at : at + block + len(needle)])
        here = id(part)
        hit = part.find(needle)
        while hit >= 0 and len(found) < limit:
            address = start + at + hit
            if not here <= address < here + len(part) + 64:  # not the copy that is being searched
                found.append(address)
            hit = part.find(needle, hit + 1)
    return found


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
