"""A small stream with one of everything, for the stream tests."""

from __future__ import annotations

import random

import numpy as np

from swathpack.edge.stream import ContextRef, Extension, FrameRecord, Header, Segment, StreamWriter, pack_mask
from swathpack.edge.stream.records import GEOREFERENCE

S2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
NATIVE = (6, 1, 1, 1, 2, 2, 2, 1, 2, 6, 2, 2)
MODEL, TABLES = bytes(range(8)), b"tabs"


def header(**changes) -> Header:
    fields = {
        "model_digest": MODEL,
        "tables_digest": TABLES,
        "frames": 2,
        "height": 100,
        "width": 300,
        "bands": S2,
        "level": "L2A",
        "times": ("2024-05-01", "2024-05-06"),
    }
    return Header(**{**fields, **changes})


def example() -> tuple[bytes, list[Segment]]:
    """A small file with one of everything, and its segments."""
    rng = random.Random(7)
    writer = StreamWriter(header())
    valid = np.ones((100, 300), dtype=bool)
    valid[:, 250:] = False
    writer.add(FrameRecord(1, None, pack_mask(valid)))
    writer.add(Extension(GEOREFERENCE, b'{"crs": "EPSG:32635"}'))
    segments = []
    for frame in range(2):
        for tile in range(2):
            contexts = (ContextRef(0, 16, rng.randbytes(4)),) if frame else ()
            payload = rng.randbytes(rng.randrange(10, 60))
            segments.append(Segment(frame, tile, 20 + tile, 0, 16, 8, 16, contexts, payload=payload))
            writer.add(segments[-1])
    data = writer.to_bytes()
    assert len(data) == writer.size
    return data, segments


DATA, SEGMENTS = example()
