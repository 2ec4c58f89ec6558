"""SwathPack from Python: compress, open, decompress, inpaint, inspect. numpy in and out; nothing is printed.

Every function raises `swathpack.Error` or one of its kinds (`swathpack.tools.errors`) for bad input, with one message that
names what was expected and what was found. Examples: docs/python.md.
"""

from __future__ import annotations

import builtins
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.restored import Restorer
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.frame import Frame
from swathpack.tools.errors import StreamError, UserError
from swathpack.tools.files.areas import Window, bounds_of, numbers_of
from swathpack.tools.files.arrays import Times, as_series, check_facts, names_of
from swathpack.tools.files.lazy import Stream, values_of
from swathpack.tools.files.models import checked_threads, open_model, open_restorer
from swathpack.tools.files.outputs import check_output
from swathpack.tools.files.rasters import Series, check_form, output_of, stream_output, write_series
from swathpack.tools.files.rasters.options import ReadOptions
from swathpack.tools.files.rasters.windowed import read_windowed
from swathpack.tools.files.regions import region_of
from swathpack.tools.files.request import Request
from swathpack.tools.files.synthesis import told
from swathpack.tools.files.workers import open_pool
from swathpack.tools.public_errors import public_errors

if TYPE_CHECKING:
    from swathpack.tools.files.arrays import Source
    from swathpack.tools.plan.inputs import Plan
    from swathpack.tools.plan.model import Outcome

ModelFolder = str | Path | None
Tick = Callable[[], None]


def _model(folder: ModelFolder, threads: int) -> EdgeModel:
    threads = checked_threads(threads)
    return open_model(threads=threads) if folder is None else open_model(folder, threads)


def _paths(source: Any) -> list[Path]:
    """The files among the sources: no output may be one of them."""
    given = source if isinstance(source, (list, tuple)) else [source]
    return [Path(item) for item in given if isinstance(item, (str, Path))]


def _by_rows(source: Source, bands: Sequence[str] | None, times: Times | None, scale: float | None) -> Series | None:
    """Large rasters, whose pixels stay on the disk; None for anything else."""
    given = list(source) if isinstance(source, (list, tuple)) else [source]
    paths = _paths(given)
    if not paths or len(paths) != len(given) or times:
        return None
    return read_windowed(paths, ReadOptions(tuple(bands or ()), scale=scale))


@public_errors()
def compress(
    source: Source,
    *,
    output: str | Path | None = None,
    bytes: int | None = None,
    bytes_per_frame: int | None = None,
    quality: float | None = None,
    layers: int | None = None,
    lossless: bool = False,
    max_error: int | None = None,
    bands: Sequence[str] | None = None,
    times: Times | None = None,
    nodata: float = 0,
    level: str = "unknown",
    boa_offset: bool = False,
    scale: float | None = None,
    mode: str = "auto",
    weights: str = "auto",
    intra_every: int = 0,
    fast: bool = False,
    regions: Sequence[tuple[int, ...]] = (),
    tile: int | None = None,
    model: ModelFolder = None,
    threads: int = 1,
    force: bool = False,
    progress: Tick = lambda: None,
) -> Stream:
    """Compress a series of one place, and give the stream; written to `output` too where that is given.

    source: an array (T, C, H, W) or (C, H, W) of DN, a Frame or several, an xarray.DataArray with dimensions time, band, y,
    x, or paths of an .npz, of GeoTIFFs or of a folder of them. Give at most one of

        bytes            of the whole file, headers included, never exceeded
        bytes_per_frame  the same for each frame
        quality          level -56 (finest) .. 63 (coarsest), step 64 * 2^(quality/8) DN; 24 if nothing is given;
                         layers: only the first so many of 16
        lossless         every value comes back as it is
        max_error        no value comes back off by more

    bands: a name for each plane, or which of those that the source names; times: ISO 8601 texts, dates or datetime64.
    nodata, level, boa_offset: of arrays, see `Frame.from_array`. scale: of files and DataArrays, DN = value x scale, such as 10000 of
    float reflectance. mode: auto, learned or transform. weights: of the
    bands: auto, equal or visible. intra_every: every Nth frame without context. fast: half to two thirds of the time, 1 to 10 % more
    error in the same bytes. regions: (row, column, height, width) in pixels, or these and a greatest error: values of tiles that hold any
    of them come back as they are, or within it, the other tiles share what is left. tile: pixels a side of tiles, 64 to 1024 in steps
    of 64; by default 384 to 640 for frames of more than 256 where these take fewer bytes so, else 256; exact and learned ones at most 256.
    model: another model's folder.
    threads: processes that work on tiles, with the same bytes; with few tiles, threads of the networks instead. They are
    started from `sys.executable`, import nothing of the caller, and end with the call: leave it at 1 where that is no Python,
    as in an embedded interpreter. force: replace an output that exists. progress: called after each job on a tile. Raises
    Error, RefusedError, MissingPackageError.
    """
    bands, how = names_of(bands), (mode, weights, intra_every, fast)
    request = Request(
        bytes,
        bytes_per_frame,
        quality,
        layers,
        lossless,
        max_error,
        *how,
        regions=tuple(map(region_of, regions)),
        tile=tile,
    )
    place = None if output is None else stream_output(Path(output), _paths(source), force)
    check_facts(source, nodata, level, boa_offset)
    series = _by_rows(source, bands, times, scale)
    series = series or as_series(source, bands, times, nodata, level, boa_offset, scale)
    opened = _model(model, threads)
    with open_pool(threads, opened, request.work(series)) as pool:
        coded = request.encode(opened, series, progress, pool)
    if place is not None:
        with place as path:
            path.write_bytes(coded.data)
    stream = Stream(coded.data, model=model, threads=threads)
    stream.notes = tuple(coded.notes)
    return stream


@public_errors()
def open(
    source: str | Path | builtins.bytes,
    *,
    model: ModelFolder = None,
    threads: int = 1,
    partial: bool = False,
    synthesis: str = "fast",
) -> Stream:
    """A stream from its file or its bytes. Nothing is decoded before it is asked for: see `Stream`.

    partial: parts that are missing or damaged read as 0 instead of raising StreamError. synthesis: best restores frames by a
    network where that was shown to win (docs/pictures.md). Raises Error, StreamError.
    """
    return Stream(_bytes_of(source), model=model, threads=threads, partial=partial, synthesis=synthesis)


def _bytes_of(source: str | Path | builtins.bytes) -> builtins.bytes:
    if isinstance(source, (builtins.bytes, bytearray, memoryview)):
        return builtins.bytes(source)
    if not isinstance(source, (str, Path)):
        raise UserError(f"expected a path or bytes, found {type(source).__name__}")
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {source}: {error.strerror or error}") from error


def _stream_of(
    source: Stream | str | Path | builtins.bytes,
    model: ModelFolder,
    threads: int,
    partial: bool,
    synthesis: str = "fast",
) -> Stream:
    if isinstance(source, Stream):
        return source
    return Stream(_bytes_of(source), model=model, threads=threads, partial=partial, synthesis=synthesis)


@public_errors()
def decompress(
    source: Stream | str | Path | builtins.bytes,
    *,
    output: str | Path | None = None,
    bands: Sequence[str] | None = None,
    layers: int = LAYERS,
    window: Window | Sequence[int] | None = None,
    dates: Sequence[int] = (),
    preview: int = 1,
    model: ModelFolder = None,
    threads: int = 1,
    partial: bool = False,
    synthesis: str = "fast",
    cog: str = "",
    force: bool = False,
) -> NDArray[Any]:
    """(T, C, H, W) values of all frames in the input's type, its nodata where there are none; written to `output` too
    where that is given.

    output: an .npz, a NetCDF .nc, a .zarr group, a .tif for one date, or a folder for GeoTIFFs, with what the input's files
    said beside the pixels. cog: deflate or zstd, for cloud-optimised GeoTIFFs. layers: from how many of the 16 images are
    built. window: as `Stream.read` has it, dates: numbers of frames, preview: 4, 8 or 16 for means of so many pixels
    each way; of a path only the bytes that these take are read. partial: what is missing comes as 0 instead of raising
    StreamError. synthesis: as `open`; a Stream has its own.
    Raises Error, StreamError, RefusedError.
    """
    place = None
    if output is not None:
        check_form(Path(output), cog)
        place = output_of(Path(output), _paths(source), force)
    if window is not None or len(dates) or preview != 1:
        wanted = (names_of(bands) or (), dates, preview)
        restorer = source.restorer if isinstance(source, Stream) else open_restorer(synthesis, threads)
        if preview != 1 and restorer is not None:
            raise UserError("synthesis: a preview shows too little of a frame to be restored")
        frames, metadata = _part(source, window, wanted, layers, _model(model, threads), partial, restorer)
        if place is not None:
            with place as path:
                write_series(Series(frames, metadata), path, cog)
        return np.stack([values_of(frame) for frame in frames])
    stream = _stream_of(source, model, threads, partial, synthesis)
    frames = [stream.frame(index, bands, layers) for index in range(len(stream))]
    if place is not None:
        with place as path:
            write_series(Series(frames, told(stream.carried, stream.restorer)), path, cog)
    return np.stack([values_of(frame) for frame in frames])


def _part(
    source: Stream | str | Path | builtins.bytes,
    window: Window | Sequence[int] | None,
    wanted: tuple[Any, ...],
    layers: int,
    model: EdgeModel,
    partial: bool,
    restorer: Restorer | None,
) -> tuple[list[Frame], dict[str, Any]]:
    """Frames of a part (wanted: bands, dates, preview), and what the files said, said of it."""
    from swathpack.tools.commands.decompress import decode
    from swathpack.tools.files.decoder import StreamDecoder
    from swathpack.tools.files.part_file import PartFile
    from swathpack.tools.files.part_request import part_of
    from swathpack.tools.files.reading import Reading, stream_metadata

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.swp"
        if isinstance(source, (str, Path)):
            path = Path(source)
        else:
            path.write_bytes(builtins.bytes(source))
        file = PartFile(path)
        area = numbers_of(bounds_of(window, (file.header.height, file.header.width)))
        reading = Reading(file=file, part=part_of(file.header, area, *wanted), restorer=restorer)
        decoder = StreamDecoder(model, reading.stream())
        store, report = decode(decoder, reading, layers, Path(folder))
        if report.problems and not partial:
            raise StreamError(f"{report.problems[0]}; partial=True gives what is there", tuple(report.problems))
        frames = list(store)
        store.close()
        return frames, told(reading.metadata(stream_metadata(decoder.stream), decoder.header.frames), restorer)


@public_errors()
def inspect(source: Stream | str | Path | builtins.bytes) -> dict[str, Any]:
    """What a stream holds as plain JSON types: bytes, layers, modes and contexts of every tile. Raises Error,
    StreamError."""
    from swathpack.edge.stream import read_stream
    from swathpack.tools.commands.inspect import describe

    data = builtins.bytes(_stream_of(source, None, 1, partial=True))
    return describe(read_stream(data), len(data))


@dataclass(frozen=True, eq=False)
class Inpainted:
    """frames: with their clouds filled. filled: (T, H, W) bool, where. notes: by frame, what was told of its repair."""

    frames: list[Frame]
    filled: NDArray[np.bool_]
    notes: dict[int, list[str]]

    @property
    def data(self) -> NDArray[np.uint16]:
        """(T, C, H, W) counts."""
        return np.stack([frame.data for frame in self.frames])


@public_errors()
def inpaint(
    source: Source,
    *,
    clouds: NDArray[Any] | None = None,
    frames: Sequence[int] | None = None,
    later: bool = False,
    method: str = "calibrated",
    dilate: int = 2,
    output: str | Path | None = None,
    bands: Sequence[str] | None = None,
    times: Times | None = None,
    nodata: float = 0,
    level: str = "unknown",
    boa_offset: bool = False,
    scale: float | None = None,
    model: ModelFolder = None,
    threads: int = 1,
    force: bool = False,
) -> Inpainted:
    """Fill cloudy pixels with what the model and the other dates make likely; clear pixels stay as they are.

    source and its keywords: as `compress`. clouds: (T, H, W), not zero where a cloud is; without it they are detected.
    frames: which to repair, all by default. later: take from later dates too. method: calibrated, zero-shot or regression
    (docs/inpainting.md). dilate: grow the clouds by so many pixels. output: as `decompress`. Raises Error, RefusedError.
    """
    from swathpack.tools.commands.inpaint import repaired_frame
    from swathpack.tools.inpaint import detect
    from swathpack.tools.inpaint.cube import cube_of
    from swathpack.tools.inpaint.repair import METHODS, Repairer

    if method not in METHODS:
        raise UserError(f"method: expected one of {', '.join(METHODS)}, found {method!r}")
    place = None
    if output is not None:
        check_output(Path(output), _paths(source), force)
        place = output_of(Path(output), _paths(source), force)
    series = as_series(source, names_of(bands), times, nodata, level, boa_offset, scale)
    given = series.frames
    cloudy = detect.detect(given) if clouds is None else _checked(clouds, given)
    cloudy = detect.dilated(cloudy, dilate)
    wanted = [i for i in _chosen(frames, len(given)) if cloudy[i].any()]
    repairer = Repairer(
        cube_of(given, cloudy), None if method == "regression" else _model(model, threads), method, later
    )
    repairs = {i: repairer.repair(i, cloudy[i], lambda: None) for i in wanted}
    after = [repaired_frame(f, repairs[i], cloudy[i]) if i in repairs else f for i, f in enumerate(given)]
    filled = np.zeros(cloudy.shape, np.bool_)
    for i, repair in repairs.items():
        filled[i] = cloudy[i] & ~repair.unfilled
    if place is not None:
        with place as path:
            write_series(replace(series, frames=after), path)
    return Inpainted(after, filled, {i: list(repair.notes) for i, repair in repairs.items()})


def _checked(clouds: NDArray[Any], frames: Sequence[Frame]) -> NDArray[np.bool_]:
    expected = (len(frames), frames[0].height, frames[0].width)
    if np.shape(clouds) != expected:
        raise UserError(f"clouds: expected shape {expected}, found {np.shape(clouds)}")
    cloudy: NDArray[np.bool_] = np.asarray(clouds) != 0
    return cloudy


def _chosen(frames: Sequence[int] | None, count: int) -> list[int]:
    wanted = list(range(count)) if frames is None else sorted(set(frames))
    if any(not 0 <= i < count for i in wanted):
        raise UserError(f"frames: expected 0 to {count - 1}, found {wanted}")
    return wanted


@public_errors()
def evaluate_plan(plan: Plan | str | Path, *, days: float | None = None, seed: int | None = None) -> Outcome:
    """Passes, byte budgets and image quality of a plan: a `Plan`, a plan file or a preset's name. Raises Error."""
    from swathpack.tools.plan.inputs import read_plan
    from swathpack.tools.plan.model import evaluate

    if isinstance(plan, (str, Path)):
        plan = read_plan(plan, days=days, seed=seed)
    return evaluate(plan)
