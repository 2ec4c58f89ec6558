"""A synthetic sensor: smooth ground with edges, seasons, noise and clouds; for demonstrations and soaks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.clock import Clock
from swathpack.edge.frame import Frame
from swathpack.edge.sources.acquisition import Acquisition, Offer

_REVISIT_S = 5 * 86400


class SyntheticSource:
    """A `FrameSource`: `count` acquisitions of `places` places in turn, one every `every_s` seconds of the injected clock.

    size: pixels of a frame's side. seed: the same seed gives the same frames. first: acquisitions left out,
    as by a sensor that went on while the board was off.
    """

    def __init__(
        self,
        clock: Clock,
        count: int,
        places: int = 1,
        size: int = 256,
        every_s: float = 0.0,
        seed: int = 1,
        first: int = 0,
    ) -> None:
        self._clock, self._count, self._places = clock, count, places
        self._size, self._every_s, self._seed = size, every_s, seed
        self._next, self._due = first, clock.monotonic()

    def poll(self) -> Offer | None:
        if self._next >= self._count or self._clock.monotonic() < self._due:
            return None
        i, self._next = self._next, self._next + 1
        self._due += self._every_s
        place, date = i % self._places, i // self._places
        frame = Frame(self.scene(place, date))
        name = f"synthetic-{self._seed}-{place:04d}-{date:05d}"
        return Offer(name, Acquisition(name, 1_700_000_000 + date * _REVISIT_S, place, frame))

    def done(self, offer: Offer) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def scene(self, place: int, date: int) -> NDArray[np.uint16]:
        """(12, size, size) uint16 DN of a place on a date."""
        ground = np.random.default_rng([self._seed, place])
        relief = _smooth(ground, self._size)
        fields = _smooth(ground, self._size) > 0
        spectrum = 800 + 2400 * ground.random((len(BANDS), 1, 1))
        day = np.random.default_rng([self._seed, place, date])
        season = 1 + 0.15 * np.sin(2 * np.pi * date * _REVISIT_S / 31_557_600)
        cloud = np.clip(_smooth(day, self._size) - 1.2, 0, None) * 4000
        values = spectrum * (1 + 0.25 * relief + 0.2 * fields) * season + cloud
        values = values + day.normal(scale=20, size=values.shape)
        return np.asarray(np.clip(values, 1, 65535), np.uint16)


def _smooth(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """(size, size) noise with a falling spectrum, zero mean, unit variance."""
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]) + 1 / size
    spectrum = rng.normal(size=f.shape) + 1j * rng.normal(size=f.shape)
    field = np.fft.irfft2(spectrum / f**1.8, (size, size))
    return np.asarray((field - field.mean()) / (field.std() + 1e-12), np.float64)
