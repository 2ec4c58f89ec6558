"""Our codec as one more peer of the bench, through `swathpack.tools.files.api`."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from swathpack.edge.bands import BANDS, load_statistics
from swathpack.edge.frame import Frame
from swathpack.tools.bench.peers.base import Encoded, PeerError, Series


class SwathPack:
    """The edge codec; the knob is the quantiser index q (step 64 * 2^(q/8) DN), all or the first `layers`
    sent.

    `swathpack.tools.files.api` must offer encode_series(frames, q=int, layers=int) -> bytes, decode_series(bytes) ->
    frames, frame_bytes(bytes) -> bytes of each frame, and model_version() -> text for the cache key.
    options: more keywords of encode_series.
    """

    name, label = "swathpack", "SwathPack"
    knobs = tuple(float(q) for q in range(60, -1, -4))

    def __init__(self, bands: tuple[str, ...] = BANDS, layers: int = 16, **options: Any) -> None:
        try:
            self.api: Any = importlib.import_module("swathpack.tools.files.api")
        except ImportError as error:
            raise PeerError(f"the codec itself cannot be loaded: {error}") from error
        self.bands, self.layers, self.options = bands, layers, options
        said = "".join(f" {k}={v}" for k, v in sorted(options.items()))
        self.version = f"{self.api.model_version()} k{layers}{said}"

    def encode(self, series: Series, knob: float) -> Encoded:
        """One stream for the series; its bytes are charged to frames as the stream itself counts them."""
        return self._coded(series, int(knob), self.layers)

    def _coded(self, series: Series, q: int, layers: int) -> StreamEncoded:
        frames = [Frame(f, self.bands, time=f"{t:05d}") for t, f in enumerate(series)]
        stream = bytes(self.api.encode_series(frames, q=q, layers=layers, **self.options))
        return StreamEncoded([b""] * len(series), stream, counts=list(self.api.frame_bytes(stream)))

    def decode(self, encoded: Encoded) -> Series:
        """The series from the stream alone."""
        return np.stack([frame.data for frame in self.api.decode_series(encoded.shared)])


class Variant(SwathPack):
    """The same codec with something left out, at fewer steps."""

    knobs = tuple(float(q) for q in range(56, 7, -8))

    def __init__(self, name: str, label: str, bands: tuple[str, ...] = BANDS, **options: Any) -> None:
        super().__init__(bands, **options)
        self.name, self.label = name, label


class Layers(SwathPack):
    """One step for all frames; the knob is the number of layers that are sent, most important first."""

    knobs = (1.0, 2.0, 4.0, 8.0, 16.0)

    def __init__(self, q: int, bands: tuple[str, ...] = BANDS) -> None:
        super().__init__(bands)
        self.q, self.name, self.label = q, f"swathpack-q{q}", f"SwathPack, q {q}, k = 1 to 16"
        self.version += f" q{q}"

    def encode(self, series: Series, knob: float) -> Encoded:
        """The first `knob` layers of every frame."""
        return self._coded(series, self.q, int(knob))


class Rows(SwathPack):
    """One step for all frames, but in raster order instead of by importance: the knob is how many sixteenths
    of the rows are sent, every layer of them. Rows that are not sent take each band's mean over training places.

    What cutting a stream without repacking amounts to, with this codec's own bytes: a model trained on tokens in
    raster order would predict the missing ones from their neighbours, which this stand-in does not.
    """

    knobs = (4.0, 8.0, 12.0, 16.0)

    def __init__(self, q: int, bands: tuple[str, ...] = BANDS) -> None:
        super().__init__(bands)
        self.q, self.name, self.label = q, f"swathpack-rows{q}", f"SwathPack, q {q}, raster order"
        self.version += f" rows q{q}"

    def encode(self, series: Series, knob: float) -> Encoded:
        """The upper `knob` sixteenths of every frame, in whole latent rows; two bytes say how high it was."""
        height = series.shape[2]
        rows = min(16 * max(1, round(knob / 16 * height / 16)), height)
        coded = self._coded(np.ascontiguousarray(series[:, :, :rows]), self.q, self.layers)
        counts: list[int] = coded.counts  # type: ignore[attr-defined]
        return StreamEncoded(coded.frames, height.to_bytes(2, "little") + coded.shared, counts)

    def decode(self, encoded: Encoded) -> Series:
        """The rows that were sent, the mean spectrum below them."""
        upper = np.stack([frame.data for frame in self.api.decode_series(encoded.shared[2:])])
        index = [BANDS.index(b) for b in self.bands]
        mean = np.rint(load_statistics("pooled").mean[index]).astype(np.uint16)
        shape = (*upper.shape[:2], int.from_bytes(encoded.shared[:2], "little"), upper.shape[3])
        out = np.broadcast_to(mean[:, None, None], shape).copy()
        out[:, :, : upper.shape[2]] = upper
        return out


class StreamEncoded(Encoded):
    """One stream for all frames, with the bytes it spends on each."""

    def __init__(self, frames: list[bytes], shared: bytes, counts: list[int]) -> None:
        super().__init__(frames, shared)
        object.__setattr__(self, "counts", counts)

    @property
    def frame_bytes(self) -> list[float]:
        """Bytes of each frame, the stream's own headers spread evenly."""
        counts: list[int] = self.counts  # type: ignore[attr-defined]
        extra = (len(self.shared) - sum(counts)) / len(counts)
        return [c + extra for c in counts]
