"""Series in one `.npz`: keys data (T, C, H, W), bands, dates, level, boa_offset_1000, nodata; other keys are carried.

Bands on their native grids come as data_10m, data_20m, data_60m with bands_10m, ... instead of data and
bands. Names and dates may be text, bytes, datetime64 or datetime objects.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.frame import Frame, normalise_level
from swathpack.edge.radiometry import Radiometry
from swathpack.edge.spoken import reason
from swathpack.tools.errors import UserError
from swathpack.tools.files.frame_store import STRIP_BYTES, FrameStore, strips
from swathpack.tools.files.rasters.assemble import frames_of, ordered
from swathpack.tools.files.rasters.bandnames import how_to_name, mapping_note, name_bands
from swathpack.tools.files.rasters.npz_stream import NpzWriter
from swathpack.tools.files.rasters.options import ReadOptions
from swathpack.tools.files.rasters.records import BandRecord
from swathpack.tools.files.rasters.scene import Plane, Scene, validity
from swathpack.tools.files.rasters.series import Series, array_from_json, array_to_json
from swathpack.tools.files.what_is import instead, what_is
from swathpack.tools.words import plural

GRIDS = ("10m", "20m", "60m")
_PIXELS = {"data", "bands", "dates"} | {f"{kind}_{grid}" for kind in ("data", "bands") for grid in GRIDS}
Archive = dict[str, NDArray[Any]]
# Classes that pickled arrays of dates are made of; nothing else is ever unpickled.
_DATE_CLASSES = {
    ("datetime", "datetime"),
    ("datetime", "date"),
    ("datetime", "timezone"),
    ("datetime", "timedelta"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


def read_npz(path: Path, options: ReadOptions) -> Series:
    """Reads a series. Raises UserError that names the file and the key at fault."""
    archive = _load(path)
    try:
        scenes, fields, notes = _scenes(path, archive, options)
        order, more = ordered(scenes)
        fields |= {"order": order} if more else {}
        frames, told = frames_of([scenes[i] for i in order], options)
    except UserError as error:
        said = str(error)
        raise UserError(said if said.startswith(str(path)) else f"{path}: {said}") from error
    extra = {k: array_to_json(v) for k, v in archive.items() if k not in _PIXELS}
    dropped = list(dict.fromkeys(p.band.name for s in scenes for p in s.planes if not p.band.spectral))
    return Series(frames, {"format": "npz", "extra": extra} | fields, [*notes, *more, *told], dropped=dropped)


def _load(path: Path) -> Archive:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: _member(path, archive, key) for key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        found = what_is(path)
        if found and "swathpack compress" not in found and "damaged" not in found:
            raise UserError(instead(path, "an .npz cube")) from error
        raise UserError(f"{path}: not a readable .npz ({reason(error, path)})") from error


def _member(path: Path, archive: Any, key: str) -> NDArray[Any]:
    try:
        return np.asarray(archive[key])
    except ValueError as error:
        if key != "dates":
            raise UserError(f"{path}: key {key!r} cannot be read ({error})") from error
        return _date_objects(path)
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: key {key!r} cannot be read ({reason(error, path)})") from error


class _DateUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _DATE_CLASSES:
            raise pickle.UnpicklingError(f"{module}.{name} is no date")
        return super().find_class(module, name)


def _date_objects(path: Path) -> NDArray[Any]:
    """Dates that were saved as datetime objects, as datetime64. Only dates are unpickled, whatever the file holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            stream = io.BytesIO(archive.read("dates.npy"))
        version = np.lib.format.read_magic(stream)
        (np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0)(stream)
        items = np.asarray(_DateUnpickler(stream).load(), object).ravel()
        if not all(isinstance(i, (date, str, bytes)) for i in items):
            raise ValueError("expected dates or texts")
        return np.array([_text(i) for i in items])
    except Exception as error:  # a pickle can raise anything
        raise UserError(f"{path}: key 'dates' cannot be read as dates ({error})") from error


def _text(item: Any) -> str:
    """A name or date as text."""
    if isinstance(item, bytes):
        return item.decode("utf-8", "replace")
    if isinstance(item, np.datetime64):
        return _shortest(item)
    if isinstance(item, date):
        midnight = not isinstance(item, datetime) or item == datetime(item.year, item.month, item.day)
        return item.strftime("%Y-%m-%d") if midnight else item.isoformat()
    return str(item)


def _shortest(item: np.datetime64) -> str:
    """ISO text without zeros at its end."""
    for unit in ("D", "m", "s"):
        if item == item.astype(f"M8[{unit}]"):
            return str(np.datetime_as_string(item, unit=unit))
    return str(item)


def _texts(array: NDArray[Any]) -> list[str]:
    return [_text(i) for i in array.ravel()] if array.dtype.kind in "SM" else [str(i) for i in array.ravel()]


def _scenes(path: Path, archive: Archive, options: ReadOptions) -> tuple[list[Scene], dict[str, Any], list[str]]:
    native = [g for g in GRIDS if f"data_{g}" in archive]
    if "data" not in archive and not native:
        raise UserError(f"expected a key 'data' (T, C, H, W); found {', '.join(sorted(archive)) or 'no keys'}")
    keys = [(f"data_{g}", f"bands_{g}") for g in native] or [("data", "bands")]
    cubes = [_cube(archive, *each, own) for each, own in zip(keys, _shared(archive, keys, options))]
    if options.wavelengths:
        _check_different([b for _, bands, _ in cubes for b in bands])
    count = len(cubes[0][0])
    if any(len(data) != count for data, _, _ in cubes):
        said = ", ".join(f"data_{g} {len(c[0])}" for g, c in zip(native, cubes))
        raise UserError(f"the native grids hold different numbers of dates: {said}")
    nodata, offsets, dates = _nodata(archive), _offsets(archive, count), _dates(archive, count)
    level = normalise_level(_one_text(archive, "level"))
    scenes = []
    for t in range(count):
        planes = [
            Plane(b, d[t, i], validity(d[t, i], None, nodata), nodata) for d, bs, _ in cubes for i, b in enumerate(bs)
        ]
        where = f"{path}, date {t}" if count > 1 else str(path)
        scenes.append(Scene(where, dates[t], planes, level=level, offset=offsets[t]))
    notes = [n for _, _, ns in cubes for n in ns]
    fields = _fields(archive, native, [bands for _, bands, _ in cubes])
    return scenes, fields, notes


def _shared(archive: Archive, keys: list[tuple[str, str]], options: ReadOptions) -> list[ReadOptions]:
    """The options of each key of pixels: names and wavelengths are of all their planes, in order. Raises UserError."""
    if len(keys) == 1:
        return [options]
    counts = [archive[key].shape[-3] if archive[key].ndim > 2 else 0 for key, _ in keys]
    ends, waves, names = [sum(counts[: i + 1]) for i in range(len(counts))], options.wavelengths, options.bands
    if waves and len(waves) != ends[-1]:
        found = ", ".join(f"{key!r} has {count} planes" for (key, _), count in zip(keys, counts))
        raise UserError(f"--wavelengths names {len(waves)} bands, {found}: expected one for each, in this order")
    if len(names) != ends[-1] or any(bands in archive for _, bands in keys):
        names = ()  # they pick
    return [ReadOptions(names[end - n : end], waves[end - n : end]) for end, n in zip(ends, counts)]


def _check_different(bands: Sequence[BandRecord]) -> None:
    """Bands on different grids are different ones. Raises UserError."""
    frames = [b.frame for b in bands]
    if twice := [b for b in bands if frames.count(b.frame) > 1]:
        said = ", ".join(f"{b.name or b.frame} ({b.wavelength_nm:g} nm)" for b in twice)
        raise UserError(f"expected different bands on the native grids, found {said} as {twice[0].frame}")


def _fields(archive: Archive, native: list[str], bands: list[tuple[BandRecord, ...]]) -> dict[str, Any]:
    """What the archive needs to be written again."""
    fields: dict[str, Any] = {"has_dates": "dates" in archive}
    names = [b.to_json() for bs in bands for b in bs]
    if any(not isinstance(n, str) for n in names):
        fields["names"] = names
    if native:
        fields["native"] = {g: [b.frame for b in bs] for g, bs in zip(native, bands)}
    else:
        fields["rank"] = archive["data"].ndim
    for key in ("dates", "bands", *(f"bands_{g}" for g in native)):
        if key in archive and archive[key].dtype.kind in "SM":
            fields.setdefault("types", {})[key] = archive[key].dtype.str
    return fields


def _cube(
    archive: Archive, key: str, bands_key: str, options: ReadOptions
) -> tuple[NDArray[Any], tuple[BandRecord, ...], list[str]]:
    data = archive[key]
    data = data[None] if data.ndim == 3 else data
    if data.ndim != 4 or data.size == 0:
        raise UserError(f"key {key!r}: expected (T, C, H, W), found {archive[key].shape}")
    if data.dtype.kind not in "iuf" or data.dtype.itemsize > 8:
        raise UserError(f"key {key!r}: expected numbers, found {data.dtype}")
    count = data.shape[1]
    names = _texts(archive[bands_key]) if bands_key in archive else [""] * count
    if len(names) != count:
        raise UserError(f"{bands_key!r} names {len(names)} bands, {key!r} has {count} planes")
    if options.wavelengths and len(options.wavelengths) != count:
        raise UserError(f"--wavelengths names {len(options.wavelengths)} bands, {key!r} has {count} planes")
    given = bands_key not in archive and len(options.bands) == count
    found = name_bands(options.bands if given else names, options.wavelengths)
    if found is None and any(names):
        return data, tuple(BandRecord(n, n.strip()) for n in names), []
    if found is None:
        raise UserError(f"no key {bands_key!r} and {plural(count, 'plane')}: {how_to_name(count)}")
    notes = [n for n in (found.assumed, mapping_note(found.bands, found.sensor)) if n]
    return data, found.bands, notes


def _one_text(archive: Archive, key: str) -> str:
    return _texts(archive[key])[0] if key in archive and archive[key].size == 1 else "unknown"


def _nodata(archive: Archive) -> float | None:
    if "nodata" not in archive:
        return None
    value = archive["nodata"]
    if value.size != 1 or value.dtype.kind not in "iuf":
        raise UserError(f"key 'nodata': expected one number, found {value.dtype} {value.shape}")
    return float(value.reshape(()))


def _offsets(archive: Archive, count: int) -> list[bool | None]:
    """Per date whether it carries the +1000, as the archive says of all or of each; None where it does not."""
    if "boa_offset_1000" not in archive:
        return [None] * count
    value = archive["boa_offset_1000"]
    if value.size not in (1, count):
        raise UserError(f"key 'boa_offset_1000': expected one value or {count}, found shape {value.shape}")
    said = [text.lower().startswith(("yes", "true", "1")) for text in _texts(value)]
    return [said[i % len(said)] for i in range(count)]


def _dates(archive: Archive, count: int) -> Sequence[str | None]:
    if "dates" not in archive:
        return [None] * count
    dates = _texts(archive["dates"])
    if len(dates) != count:
        raise UserError(f"'dates' has {len(dates)} entries, 'data' has {count} dates")
    return dates


def write_npz(series: Series, path: Path) -> None:
    """Writes the keys that the series was read with, dates in the archive's order, values in its type. Pixels go through
    memory in strips.
    """
    meta, order = series.metadata, _archive_order(series)
    arrays: Archive = {k: array_from_json(v) for k, v in meta.get("extra", {}).items()}
    outlines = [_outline(series.frames, i) for i in order]
    first, types = outlines[0], meta.get("types", {})
    own = {b.frame: b.name or b.frame for b in map(BandRecord.from_json, meta.get("names", ()))}
    groups = _grids(meta.get("native") or {}, first) or {"": list(first.bands)}
    for suffix, names in groups.items():
        arrays[f"bands{suffix}"] = _typed([own.get(n, n) for n in names], types.get(f"bands{suffix}"))
    if meta.get("has_dates", True) and all(f.time is not None for f in outlines):
        arrays["dates"] = _typed([str(f.time) for f in outlines], types.get("dates"))
    arrays.setdefault("level", np.array(first.level))
    offsets = ["yes" if f.boa_offset else "no" for f in outlines]
    arrays.setdefault("boa_offset_1000", np.array(offsets if len(set(offsets)) > 1 else offsets[0]))
    if meta.get("synthesis"):
        arrays["synthesis"] = np.array(meta["synthesis"])
    with NpzWriter(path) as archive:
        for suffix, names in groups.items():
            _write_pixels(archive, f"data{suffix}", series, names, order, native=bool(suffix))
        for key, array in arrays.items():
            if key not in {f"data{suffix}" for suffix in groups}:
                archive.array(key, array)


def _grids(native: dict[str, list[str]], first: Frame) -> dict[str, list[str]]:
    """Per suffix of the key `data` the bands that are there. Raises UserError when they are not on one grid."""
    groups = {f"_{grid}": [n for n in names if n in first.bands] for grid, names in native.items()}
    for suffix, names in groups.items():
        if len({first.grid[first.bands.index(n)] for n in names}) > 1:
            raise UserError(f"metadata: the bands of data{suffix} are on different grids")
    return {suffix: names for suffix, names in groups.items() if names}


def _outline(frames: Sequence[Frame], index: int) -> Frame:
    return frames.outline(index) if isinstance(frames, FrameStore) else frames[index]


def _archive_order(series: Series) -> list[int]:
    """Indexes of the frames in the order in which the archive had them."""
    order, count = series.metadata.get("order"), len(series.frames)
    if not order or sorted(order) != list(range(count)):
        return list(range(count))
    return [order.index(i) for i in range(count)]


def _write_pixels(
    archive: NpzWriter, key: str, series: Series, names: list[str], order: list[int], native: bool
) -> None:
    frames, first = series.frames, _outline(series.frames, 0)
    size = (frames.height, frames.width) if isinstance(frames, FrameStore) else (first.height, first.width)
    factor = first.grid[first.bands.index(names[0])] if native else 1
    shape = (len(frames), len(names), *(-(-side // factor) for side in size))
    shape = shape[1:] if not native and len(frames) == 1 and series.metadata.get("rank") == 3 else shape
    pieces = _pieces(frames, order, names, _native_values if native else _values)
    archive.stream(key, shape, np.dtype(first.radiometry.dtype).newbyteorder("<"), pieces)


def _pieces(
    frames: Sequence[Frame], order: list[int], names: list[str], values: Callable[[Frame], NDArray[Any]]
) -> Iterator[NDArray[Any]]:
    """Values of every strip. Frames of which nothing came are alike, bands of one grid too: made once, since a header of 40
    bytes may claim 65,536 of them.
    """
    nothing: tuple[Radiometry, list[NDArray[Any]]] | None = None
    for i in order:
        if isinstance(frames, FrameStore) and not frames.has_data(i):
            radiometry = frames.outline(i).radiometry
            if nothing is None or nothing[0] is not radiometry:
                nothing = radiometry, _empty([values(s) for s in strips(frames, i, names[0])], len(names))
            yield from nothing[1]
            continue
        for name in names:
            yield from (values(strip) for strip in strips(frames, i, name))


def _empty(band: list[NDArray[Any]], bands: int) -> list[NDArray[Any]]:
    """The pieces of so many like bands: one, where that is small."""
    small = len(band) == 1 and band[0].nbytes * bands <= STRIP_BYTES
    return [np.stack(band * bands)] if small else band * bands


def _typed(texts: list[str], dtype: str | None) -> NDArray[Any]:
    """Texts as the archive held them: bytes, datetime64 or text."""
    if dtype is None:
        return np.array(texts)
    return np.array([t.encode() for t in texts]) if np.dtype(dtype).kind == "S" else np.array(texts, np.dtype(dtype))


def _values(strip: Frame) -> NDArray[Any]:
    """(h, w) of a strip of one band, in the files' type."""
    return np.asarray(strip.radiometry.to_values(strip.data[0], strip.band_valid(0)))


def _native_values(strip: Frame) -> NDArray[Any]:
    """The same on the band's own grid."""
    name = strip.bands[0]
    return np.asarray(strip.radiometry.to_values(strip.to_native()[name], strip.native_valid()[name]))
