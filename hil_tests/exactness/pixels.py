"""The pixels of transform tiles in the exactness matrix: one payload must become the same samples wherever it is decoded.

Imports nothing beyond edge/ and numpy, so that it also runs on an emulated processor.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.digest import array_digest
from swathpack.edge.codec.transform_coder import (
    counts_of,
    decode_tile,
    encode_against,
    encode_tile,
    native,
    refine_payload,
)

THREADS = 4


@dataclass(frozen=True)
class Payload:
    """A transform tile (C, H, W) as it travels; `names` of its bands, () for bands that nobody knows; date: the payload of the earlier
    date that it is coded against, b"" where it stands alone.
    """

    data: bytes
    shape: tuple[int, int, int]
    names: tuple[str, ...]
    date: bytes = b""

    def digest(self) -> str:
        """Of the decoded samples, bit for bit."""
        names = self.names or None
        date = counts_of(decode_tile(self.date, self.shape, names).samples) if self.date else None
        return array_digest(decode_tile(self.data, self.shape, names, date).samples, 8).hex()


def drawn_payloads(seed: int = 5) -> list[Payload]:
    """One tile each of one, three, twelve and five unknown bands, whole and cut, and where the C library is built with a trellis: own
    and default bases, half grids, odd sides; and later dates of each, coded against it, one of them half a pixel away.
    """
    rng = np.random.default_rng(seed)
    found = []
    for names, count, side in ((BANDS[7:8], 1, 47), (BANDS[1:4], 3, 48), (BANDS, 12, 40), ((), 5, 33)):
        smooth = rng.normal(size=(count, side, side + 3)).cumsum(1).cumsum(2)
        tile = (2000 + 40 * smooth + 60 * smooth[:1]).clip(0, 65535).astype(np.uint16)
        tile[-1] = tile[-1, ::2, ::2].repeat(2, 0).repeat(2, 1)[:side, : side + 3]
        whole, short = (
            encode_tile(tile, names=names or None, finest_step=4.0, max_bytes=most).payload
            for most in (tile.size // 4, 60 + tile.size // 100)  # so short that a basis of its own does not pay
        )
        refined = refine_payload(whole, tile, np.ones(tile.shape[1:], np.bool_), names or None)
        more = () if refined is None else (refined, refined[: 4 * len(refined) // 5])
        parts = whole, whole[: len(whole) // 5], short, *more
        found += [Payload(part, tile.shape, tuple(names)) for part in parts]
        found += _dated_payloads(tile, tuple(names), parts[1], rng)
    return found


def _dated_payloads(
    tile: NDArray[np.uint16], names: tuple[str, ...], first: bytes, rng: np.random.Generator
) -> list[Payload]:
    """Later dates of a tile, against what `first` draws of it: where something is predicted and where nothing can be, and half a
    pixel away.
    """
    later = np.where(np.arange(tile.shape[2]) < 32, 0.7 * tile + 500, tile.mean() + (tile.mean() - tile) * 0.5)
    away = 0.5 * tile + 0.5 * np.roll(tile, -1, axis=2)
    found = list[Payload]()
    for place, noise in ((later, 20), (away, 5)):
        counts = (place + rng.normal(0, noise, tile.shape)).clip(0, 65535).astype(np.uint16)
        found += _against(counts, names, first)
    return found


def _against(counts: NDArray[np.uint16], names: tuple[str, ...], first: bytes) -> list[Payload]:
    """Whole, cut, and where the C library is built with a trellis."""
    tile, known = counts, names or None
    date = counts_of(decode_tile(first, tile.shape, known).samples)
    aim, every = tile.size // 16, np.ones(tile.shape[1:], np.bool_)
    alone = encode_tile(counts, names=known, finest_step=4.0, max_bytes=tile.size // 4, aim_bytes=aim)
    coded = encode_against(alone, counts, None, known, aim, [date])
    refined = refine_payload(coded.payload[:aim], counts, every, known, date)
    parts = coded.payload, coded.payload[:aim], *(() if refined is None else (refined,))
    return [Payload(part, (tile.shape[0], tile.shape[1], tile.shape[2]), names, first) for part in parts]


def digests(payloads: Sequence[Payload], twin: bool = False) -> list[str]:
    """Of every payload's samples, by the C code where it is built, or by its twin in numpy."""
    if not twin:
        return [p.digest() for p in payloads]
    with mock.patch.object(native, "available", lambda: False):
        return [p.digest() for p in payloads]


def digests_in_threads(payloads: Sequence[Payload]) -> list[str]:
    """The same while several threads decode at once, each all of them; "differs" where they do not agree."""
    found: list[list[str]] = [[] for _ in range(THREADS)]

    def one(n: int) -> None:
        found[n] = digests(payloads)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [names.pop() if len(names := {f[n] for f in found}) == 1 else "differs" for n in range(len(payloads))]


def here(payloads: Sequence[Payload]) -> dict[str, list[str]]:
    """Every way to decode them on this machine."""
    rows = {"pixels numpy": digests(payloads, twin=True)}
    if native.available():
        rows |= {"pixels C": digests(payloads), f"pixels C {THREADS} threads": digests_in_threads(payloads)}
    return rows


def different(rows: dict[str, list[str]], truth: Sequence[str]) -> dict[str, int]:
    """How many payloads each row draws otherwise."""
    return {name: sum(a != b for a, b in zip(row, truth)) for name, row in rows.items()}


def save(path: Path, payloads: Sequence[Payload]) -> None:
    """An .npz file for `load` on another machine."""
    arrays = {f"{n}.data": np.frombuffer(p.data, np.uint8) for n, p in enumerate(payloads)}
    shapes = {f"{n}.shape": np.array(p.shape) for n, p in enumerate(payloads)}
    names = {f"{n}.names": np.array(",".join(p.names)) for n, p in enumerate(payloads)}
    dates = {f"{n}.date": np.frombuffer(p.date, np.uint8) for n, p in enumerate(payloads)}
    np.savez(path, **arrays, **shapes, **names, **dates)  # type: ignore[arg-type]


def load(path: Path) -> list[Payload]:
    """The payloads of a file by `save`."""
    with np.load(path) as archive:
        count = len(archive.files) // 4
        return [_payload(archive, n) for n in range(count)]


def _payload(archive: np.lib.npyio.NpzFile, n: int) -> Payload:
    bands, height, width = (int(v) for v in archive[f"{n}.shape"])
    names = tuple(filter(None, str(archive[f"{n}.names"]).split(",")))
    data, date = archive[f"{n}.data"].tobytes(), archive[f"{n}.date"].tobytes()
    return Payload(data, (bands, height, width), names, date)
