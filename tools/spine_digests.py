"""Whether every engine decodes every stream to the same latents: streams here, decoding in fresh processes.

Part of `python -m swathpack.tools.spine_check`. A worker process gets streams and the name of an engine, decodes the
latents with that engine, and predicts them again with the engine's one encoder pass; it prints digests of both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.edge.codec.digest import arrays_digest
from swathpack.edge.codec.layers import known_context
from swathpack.edge.codec.model import EdgeModel, ModelError
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.codec.prediction import CodingContext, predict
from swathpack.edge.frame import Frame
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder

QUALITY = 24
PREFIXES = (16, 8, 1)
# Name in the table -> engine, threads. The first is what the others are compared with.
VARIANTS = {
    "float32, 1 thread": ("float32", 1),
    "float32, 2 threads": ("float32", 2),
    "onnxruntime off": ("onnxruntime:off", 1),
    "onnxruntime basic": ("onnxruntime:basic", 1),
    "onnxruntime all": ("onnxruntime:all", 1),
    "int64": ("int64", 1),
}


def write_streams(model: EdgeModel, cubes: dict[str, list[Frame]], folder: Path) -> list[Path]:
    """One stream per cube and prefix; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, frames in cubes.items():
        for layers in PREFIXES:
            path = folder / f"{name}.k{layers}.swp"
            path.write_bytes(SeriesEncoder(model, frames).at_quality(QUALITY, layers))
            paths.append(path)
    return paths


def _contexts(decoder: StreamDecoder, index: int, window: TileWindow) -> list[CodingContext]:
    first = decoder.by_tile[index, window.index][0]
    held = [(decoder.held[c.frame, window.index], c.layers) for c in first.contexts]
    return [known_context(h.latent, h.quality, layers) for h, layers in held]


def digests(model: EdgeModel, data: bytes) -> dict[str, str]:
    """Per tile-frame of a stream: digest of the decoded latent, and of the encoder pass over it."""
    decoder, found = StreamDecoder(model, data), {}
    for index in range(decoder.header.frames):
        for window in decoder.windows:
            report, tile = decoder.latent(index, window)
            if tile is None:
                continue
            prediction = predict(model.engine, tile.latent, _contexts(decoder, index, window), tile.q)
            again = arrays_digest({"mean8": prediction.mean8, "table": prediction.table_index}, 8).hex()
            found[f"{index}.{window.index}"] = f"{report.latent_digest} {again}{' ' + report.problem}"
    return found


def work(engine: str, threads: int, model_directory: Path, streams: Sequence[Path]) -> dict[str, Any]:
    """The worker: digests of all streams, or why the engine does not run."""
    try:
        model = EdgeModel(model_directory, threads, engine)
    except ModelError as error:
        return {"refused": str(error)}
    start = time.process_time()
    found = {path.name: digests(model, path.read_bytes()) for path in streams}
    return {"digests": found, "cpu_s": time.process_time() - start}


def _run_worker(engine: str, threads: int, model_directory: Path, streams: Sequence[Path]) -> dict[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "swathpack.tools.spine_digests", engine, str(threads), str(model_directory)]
    done = subprocess.run([*command, *map(str, streams)], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        return {"refused": f"exit {done.returncode}: {done.stderr.strip()[-300:]}"}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compare(model: EdgeModel, cubes: dict[str, list[Frame]], folder: Path) -> dict[str, Any]:
    """Digests of all variants against the first; `same` and `different` count tile-frames."""
    streams = write_streams(model, cubes, folder)
    out: dict[str, Any] = {
        "streams": len(streams),
        "cubes": len(cubes),
        "prefixes": list(PREFIXES),
        "variants": {},
    }
    expected: dict[str, dict[str, str]] = {}
    for name, (engine, threads) in VARIANTS.items():
        result = _run_worker(engine, threads, model.directory, streams)
        if "refused" in result:
            out["variants"][name] = result
            continue
        found = result["digests"]
        expected = expected or found
        tiles = [(s, t) for s in expected for t in expected[s]]
        wrong = [f"{s} {t}" for s, t in tiles if found[s].get(t) != expected[s][t] or len(found[s][t].split()) != 2]
        out["variants"][name] = {
            "tile_frames": len(tiles),
            "different": len(wrong),
            "first_different": wrong[:3],
            "cpu_s": result["cpu_s"],
        }
    return out


def text(found: dict[str, Any]) -> str:
    """The table."""
    lines = [
        f"(a) latents and encoder passes of {found['streams']} streams ({found['cubes']} cubes, k = "
        f"{', '.join(map(str, found['prefixes']))}), each variant in a fresh process",
        "    variant               tile-frames  different   CPU s",
    ]
    for name, row in found["variants"].items():
        if "refused" in row:
            lines.append(f"    {name:20s}  not run: {row['refused']}")
        else:
            lines.append(f"    {name:20s}  {row['tile_frames']:11d}  {row['different']:9d}  {row['cpu_s']:6.1f}")
    return "\n".join(lines)


if __name__ == "__main__":
    np.seterr(over="raise")
    print(json.dumps(work(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), [Path(p) for p in sys.argv[4:]])))
