"""Inpainting with a published TEC-TT or FlexTEC checkpoint in place of the edge codec (needs the `train` extra)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.pixels import fill_invalid
from swathpack.tools.errors import UserError
from swathpack.tools.inpaint.cube import Cube
from swathpack.tools.inpaint.regression import spread
from swathpack.tools.inpaint.repair import Repair, completed, taper, windows

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def load(path: Path) -> Any:
    """A checkpoint in the published layout, or a `.swt` made of one. Raises UserError."""
    if not path.is_file():
        raise UserError(f"no such file: {path}")
    try:
        from swathpack.codec.terracodec import CheckpointError, import_checkpoint, load_model
    except ImportError as error:
        raise UserError(f"--codec needs torch: pip install 'swathpack[train]' ({error})") from error
    try:
        imported = load_model(path) if path.suffix == ".swt" else import_checkpoint(path)
    except CheckpointError as error:
        raise UserError(str(error)) from error
    if imported.family not in ("tt", "flextec"):
        raise UserError(f"{path}: expected a TEC-TT or FlexTEC model, found {imported.family}: it knows no time")
    if imported.model.bands != len(BANDS):
        raise UserError(f"{path}: expected a model of {len(BANDS)} bands, found {imported.model.bands}")
    return imported


def repair_all(imported: Any, cube: Cube, masks: Mask, mode: str) -> list[Repair]:
    """Every date with its masked pixels (T, H, W) predicted from earlier dates; the residual on clear pixels is spread
    into the hole, so that borders fit. Other pixels stay as they are.
    """
    from swathpack.codec.terracodec.inpaint import inpaint_series

    if (cube.days[1:] < cube.days[:-1]).any():
        raise UserError("TEC-TT needs the dates in order of time")
    frames = np.stack([_without_holes(cube, t) for t in range(len(cube.frames))])
    predicted = inpaint_series(imported, frames, masks, mode)
    index = [BANDS.index(b) for b in cube.bands if b in BANDS]
    coded = [i for i, b in enumerate(cube.bands) if b in BANDS]
    return [_pasted(cube, t, masks[t], predicted[t][index], coded) for t in range(len(masks))]


def _without_holes(cube: Cube, date: int) -> Floats:
    """The codec's bands of a date; pixels that are not clear take their surroundings, since no cloud may show
    through the kernels that reach over the border of a hole.
    """
    full = completed(cube.frames[date], cube.bands, cube.level)
    return fill_invalid(full, cube.clear[date]) if cube.clear[date].any() else np.zeros_like(full)


def _pasted(cube: Cube, date: int, hole: Mask, predicted: Floats, coded: list[int]) -> Repair:
    height, width = hole.shape
    clear, image = cube.clear[date], cube.frames[date].copy()
    total, weight = np.zeros_like(predicted), np.zeros(hole.shape, np.float32)
    residual = np.where(clear, image[coded] - predicted, 0).astype(np.float32)
    for window in windows(height, width):
        share = taper(window, height, width)
        rows, columns = (
            slice(window.top, window.top + window.height),
            slice(window.left, window.left + window.width),
        )
        total[:, rows, columns] += spread(window.of(residual), window.of(clear)) * share
        weight[rows, columns] += share
    estimate = np.stack([fill_invalid(image[i : i + 1], clear)[0] for i in range(len(image))])
    estimate[coded] = predicted + total / weight
    image[:, hole] = estimate[:, hole]
    first = not cube.clear[:date].any()
    notes = ["no clear pixel on an earlier date: predicted from the model's constant"] if first else []
    return Repair(image, np.zeros(hole.shape, np.bool_), notes)
