"""Measure what a tile takes and how good it is, for every mode and band set, for the planner.

    python -m swathpack.tools.bench.rate_tables ../shared/data --out tools/plan/data/rates.json --force

The first date of every val scene of at least 96 x 96 pixels that has the bands (its first 256 x 256), coded by the flight
codec as a mission file without a [coding] table says, without context, and decoded: at every layer by the transform coder and
by the mode that `auto` chooses, both told that the next contact has about as many bytes for the tile, for bands are weighed by
that; by the predictive coder losslessly and within 1 to 50 DN. Bytes are those
of packed segments: `head_bytes` whatever the size of the tile, the rest in bits a pixel and band. Prints a line a set, writes
the table that `swathpack.tools.plan.rates` reads (its form stands there).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.squares import synthesised
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.flight import FlightCodec, FlightTile
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.layers import tile_decoder
from swathpack.edge.codec.lone import decode_lone
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import TILE
from swathpack.edge.codec.plain import CodedPlain, decode_plain, encode_predictive
from swathpack.edge.codec.protocol import Goal, TileKey, TilePixels
from swathpack.edge.codec.settings import CodecSettings
from swathpack.edge.codec.tile_coder import CodedLatent
from swathpack.edge.codec.transform_coder.bitplane import MODEL_DIGEST
from swathpack.edge.codec.transform_coder.tile import END_SLACK, FIRST_LAYER_BPPB, LAYER_RATIO
from swathpack.edge.codec.transform_coder.weights import EQUAL_BPPB, FULL_BPPB
from swathpack.edge.stream import segment_overhead_bytes
from swathpack.edge.stream.quality import PREDICTIVE, TRANSFORM
from swathpack.tools.bench.metrics import psnr
from swathpack.tools.bench.rate_quality import board_goals
from swathpack.tools.bench.transform_coder import SETS, val_scenes
from swathpack.tools.errors import UsageError, UserError
from swathpack.tools.files.outputs import Output, add_force
from swathpack.tools.guard import guarded
from swathpack.tools.plan.rate_modes import TABLES_SCHEMA
from swathpack.tools.plan.rates import MEASURED_TABLE
from swathpack.tools.progress import progress

LEAST_SIDE = 96  # below, what a small picture costs by itself would be taken for a rate
THIN_BPPB = 0.005  # a prefix shorter than the first layer: files may be cut there, a pass is not
ERRORS = (0, 1, 2, 5, 10, 20, 50)
# In the order of their numbers of bands; those of other sensors as near as Sentinel-2's bands come.
BAND_SETS: tuple[tuple[str, ...], ...] = (
    SETS["B08"],
    ("B04", "B08"),
    SETS["3"],
    SETS["4"],
    ("B02", "B03", "B04", "B05", "B08"),  # as RapidEye's
    SETS["6"],
    ("B01", "B02", "B03", "B04", "B8A", "B11", "B12"),  # as Landsat 8's
    ("B01", "B02", "B03", "B04", "B05", "B06", "B08", "B8A"),  # as WorldView-2's and SuperDove's, near enough
    SETS["10"],
    SETS["12"],
    SETS["13"],
)
TARGETS = np.append(
    FIRST_LAYER_BPPB * LAYER_RATIO ** np.arange(LAYERS - 1), np.inf
)  # where the transform coder's layers end
# Bits a sample that a contact has for a tile, of which as many layers come down: bands weigh alike below FULL_BPPB and beyond the last.
# Below what the usual q asks for boards aim at a quarter and a half of it (a little more here, for bytes are whole).
LESS_ROOM = np.array([0.0, 0.0755, 0.151])
ROOM_OF_LAYER = np.where(
    TARGETS > FULL_BPPB, np.minimum(TARGETS, EQUAL_BPPB), LESS_ROOM[np.searchsorted(LESS_ROOM, TARGETS).clip(1, 3) - 1]
)
ROOM_OF_LAYER = np.append(ROOM_OF_LAYER[0], ROOM_OF_LAYER)
ALL_LAYERS = range(LAYERS + 1)
FOUR = ("mean", "p10", "p50", "p90")
Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One way to code a scene. head: bytes whatever its size. bppb, psnr_db: (K+1,) bits a pixel and band beyond the head, and
    quality, of every point; thin: quality at THIN_BPPB, nan where that is less than the coder can send.
    """

    head: float
    bppb: Reals
    psnr_db: Reals
    thin: float = float("nan")


def tile_of(data: NDArray[np.uint16], valid: NDArray[np.bool_], names: tuple[str, ...]) -> TilePixels:
    """As the loop gives it to the codec."""
    return TilePixels(TileKey(0, 0), np.ascontiguousarray(data), names, np.ascontiguousarray(valid))


def drawn_psnr(tile: TilePixels, pixels: NDArray[Any]) -> float:
    """Of the counts that a decoder writes."""
    drawn = np.clip(np.rint(pixels[:, : tile.data.shape[1], : tile.data.shape[2]]), 0, 65535)
    return psnr(tile.data, drawn.astype(np.uint16), tile.valid)


def by_transform(tile: TilePixels, flown: FlightTile, layers: Collection[int] = ALL_LAYERS) -> Measured:
    """Layers of a tile without the network, as prefixes that are decoded; nan for others."""
    coded = flown.coded
    assert isinstance(coded, CodedPlain)
    ends = enumerate(coded.payload_sizes)
    quality = [drawn_psnr(tile, _prefix(coded, int(end), tile)) if k in layers else np.nan for k, end in ends]
    least = coded.least + END_SLACK  # ends lie behind their targets by that, whatever the size of the tile
    thin = drawn_psnr(tile, _prefix(coded, least + int(THIN_BPPB * tile.data.size / 8), tile))
    return _measured(tile, flown, least, np.array(quality), thin)


def _measured(tile: TilePixels, flown: FlightTile, least: int, quality: Reals, thin: float = float("nan")) -> Measured:
    """Bytes of the packed segment, in what is there whatever the tile's size and the rest."""
    head = least + segment_overhead_bytes(flown.coded.empty_segment(0, 0, LAYERS, ()), 0)
    body = np.maximum(flown.prefix_bytes - head, 0)
    return Measured(float(head), 8 * body / tile.data.size, quality, thin)


def _prefix(coded: CodedPlain, end: int, tile: TilePixels) -> NDArray[Any]:
    if end:
        return decode_lone(coded.payload[:end])[1].counts
    return decode_plain(TRANSFORM, b"", tile.data.shape, tile.valid, tile.bands).counts


def by_network(tile: TilePixels, flown: FlightTile, model: EdgeModel) -> Measured:
    """A learned tile at the ends of the transform coder's layers: as many of its own layers as fit there."""
    coded = flown.coded
    assert isinstance(coded, CodedLatent)
    decoder = tile_decoder(model.engine, model.tables, (), coded.quality, coded.latent.shape[1:])
    decoder.decode(coded.layers.payload(LAYERS), LAYERS)
    index = [BANDS.index(b) for b in tile.bands]
    quality = [drawn_psnr(tile, synthesised(model, decoder.reconstruction(k))[index]) for k in range(LAYERS + 1)]
    found = _measured(tile, flown, 0, np.array(quality))
    fits = np.searchsorted(found.bppb, np.append(0.0, TARGETS), "right") - 1
    return replace(found, bppb=found.bppb[fits], psnr_db=found.psnr_db[fits])


def by_prediction(tile: TilePixels, max_error: int) -> Measured:
    """Losslessly or within `max_error`; held to it. Raises UserError where it is exceeded."""
    coded = encode_predictive(tile.data, tile.valid, max_error)
    flown = FlightTile(tile.key, coded, (), 0, coded.distortion)
    back = decode_plain(PREDICTIVE, coded.payload, tile.data.shape, tile.valid, tile.bands).counts
    worst = np.abs(back - tile.data)[:, tile.valid].max(initial=0)
    if worst > max_error:
        raise UserError(f"expected errors up to {max_error}, found {worst}")
    found = _measured(tile, flown, 0, np.full(LAYERS + 1, drawn_psnr(tile, back)))
    return replace(found, bppb=found.bppb[-1:], psnr_db=found.psnr_db[-1:])


@dataclass(frozen=True)
class SetTable:
    """What was measured of a band set: by mode, of every scene."""

    bands: tuple[str, ...]
    scenes: tuple[str, ...]
    transform: list[Measured]
    auto: list[Measured]
    predictive: dict[int, list[Measured]]

    @property
    def learned_tiles(self) -> int:
        """Scenes that `auto` gave to the network."""
        return sum(a is not b for a, b in zip(self.auto, self.transform))


def measured_tile(codec: FlightCodec, tile: TilePixels, model: EdgeModel) -> Measured:
    """A tile at every layer, coded as when the next contact has about as much for it."""
    found = None
    for room in np.unique(ROOM_OF_LAYER):
        flown = codec.encode(replace(tile, goal=Goal(room_bytes=int(room * tile.data.size / 8))), ())
        wanted = room == ROOM_OF_LAYER
        layers = np.flatnonzero(wanted)
        here = by_transform(tile, flown, layers) if flown.q == TRANSFORM else by_network(tile, flown, model)
        found = here if found is None else joined(wanted, here, found)
    assert found is not None
    return found


def joined(wanted: NDArray[np.bool_], some: Measured, others: Measured) -> Measured:
    """The layers that are wanted (K+1,) of one coding, all else of another."""
    bppb = np.where(wanted, some.bppb, others.bppb)
    return replace(others, bppb=bppb, psnr_db=np.where(wanted, some.psnr_db, others.psnr_db))


def measure_set(model: EdgeModel, folder: Path, split: str, bands: tuple[str, ...]) -> SetTable | None:
    """All scenes of a set; None where none has its bands."""
    codec = {mode: FlightCodec.configured(model, CodecSettings(mode=mode)) for mode in ("transform", "auto")}
    scenes = [s for s in val_scenes(folder, bands, split) if min(s.data.shape[1:]) >= LEAST_SIDE]
    out = SetTable(bands, tuple(s.name for s in scenes), [], [], {error: [] for error in ERRORS})
    for scene in progress(scenes, f"{len(bands)} bands"):
        tile = tile_of(scene.data[:, :TILE, :TILE], scene.valid[:TILE, :TILE], bands)
        out.transform.append(measured_tile(codec["transform"], tile, model))
        learned = codec["auto"].encode(tile, ()).q != TRANSFORM
        out.auto.append(measured_tile(codec["auto"], tile, model) if learned else out.transform[-1])
        for error in ERRORS:
            out.predictive[error].append(by_prediction(tile, error))
    return out if scenes else None


# -------------------------------------------------------------------------------------------------------------- the file


def four(values: Sequence[float] | Reals, digits: int) -> list[float | None]:
    """Mean, P10, P50, P90; None where every scene is exact."""
    real = np.asarray(values, np.float64)
    if not np.isfinite(real).all():
        return [None] * 4
    return [round(float(v), digits) for v in (real.mean(), *np.percentile(real, (10, 50, 90)))]


def embedded(found: Sequence[Measured]) -> dict[str, Any]:
    """Rows [layers, mean bppb, four of PSNR], and before the first layer one of what files may be cut to."""
    rate, quality = np.array([m.bppb for m in found]), np.array([m.psnr_db for m in found])
    rows: list[list[float | None]] = [
        [k, round(float(rate[:, k].mean()), 4), *four(quality[:, k], 2)] for k in range(rate.shape[1])
    ]
    thin = [m.thin for m in found]
    if np.isfinite(thin).all():
        rows.insert(1, [None, THIN_BPPB, *four(thin, 2)])
    return {"head_bytes": round(float(np.mean([m.head for m in found]))), "rows": rows}


def predictive(found: dict[int, list[Measured]]) -> dict[str, Any]:
    """Rows [greatest error, four of bppb, four of PSNR]."""
    rows = [
        [error, *four([m.bppb[0] for m in of], 4), *four([m.psnr_db[0] for m in of], 2)] for error, of in found.items()
    ]
    return {"head_bytes": round(float(np.mean([m.head for of in found.values() for m in of]))), "rows": rows}


def set_document(table: SetTable) -> dict[str, Any]:
    """A set as the file has it."""
    count, scenes = table.learned_tiles, len(table.scenes)
    out = {"bands": table.bands, "scenes": scenes, "learned_tiles": count, "transform": embedded(table.transform)}
    return out | ({"auto": embedded(table.auto)} if count else {}) | {"predictive": predictive(table.predictive)}


def document(model: EdgeModel, sets: Sequence[SetTable], split: str) -> dict[str, Any]:
    """The file."""
    coding = CodecSettings()
    names = sorted({name for table in sets for name in table.scenes})
    return {
        "schema": TABLES_SCHEMA,
        "measured": True,
        "command": "python -m swathpack.tools.bench.rate_tables ../shared/data",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "model_digest": model.digest.hex(),
        "transform_digest": MODEL_DIGEST[:16],
        "coding": {"q": coding.q, "finest_dn": coding.finest_dn, "weights": coding.weights},
        "source": f"flight codec, step index {coding.q}, finest step {coding.finest_dn:g} DN, first date of "
        f"{len(names)} {split} scenes of ../shared/data, intra",
        "scenes": names,
        "columns": {
            "transform, auto": ["layers", "bppb_mean", *(f"psnr_db_{s}" for s in FOUR)],
            "predictive": ["max_error", *(f"{what}_{s}" for what in ("bppb", "psnr_db") for s in FOUR)],
        },
        "sets": [set_document(table) for table in sets],
        "boards": board_goals(),
    }


def text_of(told: dict[str, Any]) -> str:
    """JSON with a row of a table on a line."""
    text = json.dumps(told, indent=1)
    return (
        re.sub(r"\[\s+((?:[-\d.]+|null|\"[^\"]*\")(?:,\s+(?:[-\d.]+|null|\"[^\"]*\"))*)\s+\]", _one_line, text) + "\n"
    )


def _one_line(found: Any) -> str:
    return "[" + ", ".join(part.strip() for part in found.group(1).split(",")) + "]"


def line_of(table: SetTable) -> str:
    """What is printed of a set."""
    lossless = np.mean([m.bppb[0] for m in table.predictive[0]])
    finest = np.mean([m.bppb[-1] for m in table.transform])
    best = np.mean([m.psnr_db[-1] for m in table.transform])
    chosen = f", {table.learned_tiles} learned in auto" if table.learned_tiles else ""
    return (
        f"{len(table.bands):2d} bands, {len(table.scenes)} scenes: lossless {lossless:.2f} bppb, "
        f"finest {finest:.2f} bppb at {best:.1f} dB{chosen}"
    )


def run(args: argparse.Namespace) -> int:
    """Measures, writes, prints. Raises UserError."""
    output = Output(args.out, [args.folder], args.force)
    asked, model, sets = list(_asked(args.sets)), EdgeModel(), []
    for bands in asked:
        if (table := measure_set(model, args.folder, args.split, bands)) is not None:
            sets.append(table)
            print(line_of(table), flush=True)
    if not sets:
        raise UserError(f"{args.folder}: no scene of split {args.split!r} has the bands and {LEAST_SIDE} pixels a side")
    with output as place:
        place.write_text(text_of(document(model, sets, args.split)), encoding="utf-8")
    return 0


def _asked(counts: str) -> Iterator[tuple[str, ...]]:
    """The band sets of those numbers of bands. Raises UserError for others."""
    known = {str(len(bands)): bands for bands in BAND_SETS}
    for count in counts.split(","):
        if count.strip() not in known:
            raise UsageError(f"--sets: expected numbers of bands of {', '.join(known)}, found {count!r}")
        yield known[count.strip()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with catalog.json")
    parser.add_argument("--split", default="val", help="split of the catalogue (default %(default)s)")
    every = ",".join(str(len(bands)) for bands in BAND_SETS)
    parser.add_argument("--sets", default=every, help="numbers of bands (default %(default)s)")
    parser.add_argument("--out", type=Path, default=MEASURED_TABLE, help="the file (default: the planner's own)")
    add_force(parser)
    sys.exit(guarded("rate_tables", lambda: run(parser.parse_args())))


if __name__ == "__main__":
    main()
