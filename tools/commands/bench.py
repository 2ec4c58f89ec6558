"""Rate and distortion of codecs, all in one run with the same metrics and rates: on a folder of 12-band cubes, or with --range on
images of any bands.

Codecs: swathpack, j2k (JPEG2000, all bands in one codestream), j2k-klt, jxl-klt, x265-klt (12-bit, inter),
av1-klt. Each is run over a fixed set of settings; bytes are real and decoded again. PSNR has peak 10,000,
without clipping. Results of earlier runs are kept under runs/bench_cache and reused while codec, options
and data agree.

    swathpack bench ../shared/data --codecs j2k,j2k-klt,swathpack --out runs/bench
    swathpack bench my_images/ --range --out runs/mine                # your images, any bands, 0.01 to 3 bits a sample
    swathpack bench ../shared/data --speed                            # whole files: MB/s, memory, ratio
    swathpack bench ../shared/data --evidence --out runs/evidence     # parts left out, layers, bands: tables and pictures
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from swathpack.tools.bench import cubes, evidence, file_speed, own_images, pages, plots, report, summary
from swathpack.tools.bench.measure import Cache, Measured, measure
from swathpack.tools.bench.peers import PEERS, PeerError, make
from swathpack.tools.bench.range_report import chart, markdown
from swathpack.tools.errors import UsageError, UserError
from swathpack.tools.files.outputs import Output
from swathpack.tools.files.rasters.options import add_reading_arguments, reading_options
from swathpack.tools.options import expect
from swathpack.tools.progress import Progress

DEFAULT_CODECS = "swathpack,j2k,j2k-klt,jxl-klt,x265-klt,av1-klt"
DEFAULT_RATES = "0.01,0.02,0.05,0.1,0.2,0.5"
SPLIT, ANCHOR, WINDOW, SIDES, CACHE = "val", "j2k", "0.01,0.2", "1024,2048", Path("runs/bench_cache")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder of .npz cubes, with or without a catalog.json")
    parser.add_argument(
        "--range",
        action="store_true",
        help="the middle of the images of a folder or of one file, whatever their bands, up to four dates of a series: real files "
        "from 0.01 to 3 bits a sample beside peers with the images' own KLT, RMSE in steps of the values; --out: folder for "
        f"range.md and charts; --codecs: of {', '.join(own_images.PEERS)}",
    )
    parser.add_argument(
        "--side", type=int, default=own_images.SIDE, help="with --range: pixels a side (default %(default)s)"
    )
    add_reading_arguments(parser)
    parser.add_argument("--codecs", default=DEFAULT_CODECS, help=f"comma-separated, of {', '.join(PEERS)}")
    parser.add_argument("--split", default=SPLIT, help="split of the catalogue (default %(default)s)")
    parser.add_argument("--bppb", default=DEFAULT_RATES, help="target rates (default %(default)s)")
    parser.add_argument("--anchor", default=ANCHOR, help="codec that BD-rates are against (default %(default)s)")
    parser.add_argument("--window", default=WINDOW, help="rates that BD-rates cover (default %(default)s)")
    parser.add_argument("--out", type=Path, help="folder for bench.json, bench.csv and bench.png")
    parser.add_argument("--max-cubes", type=int, help="only the first N cubes")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default %(default)s)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="default %(default)s")
    parser.add_argument(
        "--evidence",
        action="store_true",
        help="all codecs and the edge codec with parts left out: tables.md, evidence.json and pictures for --out",
    )
    parser.add_argument(
        "--models",
        type=Path,
        nargs="*",
        default=[],
        help="with --evidence: TerraCodec models (.swt) to measure as well",
    )
    parser.add_argument(
        "--speed",
        action="store_true",
        help="speed and memory of whole files instead, on mosaics of the folder's cubes; --out: folder for speed.json",
    )
    parser.add_argument(
        "--sides", default=SIDES, help="with --speed: pixels a side (default %(default)s; 10980: a tile)"
    )
    parser.add_argument("--no-cache", action="store_true", help="measure everything anew")


def _rates(text: str, option: str) -> list[float]:
    try:
        rates = sorted(float(t) for t in text.split(","))
    except ValueError:
        rates = []
    if not rates or rates[0] <= 0:
        raise UsageError(f"{option}: expected positive rates such as 0.01,0.1; found {text!r}")
    return rates


def _codecs(text: str) -> list[str]:
    names = [t.strip() for t in text.split(",") if t.strip()]
    if not names:
        raise UsageError(f"--codecs: expected some of {', '.join(PEERS)}; found none")
    try:
        for name in names:
            make(name)
    except PeerError as error:
        raise UserError(str(error)) from error
    return names


def measure_all(
    codecs: list[str], loaded: list[cubes.BenchCube], highest: float, cache: Cache, jobs: int
) -> dict[str, list[Measured]]:
    """Every codec on every cube; results in the order of `codecs` and `loaded`."""
    found: dict[tuple[str, str], Measured] = {}
    work = [(codec, cube) for codec in codecs for cube in loaded]
    with Progress(len(work), "bench") as bar:
        if jobs <= 1:
            for codec, cube in work:
                found[codec, cube.name] = measure(codec, cube, highest, cache)
                bar.step(note=f"{codec} {cube.name}")
        else:
            with ProcessPoolExecutor(jobs) as pool:
                futures = [pool.submit(measure, codec, cube, highest, cache) for codec, cube in work]
                for future in as_completed(futures):
                    item = future.result()
                    found[item.codec, item.cube] = item
                    bar.step(note=f"{item.codec} {item.cube}")
    return {codec: [found[codec, cube.name] for cube in loaded] for codec in codecs}


def _output(args: argparse.Namespace) -> Output | None:
    """Where the files go, refused before the minutes that measuring takes. A bench is run again and again into one folder: its own
    files are replaced, each in one step. Raises RefusedError, UserError.
    """
    return None if args.out is None else Output(args.out, [args.folder], force=True, folder=True)


def run_evidence(args: argparse.Namespace) -> int:
    """Measures everything, prints the tables, writes the page's files."""
    if args.out is None:
        raise UsageError("--evidence: expected --out FOLDER for its tables and pictures")
    output = _output(args)
    loaded = cubes.load(args.folder, args.split, args.max_cubes)
    try:
        measured = evidence.measure_evidence(loaded, Cache(None if args.no_cache else args.cache), args.models)
    except PeerError as error:
        raise UserError(str(error)) from error
    found = evidence.conclude(measured)
    print(f"{len(loaded)} cubes, {sum(c.data.shape[0] for c in loaded)} frames, split {args.split}\n")
    print(pages.tables(found))
    assert output is not None
    with output as place:
        for path in pages.write(place, measured, found):
            print(args.out / path.name)
    print(f"{plots.CREDIT}.")
    return 0


def run_speed(args: argparse.Namespace) -> int:
    """Measures speed and memory of whole files, prints the table, writes the figures."""
    words = args.sides.split(",")
    if not all(w.isdigit() and 64 <= int(w) <= 10980 for w in words):
        raise UsageError(f"--sides: expected 64 to 10980 pixels such as 1024,2048; found {args.sides!r}")
    codecs = file_speed.CODECS if args.codecs == DEFAULT_CODECS else tuple(args.codecs.split(","))
    unknown = [c for c in codecs if c not in file_speed.CODECS]
    if unknown:
        raise UsageError(f"--codecs: expected some of {', '.join(file_speed.CODECS)}; found {', '.join(unknown)}")
    output = _output(args)
    rows = file_speed.measure(args.folder, [int(w) for w in words], codecs)
    print(file_speed.table(rows))
    if output is not None:
        with output as place:
            (place / "speed.json").write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def run_range(args: argparse.Namespace) -> int:
    """Measures images of any bands over all rates, prints the tables, writes them and, of peers over ours, the charts."""
    rates = own_images.RATES if args.bppb == DEFAULT_RATES else tuple(_rates(args.bppb, "--bppb"))
    words = [word.strip() for word in args.codecs.split(",")]
    peers = own_images.USUAL if args.codecs == DEFAULT_CODECS else tuple(w for w in words if w and w != "swathpack")
    if unknown := [p for p in peers if p not in own_images.PEERS]:
        raise UsageError(f"--codecs: expected some of {', '.join(own_images.PEERS)}; found {', '.join(unknown)}")
    if args.side < own_images.LEAST_SIDE:
        raise UsageError(f"--side: expected at least {own_images.LEAST_SIDE} pixels, found {args.side}")
    output = _output(args)
    series = own_images.series_of(args.folder, reading_options(args), args.side)[: args.max_cubes]
    try:
        tables = own_images.measured(series, peers, rates, None if args.no_cache else args.cache)
    except PeerError as error:
        raise UserError(str(error)) from error
    text = "\n".join(markdown(table, each=True, unit="steps of the values") for table in tables)
    print(text)
    if output is not None:
        with output as place:
            (place / "range.md").write_text(text)
            for number, table in enumerate(tables if peers else (), 1):
                chart(table, place / f"range{number if len(tables) > 1 else ''}.png")
    return 0


def _check_options(args: argparse.Namespace) -> None:
    """What would be ignored beside other options. Raises UsageError."""
    usual = {"bppb": DEFAULT_RATES, "anchor": ANCHOR, "window": WINDOW, "jobs": 1}
    if args.range:
        less = {"split": SPLIT, "anchor": ANCHOR, "window": WINDOW, "jobs": 1}
        expect(args, "without --range", "evidence", "models", "speed", **less)
    else:
        expect(args, "with --range only", "bands", "wavelengths", "scale", side=own_images.SIDE)
    if args.speed:
        less = {"split": SPLIT, "cache": CACHE}
        expect(args, "without --speed", "evidence", "models", "max_cubes", "no_cache", **usual, **less)
    else:
        expect(args, "with --speed only", sides=SIDES)
    if args.evidence:
        expect(args, "without --evidence, which has its own", codecs=DEFAULT_CODECS, **usual)
    else:
        expect(args, "with --evidence only", "models")
    if args.no_cache:
        expect(args, "without --no-cache", cache=CACHE)


def run(args: argparse.Namespace) -> int:
    """Measures, prints the tables, writes the files."""
    _check_options(args)
    if args.range:
        return run_range(args)
    if args.speed:
        return run_speed(args)
    if args.evidence:
        return run_evidence(args)
    targets, window = _rates(args.bppb, "--bppb"), _rates(args.window, "--window")
    if len(window) != 2:
        raise UsageError(f"--window: expected LOW,HIGH; found {args.window!r}")
    codecs, output = _codecs(args.codecs), _output(args)
    loaded = cubes.load(args.folder, args.split, args.max_cubes)
    cache = Cache(None if args.no_cache else args.cache)
    try:
        measured = measure_all(codecs, loaded, max(targets), cache, args.jobs)
    except PeerError as error:
        raise UserError(str(error)) from error
    found = summary.summarise(measured, targets, args.anchor, (window[0], window[1]))
    found |= {
        "cubes": len(loaded),
        "frames": sum(c.data.shape[0] for c in loaded),
        "versions": {c: make(c).version for c in codecs},
        "split": args.split,
    }
    print(report.text(found))
    if output is not None:
        with output as place:
            report.write_json(place / "bench.json", found, measured)
            report.write_csv(place / "bench.csv", measured)
            plots.rate_distortion(measured, place / "bench.png", (min(targets), max(targets)))
        print(f"\n{args.out}/bench.json, bench.csv, bench.png\n{plots.CREDIT}.")
    return 0
