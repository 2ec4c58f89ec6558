"""Decoded tiles in the exactness matrix: one payload must become the same samples, and the same picture, wherever it is decoded.

Transform tiles with what a reader draws of them (filters, a seam), and predictive ones. Imports nothing beyond numpy, edge/ and the
ground's drawing in integers, so that it also runs on an emulated processor.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from swathpack.codec import filters, seams
from swathpack.edge.bands import BANDS
from swathpack.edge.codec import predictive
from swathpack.edge.codec.digest import array_digest
from swathpack.edge.codec.rangecoder import native
from swathpack.edge.codec.transform_coder import (
    DecodedTile,
    counts_of,
    decode_tile,
    encode_against,
    encode_tile,
    refine_payload,
)

THREADS = 4
TRANSFORM = -1  # the greatest error of a tile that has none


@dataclass(frozen=True)
class Payload:
    """A tile (C, H, W) as it travels; `names` of its bands, () for bands that nobody knows; date: the payload of the earlier
    date that it is coded against, b"" where it stands alone. mask: its valid pixels as bits, b"" where all are; max_error: of a
    predictive tile, and whether its predictions are `refined`.
    """

    data: bytes
    shape: tuple[int, int, int]
    names: tuple[str, ...] = ()
    date: bytes = b""
    mask: bytes = b""
    max_error: int = TRANSFORM
    refined: bool = False

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(H, W)."""
        _, height, width = self.shape
        if not self.mask:
            return np.ones((height, width), np.bool_)
        bits = np.unpackbits(np.frombuffer(self.mask, np.uint8), count=height * width)
        return bits.reshape(height, width).astype(np.bool_)

    def digest(self) -> str:
        """Of the decoded samples, bit for bit, and of what is drawn of them."""
        if self.max_error != TRANSFORM:
            known = self.shape, self.valid, self.max_error, None, self.refined
            return array_digest(predictive.decode(self.data, *known).samples, 8).hex()
        names = self.names or None
        date = counts_of(decode_tile(self.date, self.shape, names).samples) if self.date else None
        tile = decode_tile(self.data, self.shape, names, date, self.valid if self.mask else None)
        return "".join(array_digest(part, 8).hex() for part in (tile.samples, *self._drawn(tile)))

    def _drawn(self, tile: DecodedTile) -> tuple[NDArray[np.float32], ...]:
        """The tile filtered, and what its halves would become beside their seam, were they two tiles."""
        if not tile.steps:
            return ()
        drawn = filters.filtered(tile.samples, self.valid, tile.steps)
        left, right = np.array_split(counts_of(drawn), 2, axis=2)
        steps, groups = (tile.steps, tile.steps), seams.groups_of(self.names or ("",) * self.shape[0])
        seam = seams.smoothed(left, right, steps, groups, seams.kernels()[0])
        return drawn, *seam


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
        found += _holed_payloads(tile, tuple(names))
    return found + _predictive_payloads(rng)


def _holed_payloads(tile: NDArray[np.uint16], names: tuple[str, ...]) -> list[Payload]:
    """The valid pixels alone of a tile with a round hole and a slanted edge; and with a trellis where the C library is built."""
    rows, columns = np.ogrid[: tile.shape[1], : tile.shape[2]]
    valid = ((rows - 20) ** 2 + (columns - 14) ** 2 > 90) & (rows + 3 * columns > 25)
    mask, room = np.packbits(valid).tobytes(), tile.size // 3
    left_out = encode_tile(tile, valid, names or None, 4.0, room, shaped=True).payload
    refined = refine_payload(left_out, tile, valid, names or None)
    parts = (left_out,) if refined is None else (left_out, refined)
    return [Payload(part, _shape(tile), names, mask=mask) for part in parts]


def _predictive_payloads(rng: np.random.Generator) -> list[Payload]:
    """Exact and within an error, whole and cut, with and without holes, in cells, with refined predictions and without."""
    smooth = 4000 + 6 * rng.normal(size=(3, 18, 20)).cumsum(1).cumsum(2)
    tile = np.rint(smooth + smooth[:1]).astype(np.int32)
    tile[2] = tile[2, ::2, ::2].repeat(2, 0).repeat(2, 1)
    found, holes = list[Payload](), rng.random(tile.shape[1:]) < 0.8
    for valid, most, refined in product((np.ones_like(holes), holes), (0, 6), (False, True)):
        given = tile, valid.astype(np.uint8), np.full(len(tile), most, np.int32), refined
        workspace = predictive.Workspace(_shape(tile)) if native.available() else predictive.reference
        coded = workspace.encode(*given)
        known = _shape(tile), (), b"", np.packbits(valid).tobytes(), most, refined
        found += [Payload(coded.payload[:end], *known) for end in (len(coded.payload), int(coded.sizes[9]))]
    return found


def _shape(tile: NDArray[np.generic]) -> tuple[int, int, int]:
    return tile.shape[0], tile.shape[1], tile.shape[2]


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
    return [Payload(part, _shape(tile), names, first) for part in parts]


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
    arrays = dict[str, NDArray[np.generic]]()
    for n, p in enumerate(payloads):
        arrays |= {f"{n}.{key}": np.frombuffer(getattr(p, key), np.uint8) for key in ("data", "date", "mask")}
        arrays |= {f"{n}.shape": np.array(p.shape), f"{n}.names": np.array(",".join(p.names))}
        arrays[f"{n}.promise"] = np.array((p.max_error, p.refined))
    np.savez(path, **arrays)  # type: ignore[arg-type]


def load(path: Path) -> list[Payload]:
    """The payloads of a file by `save`."""
    with np.load(path) as archive:
        return [_payload(archive, n) for n in range(sum(key.endswith(".data") for key in archive.files))]


def _payload(archive: np.lib.npyio.NpzFile, n: int) -> Payload:
    bands, height, width = (int(v) for v in archive[f"{n}.shape"])
    names = tuple(filter(None, str(archive[f"{n}.names"]).split(",")))
    data, date, mask = (archive[f"{n}.{key}"].tobytes() for key in ("data", "date", "mask"))
    max_error, refined = (int(v) for v in archive[f"{n}.promise"])
    return Payload(data, (bands, height, width), names, date, mask, max_error, bool(refined))
