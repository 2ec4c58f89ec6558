"""How a series is to be coded: one request, the same from the command line and from Python."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.tile_coder import RDO_SLOPE
from swathpack.edge.radiometry import MAX_COUNT
from swathpack.edge.stream.quality import MAX_SHIFT
from swathpack.tools.errors import UserError
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.levels import COARSEST_LEVEL, FINEST_LEVEL, MODES
from swathpack.tools.files.pool import Pool
from swathpack.tools.files.rasters import Series, pack_metadata
from swathpack.tools.files.tile_store import TileStore

DEFAULT_QUALITY = 24


@dataclass(frozen=True)
class Request:
    """At most one of bytes, bytes_per_frame, quality, lossless and max_error; layers goes with quality.

    Fields are the command's options; see `swathpack compress --help`. Raises UserError for values that mean nothing.
    """

    bytes: int | None = None
    bytes_per_frame: int | None = None
    quality: float | None = None
    layers: int | None = None
    lossless: bool = False
    max_error: int | None = None
    mode: str = MODES[0]
    intra_every: int = 0
    fast: bool = False
    base: int = MAX_SHIFT

    def __post_init__(self) -> None:
        for name, low, high in (
            ("bytes_per_frame", 1, 1 << 31),
            ("bytes", 1, 1 << 31),
            ("layers", 1, LAYERS),
            ("quality", FINEST_LEVEL, COARSEST_LEVEL),
            ("max_error", 0, MAX_COUNT),
            ("intra_every", 0, 1 << 16),
            ("base", 0, MAX_SHIFT),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UserError(f"{_option(name)}: expected {low:g} to {high:g}, found {value:g}")
        if self.quality is not None and (self.bytes or self.bytes_per_frame):
            raise UserError("--quality goes without a byte budget: the budget decides the quality")
        if self.quality is not None and self.exact:
            raise UserError("--quality goes without --lossless and --max-error: the error decides the quality")
        goals = ("bytes", "bytes_per_frame", "layers", "lossless", "max_error")
        given = [_option(name) for name in goals if getattr(self, name) not in (None, False)]
        if len(given) > 1:
            raise UserError(f"expected one of {', '.join(given)}")

    @property
    def exact(self) -> bool:
        """Whether an error is given that no sample may exceed."""
        return self.lossless or self.max_error is not None

    def encoder(
        self,
        model: EdgeModel,
        series: Series,
        pool: Pool | None = None,
        store: TileStore | None = None,
        keep_going: bool = False,
    ) -> SeriesEncoder:
        """Who codes a series; see `SeriesEncoder`. Raises UserError."""
        slope, packed = 0.0 if self.fast else RDO_SLOPE, pack_metadata(series.metadata)
        options = (self.intra_every, slope, self.base, self.mode, series.groups)
        return SeriesEncoder(model, series.frames, packed, *options, pool, store, keep_going)

    def run(
        self, encoder: SeriesEncoder, tick: Callable[[], None] = lambda: None, file: IO[builtins.bytes] | None = None
    ) -> builtins.bytes:
        """The stream, or its file. Raises UserError, FrameError, StreamError, PlainError."""
        if self.bytes is not None:
            return encoder.in_total(self.bytes, tick, file)
        if self.bytes_per_frame is not None:
            return encoder.per_frame(self.bytes_per_frame, tick, file)
        if self.exact:
            return encoder.exact(self.max_error or 0, tick, file)
        quality = DEFAULT_QUALITY if self.quality is None else self.quality
        return encoder.at_quality(quality, self.layers or LAYERS, tick=tick, file=file)

    def encode(
        self, model: EdgeModel, series: Series, tick: Callable[[], None] = lambda: None, pool: Pool | None = None
    ) -> builtins.bytes:
        """The stream of a series. Raises UserError, FrameError, StreamError, PlainError."""
        return self.run(self.encoder(model, series, pool), tick)

    @property
    def budget(self) -> bool:
        """Whether bytes are given."""
        return self.bytes is not None or self.bytes_per_frame is not None


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
