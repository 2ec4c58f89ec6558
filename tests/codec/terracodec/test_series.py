"""Real streams: round trips from bytes alone, batches, sizes, damage, and floats that differ."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from swathpack.codec.terracodec import (
    MismatchError,
    StreamError,
    decode_batch,
    decode_series,
    encode_batch,
    encode_series,
)
from swathpack.codec.terracodec.checkpoint import FAMILIES, Imported
from swathpack.codec.terracodec.elic import Recorder
from swathpack.codec.terracodec.images import decode_elic
from swathpack.codec.terracodec.series import grid_of, images, latents
from swathpack.codec.terracodec.stream import pack_stream, unpack_stream
from swathpack.codec.terracodec.temporal import decode_temporal, encode_temporal
from tests.codec.terracodec.make_models import imported, smooth_frames

TEMPORAL = ("tt", "flextec")


@pytest.fixture(scope="module")
def models() -> dict[str, Imported]:
    return {family: imported(family) for family in FAMILIES}


def _expected(model: Imported, frames: np.ndarray) -> np.ndarray:
    """What the decoder must give, computed from the encoder's side without any stream."""
    y = latents(model, frames)
    if model.family == "fp":
        y_hat = model.model.dequantise(model.model.symbols(y))
        return images(model, [y_hat], *frames.shape[2:])
    if model.family == "elic":
        side = model.model.side_parameters(model.model.hyper_symbols(y))
        return images(model, [model.model.run_groups(side, Recorder(y, model.model.sizes.groups))], *frames.shape[2:])
    out, past = [], []
    for frame in y:
        mean, _, features = model.model.predict(frame[None], past)
        past.append(model.model.quantise(frame[None], mean))
        out.append(images(model, [past[-1], features], *frames.shape[2:]))
    return np.concatenate(out)


@pytest.mark.parametrize("family", FAMILIES)
def test_round_trip_from_bytes_alone(models: dict[str, Imported], family: str) -> None:
    frames = smooth_frames(3, 64, 128)
    with torch.inference_mode():
        wanted = _expected(models[family], frames)
    decoded = decode_series(imported(family), encode_series(models[family], frames))
    assert decoded.shape == frames.shape and decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, wanted, atol=0.3, rtol=1e-4)  # 0.3 of 10000: 1e-4 standardised is 0.14
    assert np.std(wanted[1] - wanted[0]) > 1


@pytest.mark.parametrize("size", [(1, 1), (65, 64), (100, 190)])
@pytest.mark.parametrize("family", FAMILIES)
def test_any_size(models: dict[str, Imported], family: str, size: tuple[int, int]) -> None:
    frames = smooth_frames(1, *size)
    decoded = decode_series(models[family], encode_series(models[family], frames))
    assert decoded.shape == frames.shape and np.isfinite(decoded).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_decode_one_by_one_and_the_other_way_round(models: dict[str, Imported], family: str) -> None:
    model = models[family]
    series = [smooth_frames(2, 64, 128, seed=s) for s in range(3)] + [smooth_frames(1, 64, 64, seed=4)]
    together = encode_batch(model, series)
    alone = [encode_series(model, frames) for frames in series]
    for frames, a, b in zip(decode_batch(model, alone), together, alone):
        np.testing.assert_allclose(decode_series(model, a), decode_series(model, b), atol=0.5)
        np.testing.assert_allclose(decode_series(model, a), frames, atol=0.5)


@pytest.mark.parametrize("keep", [0, 1, 5, 16])
def test_tokens_kept(models: dict[str, Imported], keep: int) -> None:
    model, frames = models["flextec"], smooth_frames(3, 64, 128)
    with torch.inference_mode():
        ys = [y[None] for y in latents(model, frames)]
        bodies = encode_temporal(model, ys, keep)
        decoded = [y for y, _ in decode_temporal(model, bodies, keep, (4, 8))]
    assert all(len(body.checks) == keep for date in bodies for body in date)
    for y, y_hat in zip(ys, decoded):
        tokens, tokens_hat = (model.model.entropy_model.to_tokens(v) for v in (y, y_hat))
        if keep:
            assert float((tokens_hat[:, :keep] - tokens[:, :keep]).abs().max()) <= 0.5 + 1e-5
        assert torch.equal(tokens_hat, tokens_hat.round())
    assert decode_series(model, encode_series(model, frames, keep)).shape == frames.shape


def test_fewer_tokens_cost_fewer_bytes(models: dict[str, Imported]) -> None:
    frames = smooth_frames(2, 64, 128)
    sizes = [len(encode_series(models["flextec"], frames, keep)) for keep in (0, 2, 4, 8, 16)]
    assert sizes == sorted(sizes) and sizes[-1] > 10 * sizes[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_no_damage_goes_unnoticed(models: dict[str, Imported], family: str) -> None:
    data = encode_series(models[family], smooth_frames(2, 64, 64))
    rng = np.random.default_rng(0)
    for position in rng.integers(0, 8 * len(data), 25).tolist():
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << (position % 8)
        with pytest.raises(StreamError, match="expected"):
            decode_series(models[family], bytes(damaged))
    for cut in (0, 3, 20, len(data) // 2, len(data) - 1):
        with pytest.raises(StreamError, match="expected"):
            decode_series(models[family], data[:cut])
    with pytest.raises(StreamError, match="expected"):
        decode_series(models[family], data + b"\0")


def test_streams_of_another_model_are_refused(models: dict[str, Imported]) -> None:
    data = encode_series(models["tt"], smooth_frames(1, 64, 64))
    for other in (imported("tt", seed=1), models["flextec"]):
        with pytest.raises(StreamError, match="model"):
            decode_series(other, data)


def _stray(model: Imported, size: float) -> Imported:
    """The same model with weights off by a relative `size`, as another machine's sums would be."""
    torch.manual_seed(0)
    for parameter in model.model.parameters():
        parameter *= 1 + size * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("family", ("elic", *TEMPORAL))
def test_small_float_differences_do_not_matter(family: str) -> None:
    model, frames = imported(family), smooth_frames(2, 64, 128)
    data = encode_series(model, frames)
    wanted = decode_series(model, data)
    found = decode_series(_stray(model, 1e-6), data)
    np.testing.assert_allclose(found, wanted, atol=1.0)


@pytest.mark.parametrize("family", ("elic", *TEMPORAL))
def test_large_float_differences_are_named_not_decoded(family: str) -> None:
    model, frames = imported(family), smooth_frames(2, 64, 128)
    data = encode_series(model, frames)
    with pytest.raises(MismatchError, match="frame [01], coding step"):
        decode_series(_stray(model, 1e-3), data)


@pytest.mark.parametrize("family", ("elic", "tt"))
def test_float_streams_say_so(models: dict[str, Imported], family: str) -> None:
    frames = smooth_frames(1, 64, 64)
    assert encode_series(models[family], frames)[6] == 1
    assert encode_series(models["fp"], frames)[6] == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: f[0],
        lambda f: f[:, :11],
        lambda f: np.where(f > 0, np.nan, 1.0),
        lambda f: f.astype(complex),
    ],
)
def test_bad_frames_are_refused(models: dict[str, Imported], spoil: Callable[[np.ndarray], np.ndarray]) -> None:
    with pytest.raises(StreamError, match="expected"):
        encode_series(models["fp"], spoil(smooth_frames(1, 64, 64)))


def test_checks_that_are_missing_are_a_stream_error(models: dict[str, Imported]) -> None:
    model = models["elic"]
    _, bodies = unpack_stream(encode_series(model, smooth_frames(1, 64, 64)))
    with pytest.raises(StreamError, match="checks"):
        decode_elic(model, [replace(bodies[0], checks=())], grid_of(model, 64, 64), 0)


def test_a_header_that_claims_much_is_refused_before_any_work(models: dict[str, Imported]) -> None:
    """A body of a few bytes for 65,535 x 65,535 pixels."""
    header, bodies = unpack_stream(encode_series(models["fp"], smooth_frames(1, 64, 64)))
    forged = pack_stream(replace(header, height=65_535, width=65_535), bodies)
    with pytest.raises(StreamError, match="expected at most .* pixels in all frames, found 4294836225"):
        decode_series(models["fp"], forged)
    with pytest.raises(StreamError, match="found 4096"):
        decode_series(models["fp"], pack_stream(header, bodies), max_pixels=4095)
