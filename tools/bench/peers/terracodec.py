"""An imported or trained TerraCodec model (.swt) as a codec of the bench: one file, one rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from swathpack.tools.bench.peers.base import Encoded, PeerError, Series


class TerraCodec:
    """TEC-FP, TEC-ELIC, TEC-TT or FlexTEC; the knob is the number of tokens that are sent (16 but for FlexTEC)."""

    def __init__(self, path: Path) -> None:
        try:
            from swathpack.codec.terracodec import CheckpointError, load_model
        except ImportError as error:
            raise PeerError(f"{path.name} needs torch: pip install 'swathpack[train]'") from error
        try:
            self.model: Any = load_model(path)
        except CheckpointError as error:
            raise PeerError(str(error)) from error
        if self.model.model.bands != 12:
            raise PeerError(f"{path}: expected a model of 12 bands, found {self.model.model.bands}")
        self.name, self.label = path.stem, f"{self.model.family}, {self.model.parameters:,} parameters"
        self.version = self.model.digest.hex()
        self.knobs = (1.0, 2.0, 4.0, 8.0, 16.0) if self.model.family == "flextec" else (16.0,)

    def encode(self, series: Series, knob: float) -> Encoded:
        """One stream of the family's own container; its bytes are spread evenly over the frames."""
        from swathpack.codec.terracodec import encode_series

        return Encoded([b""] * len(series), encode_series(self.model, series, int(knob)))

    def decode(self, encoded: Encoded) -> Series:
        """The series from the stream alone, rounded and kept within uint16."""
        from swathpack.codec.terracodec import decode_series

        frames = decode_series(self.model, encoded.shared)
        return np.clip(np.rint(frames), 0, 65535).astype(np.uint16)
