"""What shows the learned codec's squares is smoothed where its image is drawn, on the ground only.

At low rates neighbouring blocks of 16 pixels meet in steps that the scene does not have. Around every edge between two blocks
what is to be added to the 8 pixels on both sides is a linear function of the 32 pixels across, by the class of that place:
how lively it is within the blocks, in quantiser steps, and how large the step over the edge is beside that. First over
all columns of edges, then over all rows. The functions are least squares over training crops (`codec/fit_squares.py`) of the error
and, where all around is smooth, of the step over the edge (`codec/evened.py`), so they leave an edge that the scene has.

Nothing is predicted from such pixels: contexts of later dates are latents, dates of transform tiles are transform tiles.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.latents import STRIDE, step_dn
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.prediction import Reconstruction

REACH = STRIDE // 2  # pixels on either side of an edge that change
TAPS = 2 * STRIDE
LIVELY = tuple(2.0**k for k in range(-11, -1))  # mean step between pixels within blocks, in quantiser steps
STEEP = (1.5, 4.0)  # the step over the edge, in mean steps within blocks
CLASSES = (len(LIVELY) + 1) * (len(STEEP) + 1)
LEAST_DN = 1e-3
# Bands that sensors see at 10, 20 and 60 m are smooth in different ways.
GROUPS = tuple(
    tuple(BANDS.index(name) for name in group)
    for group in (("B02", "B03", "B04", "B08"), ("B05", "B06", "B07", "B8A", "B11", "B12"), ("B01", "B09"))
)
SHAPE = (2, len(GROUPS), CLASSES, TAPS, REACH)  # directions, groups, classes, pixels across, pixels left of the edge
FILE = Path(__file__).resolve().parent / "squares.npz"

Pixels = NDArray[np.float32]


@lru_cache(1)
def kernels() -> Pixels:
    """SHAPE; the pixels right of an edge take theirs mirrored."""
    with np.load(FILE) as archive:
        return np.asarray(archive["kernels"], np.float32)


def synthesised(model: EdgeModel, latent: Reconstruction) -> Pixels:
    """What the synthesis makes of a latent, (12, 16h, 16w) DN, without squares."""
    return smoothed(model.synthesise(latent), latent.q)


def smoothed(pixels: Pixels, q: int, tables: Pixels | None = None) -> Pixels:
    """(12, 16h, 16w) DN of whole blocks, drawn at step q -> the same without squares."""
    across, along = kernels() if tables is None else tables
    found = pixels + corrections(pixels, q, across)
    turned = np.ascontiguousarray(found.transpose(0, 2, 1))
    return np.ascontiguousarray((turned + corrections(turned, q, along)).transpose(0, 2, 1))


def corrections(pixels: Pixels, q: int, table: Pixels) -> Pixels:
    """What is to be added to (12, H, W), for the edges between columns. table: of this direction, SHAPE[1:]."""
    added = np.zeros_like(pixels)
    if pixels.shape[2] < TAPS:
        return added
    for kernel, group in zip(table, GROUPS):
        windows = windows_of(pixels[list(group)])
        rows = np.ascontiguousarray(windows).reshape(-1, TAPS)
        found = _applied(rows, classes_of(rows, q), kernel).reshape(*windows.shape[:2], -1)
        added[list(group), :, REACH : REACH + found.shape[2]] = found
    return added


def windows_of(pixels: Pixels) -> Pixels:
    """(C, H, W) -> (C, H, edges, TAPS): the pixels across every edge between two columns of blocks."""
    return np.lib.stride_tricks.sliding_window_view(pixels, TAPS, axis=2)[:, :, ::STRIDE]


def classes_of(rows: Pixels, q: int) -> NDArray[np.intp]:
    """(N, TAPS) -> (N,)."""
    steps = np.abs(np.diff(rows, axis=1))
    edge = steps[:, STRIDE - 1]
    within = np.maximum((steps.sum(axis=1) - edge) / (TAPS - 2), np.float32(LEAST_DN))
    lively = np.digitize(within, np.array(LIVELY) * step_dn(q))
    return np.asarray(lively * (len(STEEP) + 1) + np.digitize(edge / within, STEEP), np.intp)


def levelled(rows: Pixels) -> Pixels:
    """(N, TAPS) without their means: what is added does not depend on brightness."""
    return np.asarray(rows - rows.mean(axis=1, keepdims=True), np.float32)


def _applied(rows: Pixels, classes: NDArray[np.intp], kernel: Pixels) -> Pixels:
    """(N, STRIDE): sums over the taps in one order, whatever the number of threads."""
    out, level = np.zeros((len(rows), STRIDE), np.float32), levelled(rows)
    both = np.concatenate([kernel, kernel[:, ::-1, ::-1]], axis=2)  # (CLASSES, TAPS, STRIDE)
    order = np.argsort(classes, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(classes[order])) + 1):
        weights, taps = both[classes[part[0]]], np.ascontiguousarray(level[part].T)
        total = np.zeros((STRIDE, len(part)), np.float32)
        for tap, values in zip(weights, taps):
            total += tap[:, None] * values
        out[part] = total.T
    return out
