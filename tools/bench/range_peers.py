"""Peers over the whole range of rates, one date alone: curves of (bits a pixel and band, RMSE) of a scene.

Every peer with a KLT gets the frame's own, 16 bits an entry and a mean, which it pays for. JPEG2000: OpenJPEG, 9/7, all bands
in one codestream truncated where the slope is equal. JPEG XL: VarDCT on a mosaic of the planes. x265 at 12 bits and SVT-AV1 at
10, intra, tuned for PSNR, with planes scaled once for fine and once for coarse steps; the lower envelope of both counts; VVC likewise,
where a program for it is (`peers/vvc.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.pixels import fill_invalid
from swathpack.tools.bench.peers.base import PeerError
from swathpack.tools.bench.peers.klt import Klt, PlaneRange
from swathpack.tools.bench.peers.still import JpegXl
from swathpack.tools.bench.peers.video import X265, SvtAv1
from swathpack.tools.bench.peers.vvc import Vvc, vvc_runs
from swathpack.tools.errors import UserError

LEVELS = np.arange(30.0, 128.0, 2.0)  # OpenJPEG's quality, dB against 65,535
LEAST_STEP = -9  # thirds of an octave: an eighth of a count, so that rounding a KLT's planes holds no peer back
HIGHEST = 3.6  # bits a pixel and band, beyond which curves are not followed
DISTANCES = (25.0, 15.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015)
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Scene:
    """One date: (C, H, W) integers, (H, W) validity, names for the statistics that go without saying, or None."""

    name: str
    data: NDArray[np.uint16]
    valid: NDArray[np.bool_]
    names: tuple[str, ...] | None

    @property
    def filled(self) -> NDArray[np.float32]:
        """Samples with invalid pixels filled smoothly."""
        return fill_invalid(self.data.astype(np.float32), self.valid)

    @property
    def whole(self) -> NDArray[np.uint16]:
        """The same, as integers."""
        out: NDArray[np.uint16] = np.clip(np.rint(self.filled), 0, 65535).astype(np.uint16)
        return out

    def own_klt(self) -> Klt:
        """The KLT of this very frame."""
        return Klt.of_pixels(self.filled.astype(np.float64).reshape(len(self.data), -1))


def rmse(scene: Scene, decoded: NDArray[np.generic]) -> float:
    """Over valid pixels of all bands."""
    error = decoded.astype(np.float64)[:, scene.valid] - scene.data[:, scene.valid]
    return float(np.sqrt((error**2).mean()))


def side_bits(scene: Scene, klt: bool) -> int:
    """Bits of a basis of the frame's own, and of the means."""
    count = len(scene.data)
    return 16 * count + (16 * count**2 if klt and count > 1 else 0)


def jpeg2000(scene: Scene, klt: bool) -> Points:
    """At falling steps of OpenJPEG's quality."""
    try:
        import imagecodecs
    except ImportError as error:
        raise PeerError("JPEG2000 needs imagecodecs: pip install 'swathpack[bench]'") from error
    count = len(scene.data)
    transform = scene.own_klt() if klt else Klt(np.eye(count), np.rint(scene.filled.mean((1, 2)).astype(np.float64)))
    planes = transform.forward(scene.filled.astype(np.float64))
    scale = PlaneRange.fitting(planes[None], 16, LEAST_STEP) if klt else PlaneRange(0, -4096, 16)
    image = np.ascontiguousarray(scale.quantise(planes))
    options: dict[str, Any] = {"codecformat": "j2k", "mct": False, "reversible": False, "resolutions": 6}
    points: Points = []
    for level in LEVELS + 20 * np.log10(scale.step):
        one = image if count > 1 else image[0]
        stream = imagecodecs.jpeg2k_encode(one, level=level, planar=count > 1, numthreads=1, **options)
        back = imagecodecs.jpeg2k_decode(stream, planar=True, numthreads=1).reshape(image.shape)
        decoded = transform.inverse(scale.dequantise(back))
        points.append(((8 * len(stream) + side_bits(scene, klt)) / image.size, rmse(scene, decoded)))
        if points[-1][0] > HIGHEST:
            break
    return points


def _points_of(peer: Any, knobs: tuple[float, ...], scene: Scene) -> Points:
    """A codec of series on one date, with the frame's own KLT."""
    peer.klt, points = scene.own_klt(), []
    for knob in knobs:
        encoded = peer.encode(scene.whole[None], knob)
        bits = 8 * encoded.total_bytes + side_bits(scene, klt=True)
        points.append((bits / scene.data.size, rmse(scene, peer.decode(encoded)[0])))
        if points[-1][0] > HIGHEST:
            break
    return points


def jpegxl(scene: Scene) -> Points:
    """libjxl at falling distances."""
    return _points_of(JpegXl(), DISTANCES, scene)


def _video(make: Callable[[], Any], knobs: tuple[float, ...]) -> Callable[[Scene], Points]:
    def curve(scene: Scene) -> Points:
        coarse, fine = make(), make()
        fine.least_exponent = 0
        return envelope([*_points_of(coarse, knobs, scene), *_points_of(fine, knobs, scene)])

    return curve


def envelope(points: Points) -> Points:
    """By rising bits, those with less error than every cheaper one."""
    kept: Points = []
    for bits, error in sorted(points):
        if not kept or error < kept[-1][1]:
            kept.append((bits, error))
    return kept


def at_rates(points: Points, rates: tuple[float, ...]) -> list[float]:
    """RMSE at each rate, linear between points in the logarithms; nan outside."""
    curve = np.log(np.maximum(np.array(sorted(set(points))), 1e-3))
    x, y = curve.T
    return [float(e) for e in np.exp(np.interp(np.log(rates), x, y, left=np.nan, right=np.nan))]


CURVES: dict[str, Callable[[Scene], Points]] = {
    "JPEG2000": lambda scene: jpeg2000(scene, klt=False),
    "JPEG2000 + KLT": lambda scene: jpeg2000(scene, klt=True),
    "JPEG XL + KLT": jpegxl,
    "x265 + KLT": _video(X265, tuple(float(q) for q in range(51, -1, -6))),
    "SVT-AV1 + KLT": _video(SvtAv1, (63.0, 55.0, 47.0, 39.0, 31.0, 23.0, 15.0, 8.0, 2.0)),
    "VVC + KLT": _video(Vvc, (63.0, 55.0, 47.0, 39.0, 31.0, 23.0, 15.0, 7.0)),
}
PLAIN = ("JPEG2000", "JPEG2000 + KLT")


def named(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Peers from a comma-separated list, or all that can run here (VVC needs a program). Raises UserError."""
    if text == "all":
        return tuple(name for name in known if not name.startswith("VVC") or vvc_runs())
    found = tuple(part.strip() for part in text.split(","))
    if unknown := [name for name in found if name not in known]:
        raise UserError(f"unknown {unknown[0]!r}: peers are {', '.join(known)}, or all")
    return found
