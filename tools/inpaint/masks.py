"""Cloud masks of a series: from files, from the L2A scene classification, or from the detector."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.frame import Frame
from swathpack.edge.spoken import reason
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.geotiff import find_geotiffs
from swathpack.tools.files.rasters.tiff import SUFFIXES

# Sen2Cor scene classification (ESA, Sentinel-2 L2A product definition): 3 cloud shadow, 8 cloud of medium and 9 of
# high probability, 10 thin cirrus. Optional: 2 dark area, 7 unclassified, 11 snow or ice.
SCL_CLASSES = (3, 8, 9, 10)
SCL_LAST = 11
KEYS = ("mask", "masks", "cloud_mask", "clouds", "clm", "scl", "SCL")
SCALES = (1, 2, 3, 6)

Mask = NDArray[np.bool_]
Planes = NDArray[np.generic]


def read_mask(source: Path, frames: Sequence[Frame], dates: Sequence[int]) -> Mask:
    """(T, H, W) bool: whatever is not zero in the file is cloud. One plane goes to every date of `dates`."""
    planes = read_planes(source)
    out: Mask = _to_series(planes, frames, dates, source) != 0
    return out


def scl_mask(planes: Planes, frames: Sequence[Frame], classes: Sequence[int], source: object) -> Mask:
    """(T, H, W) bool from scene classes (T, h, w), on the grid of the frames or a 2, 3 or 6 times coarser one."""
    if planes.dtype.kind not in "iub" or planes.min(initial=0) < 0 or planes.max(initial=0) > SCL_LAST:
        raise UserError(
            f"{source}: expected scene classes 0..{SCL_LAST}, found {planes.dtype} "
            f"{planes.min(initial=0)} to {planes.max(initial=0)}"
        )
    if len(planes) != len(frames):
        raise UserError(f"{source}: expected scene classes of {len(frames)} dates, found {len(planes)}")
    return np.isin(_to_series(planes, frames, range(len(frames)), source), list(classes))


def read_planes(source: Path) -> Planes:
    """(N, h, w) values of one npz, PNG or GeoTIFF, or of a folder of GeoTIFFs or PNGs in order of name."""
    if source.is_dir():
        files = find_geotiffs(source) or sorted(source.glob("*.png"))
        if not files:
            raise UserError(f"{source}: expected GeoTIFFs or PNGs in the folder, found none")
        planes = [_one_plane(f) for f in files]
        if len({p.shape for p in planes}) > 1:
            raise UserError(f"{source}: the masks differ in size: {sorted({p.shape for p in planes})}")
        return np.stack(planes)
    if not source.is_file():
        raise UserError(f"no such file: {source}")
    if source.suffix.lower() == ".npz":
        return _from_npz(source)
    return _one_plane(source)[None] if source.suffix.lower() == ".png" else _from_tiff(source)


def _one_plane(path: Path) -> Planes:
    if path.suffix.lower() == ".png":
        return read_png(path)
    planes = _from_tiff(path)
    if len(planes) != 1:
        raise UserError(f"{path}: expected one plane, found {len(planes)}")
    out: Planes = planes[0]
    return out


def _from_tiff(path: Path) -> Planes:
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path}: expected a mask as .npz, .png or GeoTIFF")
    try:
        import tifffile
    except ImportError as error:
        raise UserError("GeoTIFFs need the extra 'geo': pip install 'swathpack[geo]'") from error
    try:
        data = np.asarray(tifffile.imread(path))
    except Exception as error:  # on damaged files tifffile raises nearly anything
        raise UserError(f"{path}: not a readable TIFF ({error})") from error
    data = data[None] if data.ndim == 2 else data
    if data.ndim != 3:
        raise UserError(f"{path}: expected a mask (H, W) or (T, H, W), found {data.shape}")
    return data


def _from_npz(path: Path) -> Planes:
    try:
        with np.load(path, allow_pickle=False) as archive:
            keys = [k for k in KEYS if k in archive.files] or archive.files
            if len(keys) != 1 and not (keys and keys[0] in KEYS):
                raise UserError(
                    f"{path}: expected one array or a key of {', '.join(KEYS)}; found {', '.join(keys) or 'none'}"
                )
            data = np.asarray(archive[keys[0]])
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable .npz ({reason(error, path)})") from error
    data = data[None] if data.ndim == 2 else data
    if data.ndim == 4 and 1 in (data.shape[1], data.shape[3]):
        data = data[:, 0] if data.shape[1] == 1 else data[..., 0]
    if data.ndim != 3 or data.dtype.kind not in "biuf":
        raise UserError(f"{path}: expected a mask (T, H, W) or (H, W), found {data.dtype} {data.shape}")
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        raise UserError(f"{path}: the mask holds NaN or infinities; expected zero for clear and other values for cloud")
    return data


def _to_series(planes: Planes, frames: Sequence[Frame], dates: Sequence[int], source: object) -> Planes:
    height, width = frames[0].height, frames[0].width
    scale = next((s for s in SCALES if planes.shape[1:] == (-(-height // s), -(-width // s))), None)
    if scale is None:
        raise UserError(
            f"{source}: expected a mask of {height} x {width} pixels (or 2, 3 or 6 times coarser), "
            f"found {planes.shape[1]} x {planes.shape[2]}"
        )
    full = planes.repeat(scale, 1).repeat(scale, 2)[:, :height, :width]
    if len(full) == len(frames):
        return full
    if len(full) != 1:
        raise UserError(f"{source}: expected 1 or {len(frames)} masks, found {len(full)}")
    out = np.zeros((len(frames), height, width), full.dtype)
    out[list(dates)] = full[0]
    return out


_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
MAX_PNG_PIXELS = 1 << 28


def read_png(path: Path) -> NDArray[np.uint8]:
    """(H, W) uint8 of a mask drawn as PNG: a pixel's value is the largest of its colours (palette index for palette
    images, alpha left out). Bit depths 1 to 8, not interlaced. Written from the PNG specification, section 9.
    """
    try:
        width, height, depth, colour, data = _png_parts(path.read_bytes())
        samples = _CHANNELS[colour]
        row = -(-width * samples * depth // 8)
        raw = np.frombuffer(data, np.uint8)[: height * (row + 1)].reshape(height, row + 1)
        lines = _unfiltered(raw, max(1, samples * depth // 8))
    except (ValueError, KeyError, struct.error, zlib.error, OSError) as error:
        raise UserError(f"{path}: not a PNG that can be read ({reason(error, path)})") from error
    if depth < 8:
        bits = np.unpackbits(lines, axis=1).reshape(height, -1, depth)
        lines = (bits << np.arange(depth - 1, -1, -1, dtype=np.uint8)).sum(2).astype(np.uint8)
    pixels = lines[:, : width * samples].reshape(height, width, samples)
    return np.asarray(pixels[..., : samples - (colour in (4, 6))].max(2), np.uint8)


def _png_parts(data: bytes) -> tuple[int, int, int, int, bytes]:
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("no PNG signature")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if depth > 8 or interlaced or width * height > MAX_PNG_PIXELS or 0 in (width, height):
        raise ValueError(
            f"{width} x {height}, {depth} bits, interlaced {interlaced}: expected at most 8 bits, not interlaced"
        )
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        packed += data[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
        at += 12 + size
    limit = height * (-(-width * _CHANNELS[colour] * depth // 8) + 1)
    return width, height, depth, colour, zlib.decompressobj().decompress(packed, limit)


def _unfiltered(raw: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    kinds, coded = raw[:, 0], raw[:, 1:].astype(np.int32)
    pad = -coded.shape[1] % step
    coded = np.pad(coded, ((0, 0), (0, pad)))
    out = np.zeros((coded.shape[0] + 1, coded.shape[1]), np.int32)
    for y, (kind, line) in enumerate(zip(kinds, coded), 1):
        if kind == 0:
            out[y] = line
        elif kind == 1:
            out[y] = np.cumsum(line.reshape(-1, step), axis=0).ravel() & 255
        elif kind == 2:
            out[y] = (line + out[y - 1]) & 255
        elif kind in (3, 4):
            predict = _average if kind == 3 else _paeth
            out[y] = _predicted(line.tolist(), out[y - 1].tolist(), step, predict)
        else:
            raise ValueError(f"filter {kind}")
    return out[1:, : raw.shape[1] - 1].astype(np.uint8)


def _predicted(line: list[int], above: list[int], step: int, predict: Callable[[int, int, int], int]) -> list[int]:
    out = [0] * len(line)
    for x, value in enumerate(line):
        left, corner = (out[x - step], above[x - step]) if x >= step else (0, 0)
        out[x] = (value + predict(left, above[x], corner)) & 255
    return out


def _average(a: int, b: int, _: int) -> int:
    return (a + b) >> 1


def _paeth(a: int, b: int, c: int) -> int:
    pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    return a if pa <= pb and pa <= pc else b if pb <= pc else c
