"""How a series is to be coded: one request, the same from the command line and from Python."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import IO, Any

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.modes import MODES, tries_learned
from swathpack.edge.codec.pixels import TILE, tile_windows
from swathpack.edge.codec.rate import COARSEST_LEVEL, FINEST_LEVEL, bytes_about
from swathpack.edge.codec.tile_coder import RDO_SLOPE
from swathpack.edge.codec.transform_coder import CHOICES as WEIGHTS
from swathpack.edge.radiometry import MAX_COUNT
from swathpack.edge.stream.quality import MAX_SHIFT
from swathpack.tools.errors import UsageError, UserError
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.exact_trial import may_be_exact
from swathpack.tools.files.frame_asks import aimed_bppb
from swathpack.tools.files.part_request import georeference_of
from swathpack.tools.files.pool import Pool
from swathpack.tools.files.rasters import Series
from swathpack.tools.files.rasters.essential import Carried
from swathpack.tools.files.regions import BoxRegion, Region
from swathpack.tools.files.shelf import Shelf
from swathpack.tools.files.sources import FrameSource, source_of
from swathpack.tools.files.tile_side import check_side, side_for
from swathpack.tools.files.tile_trial import usual_side
from swathpack.tools.files.workers import LEARNED_WORK

DEFAULT_QUALITY = 24


@dataclass(frozen=True)
class Encoded:
    """A stream, and what was assumed of its input or left out, a sentence each."""

    data: builtins.bytes
    notes: list[str]


@dataclass(frozen=True)
class Request:
    """At most one of bytes, bytes_per_frame, quality, lossless and max_error; layers goes with quality. regions go with all.

    tile: pixels a side, by the size of the frames where it is None. Fields are the command's options; see `swathpack compress --help`.
    Raises UserError for values that mean nothing.
    """

    bytes: int | None = None
    bytes_per_frame: int | None = None
    quality: float | None = None
    layers: int | None = None
    lossless: bool = False
    max_error: int | None = None
    mode: str = MODES[0]
    weights: str = WEIGHTS[0]
    intra_every: int = 0
    fast: bool = False
    base: int = MAX_SHIFT
    regions: tuple[Region | BoxRegion, ...] = ()
    tile: int | None = None

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
            value: Any = getattr(self, name)  # callers from Python may give anything
            if value is None:
                continue
            if not _is_number(value, whole=name != "quality"):
                kind = "number" if name == "quality" else "whole number"
                raise UsageError(f"{_option(name)}: expected a {kind} from {low:.12g} to {high:.12g}, found {value!r}")
            if not low <= value <= high:
                raise UsageError(f"{_option(name)}: expected {low:.12g} to {high:.12g}, found {value}")
        if self.quality is not None and (self.bytes or self.bytes_per_frame):
            raise UsageError("--quality goes without a byte budget: the budget decides the quality")
        if self.quality is not None and self.exact:
            raise UsageError("--quality goes without --lossless and --max-error: the error decides the quality")
        goals = ("bytes", "bytes_per_frame", "layers", "lossless", "max_error")
        given = [_option(name) for name in goals if getattr(self, name) not in (None, False)]
        if len(given) > 1:
            raise UsageError(f"expected one of {', '.join(given)}")
        self._check_unheard()
        check_side(self.tile, self._small)

    def _check_unheard(self) -> None:
        """What would be ignored beside the rest is refused."""
        goes = [("mode", MODES[0]), ("weights", WEIGHTS[0]), ("base", MAX_SHIFT)]
        # With --mode learned tiles of bands that it does not know are the transform coder's, which weights do tell something.
        heard = ("mode", "weights") if self.mode == "transform" else ("mode", "weights", "base")
        told = [name for name, usual in goes if getattr(self, name) != usual]
        if self.exact and told:
            options = " and ".join(map(_option, told))
            raise UsageError(
                f"{options}: expected without --lossless and --max-error: these tiles are the predictive coder's"
            )
        if lost := [_option(name) for name in told if name not in heard]:
            raise UsageError(
                f"{' and '.join(lost)}: expected without --mode {self.mode}, whose tiles it says nothing of"
            )

    @property
    def _small(self) -> bool:
        """Whether tiles must not be larger than the learned and the predictive codec have them."""
        return self.exact or bool(self.regions) or self.mode == "learned"

    @property
    def exact(self) -> bool:
        """Whether an error is given that no sample may exceed."""
        return self.lossless or self.max_error is not None

    def work(self, series: Series) -> int:
        """About how many codings of tiles by the transform coder it takes, for `swathpack.tools.files.workers.open_pool`."""
        first = source_of(series.frames[0])
        tiles = len(series.frames) * len(list(tile_windows(first.height, first.width, TILE)))
        return tiles * (LEARNED_WORK if self._tries_learned(series, self._largest_side(series)) else 1)

    def jobs(self, series: Series, side: int) -> int:
        """About how often a tile of so many pixels a side is worked on, by the kinds of work that the request takes."""
        learned = self._tries_learned(series, side)
        dates = not self.exact and len(series.frames) > 1 and self.intra_every != 1
        once = 1 + 3 * learned + 2 * dates + (not self.exact and not self.fast)
        return once + (self.bytes is not None) * (2 * dates + 2 * learned)

    def _largest_side(self, series: Series) -> int:
        """Pixels a side of the tiles of a series, unless smaller ones code it better."""
        first = source_of(series.frames[0])
        return self.tile or side_for(first.height, first.width, self._small)

    def _side(self, series: Series, exact: bool) -> int:
        """exact: whether they are tried without any error first."""
        sources = [source_of(frame) for frame in series.frames]
        if self.tile or self._small:
            return self._largest_side(series)
        if exact:
            return side_for(sources[0].height, sources[0].width, small=True)
        return self._largest_side(series) if self.fast else usual_side(sources, self.weights, self._bppb(sources))

    def _whole_budget(self, frames: int) -> int | None:
        """Bytes that the whole file may take, where that is all that is asked of it."""
        return self.bytes if frames > 1 or self.bytes is not None else self.bytes_per_frame

    def _may_be_exact(self, sources: Sequence[FrameSource]) -> bool:
        """Whether the budget may hold every value as it is."""
        free = self.mode == MODES[0] and self._whole_budget(len(sources)) is not None
        return free and may_be_exact(sources, self._bppb(sources))

    def _bppb(self, sources: Sequence[FrameSource]) -> float:
        """Bits a sample that the series will take, about."""
        first = sources[0]
        samples = len(first.outline.bands) * first.height * first.width
        if self.bytes is not None or self.bytes_per_frame is not None:
            return 8 * (self.bytes_per_frame or (self.bytes or 1) / len(sources)) / samples
        return 8 * bytes_about(self._level, samples) / samples

    def _tries_learned(self, series: Series, side: int) -> bool:
        """Whether the learned codec will be tried in tiles of so many pixels a side: as frame coders decide it, by what a tile is
        aimed at. Of a budget the file's head is taken for image, which makes next to no difference.
        """
        if self.exact or side > TILE:
            return False
        first, frames = source_of(series.frames[0]), len(series.frames)
        bands, windows = first.outline.bands, list(tile_windows(first.height, first.width, side))
        if self.bytes is not None or self.bytes_per_frame is not None:
            aim = (self.bytes_per_frame or (self.bytes or 1) // frames) // len(windows)
        else:
            aim = bytes_about(self._level, len(bands) * min(side, first.height) * min(side, first.width))
        return tries_learned(self.mode, bands, aimed_bppb(bands, windows, aim), self.weights)

    @property
    def _level(self) -> float:
        return DEFAULT_QUALITY if self.quality is None else self.quality

    def encoder(
        self,
        model: EdgeModel,
        series: Series,
        pool: Pool | None = None,
        shelf: Shelf | None = None,
        keep_going: bool = False,
    ) -> SeriesEncoder:
        """Who codes a series; see `SeriesEncoder`. Raises UserError."""
        slope, carried = 0.0 if self.fast else RDO_SLOPE, Carried.of(series.metadata)
        how = self.intra_every, slope, self.base, self.mode, series.groups, self.weights
        exact = self._may_be_exact([source_of(frame) for frame in series.frames])
        rest = pool, shelf, keep_going, self._regions(series), self._side(series, exact)
        encoder = SeriesEncoder(model, series.frames, carried, *how, *rest)
        encoder.tries_exact = exact and encoder.header.tile_size <= TILE
        return encoder

    def _regions(self, series: Series) -> list[Region]:
        """In pixels. Raises UserError."""
        if len(set(series.groups)) > 1 and any(isinstance(region, BoxRegion) for region in self.regions):
            raise UserError("--region bbox: the dates lie on different grids: give ROW,COL,HEIGHT,WIDTH")
        first, place = source_of(series.frames[0]), georeference_of(series.metadata)
        return [region.on(place, (first.height, first.width)) for region in self.regions]

    def run(
        self, encoder: SeriesEncoder, tick: Callable[[], None] = lambda: None, file: IO[builtins.bytes] | None = None
    ) -> builtins.bytes:
        """The stream, or b"" where it goes to a file. Raises UserError, FrameError, StreamError, PlainError."""
        whole = self._whole_budget(len(encoder.given))
        if whole is not None and encoder.tries_exact:
            exact = encoder.exact_within(whole, tick, file)
            if exact is not None:
                return exact
        if self.bytes is not None:
            return encoder.in_total(self.bytes, tick, file)
        if self.bytes_per_frame is not None:
            return encoder.per_frame(self.bytes_per_frame, tick, file)
        if self.exact:
            return encoder.exact(self.max_error or 0, tick, file)
        return encoder.at_quality(self._level, self.layers or LAYERS, tick=tick, file=file)

    def encode(
        self, model: EdgeModel, series: Series, tick: Callable[[], None] = lambda: None, pool: Pool | None = None
    ) -> Encoded:
        """The stream of a series; pool: who codes tiles, this process by default, with the same bytes. Raises
        UserError, FrameError, StreamError, PlainError."""
        encoder = self.encoder(model, series, pool)
        return Encoded(self.run(encoder, tick), notes_of(series, encoder))


def notes_of(series: Series, encoder: SeriesEncoder) -> list[str]:
    """What was assumed of a series that was coded, and what was left out, a sentence each."""
    notes = [*series.notes]
    if series.dropped:
        notes.append(f"left out: {', '.join(series.dropped)} (classes and masks are no reflectance)")
    if encoder.left_out:
        notes.append(f"left out: {', '.join(encoder.left_out)} (text that the budget has no room for)")
    return notes


def _is_number(value: object, whole: bool) -> bool:
    return isinstance(value, Integral if whole else Real)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
