"""Examples for stage 3: what the decoder would hold, and shards that come back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from swathpack.codec.reconstructions import EIGHTHS, held, pack  # noqa: E402
from swathpack.codec.train_synthesis import Pool, read_shard, tensors  # noqa: E402
from swathpack.edge.codec.latents import GROUP, LAYERS  # noqa: E402
from swathpack.edge.codec.layers import EmbeddedDecoder, tile_decoder  # noqa: E402
from swathpack.edge.codec.prediction import TileDecoder  # noqa: E402
from swathpack.edge.codec.tile_coder import DEAD_ZONE, RDO_SLOPE, encode_tile  # noqa: E402
from swathpack.edge.stream.quality import quality_of  # noqa: E402
from swathpack.hil_tests.simulation.made_frames import values  # noqa: E402
from tests.codec_models import shipped  # noqa: E402

Q = 30
QUALITY = quality_of(Q, 2)


def frame(seed: int) -> np.ndarray:
    return values(64, 64, 1, seed)[0].astype(np.float32)


def decoder_of(image: np.ndarray, quality: int = Q) -> TileDecoder | EmbeddedDecoder:
    model = shipped()
    coded = encode_tile(model, model.analyse(image), quality, (), DEAD_ZONE, RDO_SLOPE)
    decoder = tile_decoder(model.engine, model.tables, (), quality, (4, 4))
    decoder.decode(coded.layers.payload(LAYERS), LAYERS)
    return decoder


@pytest.mark.parametrize("quality", [Q, QUALITY])
@pytest.mark.parametrize("layers", [LAYERS, 5, 1])
def test_examples_are_what_a_decoder_holds(layers: int, quality: int) -> None:
    image = frame(1)
    found, wanted = held(shipped(), image, quality, (), layers), decoder_of(image, quality).reconstruction(layers)
    assert found.q == wanted.q
    for name in ("values", "mean", "scale"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)


def test_missing_layers_are_their_mean() -> None:
    decoder = decoder_of(frame(1))
    some = decoder.reconstruction(5)
    np.testing.assert_array_equal(some.values[: 5 * GROUP], decoder.latent[: 5 * GROUP])
    np.testing.assert_array_equal(some.values[5 * GROUP :], some.mean[5 * GROUP :])
    assert (some.values[5 * GROUP :] != decoder.latent[5 * GROUP :]).any()


def test_shards_come_back(tmp_path: Path) -> None:
    frames = [frame(n).astype(np.uint16) for n in range(3)]
    found = [(Q, LAYERS, held(shipped(), f.astype(np.float32), Q, ())) for f in frames]
    pack(tmp_path / "0000.npz", frames, found)
    images, y, q, expected = tensors(read_shard(tmp_path / "0000.npz"))
    np.testing.assert_array_equal(images.numpy(), np.stack(frames))
    np.testing.assert_array_equal(y.numpy(), np.stack([r.values for *_, r in found]))
    np.testing.assert_array_equal(expected.mean.numpy() * EIGHTHS, np.stack([r.mean for *_, r in found]) * EIGHTHS)
    assert q.tolist() == [Q] * 3
    drawn, *_ = Pool(tmp_path, 1).batch(4)
    assert all(any(np.array_equal(d, f) for f in frames) for d in drawn.numpy())


def test_no_shards_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="reconstructions"):
        Pool(tmp_path, 1)
