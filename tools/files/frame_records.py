"""What a stream says of each frame besides its tiles: nothing, where it is as in the frame before."""

from __future__ import annotations

from collections.abc import Sequence

from swathpack.edge.stream import FrameRecord, Header, pack_frame, unpack_mask
from swathpack.edge.stream.contours import pack_contours
from swathpack.edge.stream.edges import pack_edges
from swathpack.edge.stream.times import Time
from swathpack.tools.files.sources import FrameSource

_Packed = tuple[bytes | None, bool, bytes | None]  # mask, whether by its edges, holes
_NOTHING: _Packed = None, False, None


class FrameRecords:
    """Records of the frames of a series, each of which is looked at once, in order."""

    def __init__(self, frames: Sequence[FrameSource], header: Header) -> None:
        self._frames, self._header = frames, header
        self._packed: list[_Packed] = []
        self._said: list[tuple[Time, bool]] = []  # time that the header lacks, whether of the other offset
        self._first: dict[_Packed, int] = {}  # frame whose record holds it

    def of(self, index: int) -> FrameRecord | None:
        """The record of a frame, None where it needs none."""
        for later in range(len(self._packed), index + 1):
            self._look(self._frames[later])
        own, (time, other) = self._packed[index], self._said[index]
        before = self._packed[index - 1] if index else _NOTHING
        if own == before and time is None and not other:
            return None
        mask, edges, holes = own
        first = self._first[own]
        if first < index and (mask or holes):
            return FrameRecord(index, time, other_offset=other, like=index - first)
        return FrameRecord(index, time, mask, holes=holes, other_offset=other, edges=edges)

    def _look(self, frame: FrameSource) -> None:
        own = _pack(frame)
        self._first.setdefault(own, len(self._packed))
        self._packed.append(own)
        time, other = frame.outline.time, frame.outline.boa_offset != self._header.boa_offset
        self._said.append((None if self._header.times else time, other))

    def bytes_of(self, index: int) -> int:
        """Length of the record of a frame."""
        record = self.of(index)
        return len(pack_frame(record, self._header.binding)) if record else 0


def _pack(frame: FrameSource) -> _Packed:
    """The mask in the shortest of three forms."""
    mask, holes = frame.masks()
    if mask is None:
        return None, False, holes
    valid = unpack_mask(mask, frame.height, frame.width)
    by_edges = [packed for packed in (pack_edges(valid), pack_contours(valid)) if packed is not None]
    shortest = min([mask, *by_edges], key=len)
    return shortest, shortest is not mask, holes
