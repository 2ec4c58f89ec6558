"""The simulated sensor: a place on a day, with its season and the noise of a detector, and what may be wrong with it.

Every frame is a function of the scenario's seed, the place and the day, so that the judge can make it again.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.hil_tests.simulation.scenes import Place

Image = NDArray[np.float32]
FULL_DN = 65535
# Share of the NDVI's yearly swing that reaches each band: red and the red edge against the near infrared.
SEASON = np.array([0, 0, 0.1, -0.5, -0.3, 0.4, 0.6, 0.7, 0.7, 0.5, -0.3, -0.5], np.float32)[:, None, None]
HAZE = np.array([520, 420, 300, 200, 170, 130, 110, 90, 80, 60, 20, 10], np.float32)[:, None, None]
CLOUD = np.array([6200, 6000, 5800, 5900, 6000, 6100, 6200, 6100, 6200, 5800, 4600, 3600], np.float32)[:, None, None]
DETECTOR_DN = 6.0  # noise of every frame


@dataclass(frozen=True, eq=False)
class Shot:
    """One acquisition: number, place, seconds since 1970, and what is done to it as (kind, strength)."""

    number: int
    place: int
    time: int
    wrongs: tuple[tuple[str, float], ...] = ()

    @property
    def name(self) -> str:
        """As the board calls the frame."""
        return f"shot-{self.number:05d}-p{self.place}-000"

    @property
    def file(self) -> str:
        """As the sensor calls the file."""
        return f"shot-{self.number:05d}-p{self.place}.npz"


class SimulatedSensor:
    """Frames of places (see `swathpack.hil_tests.simulation.scenes`) by shot."""

    def __init__(self, places: list[Place], seed: int) -> None:
        self.places, self._seed = places, seed

    def pixels(self, shot: Shot) -> NDArray[np.uint16]:
        """(12, H, W) DN as the detector gives them, everything that is wrong with the values included; 0 where NaN."""
        rng = np.random.default_rng([self._seed, shot.place, shot.number])
        dates = self.places[shot.place].dates
        image = season(dates[(shot.time // 86400) % len(dates)], shot.time)
        image = image + rng.normal(0, DETECTOR_DN, image.shape).astype(np.float32)
        for kind, strength in shot.wrongs:
            if kind in CHANGES:
                image = CHANGES[kind](image, strength, rng)
        return np.where(np.isnan(image).any(axis=0), 0, np.clip(np.rint(image), 1, FULL_DN)).astype(np.uint16)

    def delivery(self, shot: Shot) -> bytes:
        """The file as it is laid into the board's inbox."""
        kinds = {kind for kind, _ in shot.wrongs}
        data: NDArray[np.generic] = self.pixels(shot)
        if kinds & {"nan_pixels", "nan_frame", "infinite"}:
            data = _floating(data, kinds)
        if "wrong_shape" in kinds:
            data = data[:-1]
        stream = io.BytesIO()
        stamp = datetime.fromtimestamp(shot.time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        np.savez_compressed(
            stream, data=data, bands=np.array(BANDS), dates=np.array([stamp]), place=np.array(shot.place)
        )
        whole = stream.getvalue()
        return whole[: len(whole) // 2] if "torn_file" in kinds else whole


def _floating(data: NDArray[np.generic], kinds: set[str]) -> NDArray[np.float32]:
    """The same as floats, with NaN in one band where a pixel has no data, or what else no integer can be."""
    out = data.astype(np.float32)
    out[3][(data == 0).all(axis=0)] = np.nan
    if "nan_frame" in kinds:
        out[:] = np.nan
    if "infinite" in kinds:
        out[3, 5, 7] = np.inf
    return out


def season(image: Image, time: int) -> Image:
    """Vegetation a little greener or browner by the day of the year, as the NDVI of each pixel allows."""
    ndvi = (image[7] - image[3]) / np.maximum(image[7] + image[3], 1)
    swing = 0.2 * np.cos(2 * np.pi * (time / 86400 - 172) / 365.25)
    out: Image = np.maximum(image * (1 + swing * np.clip(ndvi, 0, 1)[None] * SEASON), 1).astype(np.float32)
    return out


def smooth(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """A field of zero mean and unit spread whose amplitude falls with frequency as clouds' does."""
    radius = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    radius[0, 0] = 1.0
    field = np.fft.irfft2(np.fft.rfft2(rng.normal(size=shape)) / radius**1.7, shape)
    out: NDArray[np.float64] = (field - field.mean()) / field.std()
    return out


def _clouds(image: Image, share: float, rng: np.random.Generator) -> Image:
    field = smooth(image.shape[1:], rng)
    alpha = np.clip((field - np.quantile(field, 1 - share)) * 2 + 0.5, 0, 1).astype(np.float32)
    shadow = np.roll(alpha, (6, -8), (0, 1)) * (1 - alpha)
    return image * (1 - 0.5 * shadow) * (1 - alpha) + CLOUD * alpha


def _striping(image: Image, dn: float, rng: np.random.Generator) -> Image:
    return image + rng.normal(0, dn, (len(BANDS), 1, image.shape[2])).astype(np.float32)


def _moved(image: Image, pixels: float, rng: np.random.Generator) -> Image:
    """Moved along both axes by whole pixels and a linear rest; borders are repeated."""
    whole, rest = int(pixels), pixels - int(pixels)
    padded = np.pad(image, ((0, 0), (whole + 1, 0), (whole + 1, 0)), "edge")
    height, width = image.shape[1:]
    near, far = padded[:, 1 : 1 + height, 1 : 1 + width], padded[:, :height, :width]
    return ((1 - rest) * near + rest * far).astype(np.float32)


def _pixels(image: Image, count: float, rng: np.random.Generator, value: float) -> Image:
    out = image.copy()
    rows, columns = (rng.integers(0, side, int(count)) for side in image.shape[1:])
    out[int(rng.integers(len(BANDS))), rows, columns] = value
    return out


def _no_data(image: Image, count: float, rng: np.random.Generator) -> Image:
    out = image.copy()
    rows, columns = (rng.integers(0, side, int(count)) for side in image.shape[1:])
    out[:, rows, columns] = np.nan
    return out


def _saturated(image: Image, share: float, rng: np.random.Generator) -> Image:
    field = smooth(image.shape[1:], rng)
    return np.where(field > np.quantile(field, 1 - share), np.float32(FULL_DN), image)


def _dead_lines(image: Image, count: float, rng: np.random.Generator) -> Image:
    out = image.copy()
    out[int(rng.integers(len(BANDS))), rng.permutation(image.shape[1])[: int(count)]] = 1000
    return out


CHANGES: dict[str, Callable[[Image, float, np.random.Generator], Image]] = {
    "clouds": _clouds,
    "haze": lambda image, strength, rng: image + HAZE * np.float32(strength),
    "noise": lambda image, dn, rng: image + rng.normal(0, dn, image.shape).astype(np.float32),
    "striping": _striping,
    "misregistration": _moved,
    "exposure_jump": lambda image, gain, rng: image * np.float32(gain),
    "nan_pixels": _no_data,
    "dead_pixels": lambda image, count, rng: _pixels(image, count, rng, 1.0),
    "hot_pixels": lambda image, count, rng: _pixels(image, count, rng, FULL_DN),
    "saturation": _saturated,
    "dead_lines": _dead_lines,
}
