"""The file header of a `.swp` stream: what the frames are and which model and tables code them.

| bytes | field |
|---|---|
| 3 | magic "SWP" |
| 1 | version, 3 (2: no short records (short.py), every frame says its mask; 1: payloads without checks) |
| varint | length of the core that follows |
| 8 | core: model digest |
| 4 | tables digest |
| 1 | flags: bits 0-1 level (0 unknown, 1 L1C, 2 L2A), 2 BOA offset, 3 bands as text, 4-5 grid mode
      (0 all ones, 1 Sentinel-2's own, 2 listed), 6 pixel size given, 7 radiometry given |
| 1 | bits 0-3 tile size / 64 - 1, 4-7 time kind of the series (0: see the frame records) |
| 3 varints | frames T, height H, width W in pixels |
| 2 or text | bands: bit mask (bit i = BAND_ORDER[i]), or varint count and per band varint length and UTF-8 |
| C | only in grid mode 2: pixels of the file's grid per pixel of the band's own grid, one byte per band |
| varint | only if given: pixel size in centimetres (10 m otherwise) |
| ... | only if given: radiometry (samples.py); uint16 DN with 0 as nodata otherwise |
| T varints | only for a time kind: the times (times.py) |
| 4 | after the core: length of the whole file, little-endian, 0 if unknown |
| 4 | CRC-32 of all before, little-endian |

The CRC-32 of everything up to the end of the core is the file's *binding*: every record's check starts from
it, so a record of another file, model or table set never passes for one of this file.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from swathpack.edge.bands import DROPPED, NATIVE_M
from swathpack.edge.radiometry import PLAIN, Radiometry
from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.samples import pack_radiometry, unpack_radiometry
from swathpack.edge.stream.times import NONE, OLD_SERIES, Time, pack_times, series_kind, unpack_times
from swathpack.edge.stream.wire import MODEL_DIGEST_BYTES, TABLES_DIGEST_BYTES, Cursor, text_bytes, varint

MAGIC = b"SWP"
VERSION = 3
READABLE = (1, 2, VERSION)
BAND_ORDER = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
LEVELS = ("unknown", "L1C", "L2A")

MAX_FRAMES = 1 << 16
MAX_SIDE = 1 << 15
MAX_PIXELS = 1 << 28
MAX_BANDS = 255
MAX_GRID = 255
MAX_CORE_BYTES = 1 << 20
MAX_TIMES_BYTES = MAX_CORE_BYTES // 2
EACH_VERSION = 3  # of the format, from which on a header may hold times of any kind
TILE_STEP, MAX_TILE = 64, 1024
_GRID_ONES, _GRID_NATIVE, _GRID_LISTED = 0, 1, 2
_TOTAL_LIMIT = 1 << 32


@dataclass(frozen=True)
class Header:
    """The file header. StreamError from the constructor if a field is out of range.

    bands: C names; grid: per band, how many pixels of this file's grid make one pixel (each way) of the
    band's own grid, empty for all 1; res_m: pixel size in metres. times: T times, or empty when they stand in
    frame records. total_bytes: length of the whole file if known, else 0. radiometry: of the counts coded. version: of the
    format, 3; 1 and 2 can be read.
    """

    model_digest: bytes
    tables_digest: bytes
    frames: int
    height: int
    width: int
    bands: tuple[str, ...]
    level: str = "unknown"
    boa_offset: bool = False
    tile_size: int = 256
    grid: tuple[int, ...] = ()
    res_m: float = 10.0
    times: tuple[Time, ...] = ()
    total_bytes: int = 0
    radiometry: Radiometry = PLAIN
    version: int = VERSION

    def __post_init__(self) -> None:
        _check_digests(self)
        _check_sizes(self)
        _check_bands(self)
        if self.version not in READABLE:
            raise StreamError(f"expected stream version {_spoken_versions()}, found {self.version}")
        if self.level not in LEVELS:
            raise StreamError(f"expected level in {LEVELS}, found {self.level!r}")
        if self.times and len(self.times) != self.frames:
            raise StreamError(f"expected {self.frames} times, found {len(self.times)}")
        if not 0 <= self.total_bytes < _TOTAL_LIMIT:
            raise StreamError(f"expected a total below {_TOTAL_LIMIT} bytes, found {self.total_bytes}")

    @property
    def tiles_down(self) -> int:
        """Rows of tiles."""
        return -(-self.height // self.tile_size)

    @property
    def tiles_across(self) -> int:
        """Tiles in a row of them."""
        return -(-self.width // self.tile_size)

    def tile_shape(self, tile: int) -> tuple[int, int]:
        """Rows and columns of a tile, which the frame's border may cut."""
        down, across = divmod(tile, self.tiles_across)
        top, left = down * self.tile_size, across * self.tile_size
        return min(self.tile_size, self.height - top), min(self.tile_size, self.width - left)

    @property
    def n_tiles(self) -> int:
        """Tiles per frame, numbered row by row."""
        return self.tiles_down * self.tiles_across

    @property
    def checked(self) -> bool:
        """Whether payloads hold checks (`swathpack.edge.codec.rangecoder.checks`)."""
        return self.version > 1

    @property
    def times_in_header(self) -> bool:
        """Whether pack() can hold the times; if not, each frame needs a frame record for its time."""
        return self._packed_times[0] != NONE

    @cached_property
    def _packed_times(self) -> tuple[int, bytes]:
        """(kind, bytes) of the times, kind 0 where frame records must hold them."""
        kind, packed = pack_times(self.times) if self.times else (NONE, b"")
        held = len(packed) <= MAX_TIMES_BYTES and (self.version >= EACH_VERSION or kind in OLD_SERIES)
        return (kind, packed) if held else (NONE, b"")

    @cached_property
    def binding(self) -> int:
        """The CRC-32 every record of this file starts from."""
        return zlib.crc32(self._front())

    def pack(self, total_bytes: int | None = None) -> bytes:
        """The header's bytes; their number does not depend on `total_bytes` (default: the field)."""
        total = self.total_bytes if total_bytes is None else total_bytes
        data = self._front() + (total if total < _TOTAL_LIMIT else 0).to_bytes(4, "little")
        return data + zlib.crc32(data).to_bytes(4, "little")

    def _front(self) -> bytes:
        core = self._core()
        if len(core) > MAX_CORE_BYTES:
            raise StreamError(f"expected a header below {MAX_CORE_BYTES} bytes, found {len(core)}")
        return MAGIC + bytes([self.version]) + varint(len(core)) + core

    def _core(self) -> bytes:
        bands, as_text = _pack_bands(self.bands)
        grid_mode, grid = _pack_grid(self.bands, self.grid)
        centimetres = round(self.res_m * 100)
        kind, times = self._packed_times
        flags = LEVELS.index(self.level) | self.boa_offset << 2 | as_text << 3 | grid_mode << 4
        radiometry = pack_radiometry(self.radiometry)
        flags |= (centimetres != 1000) << 6 | bool(radiometry) << 7
        sizes = varint(self.frames) + varint(self.height) + varint(self.width)
        resolution = varint(centimetres) if centimetres != 1000 else b""
        layout = bytes([flags, self.tile_size // TILE_STEP - 1 | kind << 4])
        return self.model_digest + self.tables_digest + layout + sizes + bands + grid + resolution + radiometry + times


def header_bytes(header: Header) -> int:
    """Exact size of the packed file header."""
    return len(header.pack())


def unpack_header(data: bytes) -> tuple[Header, int]:
    """(header, its size) from the start of a file; StreamError if it is cut, damaged or of another format."""
    if data[:3] != MAGIC:
        raise StreamError(f"not a SwathPack stream: expected magic {MAGIC!r}, found {bytes(data[:3])!r}")
    if len(data) > 3 and data[3] not in READABLE:
        raise StreamError(f"expected stream version {_spoken_versions()}, found {data[3]}")
    cursor = Cursor(data, 4)
    core_bytes = cursor.varint()
    if core_bytes > MAX_CORE_BYTES:
        raise StreamError(f"file header damaged: it claims {core_bytes} bytes")
    core_at = cursor.at
    cursor.take(core_bytes)
    total = cursor.little(4)
    expected, found = cursor.little(4), zlib.crc32(data[: cursor.at - 4])
    if expected != found:
        raise StreamError(f"file header damaged: expected CRC {expected:08x}, found {found:08x}")
    return _unpack_core(Cursor(data, core_at, core_at + core_bytes), total, data[3]), cursor.at


def _spoken_versions() -> str:
    return f"{READABLE[0]} to {READABLE[-1]}"


def _unpack_core(core: Cursor, total: int, version: int) -> Header:
    model, tables = core.take(MODEL_DIGEST_BYTES), core.take(TABLES_DIGEST_BYTES)
    flags, layout = core.byte(), core.byte()
    frames, height, width = core.varint(), core.varint(), core.varint()
    if flags & 3 >= len(LEVELS) or frames > MAX_FRAMES:
        raise StreamError(f"file header has unknown flags {flags:#04x} or too many frames ({frames})")
    bands = _unpack_bands(core, bool(flags & 8))
    grid = _unpack_grid(core, bands, flags >> 4 & 3)
    res_m = core.varint() / 100 if flags & 0x40 else 10.0
    radiometry = unpack_radiometry(core) if flags & 0x80 else PLAIN
    kind = layout >> 4
    if kind != NONE and not (series_kind(kind) and (version >= EACH_VERSION or kind in OLD_SERIES)):
        raise StreamError(f"file header has unknown time kind {kind}")
    times = unpack_times(kind, frames, core) if kind != NONE else ()
    core.done()
    return Header(
        model_digest=model,
        tables_digest=tables,
        frames=frames,
        height=height,
        width=width,
        bands=bands,
        level=LEVELS[flags & 3],
        boa_offset=bool(flags & 4),
        tile_size=((layout & 15) + 1) * TILE_STEP,
        grid=grid,
        res_m=res_m,
        times=times,
        total_bytes=total,
        radiometry=radiometry,
        version=version,
    )


def _pack_bands(bands: tuple[str, ...]) -> tuple[bytes, bool]:
    """(bytes, as text): a mask when the bands are Sentinel-2's in the usual order."""
    mask = sum(1 << BAND_ORDER.index(name) for name in set(bands) if name in BAND_ORDER)
    if _mask_bands(mask) == bands:
        return mask.to_bytes(2, "little"), False
    return varint(len(bands)) + b"".join(text_bytes(name) for name in bands), True


def _mask_bands(mask: int) -> tuple[str, ...]:
    return tuple(name for i, name in enumerate(BAND_ORDER) if mask >> i & 1)


def _unpack_bands(core: Cursor, as_text: bool) -> tuple[str, ...]:
    if as_text:
        count = core.varint()
        if count > MAX_BANDS:
            raise StreamError(f"expected at most {MAX_BANDS} bands, found {count}")
        return tuple(core.text() for _ in range(count))
    mask = core.little(2)
    if mask >> len(BAND_ORDER):
        raise StreamError(f"unknown bits in band mask {mask:#06x}")
    return _mask_bands(mask)


def _native_grid(bands: Sequence[str]) -> tuple[int, ...]:
    """The grid of Sentinel-2 bands in a 10 m file."""
    return tuple(6 if name == DROPPED else NATIVE_M.get(name, 10) // 10 for name in bands)


def _pack_grid(bands: tuple[str, ...], grid: tuple[int, ...]) -> tuple[int, bytes]:
    if not grid or set(grid) == {1}:
        return _GRID_ONES, b""
    if grid == _native_grid(bands):
        return _GRID_NATIVE, b""
    return _GRID_LISTED, bytes(grid)


def _unpack_grid(core: Cursor, bands: tuple[str, ...], mode: int) -> tuple[int, ...]:
    if mode == _GRID_ONES:
        return ()
    if mode == _GRID_NATIVE:
        return _native_grid(bands)
    if mode == _GRID_LISTED:
        return tuple(core.take(len(bands)))
    raise StreamError(f"unknown grid mode {mode}")


def _check_digests(header: Header) -> None:
    pairs = ((header.model_digest, MODEL_DIGEST_BYTES), (header.tables_digest, TABLES_DIGEST_BYTES))
    for digest, size in pairs:
        if len(digest) != size:
            raise StreamError(f"expected a digest of {size} bytes, found {len(digest)}")


def _check_sizes(header: Header) -> None:
    ranges = (("frames", MAX_FRAMES), ("height", MAX_SIDE), ("width", MAX_SIDE))
    for name, limit in ranges:
        value = getattr(header, name)
        if not 1 <= value <= limit:
            raise StreamError(f"expected {name} 1..{limit}, found {value}")
    if header.height * header.width > MAX_PIXELS:
        raise StreamError(f"expected at most {MAX_PIXELS} pixels, found {header.height} x {header.width}")
    if header.tile_size % TILE_STEP or not TILE_STEP <= header.tile_size <= MAX_TILE:
        raise StreamError(
            f"expected a tile size {TILE_STEP}..{MAX_TILE} in steps of {TILE_STEP}, found {header.tile_size}"
        )
    if not (math.isfinite(header.res_m) and 0.01 <= header.res_m <= 1e6):
        raise StreamError(f"expected a pixel size of 0.01 to 1,000,000 m, found {header.res_m}")


def _check_bands(header: Header) -> None:
    if not 1 <= len(header.bands) <= MAX_BANDS or len(set(header.bands)) != len(header.bands):
        raise StreamError(f"expected 1..{MAX_BANDS} different band names, found {header.bands}")
    if header.grid and len(header.grid) != len(header.bands):
        raise StreamError(f"expected {len(header.bands)} grid factors, found {len(header.grid)}")
    if any(not 1 <= factor <= MAX_GRID for factor in header.grid):
        raise StreamError(f"expected grid factors 1..{MAX_GRID}, found {header.grid}")
