"""Models from files as codecs of the bench."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from swathpack.codec.terracodec import decode_series, encode_series, save_model  # noqa: E402
from swathpack.tools.bench.cubes import BenchCube  # noqa: E402
from swathpack.tools.bench.measure import Cache, measure  # noqa: E402
from swathpack.tools.bench.peers.base import PeerError  # noqa: E402
from swathpack.tools.bench.peers.terracodec import TerraCodec  # noqa: E402
from tests.codec.terracodec.make_models import imported, smooth_frames  # noqa: E402


@pytest.mark.parametrize("family, knobs", [("fp", 1), ("flextec", 5)])
def test_a_file_is_measured_by_its_own_stream(tmp_path: Path, family: str, knobs: int) -> None:
    save_model(imported(family), tmp_path / "mine.swt")
    peer = TerraCodec(tmp_path / "mine.swt")
    assert peer.name == "mine" and peer.label.startswith(family) and len(peer.knobs) == knobs
    series = smooth_frames(2, 64, 64)
    encoded = peer.encode(series, peer.knobs[-1])
    stream = encode_series(peer.model, series, 16)
    assert encoded.total_bytes == len(stream) and sum(encoded.frame_bytes) == pytest.approx(len(stream))
    wanted = np.clip(np.rint(decode_series(peer.model, stream)), 0, 65535)
    np.testing.assert_array_equal(peer.decode(encoded), wanted.astype(np.uint16))


def test_it_takes_a_codecs_place_in_the_bench(tmp_path: Path) -> None:
    save_model(imported("fp"), tmp_path / "mine.swt")
    frames = smooth_frames(1, 64, 64)
    cube = BenchCube("a", frames, np.ones((1, 64, 64), bool), "d")
    item = measure("mine", cube, 0.5, Cache(tmp_path / "cache"), TerraCodec(tmp_path / "mine.swt"))
    assert item.codec == "mine" and len(item.points) == 1 and len(item.points[0].bands[0]) == 12


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=r"absent\.swt"):
        TerraCodec(tmp_path / "absent.swt")
