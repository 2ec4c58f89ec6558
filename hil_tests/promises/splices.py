"""What checks within payloads cost, and what they catch.

    python -m swathpack.hil_tests.promises splices --size 2000       damaged payloads of each codec

Cost: bytes of segments of four tiles of up to 256 x 256 pixels with checks and without, and of them in packets, as a pass carries them.
Catch: payloads that lost, doubled or changed bytes in their middle, or got some of another's, half of them cut as well;
every layer that is confirmed is compared with the true one. Fails when a wrong one is, or when the share of a pass is 0.3 %
or more.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import numpy as np

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.base_layer import known_part
from swathpack.edge.codec.flight import FlightCodec, FlightTile
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.layers import tile_decoder
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.plain import CodedPlain
from swathpack.edge.codec.prediction import CodingError
from swathpack.edge.codec.protocol import TileKey, TilePixels
from swathpack.edge.codec.rangecoder import RunChecks
from swathpack.edge.codec.tile_coder import CodedLatent
from swathpack.edge.packets.pieces import BASE_BYTES, HEAD_BYTES
from swathpack.edge.packets.space_packet import OVERHEAD_BYTES
from swathpack.edge.stream.chunks import take_checks, with_checks
from swathpack.hil_tests.promises.rate import data_folder
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.files.rasters import read_series

PLACES = (
    "ricohdl__hydro_patch_1",
    "terramind-l2a__609U_541L_3_0",
    "terramind-l2a__637U_59R_1_3",
    "mapchete__T33SVB_20181229",
)
PACKET_BYTES = 1024
PACKET_ROOM = PACKET_BYTES - OVERHEAD_BYTES - BASE_BYTES - HEAD_BYTES
QUALITIES = (16, 28, 36)
LIMIT = 0.003


@dataclass
class Cost:
    """Bytes of whole segments and of all their prefixes that a pass may stop at."""

    name: str
    with_checks: int
    without: int

    @property
    def share(self) -> float:
        """Of the bytes of a pass, packet heads included."""
        return (self.with_checks - self.without) / _in_packets(self.with_checks)


@dataclass
class Caught:
    """Damaged payloads. refused: the decoder said so. kept: layers confirmed. wrong: payloads with a wrong one among them."""

    name: str
    tried: int = 0
    refused: int = 0
    kept: int = 0
    wrong: int = 0


def _in_packets(size: int) -> int:
    return size + -(-size // PACKET_ROOM) * (PACKET_BYTES - PACKET_ROOM)


def tiles(side: int) -> Iterator[np.ndarray]:
    """(12, h, w) uint16, h and w at most `side`: of places that were not trained on, else made."""
    for seed, name in enumerate(PLACES):
        path = data_folder() / "val" / f"{name}.npz"
        if path.exists():
            yield read_series(path).frames[0].data[:, :side, :side]
        else:
            yield values(side, side, 1, seed)[0].astype(np.uint16)


@lru_cache(maxsize=1)
def shipped() -> EdgeModel:
    """The model that ships, loaded once."""
    return EdgeModel()


def coded(pixels: np.ndarray, q: int, mode: str) -> FlightTile:
    """A tile (12, h, w) uint16 at a step index, without context; mode: `learned` or `transform`."""
    codec = FlightCodec(shipped(), q, mode=mode)
    given = TilePixels(TileKey(3, 1_700_000_000), pixels, BANDS, np.ones(pixels.shape[1:], bool))
    return codec.encode(given, ())


def costs() -> list[Cost]:
    """Learned and transform-coded tiles at three qualities, whole and to every layer."""
    found = []
    for mode in ("learned", "transform"):
        for q in QUALITIES:
            whole = Cost(f"{mode}, q {q}, whole", 0, 0)
            first = Cost(f"{mode}, q {q}, first 4 layers", 0, 0)
            for pixels in tiles(256):
                sizes = coded(pixels, q, mode).prefix_bytes
                with (
                    patch.object(RunChecks, "write", lambda self, encoder: None),
                    patch("swathpack.edge.stream.segment.checked_bytes", lambda size: size),
                ):
                    bare = coded(pixels, q, mode).prefix_bytes
                for cost, k in ((whole, LAYERS), (first, 4)):
                    cost.with_checks += int(sizes[k])
                    cost.without += int(bare[k])
            found += [whole, first]
    return found


def damaged(payload: bytes, other: bytes, rng: random.Random) -> bytes:
    """Bytes lost, doubled, changed or exchanged in the middle; half of the time the end is gone too."""
    at, n = rng.randrange(len(payload)), rng.randrange(1, 100)
    middle = rng.choice((b"", payload[at : at + n] * 2, rng.randbytes(n), other[at : at + n]))
    bad = payload[:at] + middle + payload[at + n :]
    return bad[: rng.randrange(at, len(bad) + 1)] if rng.random() < 0.5 else bad


def caught(size: int, rng: random.Random) -> list[Caught]:
    """Both codecs, a few tiles each."""
    pixels = list(tiles(64))[:2]
    learned = [_of(CodedLatent, p, "learned") for p in pixels]
    plain = [_of(CodedPlain, p, "transform").payload for p in pixels]
    return [
        _try(
            "learned", [c.layers.payload(LAYERS) for c in learned], size, rng, lambda n, bad: _learned(learned[n], bad)
        ),
        _try("transform", [with_checks(p, 7) for p in plain], size, rng, lambda n, bad: _chunks(plain[n], bad)),
    ]


Coded = TypeVar("Coded")


def _of(kind: type[Coded], pixels: np.ndarray, mode: str) -> Coded:
    found = coded(pixels, 12, mode).coded
    assert isinstance(found, kind)
    return found


def _try(
    name: str,
    payloads: list[bytes],
    size: int,
    rng: random.Random,
    judge: Callable[[int, bytes], tuple[bool, int, bool]],
) -> Caught:
    found = Caught(name)
    for i in range(size):
        n = i % len(payloads)
        bad = damaged(payloads[n], payloads[n - 1], rng)
        if payloads[n].startswith(bad) or bad == payloads[n]:
            continue
        refused, kept, wrong = judge(n, bad)
        found.tried += 1
        found.refused += refused
        found.kept += kept
        found.wrong += wrong
    return found


def _learned(tile: CodedLatent, bad: bytes) -> tuple[bool, int, bool]:
    decoder = tile_decoder(shipped().engine, shipped().tables, (), tile.quality, tile.latent.shape[1:])
    refused = False
    try:
        decoder.decode(bad, LAYERS)
    except CodingError:
        refused = True
    decoder.forget(decoder.confirmed)
    wrong = not np.array_equal(decoder.latent, known_part(tile.latent, decoder.layers, tile.quality))
    return refused, decoder.layers, wrong


def _chunks(payload: bytes, bad: bytes) -> tuple[bool, int, bool]:
    found = take_checks(bad, len(payload), 7)
    return found.failed, found.confirmed // 1024, not payload.startswith(found.payload[: found.confirmed])


def main(folder: Path, size: int | None, codec: str) -> tuple[str, bool]:
    costly, found = costs(), caught(size or 2000, random.Random(1))
    lines = ["four tiles                           bytes  checks  of a pass"]
    for c in costly:
        lines.append(f"{c.name:32} {c.with_checks:9}  {c.with_checks - c.without:6}  {100 * c.share:7.3f} %")
    lines.append("codec      damaged  refused  layers or chunks kept  payloads with a wrong one")
    lines += [f"{c.name:10} {c.tried:7}  {c.refused:7}  {c.kept:21}  {c.wrong:25}" for c in found]
    return "\n".join(lines), all(c.share < LIMIT for c in costly) and not any(c.wrong for c in found)
