"""Our codec as one more peer of the bench, through `tools.codec_api`."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from edge.bands import BANDS
from edge.frame import Frame
from tools.peers.base import Encoded, PeerError, Series


class SwathPack:
    """The edge codec; the knob is the quantiser index q (step 64 * 2^(q/8) DN), all or the first `layers`
    sent.

    `tools.codec_api` must offer encode_series(frames, q=int, layers=int) -> bytes, decode_series(bytes) ->
    frames, frame_bytes(bytes) -> bytes of each frame, and model_version() -> text for the cache key.
    """

    name, label, temporal = "swathpack", "SwathPack", True
    knobs = tuple(float(q) for q in range(60, -1, -4))

    def __init__(self, bands: tuple[str, ...] = BANDS, layers: int = 16) -> None:
        try:
            self.api: Any = importlib.import_module("tools.codec_api")
        except ImportError as error:
            raise PeerError(f"the codec itself cannot be loaded: {error}") from error
        self.bands, self.layers = bands, layers
        self.version = f"{self.api.model_version()} k{layers}"

    def encode(self, series: Series, knob: float) -> Encoded:
        """One stream for the series; its bytes are charged to frames as the stream itself counts them."""
        frames = [Frame(f, self.bands, time=f"{t:05d}") for t, f in enumerate(series)]
        stream = bytes(self.api.encode_series(frames, q=int(knob), layers=self.layers))
        return StreamEncoded([b""] * len(series), stream, counts=list(self.api.frame_bytes(stream)))

    def decode(self, encoded: Encoded) -> Series:
        """The series from the stream alone."""
        return np.stack([frame.data for frame in self.api.decode_series(encoded.shared)])


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
