"""Calibrate the int8 analysis transform on a folder of cubes or rasters, and judge it.

    swathpack calibrate ../shared/data --out calibration_out

Measures value ranges on one part of the folder, quantises the model's analysis in several ways, and codes tiles of
other places with each of them through the real coder and synthesis, beside the float analysis and ONNX Runtime's own
static quantiser. The cheapest way that loses at most 2 % of rate on every tile (BD-rate) and at every step is kept.

Writes to --out: analysis_int8.onnx, analysis_statistics.npz, calibration.json and calibration.png.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from swathpack.calibration.analysis import CalibrationError, forms
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel, ModelError
from swathpack.edge.stream.quality import STEPS
from swathpack.tools.calibrate.sets import load
from swathpack.tools.errors import UsageError, UserError
from swathpack.tools.files.outputs import Output, add_force
from swathpack.tools.files.rasters.options import add_reading_arguments, reading_options
from swathpack.tools.progress import Progress

if TYPE_CHECKING:  # with onnx, which an extra brings: --help is there without it
    from swathpack.tools.calibrate.campaign import Campaign


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder of .npz cubes, GeoTIFFs or folders of GeoTIFFs")
    parser.add_argument("--out", type=Path, required=True, help="folder for the int8 graph and the report")
    parser.add_argument("--model", type=Path, default=DEFAULT_DIRECTORY, help="default: the shipped model")
    parser.add_argument("--tiles", type=int, default=32, help="to calibrate with (default %(default)s)")
    parser.add_argument("--judge-tiles", type=int, default=12, help="to judge by (default %(default)s)")
    parser.add_argument("--qualities", default="8,20,32,44", help="quantiser steps to judge at (default %(default)s)")
    parser.add_argument("--form", choices=["auto", *forms()], default="auto", help="default: the cheapest that is good")
    parser.add_argument("--no-peer", action="store_true", help="leave out ONNX Runtime's quantiser")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of tiles (default %(default)s)")
    add_reading_arguments(parser)
    add_force(parser)


def _qualities(text: str) -> list[int]:
    try:
        found = sorted({int(t) for t in text.split(",")})
    except ValueError:
        found = []
    if len(found) < 3 or found[0] < 0 or found[-1] >= STEPS:
        raise UsageError(f"--qualities: expected at least 3 steps in 0..{STEPS - 1} such as 8,20,32; found {text!r}")
    return found


def _checked(args: argparse.Namespace) -> list[int]:
    for option, value in (("--tiles", args.tiles), ("--judge-tiles", args.judge_tiles)):
        if value < 1:
            raise UsageError(f"{option}: expected 1 or more, found {value}")
    return _qualities(args.qualities)


def run(args: argparse.Namespace) -> int:
    """Measures, prints the tables, writes the files."""
    qualities = _checked(args)
    from swathpack.export.analysis_int8 import FILE
    from swathpack.tools.calibrate import report
    from swathpack.tools.calibrate.campaign import Campaign, steps

    options = reading_options(args)
    import matplotlib  # noqa: F401  # of the picture at the end: told of before the work, after what that needs

    output = Output(args.out, [args.folder, args.model], args.force, folder=True)
    with Progress(0, "reading") as bar:
        sets = load(args.folder, args.tiles, args.judge_tiles, args.seed, bar.step, options)
    try:
        model = EdgeModel(args.model)
        with Progress(steps(sets, qualities, not args.no_peer), "calibrating") as bar:
            campaign = Campaign(model, sets, qualities, bar.step)
            campaign.candidates(peers=not args.no_peer)
            campaign.judge()
            campaign.gains()
    except (ModelError, CalibrationError, ValueError) as error:
        raise UserError(str(error)) from error
    if args.form != "auto":
        campaign.take(args.form)
    with output as place:
        _write(place, campaign)
    print(report.text(campaign.found))
    print(f"\n{args.out}/{FILE}, analysis_statistics.npz, calibration.json, calibration.png")
    return 0


def _write(out: Path, campaign: Campaign) -> None:
    import onnx

    from swathpack.export.analysis_int8 import FILE, analysis_int8_graph
    from swathpack.tools.calibrate import report
    from swathpack.tools.calibrate.campaign import GOAL_PERCENT

    found = campaign.found
    if found.model is None or found.statistics is None:
        raise UserError("nothing was chosen")
    onnx.save(analysis_int8_graph(found.model), str(out / FILE))
    found.statistics.save(out / "analysis_statistics.npz")
    (out / "calibration.json").write_text(json.dumps(report.as_json(found, GOAL_PERCENT), indent=1) + "\n")
    report.picture(found, out / "calibration.png")
