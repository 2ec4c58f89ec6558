"""Frame-by-frame peers: JPEG2000 (all bands in one codestream, with and without KLT) and JPEG XL on KLT
planes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.tools.bench.peers.base import Encoded, PeerError, Series, pack_mosaic, unpack_mosaic
from swathpack.tools.bench.peers.klt import HEADER_BYTES, Klt, PlaneRange


def _imagecodecs() -> Any:
    try:
        import imagecodecs
    except ImportError as error:
        raise PeerError("JPEG2000 and JPEG XL need imagecodecs: pip install 'swathpack[bench]'") from error
    return imagecodecs


class Jpeg2000:
    """OpenJPEG, 9/7 wavelet, all components in one bare codestream, truncated where the slope is equal
    everywhere.

    The knob is OpenJPEG's quality in dB against 65,535. Its rate control spends bits over components and code
    blocks by falling slope (ISO/IEC 15444-1 annex J.14), so the bands get what lowers the squared error most.
    """

    knobs = tuple(float(k) for k in np.arange(36.0, 76.0, 3.0))

    def __init__(self, bands: tuple[str, ...] = BANDS, klt: bool = False, resolutions: int = 6) -> None:
        self.codec = _imagecodecs()
        self.klt = Klt.trained(bands) if klt else None
        self.centre = 32768 - np.rint(Klt.trained(bands).mean).astype(np.int64)[:, None, None]
        self.resolutions = resolutions
        self.name = "j2k-klt" if klt else "j2k"
        self.label = "JPEG2000 + KLT" if klt else "JPEG2000"
        self.version = f"{self.codec.jpeg2k_version()} imagecodecs {self.codec.__version__} r{resolutions} v2"

    def encode(self, series: Series, knob: float) -> Encoded:
        """One codestream per frame; with KLT, a header says how its planes became 16-bit samples."""
        return Encoded([self._frame(frame, knob) for frame in series])

    def _frame(self, frame: NDArray[np.uint16], knob: float) -> bytes:
        # The transform's zero lies in the middle of the unsigned range: bands far from it pay tens of bytes.
        header, image = b"", np.clip(frame + self.centre, 0, 65535).astype(np.uint16)
        if self.klt is not None:
            planes = self.klt.forward(frame[None])
            scale = PlaneRange.fitting(planes, 16)
            header, image = scale.pack(planes.shape), scale.quantise(planes)[0]
            # The quality is against 65,535 codes: keep it the same number of DN whatever the step is.
            knob += 20 * np.log10(scale.step)
        stream = self.codec.jpeg2k_encode(
            np.ascontiguousarray(image),
            level=float(knob),
            codecformat="j2k",
            planar=len(image) > 1,
            mct=False,
            reversible=False,
            resolutions=self.resolutions,
            numthreads=1,
        )
        return header + bytes(stream)

    def decode(self, encoded: Encoded) -> Series:
        """The frames from their codestreams."""
        return np.stack([self._decode_frame(data) for data in encoded.frames])

    def _decode_frame(self, data: bytes) -> NDArray[np.uint16]:
        start = HEADER_BYTES if self.klt is not None else 0
        image = self.codec.jpeg2k_decode(data[start:], planar=True, numthreads=1)
        image = image[None] if image.ndim == 2 else image
        if self.klt is None:
            out: NDArray[np.uint16] = np.clip(image - self.centre, 0, 65535).astype(np.uint16)
            return out
        scale, _ = PlaneRange.unpack(data, 16)
        return self.klt.inverse(scale.dequantise(image))


class JpegXl:
    """libjxl, lossy, on a mosaic of KLT planes (one grey 16-bit image per frame); the knob is its distance."""

    name, label = "jxl-klt", "JPEG XL + KLT"
    knobs = (15.0, 8.0, 5.0, 3.2, 2.0, 1.3, 0.8, 0.5, 0.32, 0.2, 0.13, 0.08, 0.05, 0.03)
    step = 2.0  # DN per code value: fixes the grey level, on which libjxl's perceptual scale depends

    def __init__(self, bands: tuple[str, ...] = BANDS, effort: int = 5) -> None:
        self.codec = _imagecodecs()
        self.klt = Klt.trained(bands)
        self.effort = effort
        self.version = f"{self.codec.jpegxl_version()} imagecodecs {self.codec.__version__} e{effort} v1"

    def encode(self, series: Series, knob: float) -> Encoded:
        """One bare codestream per frame; the shape of the series in ten bytes."""
        scale = self._scale()
        images = scale.quantise(self.klt.forward(series))
        streams = [
            bytes(
                self.codec.jpegxl_encode(
                    pack_mosaic(i, 8), distance=knob, effort=self.effort, usecontainer=False, numthreads=1
                )
            )
            for i in images
        ]
        return Encoded(streams, scale.pack(series.shape))

    def _scale(self) -> PlaneRange:
        return PlaneRange(exponent=3, lowest=-8192, bits=16)

    def decode(self, encoded: Encoded) -> Series:
        """The frames from their codestreams."""
        scale, (_, count, height, width) = PlaneRange.unpack(encoded.shared, 16)
        frames = []
        for data in encoded.frames:
            image = self.codec.jpegxl_decode(data, numthreads=1).squeeze()
            planes = unpack_mosaic(image, count, height, width)
            frames.append(self.klt.inverse(scale.dequantise(planes)))
        return np.stack(frames)
