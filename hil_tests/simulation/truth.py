"""What should have come out: every latent made again from the frame as the sensor gave it, by a codec of our own.

The board's latents are a function of the pixels alone (no rate-distortion optimisation in campaigns), and a tile without the
network of its contexts, its frame and one of a few lengths that contacts ask for besides. So a second,
undisturbed copy of the codec says what the ground must hold, whatever happened to the board's memory. On another kind
of processor the analysis may differ in the last bit; there the board's own digests are compared instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS, complete_bands
from swathpack.edge.codec.base_layer import known_part
from swathpack.edge.codec.flight import FlightCodec, as_contacts_ask
from swathpack.edge.codec.frame_weights import asked_by_frame
from swathpack.edge.codec.latents import quantise
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import tile_windows
from swathpack.edge.codec.protocol import ContextLatent, TileKey, TilePixels
from swathpack.edge.codec.tile_coder import DEAD_ZONE, analyse_tile
from swathpack.edge.config import CodingConfig
from swathpack.edge.frame import Frame
from swathpack.edge.stages.intake import tile_id
from swathpack.edge.stream.quality import is_learned
from swathpack.edge.stream.wire import CONTEXT_DIGEST_BYTES
from swathpack.hil_tests.simulation.sensor import Shot, SimulatedSensor

PEAK_DN = 10_000.0
KEPT = 64


@dataclass(frozen=True)
class WrongImage:
    """A latent at the ground that is not the tile's: at `time`, the first `layers` layers were compared."""

    key: TileKey
    layers: int
    time: float
    against: str


@dataclass
class Truth:
    """Knows every tile-frame of every shot. tile: side in pixels. same_machine: our own latents count. max_error: promised of
    every count, None: none is.
    """

    model: EdgeModel
    sensor: SimulatedSensor
    tile: int
    q: int
    same_machine: bool
    max_error: int | None = None
    told: dict[TileKey, tuple[bytes, ...]] = field(default_factory=dict)
    worth: dict[TileKey, int] = field(default_factory=dict)
    _shots: dict[tuple[int, int], Shot] = field(default_factory=dict)
    _latents: dict[TileKey, NDArray[np.int16]] = field(default_factory=dict)

    def add(self, shot: Shot) -> list[TileKey]:
        """Take a shot in; the tile-frames that it should become."""
        self._shots[shot.place, shot.time] = shot
        height, width = self.sensor.places[shot.place].dates.shape[2:]
        corners = [(w.top // self.tile, w.left // self.tile) for w in tile_windows(height, width, self.tile)]
        return [TileKey(tile_id(shot.place, row, column), shot.time) for row, column in corners]

    def coded(self, key: TileKey, digests: bytes, worth: int) -> None:
        """The board says it coded a tile-frame to a latent with these digests of 1 to 16 layers, `worth` of them of use."""
        self.worth[key] = worth
        size = CONTEXT_DIGEST_BYTES
        found = tuple(digests[i : i + size] for i in range(0, len(digests), size))
        self.told.setdefault(key, found)

    def shot(self, key: TileKey) -> Shot:
        """The shot of a tile-frame. Raises KeyError for one that was never taken."""
        return self._shots[key.tile >> 16, key.time]

    def pixels(self, key: TileKey) -> NDArray[np.uint16]:
        """(12, h, w) of a tile-frame as the sensor gave it."""
        row, column, side = key.tile >> 8 & 255, key.tile & 255, self.tile
        whole = self.sensor.pixels(self.shot(key))
        return whole[:, row * side : (row + 1) * side, column * side : (column + 1) * side]

    def latent(self, key: TileKey) -> NDArray[np.int16]:
        """The latent that an undisturbed codec makes."""
        if key not in self._latents:
            frame = complete_bands(Frame.from_array(self.pixels(key), BANDS))
            self._latents[key] = quantise(analyse_tile(self.model, frame.data, frame.valid), self.q, DEAD_ZONE)
            while len(self._latents) > KEPT:
                self._latents.pop(next(iter(self._latents)))
        return self._latents[key]

    def _plain(self, key: TileKey, contexts: Sequence[ContextLatent]) -> Iterator[NDArray[np.int16]]:
        """What may stand for a latent without the network: unlike a latent it depends on the contexts, on its frame, and on what a
        contact had for it, too."""
        coding = replace(CodingConfig(), q=self.q, mode="transform", max_error=self.max_error)
        codec = FlightCodec.configured(self.model, coding)
        whole, frame = (Frame.from_array(p, BANDS) for p in (self.sensor.pixels(self.shot(key)), self.pixels(key)))
        tile = TilePixels(key, frame.data, frame.bands, frame.valid, asked=asked_by_frame(whole, self.tile))
        for coded in as_contacts_ask(codec, tile, contexts):
            yield coded.latent

    def check(self, held: ContextLatent, time: float, contexts: Sequence[ContextLatent] = ()) -> WrongImage | None:
        """Compare what the ground holds of a tile-frame. contexts: that its segment names."""
        try:
            self.shot(held.key)
        except KeyError:
            return WrongImage(held.key, held.layers, time, "no frame of this place and time was ever taken")
        if self.same_machine:
            true = [self.latent(held.key)] if is_learned(held.q) else self._plain(held.key, contexts)
            good = any(np.array_equal(held.latent, known_part(one, held.layers, held.q)) for one in true)
            return None if good else WrongImage(held.key, held.layers, time, "the undisturbed codec")
        told = self.told.get(held.key)
        good = told is not None and held.digest == told[held.layers - 1]
        return None if good else WrongImage(held.key, held.layers, time, "the board's own digest")

    def psnr(self, key: TileKey, image: NDArray[np.uint16]) -> float:
        """Of the ground's image (12, h, w) against the frame as the sensor gave it; peak 10,000 DN."""
        pixels = self.pixels(key)
        error = (image[:, : pixels.shape[1], : pixels.shape[2]].astype(np.float64) - pixels)[:, pixels.any(axis=0)]
        return float(10 * np.log10(PEAK_DN**2 / max(float(np.mean(error**2)), 1e-9)))
