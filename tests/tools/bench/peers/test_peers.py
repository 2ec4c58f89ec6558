"""Every classical codec: decodes from its bytes alone, better with finer knobs, temporal ones use time."""

import sys
import types

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.tools.bench import metrics, peers
from swathpack.tools.bench.peers.base import Encoded, PeerError, pack_mosaic, unpack_mosaic
from swathpack.tools.bench.peers.klt import Klt, PlaneRange
from swathpack.tools.files.synthetic_scene import synthetic_series

pytest.importorskip("imagecodecs")
pytest.importorskip("av")
CLASSICAL = [name for name in peers.PEERS if name != "swathpack"]


@pytest.fixture(scope="module")
def series():
    return np.stack([f.data for f in synthetic_series(3, 72, seed=2)[0].frames])[:, :, :66]


@pytest.mark.parametrize("name", CLASSICAL)
def test_round_trip_from_bytes_alone(name, series):
    encoder, decoder = peers.make(name), peers.make(name)
    quality, rate = [], []
    for knob in (encoder.knobs[2], encoder.knobs[-4]):
        encoded = encoder.encode(series, knob)
        assert all(isinstance(f, bytes) for f in encoded.frames) and len(encoded.frames) == len(series)
        assert sum(encoded.frame_bytes) == pytest.approx(encoded.total_bytes)
        decoded = decoder.decode(Encoded(list(encoded.frames), bytes(encoded.shared)))
        assert decoded.shape == series.shape and decoded.dtype == np.uint16
        quality.append(metrics.mean_psnr(metrics.psnr(a, b) for a, b in zip(series, decoded)))
        rate.append(encoded.total_bytes)
    assert rate[1] > 2 * rate[0] and quality[1] > quality[0] + 3 and quality[1] > 38


@pytest.mark.parametrize("name", CLASSICAL)
def test_single_date_and_other_bands(name, series):
    bands = ("B02", "B03", "B04", "B08", "B11")
    peer = peers.make(name, bands)
    data = np.ascontiguousarray(series[:1, [BANDS.index(b) for b in bands]])
    decoded = peer.decode(peer.encode(data, peer.knobs[-4]))
    assert metrics.psnr(data[0], decoded[0]) > 36


@pytest.mark.parametrize("name", ["x265-klt", "av1-klt"])
def test_video_gains_from_repetition(name, series):
    peer = peers.make(name)
    knob = peer.knobs[len(peer.knobs) // 2]
    once = peer.encode(series[:1], knob).total_bytes
    thrice = peer.encode(np.repeat(series[:1], 3, axis=0), knob).total_bytes
    assert thrice < 1.5 * once


@pytest.mark.parametrize("name", CLASSICAL)
def test_bright_clouds_do_not_overflow(name):
    data = np.full((1, 12, 64, 64), 17_000, np.uint16)
    data[:, :, :32] = 40
    peer = peers.make(name)
    decoded = peer.decode(peer.encode(data, peer.knobs[-3]))
    assert np.abs(decoded[0, :, 8:24, 8:56].astype(int) - 40).max() < 250
    assert np.abs(decoded[0, :, 40:56, 8:56].astype(int) - 17_000).max() < 250


def test_klt_is_orthonormal_and_packs_the_energy(series):
    klt = Klt.trained()
    assert np.allclose(klt.matrix @ klt.matrix.T, np.eye(12), atol=1e-9)
    planes = klt.forward(series)
    assert (klt.inverse(planes) == series).all()
    energy = (planes**2).mean(axis=(0, 2, 3))
    assert energy[:4].sum() > 0.95 * energy.sum()


def test_plane_range_survives_its_header(series):
    planes = Klt.trained().forward(series)
    for bits in (10, 12, 16):
        scale = PlaneRange.fitting(planes, bits)
        back, shape = PlaneRange.unpack(scale.pack(planes.shape), bits)
        assert back == scale and shape == planes.shape
        assert np.abs(back.dequantise(scale.quantise(planes)) - planes).max() <= scale.step / 2 + 1e-9


@pytest.mark.parametrize("count", [1, 3, 5, 12])
def test_mosaic(count):
    planes = np.random.default_rng(0).integers(0, 4096, (count, 37, 50)).astype(np.uint16)
    image = pack_mosaic(planes, 8)
    assert image.shape[0] % 8 == 0 and image.shape[1] % 8 == 0
    assert (unpack_mosaic(image, count, 37, 50) == planes).all()


def test_unknown_codec_and_missing_package(monkeypatch):
    with pytest.raises(PeerError, match="known: swathpack"):
        peers.make("gif")
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(PeerError, match=r"swathpack\[bench\]"):
        peers.make("j2k")


def test_our_codec_is_one_more_peer(monkeypatch, series):
    """Against a stand-in for swathpack.tools.files.api that stores the pixels."""
    from swathpack.edge.frame import Frame

    api = types.ModuleType("swathpack.tools.files.api")
    api.model_version = lambda: "m7"
    raw = series[0].nbytes
    api.encode_series = lambda frames, q, layers: b"".join([bytes([q, layers]), *(f.data.tobytes() for f in frames)])
    api.frame_bytes = lambda stream: [raw] * ((len(stream) - 2) // raw)
    api.decode_series = lambda stream: [
        Frame(d, BANDS) for d in np.frombuffer(stream[2:], np.uint16).reshape(-1, *series.shape[1:])
    ]
    monkeypatch.setitem(sys.modules, "swathpack.tools.files.api", api)
    peer = peers.make("swathpack")
    encoded = peer.encode(series, 24.0)
    assert encoded.shared[:2] == bytes([24, 16]) and "m7" in peer.version
    assert encoded.frame_bytes == [raw + 2 / 3] * 3 and encoded.total_bytes == 3 * raw + 2
    assert (peer.decode(encoded) == series).all()
