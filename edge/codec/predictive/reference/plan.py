"""The encoder's choices but the weights: ranges, grids, order, references, cells, values. plan.c in plain Python."""

from __future__ import annotations

from math import gcd, isqrt

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.predictive.reference.tile import (
    FINE_LIMIT,
    MAP_BLOCK,
    MAP_LIMIT,
    MAX_REFS,
    SHARED_LIMIT,
    Band,
    Grid,
    Ranks,
    Tile,
)

UNIT = 32768
DETAIL_SAMPLES = 1024
LEAST_GAIN, LEAST_OWN, LEAST_REPEATS, LEAST_FINE = 256, 64, 24, 4
LOOK_ROWS, SMALL, FINE_BELOW, COPY_SAVES, SHARED_COPY_SAVES = 64, 8, 3, 832, 512

Samples = NDArray[np.int32]


def quotient(a: int, b: int) -> int:
    """Division that rounds towards zero, as in C; b > 0."""
    return a // b if a >= 0 else -(-a // b)


def rough_log2(v: int) -> int:
    """log2 in 1/256, to about 1/64; 0 for 0."""
    if v == 0:
        return 0
    top = v.bit_length() - 1
    m = (v >> top - 8 if top > 8 else v << 8 - top) & 255
    return 256 * top + m + (m * (256 - m) * 88 >> 16)


def find_range(band: Band, samples: Samples, valid: NDArray[np.uint8], max_error: int) -> None:
    """Least value, greatest code and common divisor over the valid pixels."""
    values = samples[valid != 0].tolist()
    if values:
        band.low = min(values)
        band.gcd = gcd(*(v - band.low for v in values)) or 1
        if 2 * max_error + 1 > band.gcd * band.step(max_error):  # coarser steps without it
            band.gcd = 1
        band.last = (max(values) - band.low) // band.gcd
    band.shift = int(band.last >= 1 << 15)


def _cells(samples: Samples, valid: NDArray[np.uint8]) -> tuple[int, int]:
    """Size and phase of cells down the lines: every change between neighbouring lines lies at a cell's border."""
    differ = ((samples[1:] != samples[:-1]) & (valid[1:] != 0) & (valid[:-1] != 0)).any(axis=1)
    borders = (np.flatnonzero(differ) + 1).tolist()
    size = gcd(*(b - borders[0] for b in borders)) or len(samples) if borders else len(samples)
    return size, -borders[0] % size if borders else 0


def find_grid(samples: Samples, valid: NDArray[np.uint8]) -> Grid:
    """The coarsest grid of which the samples are an exact enlargement."""
    fx, ox = _cells(samples.T, valid.T)
    fy, oy = _cells(samples, valid)
    grid, (height, width) = Grid(fy, fx, oy, ox), samples.shape
    for y in range(grid.rows(height, height)):
        for x in range(grid.columns(width)):
            seen = {int(samples[p]) for p in grid.pixels(y, x, height, width) if valid[p]}
            if len(seen) > 1:
                return Grid()
    return grid


def fill_plane(tile: Tile, b: int, samples: Samples) -> None:
    """The samples' codes into a band's plane; where nothing is valid, the pixel before."""
    band, plane = tile.bands[b], tile.planes[b]
    plane.start, kept = 0, []
    for y in range(plane.height):
        for x in range(plane.width):
            code = cell_code(tile, b, samples, y, x)
            plane.rows[y, x] = plane.at(y, x - 1) if code is None else code >> band.shift
            if code is not None:
                kept.append(code >> band.shift)
    band.start = sum(kept) // len(kept) if kept else 0


def cell_code(tile: Tile, b: int, samples: Samples, y: int, x: int) -> int | None:
    """The code of a cell's first valid pixel, None without one."""
    band = tile.bands[b]
    for pixel in band.grid.pixels(y, x, tile.height, tile.width):
        if tile.valid[pixel]:
            return (int(samples[pixel]) - band.low) // band.gcd
    return None


def counts(tile: Tile, b: int, y: int, x: int) -> bool:
    """Is a pixel's value coded by prediction?"""
    at = tile.planes[b].at
    if tile.bands[b].copies and at(y, x) in (at(y, x - 1), at(y - 1, x)):
        return False
    return tile.cell_is_valid(b, y, x)


def choose_values(tile: Tile, b: int) -> None:
    """Which values are listed, and how many low bits are coded by how often they occur."""
    band, plane = tile.bands[b], tile.planes[b]
    if band.last >= MAP_LIMIT:
        return
    count, used = [0] * (band.last + 1), [0] * (band.last + 1)
    for y in range(plane.height):
        for x in range(plane.width):
            if tile.cell_is_valid(b, y, x):
                used[plane.at(y, x)] = 1
                count[plane.at(y, x)] += counts(tile, b, y, x)
    _choose_list(band, count, used)
    _choose_fine(band, count)


def _choose_list(band: Band, count: list[int], used: list[int]) -> None:
    for start in range(0, band.last + 1, MAP_BLOCK):
        block = used[start : start + MAP_BLOCK]
        size, has = len(block), sum(block)
        density = rough_log2(size) - rough_log2(has) if has else 0
        empty = rough_log2(size) - rough_log2(size - has) if has < size else 0
        cost = has * density + (size - has) * empty
        if sum(count[start : start + MAP_BLOCK]) * density > cost + cost // 8 + 512:
            band.listed = 1
        else:
            used[start : start + MAP_BLOCK] = [1] * size
    band.used = used if band.listed else []


def _gain_of_fine(count: list[int], fine: int, shared: int) -> int:
    gain, size = 0, 1 << fine
    for start in range(0, len(count), size << shared):
        block = count[start : start + (size << shared)]
        sums = [sum(block[i::size]) for i in range(size)]
        total, log = sum(sums), rough_log2(sum(sums))
        gain += total * fine * 256 - sum(n * (log - rough_log2(n)) for n in sums)
        gain -= (size - 1) * (log + 256) // 2 if total else 0
    return gain


def _choose_fine(band: Band, count: list[int]) -> None:
    pixels, best = sum(count), 0
    if band.listed:
        count = [count[code] for code in Ranks(band.used).code_of]
    for fine in range(1, FINE_LIMIT + 1):
        if fine + FINE_BELOW + band.listed > band.scale:
            break
        for shared in range(0, SHARED_LIMIT + 1, 2):
            gain = _gain_of_fine(count, fine, shared)
            if gain > best + pixels * LEAST_FINE:
                best, band.fine, band.shared = gain, fine, shared


def _phased(tile: Tile, b: int) -> bool:
    """Are pixels in one place of cells of 2 x 2 smoother than in another?"""
    plane = tile.planes[b]
    at, across, down = plane.at, [1, 1], [1, 1]
    for y in range(1, plane.height - 1, 1 + 2 * (plane.height // (2 * LOOK_ROWS))):
        for x in range(1, plane.width - 1):
            across[x & 1] += abs(2 * at(y, x) - at(y, x - 1) - at(y, x + 1))
            down[y & 1] += abs(2 * at(y, x) - at(y - 1, x) - at(y + 1, x))
    return any(v[i] > v[1 - i] * 9 // 8 for v in (across, down) for i in (0, 1))


def _repeats(tile: Tile, b: int, max_error: int) -> bool:
    """Do neighbours have one value more often than chance has it, and is it worth saying where?"""
    plane = tile.planes[b]
    found: tuple[list[int], list[int]] = ([], [])
    for y in range(1, plane.height, 1 + plane.height // LOOK_ROWS):
        for x in range(1, plane.width):
            if tile.cell_is_valid(b, y, x):
                found[0].append(plane.at(y, x) - plane.at(y, x - 1))
                found[1].append(plane.at(y, x) - plane.at(y - 1, x))
    more, beyond = False, []
    for d in found:
        other = max(d.count(k) for k in range(-SMALL, SMALL + 1) if k)
        beyond.append(max(d.count(0) - other, 0))
        more |= d.count(0) > 2 * other and d.count(0) - other > len(d) // LEAST_REPEATS
    return more and _worth_copying(tile, tile.bands[b], *found, beyond, max_error)


def _worth_copying(tile: Tile, band: Band, left: list[int], up: list[int], beyond: list[int], max_error: int) -> bool:
    """Saved: the residuals of the pixels that repeat beyond chance. To pay: the entropy of which pixels repeat which. Where most
    do and there are other bands, one pays for all: by all that repeat, and only whether they do.
    """
    n, same, above = len(left), left.count(0), sum(d != 0 and e == 0 for d, e in zip(left, up))
    changed = n - same
    log = sum(rough_log2(abs(d)) for d in left if d) // changed if changed else 0
    change = sum(map(abs, left)) // changed if changed else 0
    step = rough_log2(max(band.step(max_error) >> band.shift, 1))
    repeated, parts, bits = beyond[0] + beyond[1] - beyond[0] * beyond[1] // n, [same, above], log + COPY_SAVES - step
    if tile.n_bands > 1 and 2 * repeated > n:
        bits = rough_log2(change + 1) + SHARED_COPY_SAVES - step
        repeated, parts = same + above, [same + above]
    entropy = sum(part * (rough_log2(n) - rough_log2(part)) for part in (*parts, n - same - above))
    return bits > 0 and repeated * bits > entropy


def _choose_cells(tile: Tile, i: int, max_error: list[int]) -> None:
    b = tile.order[i]
    band, plane = tile.bands[b], tile.planes[b]
    band.copies = int(_repeats(tile, b, max_error[b]))
    band.phased = int(not band.copies and _phased(tile, b))
    rows = plane.rows[:: 1 + plane.height // LOOK_ROWS]
    best, same = rows.size * 7 // 8, rows[:, 1:] == rows[:, :-1]
    for a in tile.order[:i]:
        if not (band.copies and tile.bands[a].copies and tile.bands[a].grid == band.grid):
            continue
        others = tile.planes[a].rows[:: 1 + plane.height // LOOK_ROWS]
        agreed = int((same == (others[:, 1:] == others[:, :-1])).sum())
        if agreed > best:
            best, band.cells_from = agreed, a


def _detail(tile: Tile, b: int, y: int, x: int) -> int:
    grid, at = tile.bands[b].grid, tile.planes[b].at
    row, column = (y + grid.oy) // grid.fy, (x + grid.ox) // grid.fx
    left, up = at(row, (x - 2 + grid.ox) // grid.fx), at((y - 2 + grid.oy) // grid.fy, column)
    return 2 * at(row, column) - left - up


def _correlate(tile: Tile) -> list[list[int]]:
    """Correlations of the bands' details in 1/2^15."""
    n, size = tile.n_bands, tile.height * tile.width
    details = []
    for i in range(0, size, max(1, size // DETAIL_SAMPLES) | 1):
        y, x = divmod(i, tile.width)
        if y >= 2 and x >= 2 and tile.valid[y, x]:
            details.append([_detail(tile, b, y, x) if tile.bands[b].last else 0 for b in range(n)])
    sums = [[sum(d[a] * d[b] for d in details) for a in range(n)] for b in range(n)]
    out = [[0] * n for _ in range(n)]
    for a in range(n):
        for b in range(n):
            norm = isqrt(sums[a][a]) * isqrt(sums[b][b])
            out[a][b] = quotient(sums[a][b] * UNIT, norm) if norm else 0
    return out


def _choose_order(tile: Tile, r: list[list[int]]) -> None:
    """Finer grids first; then the band most like the others, then always the one most like any that came before."""
    tile.order = []
    left = list(range(tile.n_bands))
    while left:
        scores = []
        for b in left:
            squares = [r[a][b] ** 2 for a in (tile.order or range(tile.n_bands))]
            grid = tile.bands[b].grid
            area = grid.fy * grid.fx if tile.bands[b].last else 2**31 - 1
            scores.append((area, -(max(squares) if tile.order else sum(squares)), b))
        tile.order.append(min(scores)[2])
        left.remove(tile.order[-1])


def _choose_references(tile: Tile, i: int, correlation: list[list[int]]) -> None:
    """Each reference is the band that explains most of what the ones before leave."""
    r = [list(row) for row in correlation]
    target = tile.order[i]
    while len(tile.bands[target].refs) < MAX_REFS:
        best, most = -1, quotient(r[target][target], LEAST_GAIN)
        for a in tile.order[:i]:
            if not tile.bands[a].last or r[a][a] < UNIT // LEAST_OWN:
                continue
            gain = r[target][a] ** 2 // r[a][a]
            if gain > most:
                best, most = a, gain
        if best < 0:
            return
        tile.bands[target].refs.append(best)
        column = [row[best] for row in r]
        for k, row in enumerate(r):
            r[k] = [v - quotient(column[k] * c, column[best]) for v, c in zip(row, column)]


def choose_structure(tile: Tile, max_error: list[int]) -> None:
    """Order, references and cells; the planes hold the samples."""
    r = _correlate(tile)
    _choose_order(tile, r)
    for i, b in enumerate(tile.order):
        if tile.bands[b].last:
            _choose_references(tile, i, r)
            _choose_cells(tile, i, max_error)
