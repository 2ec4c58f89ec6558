"""Training and validation data: real Sentinel-2 cubes as (T, 12, H, W) arrays, crops, augmentation, second
dates.

Reads the `.npz` cubes that `../shared/data/README.md` describes. Bands that a cube lacks are filled by the
calibrated regression of `swathpack.edge.bands` for training only; evaluation uses cubes that hold all twelve.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
BOA_OFFSET = 1000  # products of processing baseline >= 04.00 carry +1000 DN
DULL_SOURCES = ("eotdl-ships",)  # harbour and sea patches, many and alike
DULL_WEIGHT = 1 / 16
SERIES_WEIGHT = 2.5  # few places have real earlier dates; they teach what synthetic ones cannot
COMPLETED_WEIGHT = 0.25  # cubes with regressed bands teach time, not spectra


@dataclass(frozen=True)
class Cube:
    """One place: `data` (T, 12, H, W) float32 DN, `valid` (T, H, W) bool, `weight` its share in sampling, `present` the bands that
    are its own.
    """

    name: str
    data: NDArray[np.float32]
    valid: NDArray[np.bool_]
    weight: float
    real_bands: int
    present: tuple[str, ...] = BANDS


def _band_name(raw: str) -> str:
    text = str(raw).upper()
    return f"B0{text[1]}" if len(text) == 2 and text[1].isdigit() else text


def _read(path: Path, offset: bool) -> tuple[NDArray[np.float32], list[str]]:
    with np.load(path) as archive:
        data = archive["data"].astype(np.float32)
        bands = [_band_name(b) for b in archive["bands"]]
    if offset:
        data = np.where(data == 0, 0, np.maximum(data - BOA_OFFSET, 1))
    return data, bands


def load_cubes(root: Path, split: str, min_bands: int = 12) -> list[Cube]:
    """All cubes of a split ("train", "val") with at least `min_bands` of the twelve bands.

    Raises FileNotFoundError when `root` has no catalog.json.
    """
    cubes = []
    for entry in json.loads((root / "catalog.json").read_text()):
        if entry["split"] != split:
            continue
        data, bands = _read(root / entry["file"], str(entry["boa_offset_1000"]).startswith("yes"))
        present = [b for b in BANDS if b in bands]
        if len(present) < min_bands or min(data.shape[2:]) < 32:
            continue
        data = data[:, [bands.index(b) for b in present]]
        # A zero in one band of dark water is a value; zero in all bands is nodata.
        valid = np.asarray((data > 0).any(axis=1), np.bool_)
        if len(present) < len(BANDS):
            data = _complete(data, present)
        weight = DULL_WEIGHT if any(s in entry["file"] for s in DULL_SOURCES) else 1.0
        weight *= 1.0 if len(present) == len(BANDS) else COMPLETED_WEIGHT
        plain, name = np.ascontiguousarray(data, np.float32), Path(entry["file"]).stem
        cubes.append(Cube(name, plain, valid, weight, len(present), tuple(present)))
    return cubes


def _complete(data: NDArray[np.float32], present: list[str]) -> NDArray[np.float32]:
    from swathpack.edge.bands import completion_matrix

    gain, offset = completion_matrix(tuple(present))
    full: NDArray[np.float32] = np.einsum("ij,tjhw->tihw", gain, data) + offset[None, :, None, None]
    return np.maximum(full, 0).astype(np.float32)


class CropSampler:
    """Random crops with flips, transposes and radiometric jitter.

    `sequence(n, size)` gives (n, 3, 12, size, size): the frame and two earlier (or other) dates of the same
    place, real ones where the cube has them, else made from the frame by `second_date`.
    """

    def __init__(self, cubes: list[Cube], seed: int = 0) -> None:
        self.cubes = cubes
        self.rng = np.random.default_rng(seed)
        area = np.array([c.weight * min(c.data.shape[0], 13) * c.data.shape[2] * c.data.shape[3] for c in cubes])
        share = np.sqrt(area)  # between equal cubes and equal pixels
        share *= [SERIES_WEIGHT if c.data.shape[0] > 2 else 1.0 for c in cubes]
        self.probability = share / share.sum()

    def _crop(self, cube: Cube, dates: list[int], size: int) -> NDArray[np.float32]:
        height, width = cube.data.shape[2:]
        for _ in range(8):
            y = int(self.rng.integers(0, max(height - size, 0) + 1))
            x = int(self.rng.integers(0, max(width - size, 0) + 1))
            window = np.s_[dates, :, y : y + size, x : x + size]
            if cube.valid[dates, y : y + size, x : x + size].mean() > 0.98:
                break
        crop = cube.data[window]
        pad = (size - crop.shape[2], size - crop.shape[3])
        if max(pad) > 0:
            crop = np.pad(crop, ((0, 0), (0, 0), (0, pad[0]), (0, pad[1])), "symmetric" if max(pad) > 40 else "reflect")
        return crop

    def _flip(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.rng.random() < 0.5:
            x = x[..., ::-1]
        if self.rng.random() < 0.5:
            x = x[..., ::-1, :]
        return x.swapaxes(-1, -2) if self.rng.random() < 0.5 else x

    def _jitter(self, x: NDArray[np.float32], strength: float = 1.0) -> NDArray[np.float32]:
        bands = x.shape[-3]
        gain = np.exp(self.rng.normal(0, 0.25 * strength) + self.rng.normal(0, 0.05 * strength, (bands, 1, 1)))
        offset = self.rng.normal(0, 60 * strength, (bands, 1, 1)) + self.rng.exponential(80 * strength)
        return np.maximum(x * gain.astype(np.float32) + offset.astype(np.float32), 0)

    def second_date(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """A plausible other date of x (12, H, W): spectral shift by brightness class, haze, shift, noise,
        cloud.
        """
        bands, height, width = x.shape
        ndvi = (x[7] - x[3]) / np.maximum(x[7] + x[3], 1)
        amount = self.rng.normal(0, 0.25) * np.clip(ndvi, 0, 1)
        tilt = np.array([0, 0, 0, -0.6, -0.3, 0.4, 0.6, 0.7, 0.7, 0.5, -0.3, -0.6], np.float32)[:, None, None]
        out: NDArray[np.floating] = self._jitter(x * (1 + amount[None] * tilt), 0.6)
        if self.rng.random() < 0.3:  # misregistration below a pixel
            share = self.rng.uniform(0, 0.5)
            out = (1 - share) * out + share * np.roll(out, self.rng.choice([-1, 1]), axis=int(self.rng.integers(1, 3)))
        out = out + self.rng.normal(0, self.rng.uniform(5, 25), out.shape)
        if self.rng.random() < 0.25:
            out = self._cloud(out, height, width)
        return np.maximum(out, 0).astype(np.float32)

    def _cloud(self, x: NDArray[np.floating], height: int, width: int) -> NDArray[np.floating]:
        grid = np.fft.fft2(self.rng.normal(size=(height, width)))
        radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
        field = np.real(np.fft.ifft2(grid / (radius + 2 / height) ** 1.7))
        field = (field - field.mean()) / field.std()
        alpha = np.clip((field - self.rng.normal(0.3, 0.7)) * 1.5, 0, 1)
        out: NDArray[np.floating] = x * (1 - alpha) + alpha * self.rng.uniform(3000, 9000)
        return out

    def frames(self, count: int, size: int) -> NDArray[np.float32]:
        """(count, 12, size, size) float32 DN."""
        out = np.empty((count, len(BANDS), size, size), np.float32)
        for i in range(count):
            cube = self.cubes[self.rng.choice(len(self.cubes), p=self.probability)]
            date = [int(self.rng.integers(cube.data.shape[0]))]
            out[i] = self._jitter(self._flip(self._crop(cube, date, size))[0])
        return out

    def _real_dates(self, cube: Cube, total: int, size: int) -> NDArray[np.float32]:
        """A date and two others near it in time, the more similar one first, as the encoder orders
        contexts.
        """
        now = int(self.rng.integers(total))
        near = [d for d in range(max(now - 4, 0), min(now + 5, total)) if d != now]
        dates = [now, *(int(d) for d in self.rng.choice(near, 2, replace=False))]
        crop = self._crop(cube, dates, size)
        small = crop[:, :, ::4, ::4]
        small = small - small.mean((2, 3), keepdims=True)
        likeness = [float((small[0] * s).sum() / (np.linalg.norm(small[0]) * np.linalg.norm(s) + 1)) for s in small[1:]]
        return crop if likeness[0] >= likeness[1] else crop[[0, 2, 1]]

    def as_taken(self, size: int) -> NDArray[np.float32]:
        """(n, 12, size, size) float32 DN of one place, n 1..3: a frame and up to two other real dates, unchanged."""
        cube = self.cubes[self.rng.choice(len(self.cubes), p=self.probability)]
        dates = self.rng.permutation(cube.data.shape[0])[:3]
        return self._crop(cube, [int(d) for d in dates], size)

    def sequence(self, count: int, size: int) -> NDArray[np.float32]:
        """(count, 3, 12, size, size) float32 DN: the frame, then the nearer and the farther context date."""
        out = np.empty((count, 3, len(BANDS), size, size), np.float32)
        for i in range(count):
            cube = self.cubes[self.rng.choice(len(self.cubes), p=self.probability)]
            total = cube.data.shape[0]
            if total > 2:
                out[i] = self._jitter(self._flip(self._real_dates(cube, total, size)), 0.7)
                continue
            frame = self._jitter(self._flip(self._crop(cube, [int(self.rng.integers(total))], size))[0])
            first = self.second_date(frame)
            out[i] = np.stack([frame, first, self.second_date(frame if self.rng.random() < 0.5 else first)])
        return out
