"""One tile on its way to a worker that decodes it, and back."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.codec.plain import Counts
from swathpack.edge.stream import Header, Segment
from swathpack.tools.files.decode_report import TileReport
from swathpack.tools.files.held_latents import Held, Place


@dataclass(frozen=True, eq=False)
class TilePart:
    """What one tile of a frame is decoded from, and nothing else. held: latents that it names; kept: whether later frames
    name its own. dates, earlier: what `HeldDates.before` gives of the dates that it names.
    """

    header: Header
    index: int
    window: TileWindow
    segments: list[Segment]
    held: dict[Place, Held]
    coder: str | None
    kept: bool
    dates: dict[Place, Counts]
    earlier: dict[Place, Sequence[Segment]]


@dataclass(frozen=True, eq=False)
class DecodedTile:
    """counts (C, h, w), None if nothing came; known (h, w) bool; steps: of each band, see `swathpack.codec.seams`, none where
    counts are exact or within an error; held: its latent, date: its samples as context, where later frames name it. A journal
    leaves the date out: it can be decoded again. smoothed: the counts are a copy whose seams are smoothed.
    """

    report: TileReport
    counts: NDArray[np.uint16] | None
    known: NDArray[np.bool_]
    steps: tuple[int, ...] = ()
    held: Held | None = None
    date: Counts | None = None
    smoothed: bool = False

    def fields(self) -> dict[str, Any]:
        """For a `TileStore`."""
        out: dict[str, Any] = {"report": json.dumps(vars(self.report)), "known": np.packbits(self.known)}
        out |= {"size": ",".join(map(str, self.known.shape)), "steps": json.dumps(self.steps)}
        if self.counts is not None:
            out |= {"counts": zlib.compress(self.counts.tobytes(), 1), "bands": len(self.counts)}
        if self.held is not None:
            out |= {"held": self.held.packed, "shape": ",".join(map(str, self.held.shape))}
            out |= {"quality": self.held.quality, "layers": self.held.layers}
        return out

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> DecodedTile:
        """The inverse of `fields`."""
        size, counts, held = tuple(map(int, fields["size"].split(","))), None, None
        if "counts" in fields:
            plain = zlib.decompress(fields["counts"])
            counts = np.frombuffer(plain, np.uint16).reshape(fields["bands"], *size)
        if "held" in fields:
            shape = tuple(map(int, fields["shape"].split(",")))
            held = Held(fields["held"], shape, fields["quality"], fields["layers"])
        known = np.unpackbits(fields["known"])[: size[0] * size[1]].reshape(size) != 0
        return cls(TileReport(**json.loads(fields["report"])), counts, known, tuple(json.loads(fields["steps"])), held)
