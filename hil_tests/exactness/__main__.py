"""The exactness matrix: every engine as encoder against every engine as decoder, over the same latents.

    python -m swathpack.hil_tests.exactness                        this machine: `make exactness`
    python -m swathpack.hil_tests.exactness --emulated haswell,nehalem,aarch64
    python -m swathpack.hil_tests.exactness --emulated aarch64 --only-emulated

A cell counts symbols whose mean or table differ between the two sides: one is enough to lose a tile. Latents
come from val frames of the data folder when it is there, else they are drawn like real ones; further ones are
saturated, zero, and random extremes. The pixels of transform and predictive tiles, and what is drawn of them, are compared bit for
bit: C, its twin in Python, several threads. "golden" says what the golden vectors decide about the engine on that
machine. The exit status is 1 when an engine that they admit differs from int64 in any symbol.

Emulated processors run the same wheels under qemu-user-static (`apt-get install qemu-user-static`); aarch64
needs `python -m swathpack.hil_tests.boards.emulated_root` once, and `gcc-aarch64-linux-gnu` for the C code of the codec.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.digest import array_digest
from swathpack.edge.codec.engines import EngineRefused, create_engine
from swathpack.edge.codec.latents import CHANNELS, LATENT_LIMIT, Latent, quantise
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel
from swathpack.edge.codec.prediction import CodingContext
from swathpack.export.golden import EXTREMES, like_real
from swathpack.hil_tests.boards.emulated_root import EmulationMissing, place_coder, python_under
from swathpack.hil_tests.exactness import pixels
from swathpack.hil_tests.exactness.worker import (
    Result,
    Stepped,
    Tile,
    batch_predictions,
    predictions,
    refusal,
)
from swathpack.tools.files.outputs import write_text

LEVELS = ("off", "basic", "extended", "all")
DECODERS = (
    "int64 steps",
    "float32 steps",
    "int64",
    "float32",
    "torch float64",
    "onnxruntime:off",
    "onnxruntime:basic",
    "onnxruntime:extended",
    "onnxruntime:all",
)
REFERENCE = "int64"


@dataclass
class Row:
    """One engine on one machine: its predictions, and the golden vectors' verdict (None: not an engine)."""

    name: str
    machine: str
    result: Result
    refused: str | None

    @property
    def label(self) -> str:
        """Engine, after the machine where that is another one; names the row in the matrix."""
        return self.name if self.machine == "here" else f"{self.machine} {self.name}"


def mismatches(a: Result, b: Result) -> int:
    """Symbols that two predictions do not agree on."""
    return int(((a["mean8"] != b["mean8"]) | (a["table"] != b["table"])).sum())


# --- latents


def real_tiles(model: EdgeModel, data: Path, size: int, count: int) -> list[Tile]:
    """Tiles (size x size positions) of val frames, newest frame against the two before it."""
    from swathpack.codec.data import load_cubes

    tiles: list[Tile] = []
    for cube in load_cubes(data, "val"):
        frames = cube.data[-3:, :, : 16 * size, : 16 * size]
        if frames.shape[2:] != (16 * size, 16 * size) or len(tiles) == count:
            continue
        q = 16 + 8 * (len(tiles) % 4)
        latents = [quantise(model.analyse(f), q, 0.1) for f in frames[::-1]]
        known = (16, 7)
        tiles.append((latents[0], [CodingContext(c, q, k) for c, k in zip(latents[1:], known)], q))
    return tiles


def synthetic_tiles(model: EdgeModel, size: int, count: int, rng: np.random.Generator) -> list[Tile]:
    """Latents drawn like real ones, with contexts that resemble them."""
    tiles: list[Tile] = []
    for n in range(count):
        q = 16 + 8 * (n % 4)
        latent = like_real(model.parameters, q, (size, size), rng)
        tiles.append((latent, [CodingContext(np.roll(latent, 1, 2), q, 16), CodingContext(latent // 2, q, 7)], q))
    return tiles


def adversarial_tiles(size: int, rng: np.random.Generator) -> list[Tile]:
    """All saturated (both signs), zero, random extremes with and without contexts, uniform int8."""
    shape = (CHANNELS, size, size)

    def extremes() -> Latent:
        return rng.choice(np.array(EXTREMES, np.int16), size=shape)

    high = np.full(shape, LATENT_LIMIT, np.int16)
    wide = rng.integers(-128, 128, shape).astype(np.int16)
    return [
        (high, [CodingContext(high, 0), CodingContext(-high, 0)], 0),
        (-high, [CodingContext(-high, 63), CodingContext(-high, 63)], 63),
        (np.zeros(shape, np.int16), [], 24),
        (extremes(), [CodingContext(extremes(), 32), CodingContext(extremes(), 32, 5)], 32),
        (extremes(), [], 50),
        (wide, [CodingContext(wide[::-1].copy(), 8)], 8),
    ]


def write_inputs(path: Path, tiles: list[Tile]) -> None:
    """Latents and contexts for `swathpack.hil_tests.exactness.worker`; missing contexts as unknown ones."""
    arrays: dict[str, NDArray[Any]] = {}
    for n, (latent, contexts, q) in enumerate(tiles):
        padded = list(contexts) + [CodingContext(np.zeros_like(latent), q, 0)] * (2 - len(contexts))
        arrays[f"{n}.latent"] = latent
        arrays[f"{n}.setting"] = np.array([q, *(c.layers for c in padded)], np.int64)
        arrays.update({f"{n}.context{i}": c.latent for i, c in enumerate(padded)})
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


# --- engines


def native_rows(directory: Path, tiles: list[Tile], batches: tuple[int, ...], threads: tuple[int, ...]) -> list[Row]:
    """Every engine of this machine."""
    model = EdgeModel(directory, engine="float32")
    rows = []
    for name in ("int64", "float32"):
        engine = create_engine(name, model)
        verdict = refusal(name, model)
        rows += [
            Row(name, "here", predictions(engine, tiles), verdict),
            Row(f"{name} steps", "here", predictions(Stepped(engine), tiles), None),
        ]
    rows += torch_rows(model, tiles, batches)
    for count in threads:
        model = EdgeModel(directory, count, engine="float32")
        for level in LEVELS:
            rows += onnx_rows(model, level, tiles, batches)
    return rows + tensorrt_rows(EdgeModel(directory, engine="float32"), tiles, batches)


def tensorrt_rows(model: EdgeModel, tiles: list[Tile], batches: tuple[int, ...]) -> list[Row]:
    """TensorRT where it is installed and finds a GPU; none elsewhere."""
    try:
        engine = create_engine("tensorrt", model)
    except EngineRefused as refused:
        print(f"no TensorRT here: {refused.detail}")
        return []
    verdict = refusal("tensorrt", model)
    return [
        Row("tensorrt" + (f" batch {b}" if b > 1 else ""), "here", batch_predictions(engine, tiles, b), verdict)
        for b in batches
    ]


def torch_rows(model: EdgeModel, tiles: list[Tile], batches: tuple[int, ...]) -> list[Row]:
    """torch float32 in every batch size, float64."""
    import torch

    from swathpack.hil_tests.exactness.torch_engine import TorchEngine

    single = TorchEngine(model.parameters, torch.float32)
    rows = [Row(f"torch float32 batch {b}", "here", batch_predictions(single, tiles, b), None) for b in batches]
    double = TorchEngine(model.parameters, torch.float64)
    return [*rows, Row("torch float64", "here", predictions(double, tiles), None), *cuda_rows(model, tiles, batches)]


def cuda_rows(model: EdgeModel, tiles: list[Tile], batches: tuple[int, ...]) -> list[Row]:
    """torch on a GPU; where there is none each cell is named."""
    from swathpack.hil_tests.exactness.cuda_cells import torch_cells

    found = dict(torch_cells(model.parameters, tiles, batches))
    if skipped := [name for name, result in found.items() if result is None]:
        print(f"skipped, torch finds no GPU: {', '.join(skipped)}")
    return [Row(name, "here", result, None) for name, result in found.items() if result is not None]


def buffer_part() -> list[str]:
    """Copies to a GPU and back by the runtime's libraries: prints a line each; those that bring something else."""
    from swathpack.hil_tests.exactness.cuda_cells import buffer_cells

    wrong = []
    for name, found in buffer_cells(np.random.default_rng(7)):
        print(f"skipped, {name}: {found}" if isinstance(found, str) else f"{name}: {found} bytes differ")
        wrong += [name] if found and not isinstance(found, str) else []
    return wrong


def onnx_rows(model: EdgeModel, level: str, tiles: list[Tile], batches: tuple[int, ...]) -> list[Row]:
    """One optimisation level with the model's number of threads, in every batch size."""
    name = f"onnxruntime:{level}"
    verdict, engine = refusal(name, model), create_engine(name, model)
    labels = {1: "" if model.threads == 1 else f" threads {model.threads}"}
    rows = []
    for b in batches:
        label = labels.get(b, f" threads {model.threads} batch {b}")
        rows.append(Row(name + label, "here", batch_predictions(engine, tiles, b), verdict))
    return rows


def emulated_rows(
    directory: Path, tiles: list[Tile], machine: str, payloads: list[pixels.Payload] | None = None
) -> tuple[list[Row], dict[str, list[str]]]:
    """float32 and the four levels on an emulated processor, in a process of its own; and the pixels of the payloads."""
    names = ["float32", *(f"onnxruntime:{level}" for level in LEVELS)]
    rows = []
    if machine == "aarch64" and (missing := place_coder()):
        print(f"\n{machine}: {missing}")
    with tempfile.TemporaryDirectory() as folder:
        inputs, out = Path(folder, "in.npz"), Path(folder, "out.npz")
        write_inputs(inputs, tiles)
        pixels.save(Path(folder, "payloads.npz"), payloads or [])
        command = [
            *python_under(machine),
            "-m",
            "swathpack.hil_tests.exactness.worker",
            "--model",
            str(directory.resolve()),
            "--inputs",
            str(inputs),
            "--out",
            str(out),
            "--payloads",
            str(Path(folder, "payloads.npz")),
            "--engines",
            ",".join(names),
        ]
        subprocess.run(command, check=True, cwd=Path(__file__).resolve().parent.parent.parent)
        with np.load(out) as archive:
            for name in names:
                result = {key: archive[f"{name}.{key}"] for key in ("mean8", "table")}
                rows.append(Row(name, machine, result, str(archive[f"{name}.refusal"])))
            drawn = {key: archive[key].tolist() for key in archive.files if key.startswith("pixels ")}
    return rows, drawn


# --- report


def table(rows: list[Row], columns: list[Row]) -> list[list[str]]:
    """Lines of the printed matrix: encoder, golden verdict, mismatches against every decoder."""
    lines = [["encoder", "golden", *(c.label.replace("onnxruntime", "ort") for c in columns)]]
    for row in rows:
        verdict = "-" if row.refused is None else "REFUSED" if row.refused else "admitted"
        lines.append([row.label, verdict, *(str(mismatches(row.result, c.result)) for c in columns)])
    return lines


def report(rows: list[Row], columns: list[Row], note: dict[str, Any]) -> dict[str, Any]:
    """JSON form: every pair of rows on one machine, and each row's verdict."""
    both = [np.stack([r.result["mean8"], r.result["table"].astype(np.int32)]) for r in rows]
    digests = [array_digest(x, 8).hex() for x in both]
    cells = {r.label: {c.label: mismatches(r.result, c.result) for c in columns} for r in rows}
    golden = {r.label: r.refused for r in rows if r.refused is not None}
    return {**note, "mismatched_symbols": cells, "golden": golden, "digests": dict(zip(cells, digests))}


def failures(rows: list[Row], reference: Row) -> list[str]:
    """Rows that must equal the reference and do not; a refused engine may differ."""
    return [r.label for r in rows if not r.refused and mismatches(r.result, reference.result)]


def reference_of(rows: list[Row], columns: list[Row]) -> Row:
    """The row or column that all must equal."""
    return next(r for r in columns + rows if r.name == REFERENCE)


def gather(directory: Path, data: Path, size: int, count: int) -> tuple[list[Tile], str]:
    """Tiles and where the real ones come from."""
    rng, model = np.random.default_rng(3), EdgeModel(directory, engine="float32")
    real = real_tiles(model, data, size, count) if (data / "catalog.json").exists() else []
    source = f"{len(real)} of {data}/val" if real else f"{count} drawn like real ones"
    return (real or synthetic_tiles(model, size, count, rng)) + adversarial_tiles(size, rng), source


def print_part(title: str, rows: list[Row], columns: list[Row]) -> None:
    """The matrix with a title, and why engines were refused."""
    lines = table(rows, columns)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    print(f"\n{title}")
    for line in lines:
        cells = (c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths)))
        print("  ".join(cells))
    for row in rows:
        if row.refused:
            print(f"  {row.label}: {row.refused}")


def numbers(text: str) -> tuple[int, ...]:
    """`1,7,16` as integers; ValueError for others."""
    return tuple(int(part) for part in text.split(","))


def parser() -> argparse.ArgumentParser:
    """The command line's."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", type=Path, default=DEFAULT_DIRECTORY)
    p.add_argument("--data", type=Path, default=Path("../shared/data"))
    p.add_argument("--size", type=int, default=8, help="positions along a tile's side (8)")
    p.add_argument("--tiles", type=int, default=11, help="real tiles (11)")
    p.add_argument("--batches", type=numbers, default=(1, 7, 16))
    p.add_argument("--threads", type=numbers, default=(1, 2))
    p.add_argument("--emulated", default="", help="haswell,nehalem,aarch64: minutes each")
    p.add_argument("--emulated-tiles", type=int, default=2, help="real tiles of 4 x 4 positions there (2)")
    p.add_argument("--only-emulated", action="store_true", help="add to the file that --json names")
    p.add_argument("--json", type=Path, default=Path("build/exactness.json"))
    return p


def native_part(args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """This machine: prints its table; report and rows that are not exact."""
    tiles, source = gather(args.model, args.data, args.size, args.tiles)
    rows = native_rows(args.model, tiles, args.batches, args.threads)
    columns = [r for name in DECODERS for r in rows if r.name == name]
    symbols = rows[0].result["mean8"].size
    title = f"mismatched symbols of {symbols} in {len(tiles)} latents ({source}; the others adversarial)"
    print_part(title, rows, columns)
    drawn, wrong = pixel_part("here", pixels.here(payloads := pixels.drawn_payloads()), payloads)
    note = {"symbols": symbols, "real": source, **drawn}
    return report(rows, columns, note), failures(rows, reference_of(rows, columns)) + wrong + buffer_part()


def pixel_part(
    machine: str, rows: dict[str, list[str]], payloads: list[pixels.Payload]
) -> tuple[dict[str, Any], list[str]]:
    """Against the numpy twin on this machine: prints a line a row; report and rows that differ."""
    counts = pixels.different(rows, pixels.digests(payloads, twin=True))
    print(f"\n{machine}: tiles of {len(payloads)} that come out otherwise than by Python and numpy here")
    for name, count in counts.items():
        print(f"  {name:20s}{count:4d}")
    label = "" if machine == "here" else f"{machine} "
    return {"different_pixels": counts}, [label + name for name, count in counts.items() if count]


def emulated_part(args: argparse.Namespace, machine: str) -> tuple[dict[str, Any], list[str]]:
    """One emulated processor against the engines of this machine, over few small latents."""
    small, _ = gather(args.model, args.data, 4, args.emulated_tiles)
    model = EdgeModel(args.model, engine="float32")
    here = [Row(n, "here", predictions(create_engine(n, model), small), None) for n in ("int64", "float32")]
    payloads = pixels.drawn_payloads()
    found, drawn = emulated_rows(args.model, small, machine, payloads)
    symbols = here[0].result["mean8"].size
    print_part(f"{machine}: mismatched symbols of {symbols} in {len(small)} latents", found, here)
    note, wrong = pixel_part(machine, drawn, payloads)
    return report(found, here, {"symbols": symbols, **note}), failures(found, here[0]) + wrong


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    out: dict[str, Any] = {}
    bad: list[str] = []
    if args.only_emulated and args.json.is_file():
        out = json.loads(args.json.read_text())
    if not args.only_emulated:
        out, bad = native_part(args)
    for machine in filter(None, args.emulated.split(",")):
        try:
            out[machine], wrong = emulated_part(args, machine)
        except EmulationMissing as error:
            print(f"{machine}: {error}", file=sys.stderr)
            return 2
        bad += wrong
        sys.stdout.flush()
    args.json.parent.mkdir(parents=True, exist_ok=True)
    write_text(args.json, json.dumps(out, indent=1) + "\n")
    verdict = f"NOT EXACT: {', '.join(bad)}" if bad else "every admitted engine is exact"
    print(f"\nwritten to {args.json}; {verdict}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
