"""A made-up but plausible multispectral series: fields, forest, a town, a river, seasons, haze, clouds,
shadows.

For demos without a network and for tests; it is deterministic for a seed and no substitute for real scenes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS, NATIVE_M
from swathpack.edge.frame import Frame
from swathpack.tools.files.rasters.series import Series

# Surface reflectance x 10,000 in the order of BANDS, rounded typical values.
SPECTRA: dict[str, tuple[int, ...]] = {
    "water": (380, 400, 420, 300, 260, 200, 190, 170, 160, 150, 70, 50),
    "forest": (180, 220, 420, 260, 640, 2100, 2600, 2750, 2900, 2950, 1500, 650),
    "green crop": (250, 320, 700, 330, 1150, 3500, 4400, 4600, 4750, 4800, 1900, 850),
    "bare soil": (700, 950, 1350, 1750, 2050, 2250, 2400, 2500, 2650, 2700, 3300, 2700),
    "stubble": (600, 800, 1200, 1500, 1850, 2300, 2500, 2600, 2750, 2850, 3500, 2500),
    "town": (950, 1150, 1350, 1500, 1650, 1800, 1900, 2000, 2050, 2100, 2250, 1950),
}
CLOUD = np.array([6200, 6000, 5800, 5900, 6000, 6100, 6200, 6100, 6200, 5800, 4600, 3600], np.float64)
HAZE = np.array([520, 420, 300, 200, 170, 130, 110, 90, 80, 60, 20, 10], np.float64)
Plane = NDArray[np.float64]


def _noise(rng: np.random.Generator, shape: tuple[int, int], power: float) -> Plane:
    """A random field of zero mean and unit spread whose amplitude falls with frequency to the given power."""
    rows, columns = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    radius = np.hypot(rows, columns)
    radius[0, 0] = 1.0
    spectrum = (rng.normal(size=radius.shape) + 1j * rng.normal(size=radius.shape)) / radius**power
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, shape)
    out: Plane = field / field.std()
    return out


def _fields(rng: np.random.Generator, shape: tuple[int, int], count: int) -> NDArray[np.int64]:
    """Parcel number of every pixel: cells around random centres under a city-block distance, a little turned."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    angle = rng.uniform(0, 0.6)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    best, owner = np.full(shape, np.inf), np.zeros(shape, np.int64)
    for parcel in range(count):
        row, column = rng.integers(shape[0]), rng.integers(shape[1])
        stretch = rng.uniform(0.6, 1.8)
        distance = np.abs(u - u[row, column]) * stretch + np.abs(v - v[row, column]) / stretch
        owner[distance < best] = parcel
        best = np.minimum(best, distance)
    return owner


def _river(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.bool_]:
    rows = np.arange(shape[0])[:, None]
    bends = sum(rng.uniform(4, 16) * np.sin(rows / rng.uniform(18, 60) + rng.uniform(0, 6)) for _ in range(3))
    width = 3 + 1.5 * np.sin(rows / 25.0)
    out: NDArray[np.bool_] = np.abs(np.arange(shape[1])[None] - shape[1] * rng.uniform(0.3, 0.7) - bends) < width
    return out


def _land(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[dict[str, Plane], NDArray[np.int64]]:
    """Share of forest, town and river per pixel (0 or 1), and parcels for the rest."""
    forest = _noise(rng, shape, 1.8) > 0.55
    town = (_noise(rng, shape, 1.9) > 1.45) & ~forest
    river = _river(rng, shape)
    masks = {"water": river, "forest": forest & ~river, "town": town & ~river}
    return {k: m.astype(np.float64) for k, m in masks.items()}, _fields(rng, shape, shape[0] * shape[1] // 900 + 4)


def _ground(land: dict[str, Plane], parcels: NDArray[np.int64], day: float, kind: NDArray[np.float64]) -> Plane:
    """(12, H, W) reflectance of the ground on a day of the year; `kind` (parcels, 2): peak day and soil
    share.
    """
    grown = np.exp(-((((day - kind[:, 0] + 182) % 365 - 182) / 45.0) ** 2))[parcels]
    soil = kind[:, 1][parcels]
    spectra = {k: np.array(v, np.float64)[:, None, None] for k, v in SPECTRA.items()}
    rest = spectra["bare soil"] * soil + spectra["stubble"] * (1 - soil)
    ground = spectra["green crop"] * grown + rest * (1 - grown)
    season = 0.85 + 0.15 * np.cos(2 * np.pi * (day - 170) / 365)
    for name, mask in land.items():
        ground = ground * (1 - mask) + spectra[name] * (season if name == "forest" else 1.0) * mask
    out: Plane = ground
    return out


def _sky(rng: np.random.Generator, ground: Plane, cover: float) -> tuple[Plane, float]:
    """Ground under haze, shadows and clouds that cover about the given share; returns the share that they do."""
    shape = ground.shape[1:]
    field = _noise(rng, shape, 1.7)
    alpha = np.clip((field - np.quantile(field, 1 - cover)) * 1.6, 0, 1) if cover > 0 else np.zeros(shape)
    shadow = np.roll(alpha, (7, -9), (0, 1)) * (1 - alpha)
    lit = ground * (1 - 0.55 * shadow) + HAZE[:, None, None] * rng.uniform(0.1, 1.2)
    bright = CLOUD[:, None, None] * (0.9 + 0.08 * _noise(rng, shape, 1.5))
    return lit * (1 - alpha) + bright * alpha, float((alpha > 0.3).mean())


def _to_native(image: Plane) -> Plane:
    """20 m and 60 m bands averaged to their grid and repeated."""
    out = image.copy()
    for i, band in enumerate(BANDS):
        factor = NATIVE_M[band] // 10
        rows, columns = (np.arange(0, side, factor) for side in image.shape[1:])
        total = np.add.reduceat(np.add.reduceat(image[i], rows, 0), columns, 1)
        count = np.add.reduceat(np.add.reduceat(np.ones(image.shape[1:]), rows, 0), columns, 1)
        out[i] = (total / count).repeat(factor, 0).repeat(factor, 1)[: image.shape[1], : image.shape[2]]
    return out


def synthetic_series(
    dates: int = 6, size: int = 192, seed: int = 7, cloudy: float = 0.34
) -> tuple[Series, list[float]]:
    """`dates` frames (12, size, size), and the share of cloud in each; about `cloudy` of the dates have any."""
    rng = np.random.default_rng(seed)
    shape = (size, size)
    land, parcels = _land(rng, shape)
    kind = np.stack(
        [
            rng.choice([130.0, 190.0, 225.0], parcels.max() + 1) + rng.normal(0, 12, parcels.max() + 1),
            rng.uniform(0, 1, parcels.max() + 1),
        ],
        axis=1,
    )
    texture = 1 + 0.05 * _noise(rng, shape, 0.9) + 0.03 * _noise(rng, shape, 0.3)
    frames, clouds = [], []
    for index in range(dates):
        day = 60 + 230 * index / max(dates - 1, 1)
        cover = float(rng.uniform(0.05, 0.5)) if rng.random() < cloudy else 0.0
        image, share = _sky(rng, _ground(land, parcels, day, kind) * texture, cover)
        image = _to_native(image) + rng.normal(0, 12, image.shape)
        date = np.datetime64("2024-01-01") + np.timedelta64(int(day), "D")
        dn = np.clip(np.rint(image), 1, 20_000).astype(np.uint16)
        frames.append(Frame(dn, BANDS, str(date), level="L2A"))
        clouds.append(share)
    return Series(frames, {"format": "npz", "extra": {}}), clouds
