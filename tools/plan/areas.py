"""Areas of interest: read from GeoJSON or a box, measured, and cut into cells to be imaged one by one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.spoken import reason
from swathpack.tools.errors import UserError

EARTH_RADIUS_KM = 6371.0088  # mean radius, IUGG
KM_PER_DEG = math.pi / 180 * EARTH_RADIUS_KM
MAX_CELLS = 1500
MIN_CELL_KM = 2.0
SMALLEST_KM2 = 0.01
MOST_POINTS = 50_000

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Area:
    """One area of interest.

    `rings` are closed (n, 2) longitude/latitude arrays in degrees (even-odd rule, so inner rings are holes).
    `cells` is (cells, 2) longitude/latitude of cell centres and `cell_km2` the ground area each stands for.
    `cloud` is the mean cloud fraction per calendar month.
    """

    name: str
    rings: tuple[Array, ...]
    priority: float
    revisit_days: float
    cloud: tuple[float, ...]
    cells: Array = field(repr=False)
    cell_km2: float
    area_km2: float

    @property
    def centre(self) -> tuple[float, float]:
        """Longitude and latitude (degrees) of the mean cell."""
        longitude, latitude = self.cells.mean(axis=0)
        return (longitude + 180) % 360 - 180, latitude


def make_area(name: str, rings: list[Array], priority: float, revisit_days: float, cloud: tuple[float, ...]) -> Area:
    """An area from its rings. Raises UserError when it covers no ground or leaves the globe."""
    rings = [_checked_ring(name, ring) for ring in rings]
    area_km2 = _area_km2(rings)
    if not rings or area_km2 < SMALLEST_KM2:
        raise UserError(
            f"area {name!r} is empty: expected polygons of some area, found {len(rings)} rings "
            f"covering {area_km2:.3g} km2"
        )
    cells = _cells(rings, area_km2)
    return Area(name, tuple(rings), priority, revisit_days, cloud, cells, area_km2 / len(cells), area_km2)


def box_ring(west: float, south: float, east: float, north: float) -> Array:
    """The ring of a box; `east` < `west` means across the antimeridian.

    Points on its long sides keep every step below half the globe, which would be read as a crossing.
    """
    east = east + 360 if east < west else east
    along = np.linspace(west, east, 2 + int((east - west) // 90))
    top, bottom = np.full(len(along), north), np.full(len(along), south)
    return np.vstack([np.column_stack([along, bottom]), np.column_stack([along, top])[::-1], [(west, south)]])


def read_geojson(path: Path) -> list[tuple[dict[str, Any], list[Array]]]:
    """(properties, rings) of every feature with polygons. Raises UserError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"cannot read the areas {path}: {reason(error, path)}") from None
    try:
        found = [(properties, rings) for properties, rings in _features(document, {}) if rings]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path.name}: expected GeoJSON, found something else ({error!r})") from None
    if not found:
        raise UserError(f"{path.name}: expected at least one Polygon or MultiPolygon, found none (empty area)")
    return found


def _features(node: dict[str, Any], properties: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[Array]]]:
    """Walk FeatureCollection, Feature, GeometryCollection and the two polygon types (RFC 7946)."""
    kind = node["type"]
    if kind == "FeatureCollection":
        for feature in node["features"]:
            yield from _features(feature, {})
    elif kind == "Feature":
        if node["geometry"] is not None:
            yield from _features(node["geometry"], node.get("properties") or {})
    elif kind == "GeometryCollection":
        for geometry in node["geometries"]:
            yield from _features(geometry, properties)
    elif kind == "Polygon":
        yield properties, [_ring(ring) for ring in node["coordinates"]]
    elif kind == "MultiPolygon":
        yield properties, [_ring(ring) for polygon in node["coordinates"] for ring in polygon]


def _ring(points: list[list[float]]) -> Array:
    return np.array([point[:2] for point in points], dtype=float)


def _checked_ring(name: str, ring: Array) -> Array:
    """The ring closed and unwrapped over the antimeridian. Raises UserError off the globe."""
    if ring.ndim != 2 or ring.shape[1:] != (2,) or len(ring) < 3 or not np.isfinite(ring).all():
        raise UserError(
            f"area {name!r}: expected rings of [longitude, latitude] points, found one of shape {ring.shape}"
        )
    if np.abs(ring[:, 1]).max() > 90 or np.abs(ring[:, 0]).max() > 540:
        swapped = np.abs(ring[:, 0]).max() <= 90
        raise UserError(
            f"area {name!r}: expected latitudes within 90 degrees, found "
            f"{ring[np.abs(ring[:, 1]).argmax(), 1]:g}" + (" (longitude and latitude look swapped)" if swapped else "")
        )
    if (ring[0] != ring[-1]).any():
        ring = np.vstack([ring, ring[:1]])
    # A step of more than half the globe is a polygon that crosses the antimeridian.
    return np.column_stack([np.unwrap(ring[:, 0], period=360), ring[:, 1]])


def _area_km2(rings: list[Array]) -> float:
    """Even-odd area on the sphere: the largest ring less its holes, or the sum of separate parts."""
    total = 0.0
    for at, ring in enumerate(rings):
        inside = sum(bool(contains([other], ring[:1])[0]) for i, other in enumerate(rings) if i != at)
        total += (-1) ** inside * _ring_km2(ring)
    return total


def _ring_km2(ring: Array) -> float:
    """Area on a sphere in the Lambert cylindrical equal-area projection, edges straight in it (km2)."""
    if abs(_shoelace(ring[:, 0], ring[:, 1])) < 1e-12:
        return 0.0  # points in a line: the projection would bend it into a sliver
    return abs(_shoelace(np.radians(ring[:, 0]), np.sin(np.radians(ring[:, 1])))) * EARTH_RADIUS_KM**2


def _shoelace(x: Array, y: Array) -> float:
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2


def contains(rings: list[Array] | tuple[Array, ...], points: Array) -> NDArray[np.bool_]:
    """(n,) whether (n, 2) longitude/latitude points lie inside, by the even-odd rule."""
    inside = np.zeros(len(points), bool)
    for ring in rings:
        longitude = points[:, 0] + 360 * np.round((ring[:, 0].mean() - points[:, 0]) / 360)
        for (x0, y0), (x1, y1) in zip(ring[:-1], ring[1:]):
            if y0 == y1:
                continue
            crosses = (y0 > points[:, 1]) != (y1 > points[:, 1])
            inside ^= crosses & (longitude < x0 + (points[:, 1] - y0) * (x1 - x0) / (y1 - y0))
    return inside


def _cells(rings: list[Array], area_km2: float) -> Array:
    """Centres of near-square cells inside the rings, at most about MAX_CELLS and at least one.

    Areas smaller or thinner than a cell are cut finer; the corners stand for one too thin even for that.
    """
    size_km = max(math.sqrt(area_km2 / MAX_CELLS), MIN_CELL_KM)
    while True:
        points = _grid(rings, size_km)
        cells = points[contains(rings, points)]
        if len(cells):
            return cells[:: -(-len(cells) // (2 * MAX_CELLS))]
        if len(points) > MOST_POINTS:
            return np.vstack([ring[:-1] for ring in rings])
        size_km /= 2


def _grid(rings: list[Array], size_km: float) -> Array:
    """Cell centres over the bounding box, of equal height and width on the ground."""
    everything = np.vstack(rings)
    (west, south), (east, north) = everything.min(axis=0), everything.max(axis=0)
    step = size_km / KM_PER_DEG
    rows = []
    for latitude in np.arange(south + step / 2, north, step):
        wide = step / max(math.cos(math.radians(latitude)), 0.02)
        longitudes = np.arange(west + wide / 2, east, wide)
        rows.append(np.column_stack([longitudes, np.full(len(longitudes), latitude)]))
    return np.vstack(rows) if rows else np.zeros((0, 2))
