"""VVC (H.266) on KLT planes: Fraunhofer's vvenc, 10 bits, through the ffmpeg program that the package imageio-ffmpeg holds.

As the other video peers (`video.py`), with flat chroma: vvenc takes no grey pictures. The decoder is ffmpeg's own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.tools.bench.peers.base import Encoded, PeerError, Series, pack_mosaic, unpack_mosaic
from swathpack.tools.bench.peers.klt import HEADER_BYTES, Klt, PlaneRange

_RAW = ("-f", "rawvideo", "-pix_fmt", "yuv420p10le")


def ffmpeg() -> str:
    """The program. Raises PeerError where there is none, or none with vvenc."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise PeerError("VVC needs an ffmpeg with vvenc: pip install imageio-ffmpeg") from error
    path = str(imageio_ffmpeg.get_ffmpeg_exe())
    if b"libvvenc" not in _run([path, "-hide_banner", "-encoders"]):
        raise PeerError(f"VVC needs an ffmpeg with vvenc: {path} has none")
    return path


def vvc_runs() -> bool:
    """Whether the program is there; why not goes to stderr."""
    try:
        ffmpeg()
    except PeerError as error:
        print(f"left out: {error}", file=sys.stderr)
        return False
    return True


def _run(words: Sequence[str], data: bytes = b"") -> bytes:
    found = subprocess.run(words, input=data, capture_output=True)
    if found.returncode:
        raise PeerError(f"ffmpeg: {found.stderr.decode(errors='replace').strip()[-300:]}")
    return found.stdout


class Vvc:
    """vvenc at preset medium, constant QP, without its perceptual adaptation."""

    name, label = "vvc-klt", "VVC + KLT"
    knobs = tuple(float(q) for q in range(63, -1, -6))
    bits, align = 10, 16
    least_exponent = 17  # as SvtAv1's

    def __init__(self, bands: tuple[str, ...] = BANDS) -> None:
        self.program = ffmpeg()
        self.klt = Klt.trained(bands)
        self.version = "libvvenc medium qpa=0 v1"

    def encode(self, series: Series, knob: float) -> Encoded:
        """One bitstream for all dates."""
        planes = self.klt.forward(series)
        scale = PlaneRange.fitting(planes, self.bits, self.least_exponent)
        pictures = [pack_mosaic(p, self.align) for p in scale.quantise(planes)]
        height, width = pictures[0].shape
        given = b"".join(_picture(picture) for picture in pictures)
        words = [*_RAW, "-s", f"{width}x{height}", "-r", "25", "-i", "pipe:0", "-c:v", "libvvenc", "-preset", "medium"]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "all.266"
            wanted = ["-qp", f"{int(knob)}", "-qpa", "0", "-period", "40", "-threads", "1", str(path)]
            _run([self.program, "-loglevel", "error", *words, *wanted], given)
            stream = path.read_bytes()
        return Encoded([b""] * len(series), scale.pack(series.shape) + stream)

    def decode(self, encoded: Encoded) -> Series:
        """The series from its bytes."""
        scale, (frames, count, height, width) = PlaneRange.unpack(encoded.shared, self.bits)
        shape = pack_mosaic(np.zeros((count, height, width), np.uint16), self.align).shape
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "all.266"
            path.write_bytes(encoded.shared[HEADER_BYTES:])
            raw = _run([self.program, "-loglevel", "error", "-i", str(path), *_RAW, "pipe:1"])
        found = np.frombuffer(raw, "<u2")
        if found.size != frames * shape[0] * shape[1] * 3 // 2:
            raise PeerError(f"VVC: expected {frames} pictures of {shape[1]} x {shape[0]}, found {found.size} samples")
        luma = found.reshape(frames, -1)[:, : shape[0] * shape[1]].reshape(frames, *shape)
        planes = np.stack([unpack_mosaic(picture, count, height, width) for picture in luma])
        return self.klt.inverse(scale.dequantise(planes))


def _picture(luma: NDArray[np.uint16]) -> bytes:
    return luma.astype("<u2").tobytes() + np.full(luma.size // 2, 512, "<u2").tobytes()
