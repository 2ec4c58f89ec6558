"""Show what a `.swp` stream holds, without decoding it.

swathpack inspect cube.swp
swathpack inspect cube.swp --json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from swathpack.edge.codec.base_layer import base_step_of
from swathpack.edge.stream import Stream, StreamError, read_stream
from swathpack.tools.commands.decompress import read_bytes
from swathpack.tools.errors import UserError
from swathpack.tools.files.api import record_sizes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="IN.swp")
    parser.add_argument("--json", action="store_true", help="machine-readable")


def run(args: argparse.Namespace) -> int:
    data = read_bytes(args.input)
    try:
        stream = read_stream(data)
    except StreamError as error:
        raise UserError(f"{args.input}: {error}") from error
    facts = describe(stream, len(data))
    print(json.dumps(facts, indent=1) if args.json else text(facts))
    return 0


def describe(stream: Stream, total: int) -> dict[str, Any]:
    """All facts as plain JSON types; bytes of frames and of the rest add up to `total_bytes`."""
    header, sizes = stream.header, record_sizes(stream, total)
    frames = []
    for index in range(header.frames):
        segments = [s for s in stream.segments if s.frame == index]
        frames.append(
            {
                "frame": index,
                "time": stream.time(index),
                "bytes": sum(n for (f, _), n in sizes.items() if f == index),
                "tiles": [
                    {
                        "tile": s.tile,
                        "bytes": sizes.get((index, s.offset), 0),
                        "payload_bytes": len(s.payload),
                        "step_index": s.quality,
                        "base_step_index": base_step_of(s.quality_byte) if s.flags else None,
                        "layers": [s.layer_start, s.layer_stop],
                        "truncated": s.truncated,
                        "latent": [512, s.grid_h, s.grid_w],
                        "contexts": [
                            {"frame": c.frame, "layers": c.layers, "digest": c.digest.hex()} for c in s.contexts
                        ],
                    }
                    for s in segments
                ],
            }
        )
    return {
        "total_bytes": total,
        "version": 1,
        "model_digest": header.model_digest.hex(),
        "tables_digest": header.tables_digest.hex(),
        "shape": [header.frames, len(header.bands), header.height, header.width],
        "bands": list(header.bands),
        "level": header.level,
        "tile_size": header.tile_size,
        "tiles_per_frame": header.n_tiles,
        "header_bytes": total - sum(f["bytes"] for f in frames),
        "frames": frames,  # type: ignore[misc]
        "problems": [{"offset": p.offset, "kind": p.kind, "message": p.message} for p in stream.problems],
    }


def text(facts: dict[str, Any]) -> str:
    """The same for people."""
    t, c, h, w = facts["shape"]
    lines = [
        f"{facts['total_bytes']} bytes: {t} frames of {c} bands, {h} x {w} pixels, {facts['level']}; "
        f"model {facts['model_digest']}, tables {facts['tables_digest']}",
        f"bands {' '.join(facts['bands'])}; {facts['tiles_per_frame']} tiles of {facts['tile_size']} a "
        "frame; "
        f"headers {facts['header_bytes']} bytes",
        "frame  time                  bytes   tile  bytes  step  layers  contexts",
    ]
    for f in facts["frames"]:
        lead = f"{f['frame']:5d}  {str(f['time'] or '-'):20.20s} {f['bytes']:7d}"
        for tile in f["tiles"] or [None]:
            if tile is None:
                lines.append(f"{lead}   nothing sent")
                continue
            contexts = (
                ", ".join(f"frame {c['frame']} to layer {c['layers']} ({c['digest']})" for c in tile["contexts"])
                or "none"
            )
            layers = f"{tile['layers'][0]}-{tile['layers'][1] - 1}{' cut' if tile['truncated'] else ''}"
            lines.append(
                f"{lead}  {tile['tile']:5d}{tile['bytes']:7d}  {tile['step_index']:4d}  {layers:6s}  {contexts}"
            )
            lead = " " * len(lead)
    return "\n".join(lines + [f"problem at byte {p['offset']}: {p['message']}" for p in facts["problems"]])
