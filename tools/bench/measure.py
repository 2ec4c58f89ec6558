"""Real encodes and decodes of one cube by one codec, measured, and kept on disk so that they need not be
redone.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.edge.bands import BANDS
from swathpack.tools.bench import looks, metrics
from swathpack.tools.bench.cubes import BenchCube
from swathpack.tools.bench.peers import Peer, make
from swathpack.tools.bench.peers.base import PeerError

MEASURE_VERSIONS = (3,)  # newest first; add one when a number here changes its meaning, and drop those it spoils
QUALITIES = ("psnr", "ssim", "sam", "ndvi", "ndwi", "water", "true_colour", "false_colour", "blocks", "bands")
ENOUGH = 1.25  # knobs stop at this many times the highest target rate


@dataclass(frozen=True)
class Point:
    """One knob on one cube. Lists have one entry for each frame; exact frames have null PSNR in JSON.

    `bands[frame]` is the PSNR of each of the twelve bands. true_colour, false_colour (dB) and blocks: `swathpack.tools.bench.looks`.
    """

    knob: float
    bppb: list[float]
    psnr: list[float]
    ssim: list[float]
    sam: list[float]
    ndvi: list[float]
    ndwi: list[float]
    water: list[float]
    true_colour: list[float]
    false_colour: list[float]
    blocks: list[float]
    encode_s: float
    decode_s: float
    bands: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True)
class Measured:
    """One codec on one cube: points from coarse to fine."""

    codec: str
    cube: str
    shape: tuple[int, ...]
    points: list[Point]


def measure_point(peer: Peer, cube: BenchCube, knob: float) -> Point:
    """Encodes, decodes from the bytes alone, compares. CPU seconds are of this process, all threads."""
    start = time.process_time()
    encoded = peer.encode(cube.data, knob)
    middle = time.process_time()
    decoded = peer.decode(encoded)
    end = time.process_time()
    if decoded.shape != cube.data.shape:
        raise PeerError(f"{peer.name}: decoded {decoded.shape}, expected {cube.data.shape}")
    rows = [_compare(a, b, v) for a, b, v in zip(cube.data, decoded, cube.valid)]
    rates = [metrics.bppb(n, cube.data.shape[1:]) for n in encoded.frame_bytes]
    columns = dict(zip(QUALITIES, (list(column) for column in zip(*rows))))
    return Point(float(knob), rates, encode_s=middle - start, decode_s=end - middle, **columns)


def _compare(a: np.ndarray, b: np.ndarray, valid: np.ndarray) -> tuple[Any, ...]:
    if not valid.any():
        return *((float("nan"),) * 9), [float("nan")] * len(a)
    index = metrics.index_errors(a, b, BANDS, valid)
    return (
        metrics.psnr(a, b, valid),
        metrics.ssim(a, b, valid),
        metrics.spectral_angle(a, b, valid),
        index["ndvi_mae"],
        index["ndwi_mae"],
        index["water_agreement"],
        *looks.looks_of(a, np.where(valid, b, a), BANDS),
        [metrics.psnr(x[None], y[None], valid) for x, y in zip(a, b)],
    )


class Cache:
    """One JSON file per codec version, cube and knob under `folder`; None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def _path(self, peer: Peer, cube: BenchCube, knob: float, version: int = MEASURE_VERSIONS[0]) -> Path | None:
        if self.folder is None:
            return None
        key = f"{version}|{peer.name}|{peer.version}|{cube.digest}|{knob!r}"
        return self.folder / peer.name / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def get(self, peer: Peer, cube: BenchCube, knob: float) -> Point | None:
        """The stored point, if it is there and whole."""
        for version in MEASURE_VERSIONS:
            path = self._path(peer, cube, knob, version)
            try:
                if path is not None:
                    return Point(**json.loads(path.read_text()))
            except (OSError, ValueError, TypeError):
                continue
        return None

    def put(self, peer: Peer, cube: BenchCube, point: Point) -> None:
        """Stores a point; whole or not at all."""
        path = self._path(peer, cube, point.knob)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(asdict(point)))
        partial.replace(path)


def measure(codec: str, cube: BenchCube, highest: float, cache: Cache, peer: Peer | None = None) -> Measured:
    """All knobs from coarse to fine until every frame costs more than `highest` bppb needs.

    peer: a codec that is not in the list.
    """
    peer = peer or make(codec, BANDS)
    points: list[Point] = []
    for knob in peer.knobs:
        point = cache.get(peer, cube, knob)
        if point is None:
            point = measure_point(peer, cube, knob)
            cache.put(peer, cube, point)
        points.append(point)
        if min(point.bppb) > highest * ENOUGH:
            break
    return Measured(codec, cube.name, cube.data.shape, points)
