"""Fill the cloudy pixels of a series with what the codec's model and the other dates make likely.

    swathpack inpaint cube.npz -o clear.npz                                     # built-in cloud detector
    swathpack inpaint folder/ --mask clouds.npz -o clear/                       # GeoTIFFs, your own masks
    swathpack inpaint S2A_MSIL2A_*.SAFE -o clear/                                # with the products' scene classification
    swathpack inpaint cube.npz --scl scl.npz --later -o clear.npz               # scene classification, later dates too
    swathpack inpaint cube.npz --mask m.png --dates 2020-01-23 -o clear.npz     # one mask for one date
    swathpack inpaint cube.npz --codec TerraCodec_v1_TT_S2L2A.pt -o clear.npz   # a published checkpoint

Clear pixels come out unchanged. Writes a before/after page beside the output and prints a line per date.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel
from swathpack.edge.frame import Frame, FrameError
from swathpack.tools.errors import UsageError, UserError
from swathpack.tools.files.models import open_model
from swathpack.tools.files.outputs import add_force, check_outputs, write_text
from swathpack.tools.files.rasters import Series, is_folder, output_of, read_series, write_series
from swathpack.tools.files.rasters.options import add_reading_arguments, reading_options
from swathpack.tools.files.rasters.series import array_to_json
from swathpack.tools.files.rasters.tiff import SUFFIXES
from swathpack.tools.inpaint import detect, masks, terracodec
from swathpack.tools.inpaint.cube import Cube, cube_of
from swathpack.tools.inpaint.page import Shown, page
from swathpack.tools.inpaint.repair import METHODS, Repair, Repairer, windows
from swathpack.tools.options import expect
from swathpack.tools.progress import Progress

MAX_DILATE = 512
TOKENS = ("cloudy", "onwards")
SCL_CLASSES = ",".join(map(str, masks.SCL_CLASSES))
METHOD_HELP = (
    "calibrated: codec's prediction and other dates, fitted on clear pixels; zero-shot: the codec alone; "
    "regression: without the codec (default %(default)s)"
)

Mask = NDArray[np.bool_]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add, flag = parser.add_argument, "store_true"
    add(
        "input",
        nargs="+",
        type=Path,
        metavar="SERIES",
        help="an .npz cube; GeoTIFFs, JPEG2000 files or SAFE products; folders of these",
    )
    add(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help=".npz, .nc, .zarr, .tif, or a folder for GeoTIFFs",
    )
    _add_mask_arguments(parser)
    add("--later", action=flag, help="take from later dates too, not from earlier ones alone")
    add("--method", choices=METHODS, default=METHODS[0], help=METHOD_HELP)
    add(
        "--codec",
        type=Path,
        metavar="CHECKPOINT",
        help="TEC-TT or FlexTEC checkpoint instead of the edge codec",
    )
    add(
        "--tokens",
        choices=TOKENS,
        default=TOKENS[0],
        help="with --codec: replace cloudy tokens, or all from the first cloudy one on",
    )
    add_reading_arguments(parser)
    add("--page", type=Path, help="before/after page (default: OUT with .html)")
    add_force(parser)
    add("--no-page", action=flag, help="write no page")
    add("--model", type=Path, default=DEFAULT_DIRECTORY, help="directory of the edge model")
    add("--threads", type=int, default=1, help="of the edge codec's networks (default 1)")


def _add_mask_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--mask",
        type=Path,
        help="cloud masks, not zero = cloud: .npz, GeoTIFF, PNG or a folder; (T, H, W), or one (H, W) with --dates",
    )
    which.add_argument(
        "--scl", type=Path, help="L2A scene classes of every date: .npz, GeoTIFF or a folder; may be on a coarser grid"
    )
    add = parser.add_argument
    add(
        "--scl-classes",
        default=SCL_CLASSES,
        help="classes that count as cloud (default %(default)s; others worth "
        "thinking of: 2 dark, 7 unclassified, 11 snow)",
    )
    add("--dilate", type=int, default=detect.DILATE, metavar="N", help="grow masks by N pixels (default %(default)s)")
    add(
        "--dates",
        help="dates to repair: comma-separated numbers from 0 or ISO dates (default: all with clouds)",
    )


def run(args: argparse.Namespace) -> int:
    """Read, repair, write, and say what was done."""
    _check(args)
    series = read_series(args.input, options=reading_options(args))
    for note in series.notes:
        print(f"note: {note}")
    _check_series(series, args.output)
    dates = chosen_dates(args.dates, series.frames)
    cloudy = grown_masks(args, series, dates)
    repaired, notes = repair_series(args, series, cloudy)
    _write(args, series, cloudy, repaired, notes)
    return 0


def _check(args: argparse.Namespace) -> None:
    if not 0 <= args.dilate <= MAX_DILATE:
        raise UsageError(f"--dilate: expected 0 to {MAX_DILATE} pixels, found {args.dilate}")
    if args.codec and (args.later or args.method != METHODS[0]):
        raise UsageError("--codec predicts from earlier dates with its own method; leave out --later and --method")
    if not args.codec:
        expect(args, "with --codec only", tokens=TOKENS[0])
    if args.mask:
        expect(args, "without --mask", scl_classes=SCL_CLASSES)
    if args.no_page:
        expect(args, "without --no-page", "page")
    _check_output(args)


def _check_output(args: argparse.Namespace) -> None:
    is_folder(args.output)
    check_outputs((args.output, _page_of(args)), _inputs(args), args.force)


def _inputs(args: argparse.Namespace) -> list[Path]:
    return [*args.input, *filter(None, (args.mask, args.scl, args.codec))]


def _page_of(args: argparse.Namespace) -> Path | None:
    return None if args.no_page else args.page or args.output.with_suffix(".html")


def _check_series(series: Series, output: Path) -> None:
    if output.suffix.lower() in SUFFIXES and len(series) > 1:
        raise UserError(f"{output}: one .tif holds one date, the series has {len(series)}: give a folder or an .npz")
    first = series.frames[0]
    for n, frame in enumerate(series.frames):
        if frame.data.shape != first.data.shape or frame.bands != first.bands:
            raise UserError(
                f"date {n}: expected shape {first.data.shape} and bands {' '.join(first.bands)} as on date 0, "
                f"found {frame.data.shape} and {' '.join(frame.bands)}"
            )
    if not any(b in BANDS for b in first.bands):
        raise UserError(f"expected at least one of {', '.join(BANDS)}, found {', '.join(first.bands)}")


def chosen_dates(text: str | None, frames: Sequence[Frame]) -> list[int]:
    """Indexes that `--dates` names, all without it. Raises UserError."""
    if text is None:
        return list(range(len(frames)))
    out: list[int] = []
    for word in filter(None, (w.strip() for w in text.split(","))):
        found = (
            [i for i, f in enumerate(frames) if f.time and f.time.startswith(word)]
            if "-" in word or len(word) > 4
            else []
        )
        if not found and word.isdigit() and int(word) < len(frames):
            found = [int(word)]
        if not found:
            known = ", ".join(f"{i} ({f.time or 'no date'})" for i, f in enumerate(frames[:20]))
            raise UserError(f"--dates {word}: no such date; there are {known}{' ...' if len(frames) > 20 else ''}")
        out += found
    return sorted(set(out))


def grown_masks(args: argparse.Namespace, series: Series, dates: list[int]) -> Mask:
    """(T, H, W) bool of all dates: clouds on dates not to be repaired count as cloud too, where they are known."""
    frames = series.frames
    if args.mask:
        if args.dates is None and len(frames) > 1:
            planes = masks.read_planes(args.mask)
            if len(planes) == 1:
                raise UserError(f"{args.mask}: one mask for {len(frames)} dates: say with --dates which one it is of")
        found = masks.read_mask(args.mask, frames, dates)
    elif args.scl:
        found = masks.scl_mask(masks.read_planes(args.scl), frames, _classes(args.scl_classes), args.scl)
    elif all(c is not None for c in series.classes) and series.classes:
        classes = np.stack([c for c in series.classes if c is not None])
        found = masks.scl_mask(classes, frames, _classes(args.scl_classes), args.input[0])
    else:
        found = detect.detect(frames)
    return detect.dilated(found, args.dilate)


def _classes(text: str) -> list[int]:
    words = [w.strip() for w in text.split(",") if w.strip()]
    if not words or any(not w.isdigit() or int(w) > masks.SCL_LAST for w in words):
        raise UsageError(f"--scl-classes: expected numbers from 0 to {masks.SCL_LAST}, found {text!r}")
    return [int(w) for w in words]


def repair_series(args: argparse.Namespace, series: Series, cloudy: Mask) -> tuple[dict[int, Repair], list[str]]:
    """Repairs by date, and what holds for all of them."""
    dates = [d for d in chosen_dates(args.dates, series.frames) if cloudy[d].any()]
    cube = cube_of(series.frames, cloudy)
    if args.codec:
        return _with_checkpoint(args, cube, cloudy, dates)
    repairer = Repairer(cube, _model(args), args.method, args.later)
    steps = len(dates) * sum(1 for _ in windows(*cloudy.shape[1:]))
    with Progress(steps, "inpaint") as bar:
        repaired = {d: repairer.repair(d, cloudy[d], bar.step) for d in dates}
    when = "earlier and later dates" if args.later else "earlier dates"
    return repaired, [f"method {args.method}, from {when}"]


def _with_checkpoint(
    args: argparse.Namespace, cube: Cube, cloudy: Mask, dates: list[int]
) -> tuple[dict[int, Repair], list[str]]:
    imported = terracodec.load(args.codec)
    with Progress(1, "inpaint") as bar:
        repaired = terracodec.repair_all(imported, cube, cloudy, args.tokens)
        bar.step()
    return {d: repaired[d] for d in dates}, [f"{imported.family} of {args.codec.name}, zero-shot, from earlier dates"]


def _model(args: argparse.Namespace) -> EdgeModel | None:
    if args.method == "regression":
        return None
    return open_model(args.model, args.threads)


def repaired_frame(frame: Frame, repair: Repair, mask: Mask) -> Frame:
    """The frame with its masked pixels replaced; those that nothing could fill become nodata."""
    filled = mask & ~repair.unfilled
    data = np.where(filled, frame.counts_of(repair.image), np.where(mask, 0, frame.data)).astype(np.uint16)
    holes = frame.holes & ~mask if frame.holes.size else frame.holes
    return replace(frame, data=data, valid=(frame.valid & ~mask) | filled, holes=holes)


def _write(
    args: argparse.Namespace, series: Series, cloudy: Mask, repaired: dict[int, Repair], notes: list[str]
) -> None:
    after = [repaired_frame(f, repaired[i], cloudy[i]) if i in repaired else f for i, f in enumerate(series.frames)]
    metadata = dict(series.metadata)
    nothing = np.zeros(cloudy.shape[1:], np.bool_)
    filled = np.stack([cloudy[i] & ~repaired[i].unfilled if i in repaired else nothing for i in range(len(after))])
    if metadata.get("format") == "npz":
        metadata["extra"] = {**metadata.get("extra", {}), "inpainted": array_to_json(filled)}
    try:
        with output_of(args.output, _inputs(args), args.force) as place:
            written = write_series(Series(after, metadata), place)
    except FrameError as error:
        raise UserError(f"{args.output}: cannot be written: {error}") from error
    _report(args, series, cloudy, repaired, notes)
    if _page_of(args):
        _write_page(args, series, after, cloudy, repaired, notes)
    print(f"wrote {args.output if len(written) == 1 else f'{len(written)} files in {args.output}'}")


def _report(
    args: argparse.Namespace, series: Series, cloudy: Mask, repaired: dict[int, Repair], notes: list[str]
) -> None:
    print("; ".join(notes))
    if not repaired:
        print("no cloudy pixel found: nothing to repair")
    for date, repair in repaired.items():
        said = "".join(f"; {n}" for n in repair.notes)
        print(f"date {date} ({series.frames[date].time or 'no date'}): {cloudy[date].mean():.1%} filled{said}")


def _write_page(
    args: argparse.Namespace,
    series: Series,
    after: list[Frame],
    cloudy: Mask,
    repaired: dict[int, Repair],
    notes: list[str],
) -> None:
    target = _page_of(args)
    assert target is not None
    shown = [
        Shown(f.time or f"date {i}", f, after[i], cloudy[i], tuple(repaired[i].notes))
        for i, f in enumerate(series.frames)
        if i in repaired
    ]
    name = args.input[0].name
    summary = f"{len(shown)} of {len(after)} dates had pixels to fill." if shown else "No date had pixels to fill."
    write_text(target, page(f"Clouds filled in {name}", summary, shown, notes), _inputs(args))
    print(f"page: {target}")
