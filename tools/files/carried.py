"""What a stream carries of what its files said: one extension record, packed small (`rasters.packing`).

Streams of before hold deflated JSON in a record of tag 64; they are read as they were.
"""

from __future__ import annotations

from typing import Any

from swathpack.edge.stream import Extension, Stream
from swathpack.tools.files.rasters import packing
from swathpack.tools.files.rasters.series import unpack_metadata

METADATA_TAG, FACTS_TAG = 64, 65


def record_of(packed: bytes) -> Extension | None:
    """The record for metadata of `packing.pack`, None for none."""
    return Extension(FACTS_TAG, packed) if packed else None


def metadata_of(stream: Stream) -> dict[str, Any]:
    """The metadata that a stream carries; empty without any. Raises UserError where they are damaged."""
    for extension in stream.extensions:
        if extension.tag == FACTS_TAG:
            return packing.unpack(extension.data)
        if extension.tag == METADATA_TAG:
            return unpack_metadata(extension.data)
    return {}
