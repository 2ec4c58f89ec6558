"""Coding of one frame's values, step by step and mirrored: what `FrameEncoder` puts, `FrameDecoder` takes.

A step is a token of a group of windows (temporal models) or one colour of a channel group (ELIC). Both sides
get the means and scales of a step from their own network; the encoder adds guards and checks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swathpack.codec.terracodec.gaussian import (
    STEPS_PER_UNIT,
    Cells,
    coded_cells,
    filled_cells,
    near_boundary,
    settle,
    table_of,
)
from swathpack.codec.terracodec.guards import GuardError, pack_guards, unpack_guards
from swathpack.codec.terracodec.stream import FrameBody, MismatchError, StreamError, token_check
from swathpack.edge.codec.rangecoder import RangeCoderError, new_decoder, new_encoder
from swathpack.edge.codec.tables import ProbabilityTables

Ints = NDArray[np.int64]


class FrameEncoder:
    """Collects the steps of one frame."""

    def __init__(self, tables: ProbabilityTables, sigma_min: float) -> None:
        self._coder = new_encoder(tables)
        self._sigma_min = sigma_min
        self._checks: list[int] = []
        self._near: list[Ints] = []
        self._sides: list[NDArray[np.bool_]] = []
        self._position = 0

    def put(self, values: Tensor, mean: Tensor, sigma: Tensor) -> None:
        """Code integer values (any shape) with the given means and scales (same shape)."""
        mean_cell, scale_cell = self._guarded(coded_cells(mean, sigma, self._sigma_min), STEPS_PER_UNIT)
        base, index = table_of(mean_cell, scale_cell)
        symbols = integers(values) - base
        try:
            self._coder.encode(symbols, index)
        except RangeCoderError as error:
            raise StreamError(f"a latent value cannot be coded: {error}") from error
        self._checks.append(token_check(index, symbols))

    def fill(self, mean: Tensor) -> Tensor:
        """Values that are not sent: the rounded means, same shape; the rounding is guarded too."""
        mean_cell, _ = self._guarded(filled_cells(mean), 1)
        return as_tensor(mean_cell, mean)

    def _guarded(self, cells: Cells, steps: int) -> tuple[Ints, Ints]:
        near, sides = near_boundary(cells, self._sigma_min, steps)
        self._near.append(near + self._position)
        self._sides.append(sides)
        self._position += 2 * cells.mean.size
        return settle(cells, near, sides)

    def body(self, sigma_rule: int = 0, hyper: bytes = b"") -> FrameBody:
        """The frame as it stands."""
        near = np.concatenate(self._near) if self._near else np.empty(0, np.int64)
        sides = np.concatenate(self._sides) if self._sides else np.empty(0, np.bool_)
        guards = pack_guards(near, sides)
        return FrameBody(self._coder.payload(), tuple(self._checks), guards, hyper, sigma_rule)


class FrameDecoder:
    """Takes the steps of one frame back out, in the encoder's order. `frame` is for messages only."""

    def __init__(self, tables: ProbabilityTables, sigma_min: float, body: FrameBody, frame: int) -> None:
        self._coder = new_decoder(tables, body.payload)
        self._sigma_min = sigma_min
        self._body, self._frame = body, frame
        self._step, self._position = 0, 0
        try:
            self._near, self._sides = unpack_guards(body.guards)
        except GuardError as error:
            raise StreamError(f"frame {frame}: {error}") from error

    def take(self, mean: Tensor, sigma: Tensor) -> Tensor:
        """The values that the encoder put with (nearly) these means and scales, same shape.

        MismatchError, before any value is used, when the network here disagrees beyond the guards.
        """
        base, index = table_of(*self._settled(coded_cells(mean, sigma, self._sigma_min)))
        try:
            symbols = self._coder.decode(index).astype(np.int64)
        except RangeCoderError as error:
            raise self._mismatch(f"the payload does not decode ({error})") from error
        if self._body.checks[self._step : self._step + 1] != (token_check(index, symbols),):
            raise self._mismatch("the check over table indexes and symbols differs")
        self._step += 1
        return as_tensor(symbols + base, mean)

    def fill(self, mean: Tensor) -> Tensor:
        """Values that were not sent: the rounded means."""
        return as_tensor(self._settled(filled_cells(mean))[0], mean)

    def _settled(self, cells: Cells) -> tuple[Ints, Ints]:
        first, last = np.searchsorted(self._near, [self._position, self._position + 2 * cells.mean.size])
        near = self._near[first:last] - self._position
        self._position += 2 * cells.mean.size
        return settle(cells, near, self._sides[first:last])

    def _mismatch(self, what: str) -> MismatchError:
        return MismatchError(
            f"frame {self._frame}, coding step {self._step} of {len(self._body.checks)}: {what}. The float "
            "network of this machine does not agree with the encoder's; decode on one like it"
        )


def integers(values: Tensor) -> Ints:
    """Integer-valued float tensor -> (n,) int64; StreamError for NaN and infinities."""
    flat = values.detach().reshape(-1).to(torch.float64)
    if not bool(flat.isfinite().all()):
        raise StreamError("expected finite latents, found inf or NaN")
    return flat.round().numpy().astype(np.int64)


def as_tensor(values: Ints, like: Tensor) -> Tensor:
    """(n,) integers -> tensor of the shape and type of `like`."""
    return torch.from_numpy(values.astype(np.float32)).to(like.dtype).reshape(like.shape)


def encode_channels(tables: ProbabilityTables, symbols: Tensor) -> bytes:
    """Symbols of a factorised prior, (C, h, w), table c for channel c."""
    coder = new_encoder(tables)
    try:
        coder.encode(integers(symbols), channel_index(symbols.shape))
    except RangeCoderError as error:
        raise StreamError(f"a latent value cannot be coded: {error}") from error
    return coder.payload()


def decode_channels(tables: ProbabilityTables, payload: bytes, shape: tuple[int, int, int]) -> Tensor:
    """The inverse of `encode_channels`: (C, h, w) float32."""
    try:
        values = new_decoder(tables, payload).decode(channel_index(shape))
    except RangeCoderError as error:
        raise StreamError(f"the payload does not decode: {error}") from error
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def channel_index(shape: Any) -> Ints:
    """Table index of every symbol of a (C, h, w) array, flattened."""
    return np.repeat(np.arange(shape[0]), shape[1] * shape[2])
