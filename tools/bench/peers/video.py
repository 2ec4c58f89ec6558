"""Inter-frame video peers on KLT planes through PyAV: x265 at 12 bits, SVT-AV1 at 10 bits.

Each date is one grey picture: a mosaic of the KLT planes. The dates are the frames of a sequence, coded with
reference to earlier (and, as B pictures, later) dates; a single date is an intra picture. One step for all
planes and one QP for all pictures' planes, since the KLT is orthonormal. Psychovisual tools are off.
"""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.tools.bench.peers.base import Encoded, PeerError, Series, pack_mosaic, unpack_mosaic
from swathpack.tools.bench.peers.klt import HEADER_BYTES, Klt, PlaneRange


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise PeerError("video peers need PyAV: pip install 'swathpack[bench]'") from error
    av.logging.set_level(av.logging.PANIC)
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 writes to stderr by itself: errors alone
    return av


class _Video:
    """Shared by the two codecs: planes to pictures, pictures to packets, and back."""

    name = label = encoder = decoder = pixel_format = ""
    bits = 12
    align = 16
    least_exponent = 9  # 8 DN a code value: QP 0 is then finer than anyone needs and QP 51 coarser

    def __init__(self, bands: tuple[str, ...] = BANDS) -> None:
        self.av = _av()
        if self.encoder not in self.av.codecs_available:
            raise PeerError(f"{self.name}: this PyAV has no {self.encoder}")
        self.klt = Klt.trained(bands)
        self.version = f"PyAV {self.av.__version__} {self.options(0.0)} v2"

    def options(self, knob: float) -> dict[str, str]:
        """Encoder options for a QP."""
        raise NotImplementedError

    def encode(self, series: Series, knob: float) -> Encoded:
        """Packets in display order, frame by frame; the headers and the coding order are shared."""
        planes = self.klt.forward(series)
        scale = PlaneRange.fitting(planes, self.bits, self.least_exponent)
        pictures = [pack_mosaic(p, self.align) for p in scale.quantise(planes)]
        context = self._context(pictures[0], knob)
        packets: list[tuple[int, bytes]] = []
        for index, picture in enumerate([*pictures, None]):
            frame = None if picture is None else self._frame(picture)
            if frame is not None:
                frame.pts = index
            packets += [(p.pts, bytes(p)) for p in context.encode(frame)]
        order = bytes(pts for pts, _ in packets) if len(packets) < 256 else b""
        if sorted(pts for pts, _ in packets) != list(range(len(series))) or len(series) > 255:
            raise PeerError(f"{self.name}: expected one packet for each of 1 to 255 dates, found {len(packets)}")
        by_time = dict(packets)
        return Encoded([by_time[t] for t in range(len(series))], scale.pack(series.shape) + order)

    def _context(self, picture: NDArray[np.uint16], knob: float) -> Any:
        context = self.av.CodecContext.create(self.encoder, "w")
        context.height, context.width = picture.shape
        context.pix_fmt = self.pixel_format
        context.time_base, context.framerate = Fraction(1, 25), Fraction(25, 1)
        context.thread_count = 1
        context.options = self.options(knob)
        return context

    def _frame(self, picture: NDArray[np.uint16]) -> Any:
        raise NotImplementedError

    def _picture(self, frame: Any) -> NDArray[np.uint16]:
        luma = frame.planes[0]
        rows = np.frombuffer(luma, np.uint16).reshape(luma.height, luma.line_size // 2)
        return rows[:, : luma.width].copy()

    def decode(self, encoded: Encoded) -> Series:
        """The series from headers and packets, fed in coding order."""
        scale, (frames, count, height, width) = PlaneRange.unpack(encoded.shared, self.bits)
        context = self.av.CodecContext.create(self.decoder, "r")
        context.thread_count = 1
        decoded: list[Any] = []
        for pts in encoded.shared[HEADER_BYTES:]:
            packet = self.av.Packet(encoded.frames[pts])
            packet.pts = pts
            decoded += context.decode(packet)
        decoded += context.decode(None)
        if len(decoded) != frames:
            raise PeerError(f"{self.name}: expected {frames} pictures, found {len(decoded)}")
        decoded.sort(key=lambda f: f.pts)
        planes = np.stack([unpack_mosaic(self._picture(f), count, height, width) for f in decoded])
        return self.klt.inverse(scale.dequantise(planes))


class X265(_Video):
    """x265, main 12 intra/inter, grey, constant QP, preset slow, three B pictures."""

    name, label = "x265-klt", "x265 inter + KLT"
    encoder, decoder, pixel_format = "libx265", "hevc", "gray12le"
    knobs = tuple(float(q) for q in range(51, -1, -4))
    preset, between = "slow", 3  # B pictures between others

    def options(self, knob: float) -> dict[str, str]:
        """Quiet, one thread, tuned for PSNR."""
        params = f"qp={int(knob)}:log-level=none:info=0:pools=none:frame-threads=1:keyint=-1:bframes={self.between}"
        return {"preset": self.preset, "tune": "psnr", "x265-params": params}

    def _frame(self, picture: NDArray[np.uint16]) -> Any:
        return self.av.VideoFrame.from_ndarray(picture, format=self.pixel_format)


class SvtAv1(_Video):
    """SVT-AV1, 10 bits, constant QP, preset 4; chroma is flat."""

    name, label = "av1-klt", "SVT-AV1 inter + KLT"
    encoder, decoder, pixel_format = "libsvtav1", "libdav1d", "yuv420p10le"
    bits = 10
    least_exponent = 17  # 51 DN: 10-bit QP 63 is then coarse enough for the lowest rates
    knobs = (63.0, 58.0, 53.0, 48.0, 43.0, 38.0, 33.0, 28.0, 23.0, 18.0, 13.0, 8.0, 4.0, 1.0)

    def options(self, knob: float) -> dict[str, str]:
        """Low delay keeps one packet for each date; tune 1 is PSNR."""
        params = f"lp=1:tune=1:rc=0:aq-mode=0:keyint=-1:pred-struct=1:film-grain=0:scd=0:qp={int(knob)}"
        return {"preset": "4", "svtav1-params": params}

    def _frame(self, picture: NDArray[np.uint16]) -> Any:
        frame = self.av.VideoFrame(picture.shape[1], picture.shape[0], self.pixel_format)
        for plane, value in zip(frame.planes, (picture, 512, 512)):
            rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
            rows[:, : plane.width] = value
            plane.update(rows.tobytes())
        return frame
