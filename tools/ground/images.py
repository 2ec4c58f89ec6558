"""Images from the ground's store: every tile-frame it holds, synthesised and put together by place and time."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.base_layer import step_of
from swathpack.edge.codec.latents import STRIDE
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.frame import Frame
from swathpack.edge.packets.report import held_digest
from swathpack.edge.stages.intake import TILE_BITS
from swathpack.tools.files.outputs import Output
from swathpack.tools.files.rasters import Series, write_series
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.store import GroundStore

TILE = 256
MAX_DN = 65535


def split_tile(tile: int) -> tuple[int, int, int]:
    """(place, row, column) of a tile id."""
    column = tile & ((1 << TILE_BITS) - 1)
    row = tile >> TILE_BITS & ((1 << TILE_BITS) - 1)
    return tile >> 2 * TILE_BITS, row, column


def place_frames(store: GroundStore, model: EdgeModel) -> dict[int, list[Frame]]:
    """Frames (12 bands, whole blocks of 16 pixels) of every place, by time; what did not come is nodata.

    Layers that a latent lacks are filled with what the model expects. The ground knows a tile's latent, not
    the frame's size: the last rows and columns may be mirror images of the border.
    """
    places: dict[int, dict[int, list[TileKey]]] = defaultdict(lambda: defaultdict(list))
    for key in store.tile_frames():
        places[split_tile(key.tile)[0]][key.time].append(key)
    return {
        p: [_frame(store, model, time, keys) for time, keys in sorted(times.items())] for p, times in places.items()
    }


def _frame(store: GroundStore, model: EdgeModel, time: int, keys: list[TileKey]) -> Frame:
    tiles: list[tuple[int, int, NDArray[np.float32]]] = []
    for key in keys:
        pixels = _tile(store, model, key)
        if pixels is not None:
            _, row, column = split_tile(key.tile)
            tiles.append((row * TILE, column * TILE, pixels))
    height = max(top + t.shape[1] for top, _, t in tiles)
    width = max(left + t.shape[2] for _, left, t in tiles)
    assert height % STRIDE == 0 and width % STRIDE == 0
    data = np.zeros((len(BANDS), height, width), np.uint16)
    for top, left, t in tiles:
        data[:, top : top + t.shape[1], left : left + t.shape[2]] = np.clip(np.rint(t), 1, MAX_DN)
    stamp = datetime.fromtimestamp(time, timezone.utc)
    return Frame(data, BANDS, time=stamp.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _tile(store: GroundStore, model: EdgeModel, key: TileKey) -> NDArray[np.float32] | None:
    """The pixels (12, 16h, 16w) DN of a tile-frame, from the segment that brought the latent that is held."""
    held = store.latent(key)
    if held is None:
        return None
    decoder = EdgeSegmentDecoder(model)
    digest = held_digest(key, held.q, held.layers, held.latent)
    for segment in store.of(key):
        head = decoder.head(segment.prefix) if segment.digest == digest else None
        contexts = store.contexts(key, head.context_digests) if head is not None else None
        if contexts is not None:
            return model.synthesise(decoder.reconstruction(segment.prefix, contexts))
    return model.synthesise(held.latent.astype(np.float32), step_of(held.q))


def write_images(store: GroundStore, model: EdgeModel, folder: Path) -> list[Path]:
    """One `place-ID.npz` for every place; frames of a place are padded with nodata to equal size."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for place, frames in place_frames(store, model).items():
        height, width = max(f.height for f in frames), max(f.width for f in frames)
        alike = []
        for f in frames:
            data = np.zeros((len(BANDS), height, width), np.uint16)
            data[:, : f.height, : f.width] = f.data
            alike.append(Frame(data, BANDS, time=f.time))
        target = folder / f"place-{place}.npz"
        with Output(target, force=True) as part:
            write_series(Series(alike), part)
        written.append(target)
    return written
