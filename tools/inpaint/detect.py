"""A cloud and shadow detector from band ratios, and from the change against the other dates where there are any.

Clouds: green and red reflectance (Braaten, Cohen and Yang 2015, "Automated cloud and cloud shadow identification in
Landsat MSS imagery for temperate ecosystems", Remote Sensing of Environment 169), snow taken out by NDSI (Dozier
1989). With three dates or more also blue reflectance that rises against the other dates (Hagolle et al. 2010, "A
multi-temporal method for cloud detection", Remote Sensing of Environment 114). Shadows, from three dates on: near
infrared and green that fall together within reach of a cloud, outside water. It is a stand-in for a product's own
mask, not a rival of one: thin cirrus and shadows of clouds outside the frame stay unseen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.frame import Frame
from swathpack.edge.sources.cloud import GREEN_CLEAR, GREEN_CLOUD, SNOW_NDSI
from swathpack.tools.errors import UserError

DILATE = 2  # pixels by which masks grow unless told otherwise
BLUE_RISE = 300.0  # DN: 0.03 reflectance (Hagolle et al. 2010, equation 1, without the growth with time)
RED_SHARE = 1.5  # red may rise at most so much more than blue, else it is bare soil (same, equation 2)
DARK = 0.65  # of the usual near infrared and green: shadow
REACH = 48  # pixels from a cloud within which a shadow is looked for: 480 m at 10 m
REFERENCE_DATES = 3
SPECKS = 2  # pixels: a cloud this thin or thinner is noise or a roof

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def detect(frames: Sequence[Frame]) -> Mask:
    """(T, H, W) bool, True where cloud or shadow. Needs B03 and B04; uses B02, B08 and B11 where they are there."""
    missing = [b for b in ("B03", "B04") if b not in frames[0].bands]
    if missing:
        raise UserError(
            f"detecting clouds needs bands B03 and B04, found {', '.join(frames[0].bands)}: give --mask or --scl"
        )
    planes = [_planes(f) for f in frames]
    bright = np.stack([opened(_bright(p) & f.valid, SPECKS) for p, f in zip(planes, frames)])
    if len(frames) < REFERENCE_DATES:
        return bright
    usual = _usual(planes, ~bright & np.stack([f.valid for f in frames]))
    out = np.empty_like(bright)
    for t, (p, frame) in enumerate(zip(planes, frames)):
        cloud = bright[t] | opened(_risen(p, usual) & frame.valid, SPECKS)
        shadow = opened(_fallen(p, usual), SPECKS) & dilated(cloud, REACH) & frame.valid
        out[t] = cloud | shadow
    return out


def _planes(frame: Frame) -> dict[str, Floats]:
    plain = frame.without_offset()
    return {
        b: plain.data[i].astype(np.float32)
        for i, b in enumerate(plain.bands)
        if b in ("B02", "B03", "B04", "B08", "B11")
    }


def _bright(p: dict[str, Floats]) -> Mask:
    green, red = p["B03"], p["B04"]
    cloud = (green > GREEN_CLOUD) | ((green > GREEN_CLEAR) & (green > red))
    if "B11" in p:
        infrared = p["B11"]
        cloud &= (green - infrared) < SNOW_NDSI * np.maximum(green + infrared, 1)
    return cloud


def _usual(planes: Sequence[dict[str, Floats]], clear: Mask) -> dict[str, Floats]:
    """Median of each band over the dates on which a pixel is not bright; over all dates where it always is."""
    anywhere = clear.any(0)
    out = {}
    for band in planes[0]:
        stack = np.stack([p[band] for p in planes])
        seen = np.where(clear, stack, np.nan)
        seen[:, ~anywhere] = stack[:, ~anywhere]
        out[band] = np.nanmedian(seen, axis=0).astype(np.float32)
    return out


def _risen(p: dict[str, Floats], usual: dict[str, Floats]) -> Mask:
    low = "B02" if "B02" in p else "B03"
    rise, red = p[low] - usual[low], p["B04"] - usual["B04"]
    return (rise > BLUE_RISE) & (red < RED_SHARE * rise)


def _fallen(p: dict[str, Floats], usual: dict[str, Floats]) -> Mask:
    if "B08" not in p:
        return np.zeros(p["B03"].shape, np.bool_)
    water = usual["B03"] > usual["B08"]
    return (p["B08"] < DARK * usual["B08"]) & (p["B03"] < DARK * usual["B03"]) & ~water


def dilated(mask: Mask, radius: int) -> Mask:
    """Grown by `radius` pixels in a square neighbourhood, along the last two axes."""
    out = mask
    for axis in (-1, -2):
        out = _grown(out, radius, axis)
    return out


def _grown(mask: Mask, radius: int, axis: int) -> Mask:
    if radius < 1:
        return mask.copy()
    count = np.cumsum(np.moveaxis(mask, axis, -1), axis=-1, dtype=np.int32)
    padded = np.concatenate([np.zeros_like(count[..., :1]), count], axis=-1)
    at = np.arange(count.shape[-1])
    high, low = np.minimum(at + radius + 1, at.size), np.maximum(at - radius, 0)
    return np.moveaxis(padded[..., high] > padded[..., low], -1, axis)


def opened(mask: Mask, radius: int) -> Mask:
    """Without what is narrower than 2 * radius + 1 pixels; the rest keeps its outline."""
    eroded = ~dilated(~mask, radius)
    return dilated(eroded, radius) & mask
