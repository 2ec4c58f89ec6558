"""The same samples from the same payload, on every machine: C against its numpy twin, and pinned payloads with their samples."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.digest import array_digest
from swathpack.edge.codec.transform_coder import (
    DecodedTile,
    counts_of,
    decode_tile,
    is_predicted,
    native,
    wavelet,
)
from swathpack.edge.codec.transform_coder.head import expected_of
from swathpack.edge.codec.transform_coder.layout import Pyramid
from swathpack.edge.codec.transform_coder.spectral import Spectrum, Zone, basis_of, default_spectrum, zone_columns

GOLDEN = json.loads(Path(__file__).with_name("golden_pixels.json").read_text())
needs_c = pytest.mark.skipif(not native.available(), reason="the C library is not built")


def _twin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "available", lambda: False)


def _noise(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Coefficients of every size, many of them zero and whole stretches too."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape) * np.exp2(rng.integers(-6, 16, shape)) * (rng.random(shape) < 0.4)
    values[: shape[0] // 2, : shape[1] // 2] = 0
    return np.asarray(values, np.float32)


@needs_c
@pytest.mark.parametrize("pyramid", [Pyramid(64, 48, 3, 4, 9), Pyramid(33, 71, 2, 1, 2), Pyramid(96, 96, 4, 12, 12)])
def test_spectral_bases(pyramid: Pyramid, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, zones = np.random.default_rng(1), []
    for start, stop, size in zone_columns(pyramid, 3):
        angles = rng.integers(-256, 256, size * (size - 1) // 2).tolist()
        zones.append(Zone(start, stop, size, basis_of(angles, size, 9)))
    spectrum = Spectrum(tuple(zones), (), 9)
    components = _noise((pyramid.all, pyramid.height * pyramid.width), 2)
    fast = spectrum.inverse(components)
    _twin(monkeypatch)
    assert np.array_equal(fast.view(np.int32), spectrum.inverse(components).view(np.int32))
    back = Spectrum(spectrum.zones, (), 9).forward(fast)
    inside = np.s_[:, : zones[0].stop]
    assert np.allclose(back[inside], components[inside], atol=1e-5 * np.abs(components).max())


@needs_c
@pytest.mark.parametrize("names", [BANDS, BANDS[1:4], ("B12", "B02")])
def test_default_bases(names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    pyramid = Pyramid(32, 40, 2, len(names), len(names))
    covariance = expected_of(names, len(names)).covariance
    assert covariance is not None
    spectrum, components = default_spectrum(pyramid, covariance), _noise((len(names), 32 * 40), 3)
    fast = spectrum.inverse(components)
    _twin(monkeypatch)
    assert np.array_equal(fast.view(np.int32), spectrum.inverse(components).view(np.int32))


@needs_c
@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 33), (64, 64), (101, 70), (2, 5), (255, 16)])
def test_wavelet(height: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = wavelet.levels_of(height, width)
    subbands = _noise((3, height * width), height)
    fast, there = wavelet.inverse(subbands, height, width, levels), wavelet.forward(fast_planes(height, width), levels)
    _twin(monkeypatch)
    slow = wavelet.inverse(subbands, height, width, levels)
    assert np.array_equal(fast.view(np.int32), slow.view(np.int32))
    assert np.array_equal(there, wavelet.forward(fast_planes(height, width), levels))


def fast_planes(height: int, width: int) -> NDArray[np.float32]:
    """Pixels of two bands."""
    return np.random.default_rng(4).integers(0, 9000, (2, height, width)).astype(np.float32)


def _golden(name: str) -> DecodedTile:
    entry = GOLDEN[name]
    date = counts_of(_golden(entry["date"]).samples) if "date" in entry else None
    return decode_tile(bytes.fromhex(entry["payload"]), tuple(entry["shape"]), entry["names"], date)


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("name", GOLDEN)
def test_pinned_payloads_give_the_pinned_samples(name: str, twin: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if twin:
        _twin(monkeypatch)
    entry, tile = GOLDEN[name], _golden(name)
    assert tile.layers == entry["layers"]
    assert is_predicted(bytes.fromhex(entry["payload"])) == ("date" in entry)
    assert tile.samples.ravel()[:: tile.samples.size // 5].tolist() == entry["some"]
    assert array_digest(tile.samples, 16).hex() == entry["digest"]
