"""Bit planes of a layout's coefficients: the C coder where it is built, else its slow twin; and the model they start from."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import estimate as estimates
from swathpack.edge.codec.transform_coder import native, reference
from swathpack.edge.codec.transform_coder.date_values import Beside
from swathpack.edge.codec.transform_coder.layout import Layout
from swathpack.edge.digests import bytes_digest
from swathpack.edge.spoken import reason

FRACTION = 3  # bits of the encoder's values below plane 0, as in bitplane.h
MAX_PLANES = 23
COST_UNITS = 256  # of a bit

MODEL_FILE = Path(__file__).with_name("model.npz")
MODEL_DIGEST = "3aee61e4bb635c19c63cfabc30e5bcf1f115d30dd32918e7a6245f0e1d0eb419"  # SHA-256

Model = tuple[NDArray[np.uint16], NDArray[np.int32], NDArray[np.int16], NDArray[np.int16]]


class ModelFileError(ValueError):
    """The model's file is not the one that this code was made with."""


@lru_cache(maxsize=1)
def model() -> Model:
    """Adaptive states (S, 2) uint16, probability of a one / 65536 and count; mixing weights (W,) int32; tables of the
    estimates (4, 3, 7, 2, 5) int16, of bit planes and of a trellis.

    Raises ModelFileError.
    """
    return read_model()


@lru_cache(maxsize=1)
def trellis_costs() -> NDArray[np.float32]:
    """(2, 24, 18) bits that an index and its sign take, by quantiser and class of what stands around: what the encoder weighs
    paths by; no decoder needs it. Raises ModelFileError.
    """
    return np.ascontiguousarray(archived()["trellis_costs"].astype(np.float32) / COST_UNITS)


def read_model() -> Model:
    """`model` from its file, whatever memory holds. Every decoder starts from it, so it is a part of the stream's format, and
    its digest stands in the code. Raises ModelFileError.
    """
    found = archived()
    return (
        found["states"].astype(np.uint16),
        found["weights"].astype(np.int32),
        found["estimates"].astype(np.int16),
        found["trellis_estimates"].astype(np.int16),
    )


def archived() -> dict[str, NDArray[np.generic]]:
    """All that the model's file holds. Raises ModelFileError."""
    try:
        data = MODEL_FILE.read_bytes()
    except OSError as error:
        raise ModelFileError(f"transform coder: {reason(error)}") from error
    found = bytes_digest(data).hex()
    if found != MODEL_DIGEST:
        raise ModelFileError(f"transform coder: {MODEL_FILE.name}: expected digest {MODEL_DIGEST}, found {found}")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return dict(archive)


def encode(
    layout: Layout,
    planes: int,
    values: NDArray[np.int32],
    limit: int,
    targets: NDArray[np.uint64],
    holes: NDArray[np.uint8] | None = None,
    trellis: bool = False,
    beside: Beside | None = None,
) -> tuple[bytes, NDArray[np.int64], NDArray[np.float64]]:
    """values (n_values,) in 1 / 2^FRACTION of plane 0's step -> payload; (T + 1,) bytes that settle everything up to
    each target and to the end; squared error there, in squared steps. holes: (n_values,) 1 where a value is 0 and the decoder knows
    it. trellis: plane 0's step is an index of the trellis (`trellis.py`), and the errors say nothing. beside:
    what both sides have of an earlier date.
    """
    given = (
        layout.subbands,
        layout.n_values,
        layout.n_cells,
        planes,
        model()[:2],
        values,
        limit,
        targets,
        holes,
        trellis,
        beside,
    )
    found = native.encode(*given) if native.available() else reference.encode(*given)
    return found[0], found[1].astype(np.int64), found[2]


def decode(
    layout: Layout,
    planes: int,
    payload: bytes,
    targets: NDArray[np.uint64],
    holes: NDArray[np.uint8] | None = None,
    trellis: bool = False,
    beside: Beside | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.uint8], int]:
    """A prefix -> twice the middle of the interval that each value is known to lie in (0: not found), log2 of the interval's
    length, layers that are whole. trellis: twice the values, in its steps, and log2 of what they are known to.
    """
    sizes = layout.subbands, layout.n_values, layout.n_cells, planes
    given = (*sizes, model()[:2], payload, targets, holes, trellis, beside)
    return native.decode(*given) if native.available() else reference.decode(*given)


def estimate(
    layout: Layout, values: NDArray[np.int32], bits: NDArray[np.uint8], step: float, trellis: bool = False
) -> NDArray[np.float32]:
    """What `decode` found -> the values that are expected, in units of `step` DN."""
    if trellis:
        return estimates.estimate(layout, 32 * values.astype(np.int64), bits, model()[3], step)
    middles = native.middles(values, bits) if native.available() else estimates.middles_of(values, bits)
    return estimates.estimate(layout, middles, bits, model()[2], step)


def reconstruct(values: NDArray[np.int32], bits: NDArray[np.uint8], step: float) -> NDArray[np.float32]:
    """As `estimate` for payloads of before it: every value by itself."""
    return estimates.middles_of(values, bits).astype(np.float32) * np.float32(step / 64)
