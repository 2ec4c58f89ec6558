"""What a mission may set of the codec."""

from __future__ import annotations

from dataclasses import dataclass

from swathpack.edge.codec.modes import MODES
from swathpack.edge.codec.transform_coder import CHOICES
from swathpack.edge.radiometry import MAX_COUNT
from swathpack.edge.schema import key
from swathpack.edge.stream.quality import MAX_SHIFT


@dataclass(frozen=True)
class CodecSettings:
    """Of every tile. max_error: no count comes back off by more than that, 0 lossless (`swathpack.edge.codec.lone_exact`); without
    it the rest holds. q: quantiser step index. base: most octaves from its step to that of the base layer, 0 for no base
    (`swathpack.edge.stream.quality.usual_shift`). slope: of rate-distortion optimised quantisation, 0 for none. mode:
    learned, transform, or auto for the one with less error over its layers. finest_dn: of the transform coder's last
    bit plane; more of a tile than that is never sent. weights: of the bands, equal, visible or auto by the rate and the frame
    (`swathpack.edge.codec.transform_coder.weights_for`).
    """

    q: int = key(28, 0, 63)
    base: int = key(MAX_SHIFT, 0, 3)
    slope: float = key(0.0, 0.0, 1.0)
    mode: str = key("auto", words=MODES)
    finest_dn: float = key(4.0, 0.5, 4096.0)
    weights: str = key("auto", words=CHOICES)
    max_error: int | None = key(None, 0, MAX_COUNT)

    @property
    def promises(self) -> tuple[int, ...]:
        """Greatest errors that are promised of any tile, none of them twice."""
        return () if self.max_error is None else (self.max_error,)
