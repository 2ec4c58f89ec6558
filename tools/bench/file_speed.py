"""Speed and memory of whole files: ours, JPEG2000, JPEG XL, x265 and GDAL's lossless GeoTIFFs, on one scene of twelve bands.

    swathpack bench ../shared/data --speed                          1024 and 2048 pixels a side
    swathpack bench ../shared/data --speed --sides 4096,10980       slow

The scene is a mosaic of crops that differ (`swathpack.tools.bench.mosaic`). Every codec runs in a process of its own, its children
counted: CPU seconds, wall seconds, most memory (RSS of the largest process). MB are those of the samples; "a core" is MB by CPU second.
Lossy codecs aim at the same rate: peers by the setting that comes nearest on a corner. Ours reads and writes GeoTIFFs with all
cores, as its commands do; peers code arrays in memory with one thread, which is their better side.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.tools.errors import UserError
from swathpack.tools.progress import Progress

LOSSY = ("j2k", "jxl-klt", "x265-klt")
LOSSLESS = ("gtiff-deflate", "gtiff-zstd")
CODECS = ("swathpack", "swathpack-transform", *LOSSY, *LOSSLESS)
BPPB = 0.1
CORNER = 512
MAX_VIDEO_SIDE = 4096  # beyond, x265 on a mosaic of planes takes no frame of this size
Row = dict[str, Any]


def measure(folder: Path, sides: Sequence[int], codecs: Sequence[str] = CODECS, bppb: float = BPPB) -> list[Row]:
    """A row of figures for every codec and side. Raises UserError."""
    from swathpack.tools.bench.mosaic import load_sources, write

    sources, rows = load_sources(folder), []
    with tempfile.TemporaryDirectory() as name, Progress(len(sides) * len(codecs), "speed") as bar:
        for side in sides:
            scene = Path(name) / f"{side}.tif"
            write(scene, sources, side, side)
            for codec in codecs:
                rows.append({"codec": codec, "side": side, **_child(codec, scene, bppb)})
                bar.step(note=f"{codec} {side}")
            scene.unlink()
    return rows


def table(rows: Sequence[Row]) -> str:
    """The figures as a table in Markdown."""
    out = [
        "| codec | side | bppb | ratio | PSNR, dB | encode: CPU s | MB/s | MB/s a core | decode: CPU s | MB/s | MB/s a core | peak MB |",
        "|---" * 12 + "|",
    ]
    for r in rows:
        if "failed" in r:
            out.append(f"| {r['codec']} | {r['side']} | {r['failed']} |" + " |" * 9)
            continue
        mb = 24 * r["side"] ** 2 / 1e6
        speeds = [
            f"{r[w + '_cpu']:.1f} | {mb / r[w + '_s']:.1f} | {mb / r[w + '_cpu']:.1f}" for w in ("encode", "decode")
        ]
        psnr = "exact" if r["psnr"] is None else f"{r['psnr']:.2f}"
        rate = f"{16 * r['bytes'] / (mb * 1e6):.3f} | {mb * 1e6 / r['bytes']:.1f}"
        out.append(f"| {r['codec']} | {r['side']} | {rate} | {psnr} | {' | '.join(speeds)} | {r['peak_mb']:.0f} |")
    return "\n".join(out)


def _child(codec: str, scene: Path, bppb: float) -> Row:
    command = [sys.executable, "-m", "swathpack.tools.bench.file_speed", codec, str(scene), str(bppb)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        return {"failed": said[:100]}
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found


def _timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """The result, wall and CPU seconds, children counted."""
    import resource

    def cpu() -> float:
        both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in both)

    before, start = cpu(), time.monotonic()
    result = work()
    return result, time.monotonic() - start, max(cpu() - before, 1e-3)


def _peak_mb() -> float:
    import resource

    found = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(found) / 1024


def run_one(codec: str, scene: Path, bppb: float) -> Row:
    """Code and decode a scene with one codec."""
    work = _ours if codec.startswith("swathpack") else _gtiff if codec in LOSSLESS else _peer
    return work(codec, scene, bppb)


def _pixels(path: Path) -> NDArray[np.uint16]:
    import rasterio

    with rasterio.open(path) as file:
        found: NDArray[np.uint16] = file.read()
    return found


def _row(size: int, encode: tuple[Any, float, float], decode: tuple[Any, float, float], psnr: float | None) -> Row:
    found: Row = {"bytes": size, "psnr": psnr, "peak_mb": _peak_mb()}
    for name, (_, wall, cpu) in (("encode", encode), ("decode", decode)):
        found |= {f"{name}_s": wall, f"{name}_cpu": cpu}
    return found


def _psnr(a: NDArray[np.uint16], b: NDArray[np.uint16]) -> float:
    """Peak 10,000, band by band so that no large copy is made."""
    errors = [float(((x.astype(np.float32) - y) ** 2).mean(dtype=np.float64)) for x, y in zip(a, b)]
    return float(10 * np.log10(1e8 / max(float(np.mean(errors)), 1e-12)))


def _ours(codec: str, scene: Path, bppb: float) -> Row:
    import rasterio

    with rasterio.open(scene) as file:
        budget = int(bppb / 8 * file.count * file.height * file.width)
    with tempfile.TemporaryDirectory(dir=scene.parent) as folder:
        coded, back = Path(folder) / "a.swp", Path(folder) / "a.tif"
        mode = codec.partition("-")[2] or "auto"
        encode = _timed(lambda: _command("compress", scene, coded, "--bytes", str(budget), "--mode", mode))
        decode = _timed(lambda: _command("decompress", coded, back))
        found = _row(coded.stat().st_size, encode, decode, None)
        return found | {"psnr": _psnr(_pixels(scene), _pixels(back))}


def _command(name: str, source: Path, target: Path, *words: str) -> None:
    command = [sys.executable, "-m", "swathpack.tools.cli", name, str(source), "-o", str(target), *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _peer(codec: str, scene: Path, bppb: float) -> Row:
    from swathpack.tools.bench.peers import make

    peer, data = make(codec), _pixels(scene)[None]
    if codec.startswith("x265") and data.shape[-1] > MAX_VIDEO_SIDE // 2:
        raise UserError("its mosaic of planes is larger than a frame may be")
    corner, knob = data[..., :CORNER, :CORNER], peer.knobs[-1]
    for knob in peer.knobs:
        if 8 * peer.encode(corner, knob).total_bytes / corner.size >= bppb:
            break
    encode = _timed(lambda: peer.encode(data, knob))
    decode = _timed(lambda: peer.decode(encode[0]))
    found = _row(encode[0].total_bytes, encode, decode, None)
    return found | {"psnr": _psnr(data[0], decode[0][0])}


def _gtiff(codec: str, scene: Path, _: float) -> Row:
    import rasterio

    data = _pixels(scene)
    options = {
        "driver": "GTiff",
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "interleave": "band",
        "bigtiff": "yes",
    }
    options |= {"compress": codec.partition("-")[2], "predictor": 2}
    shape = {"count": data.shape[0], "height": data.shape[1], "width": data.shape[2], "dtype": "uint16"}
    with tempfile.TemporaryDirectory(dir=scene.parent) as folder:
        path = Path(folder) / "a.tif"

        def write() -> None:
            with rasterio.open(path, "w", **options, **shape) as file:
                file.write(data)

        encode, decode = _timed(write), _timed(lambda: _pixels(path))
        if not (decode[0] == data).all():
            raise UserError("its pixels did not come back")
        return _row(path.stat().st_size, encode, decode, None)


if __name__ == "__main__":
    print(json.dumps(run_one(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))))
