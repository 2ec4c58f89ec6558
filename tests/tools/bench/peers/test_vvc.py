"""VVC through ffmpeg: decodes from its bytes alone, better with finer steps, gains from earlier dates."""

import sys

import numpy as np
import pytest

from swathpack.tools.bench import metrics
from swathpack.tools.bench.peers.base import Encoded, PeerError
from swathpack.tools.bench.peers.vvc import Vvc, ffmpeg, vvc_runs
from swathpack.tools.bench.range_peers import named
from swathpack.tools.errors import UserError
from swathpack.tools.files.synthetic_scene import synthetic_series


@pytest.fixture(scope="module")
def program():
    try:
        return ffmpeg()
    except PeerError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def series():
    return np.stack([f.data for f in synthetic_series(2, 72, seed=2)[0].frames])[:, :, :66]


def test_round_trip_from_bytes_alone(program, series):
    sizes, quality = [], []
    for knob in (45.0, 15.0):
        encoded = Vvc().encode(series, knob)
        decoded = Vvc().decode(Encoded(list(encoded.frames), bytes(encoded.shared)))
        assert decoded.shape == series.shape and decoded.dtype == np.uint16
        sizes.append(encoded.total_bytes)
        quality.append(metrics.mean_psnr(metrics.psnr(a, b) for a, b in zip(series, decoded)))
    assert sizes[1] > 2 * sizes[0] and quality[1] > quality[0] + 3 and quality[1] > 38


def test_it_gains_from_repetition(program, series):
    once = Vvc().encode(series[:1], 33.0).total_bytes
    assert Vvc().encode(np.repeat(series[:1], 3, axis=0), 33.0).total_bytes < 1.5 * once


def test_a_stream_that_ends_early_is_named(program, series):
    encoded = Vvc().encode(series, 33.0)
    with pytest.raises(PeerError, match="ffmpeg|expected 2 pictures"):
        Vvc().decode(Encoded(encoded.frames, encoded.shared[: len(encoded.shared) // 3]))


def test_without_a_program_it_is_left_out_by_name(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert not vvc_runs() and "pip install imageio-ffmpeg" in capsys.readouterr().err
    assert named("all", ("A", "VVC + KLT")) == ("A",)
    assert named("A, VVC + KLT", ("A", "VVC + KLT")) == ("A", "VVC + KLT")
    with pytest.raises(UserError, match="unknown 'B': peers are A"):
        named("B", ("A",))
