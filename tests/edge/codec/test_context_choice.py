"""Contexts are used where they pay, one or both, and no tile costs more with its choice than without any."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.context_choice import REF_BYTES, choose_contexts
from swathpack.edge.codec.latents import LAYERS, quantise
from swathpack.edge.codec.layers import known_context
from swathpack.edge.codec.prediction import CodingContext
from swathpack.edge.codec.tile_coder import DEAD_ZONE, RDO_SLOPE, analyse_tile, encode_tile
from swathpack.edge.frame import Frame
from swathpack.edge.stream.quality import quality_of, usual_shift
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.bench.cubes import BenchCube, load
from swathpack.tools.files.encoder import SeriesEncoder
from tests.codec_models import shipped

DATA = Path("../shared/data")
SIDE = 64


def coefficients(frame: np.ndarray) -> np.ndarray:
    return analyse_tile(shipped(), frame.astype(np.float32), np.ones((SIDE, SIDE), np.bool_))


def context(frame: np.ndarray, quality: int) -> CodingContext:
    return known_context(encode_tile(shipped(), coefficients(frame), quality).latent, quality, LAYERS)


def noise(quality: int, like: CodingContext) -> CodingContext:
    latent = np.random.default_rng(1).integers(-40, 40, like.latent.shape).astype(np.int16)
    return known_context(latent, quality, LAYERS)


@pytest.mark.parametrize("slope", [0.0, 0.09])
@pytest.mark.parametrize("shift", [0, 2])
def test_what_helps_is_kept_and_what_does_not_is_left_out(slope: float, shift: int) -> None:
    """The passes handed on are those that `encode_tile` would make itself."""
    model, q = shipped(), 24
    quality = quality_of(q, shift)
    image = values(SIDE, SIDE, 1, 7)[0]
    now, same = coefficients(image), context(image, quality)
    other = noise(quality, same)
    latent = quantise(now, q, DEAD_ZONE)
    for contexts, expected in (([same], [(0,)]), ([other], [()]), ([], [()]), ([same, other], [(0,), (0, 1)])):
        kept, done = choose_contexts(model, latent, quality, contexts)
        assert kept in expected
        used = [contexts[i] for i in kept]
        handed = encode_tile(model, now, quality, used, slope=slope, done=done)
        own = encode_tile(model, now, quality, used, slope=slope)
        assert handed.layers.payload(LAYERS) == own.layers.payload(LAYERS)


@pytest.mark.parametrize("q", [20, 32, 50])
@pytest.mark.parametrize("mixed", [0.0, 0.3, 0.7, 0.9])
def test_no_tile_costs_more_than_without_context(q: int, mixed: float) -> None:
    """Contexts from the same ground to another one, by way of mixtures that hardly help."""
    quality = quality_of(q, usual_shift(q))
    (image, second), (elsewhere, *_) = values(SIDE, SIDE, 2, 7), values(SIDE, SIDE, 2, 8)
    contexts = [context((1 - mixed) * f + mixed * elsewhere, quality) for f in (image, second)]
    now = coefficients(image)
    kept, done = choose_contexts(shipped(), quantise(now, q, DEAD_ZONE), quality, contexts)
    used = [contexts[i] for i in kept]
    chosen = encode_tile(shipped(), now, quality, used, slope=RDO_SLOPE, done=done)
    intra = encode_tile(shipped(), now, quality, slope=RDO_SLOPE)
    assert chosen.payload_sizes[LAYERS] + REF_BYTES * len(kept) <= intra.payload_sizes[LAYERS]


def val_series() -> list[BenchCube]:
    if not (DATA / "catalog.json").is_file():
        return []
    names = {Path(e["file"]).stem for e in json.loads((DATA / "catalog.json").read_text()) if e["split"] == "val"}
    return [c for c in load(DATA, "val") if c.name in names and c.data.shape[0] > 1]


@pytest.mark.slow
@pytest.mark.parametrize("q", [20, 32, 44])
def test_no_series_of_the_val_split_costs_more_than_intra(q: int) -> None:
    series = val_series()
    if not series:
        pytest.skip("needs ../shared/data")
    for cube in series:
        frames = [Frame(f, BANDS, time=f"{t:05d}") for t, f in enumerate(cube.data)]
        encoders = [SeriesEncoder(shipped(), frames, intra_every=n, mode="learned") for n in (0, 1)]
        sizes = [len(encoder.at_quality(q)) for encoder in encoders]
        assert sizes[0] <= sizes[1], (cube.name, sizes)
