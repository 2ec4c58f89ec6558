"""Show what a `.swp` stream holds, without decoding it.

swathpack inspect cube.swp
swathpack inspect cube.swp --json
swathpack inspect cube.swp --bytes

Exit code 3 when something in it is damaged or missing; every problem is told.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.edge.codec.plain import mode_name
from swathpack.edge.radiometry import Radiometry
from swathpack.edge.stream import Header, Segment, Stream, StreamError, read_stream
from swathpack.edge.stream.header import MAGIC
from swathpack.edge.stream.quality import base_step_of, is_learned
from swathpack.tools.errors import DONE, PARTLY, UserError
from swathpack.tools.files import byte_table
from swathpack.tools.files.api import record_sizes
from swathpack.tools.files.carried import metadata_of
from swathpack.tools.files.decode_report import promised_by, ranges_of, spoken_errors
from swathpack.tools.files.reading import read_bytes
from swathpack.tools.files.what_is import A_STREAM, instead
from swathpack.tools.words import plural


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="IN.swp")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.add_argument("--bytes", action="store_true", help="what its bytes are: headers, masks, tiles, ...")


def run(args: argparse.Namespace) -> int:
    data = b"" if args.input.is_dir() else read_bytes(args.input)
    try:
        stream = read_stream(data)
    except StreamError as error:
        no_stream = not data.startswith(MAGIC)
        raise UserError(instead(args.input, A_STREAM) if no_stream else f"{args.input}: {error}") from error
    facts = describe(stream, len(data))
    rows = byte_table.byte_table(stream, len(data))
    if args.bytes:
        facts["bytes_by_kind"] = [asdict(row) for row in rows]
    said = "\n".join([byte_table.text(rows), *_problem_lines(facts)]) if args.bytes else text(facts)
    print(json.dumps(facts, indent=1) if args.json else said)
    return PARTLY if facts["problems"] else DONE


def describe(stream: Stream, total: int) -> dict[str, Any]:
    """All facts as plain JSON types; bytes of frames and of the rest add up to `total_bytes`."""
    header, sizes = stream.header, record_sizes(stream, total)
    spent: dict[int, int] = {}
    for (frame, _), size in sizes.items():
        spent[frame] = spent.get(frame, 0) + size
    by_frame: dict[int, list[Segment]] = {}
    for s in stream.segments:
        by_frame.setdefault(s.frame, []).append(s)
    there = np.zeros(header.frames, np.bool_)
    there[list(spent)] = True
    frames = [
        {
            "frame": index,
            "time": stream.date(index),
            "bytes": spent[index],
            "tiles": [_tile(s, sizes.get((index, s.offset), 0), header) for s in by_frame.get(index, [])],
        }
        for index in sorted(spent)
    ]
    return {
        "total_bytes": total,
        "version": header.version,
        "model_digest": header.model_digest.hex(),
        "tables_digest": header.tables_digest.hex(),
        "shape": [header.frames, len(header.bands), header.height, header.width],
        "bands": list(header.bands),
        "level": header.level,
        "samples": samples(header.radiometry),
        "nodata_said": _nodata_said(stream),
        "boa_offset": header.boa_offset,
        "frames_of_other_offset": [r.index for r in stream.frames if r.other_offset],
        "tile_size": header.tile_size,
        "tiles_per_frame": header.n_tiles,
        "header_bytes": total - sum(spent.values()),
        "frames": frames,
        "frames_without_data": ranges_of(~there),
        "problems": [{"offset": p.offset, "kind": p.kind, "message": p.message} for p in stream.problems],
    }


def samples(radiometry: Radiometry) -> dict[str, Any]:
    """What the numbers are: type of the files, nodata (text for NaN), and how they stand to DN."""
    nodata = radiometry.nodata if math.isfinite(radiometry.nodata) else str(radiometry.nodata)
    return asdict(radiometry) | {"nodata": nodata}


def _nodata_said(stream: Stream) -> list[float | str] | None:
    """The nodata values that the files gave, each once; empty where they gave none, None where the stream says nothing of files."""
    try:
        metadata = metadata_of(stream)
        if isinstance(metadata.get("files"), list):
            given = [file.get("nodata") for date in metadata["files"] for file in date]
            return list(dict.fromkeys(value for value in given if value is not None))
        if metadata.get("format") == "npz":
            return [samples(stream.header.radiometry)["nodata"]] if "nodata" in metadata.get("extra", {}) else []
    except (UserError, AttributeError, TypeError):  # what a stream says of its files may be anything
        pass
    return None


def _nodata(facts: dict[str, Any]) -> str:
    said = facts["nodata_said"]
    if said is None:
        said = [facts["samples"]["nodata"]]
    return f"nodata {', '.join(map(_number, said))}" if said else "no nodata value"


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _layers(tile: dict[str, Any]) -> str:
    """First and last; of a tile whose payload is cut where its bytes end how many are whole at the least."""
    state = " cut" if tile["truncated"] else " damaged" if tile["damaged"] else ""
    whole = tile["layers_at_least"]
    return (f"{tile['layers'][0]}-{tile['layers'][1] - 1}" if whole is None else f"{whole}+") + state


def _step(tile: dict[str, Any]) -> str:
    if tile["mode"] == "learned":
        return f"q {tile['step_index']}"
    if tile["mode"] == "transform" or tile["max_error"] is None:
        return "cut"
    return f"+-{tile['max_error']}"


def _tile(s: Segment, size: int, header: Header) -> dict[str, Any]:
    return {
        "tile": s.tile,
        "bytes": size,
        "payload_bytes": len(s.payload),
        "mode": mode_name(s.quality_byte),
        "step_index": s.quality if is_learned(s.quality_byte) else None,
        "base_step_index": base_step_of(s.quality_byte) if s.flags and is_learned(s.quality_byte) else None,
        "max_error": promised_by(s),
        "layers": [s.layer_start, s.layer_stop],
        "layers_at_least": byte_table.layers_within(header, s),
        "truncated": s.truncated,
        "damaged": s.damaged,
        "latent": [512, s.grid_h, s.grid_w],
        "contexts": [{"frame": c.frame, "layers": c.layers, "digest": c.digest.hex() or None} for c in s.contexts],
    }


def text(facts: dict[str, Any]) -> str:
    """The same for people."""
    t, c, h, w = facts["shape"]
    lines = [
        f"{facts['total_bytes']} bytes: {plural(t, 'frame')} of {plural(c, 'band')}, {h} x {w} pixels, level {facts['level']}; "
        f"model {facts['model_digest']}, tables {facts['tables_digest']}",
        f"bands {' '.join(facts['bands'])}; {facts['samples']['dtype']}, {_nodata(facts)}; "
        f"{plural(facts['tiles_per_frame'], 'tile')} of {facts['tile_size']} a frame; "
        f"headers {facts['header_bytes']} bytes",
        "frame  time                  bytes   tile  bytes  mode        step    layers  contexts",
    ]
    for f in facts["frames"]:
        lead = f"{f['frame']:5d}  {str(f['time'] or '-'):20.20s} {f['bytes']:7d}"
        for tile in f["tiles"] or [None]:
            if tile is None:
                lines.append(f"{lead}   nothing sent")
                continue
            contexts = (
                ", ".join(
                    f"frame {c['frame']} to layer {c['layers']} ({c['digest'] or 'here'})" for c in tile["contexts"]
                )
                or "none"
            )
            lines.append(
                f"{lead}  {tile['tile']:5d}{tile['bytes']:7d}  {tile['mode']:10s}  {_step(tile):6s}  {_layers(tile):6s}  {contexts}"
            )
            lead = " " * len(lead)
    for first, last in facts["frames_without_data"]:
        lines.append(f"{f'frame {first}' if first == last else f'frames {first}-{last}'}: nothing sent")
    if promised := spoken_errors(tile["max_error"] for f in facts["frames"] for tile in f["tiles"]):
        lines.append(f"guaranteed: {promised}")
    return "\n".join(lines + _problem_lines(facts))


def _problem_lines(facts: dict[str, Any]) -> list[str]:
    return [f"problem at byte {p['offset']}: {p['message']}" for p in facts["problems"]]
