"""The series encoder: budgets that hold to the byte, order of dates, layers, reproducible bytes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.plain import PlainError
from swathpack.edge.frame import Frame
from swathpack.edge.stream import read_stream
from swathpack.edge.stream.quality import STEPS, TRANSFORM, quality_of
from swathpack.hil_tests.simulation.made_frames import series
from swathpack.tools.errors import UserError
from swathpack.tools.files import encoder as encoder_module
from swathpack.tools.files.coders import Coders
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.frame_coder import FrameCoder
from swathpack.tools.files.rasters.essential import Carried
from swathpack.tools.files.regions import Region
from swathpack.tools.files.step_search import finest_fitting
from tests.codec_models import shipped

ROOT = Path(__file__).resolve().parents[3]
FILL = 0.95


def encoder(frames: list[Frame], **options: float) -> SeriesEncoder:
    return SeriesEncoder(shipped(), frames, **{"mode": "learned", **options})


def must_fill(data: bytes) -> bool:
    """Whether every frame could have been spent more on: not all layers, or not the finest step."""
    segments = read_stream(data).segments
    return all(s.layer_count < LAYERS or s.quality > 0 for s in segments)


def check_budget(frames: list[Frame], budget: int, total: bool = False) -> None:
    coder = encoder(frames)
    room = budget if total else budget * len(frames)
    data = coder.in_total(budget) if total else coder.per_frame(budget)
    assert len(data) <= room
    assert len(data) >= FILL * room or not must_fill(data), f"{len(data)} of {room}"


@pytest.mark.parametrize("budget", [200, pytest.param(331, marks=pytest.mark.slow), 1000, 5000, 40_000])
def test_bytes_per_frame_are_never_exceeded_and_well_used(budget: int) -> None:
    check_budget(series(48, 64, 2, seed=1), budget)


@pytest.mark.parametrize("budget", [500, 3001, 30_000])
def test_bytes_in_total_are_never_exceeded_and_well_used(budget: int) -> None:
    check_budget(series(48, 48, 3, seed=2), budget, total=True)


def test_tiny_budgets_of_a_difficult_tile_are_filled(budget: int = 200) -> None:
    """Below the learned codec's coarsest step the transform coder fills the budget to the byte."""
    frame = series(160, 160, 1, seed=11)[0]
    contrast = np.clip((frame.data.astype(int) - 1500) * 12 + 5000, 1, 60000).astype(np.uint16)
    hard = [Frame(contrast, frame.bands)]
    data = encoder(hard).per_frame(budget)
    segments = read_stream(data).segments
    assert FILL * budget <= len(data) <= budget
    assert [s.quality_byte for s in segments] == [TRANSFORM]
    assert not StreamDecoder(shipped(), data).frames().problems


def test_several_tiles_share_a_frames_budget() -> None:
    check_budget(series(40, 300, 1, seed=3), 3000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_budget_sweep(seed: int) -> None:
    frames = series(*((128, 128), (100, 37), (64, 200))[seed], 2, seed=seed)
    for budget in np.unique(np.geomspace(200, 200_000, 40).astype(int)):
        check_budget(frames, int(budget))
        check_budget(frames, 2 * int(budget), total=True)


@pytest.mark.long
@pytest.mark.parametrize(
    "size, dates, carried",
    [((48, 48), 1, b""), ((48, 48), 3, bytes(range(90))), ((40, 280), 1, b"x" * 40)],
    ids=["one tile", "three dates", "two tiles"],
)
@pytest.mark.parametrize("each", [True, False])
def test_the_smallest_budget_is_named_and_holds_every_tile(
    size: tuple[int, int], dates: int, carried: bytes, each: bool
) -> None:
    coder = SeriesEncoder(shipped(), series(*size, dates), Carried(None, carried))
    code, option = (coder.per_frame, "--bytes-per-frame") if each else (coder.in_total, "--bytes")
    with pytest.raises(UserError, match=rf"{option} 20: expected at least \d+, for headers") as refused:
        code(20)
    least = int(re.search(r"least (\d+)", str(refused.value)).group(1))  # type: ignore[union-attr]
    with pytest.raises(UserError, match=f"expected at least {least}"):
        code(least - 1)
    data = code(least)
    assert len(data) <= least * (dates if each else 1)
    found = read_stream(data)
    assert [e.data for e in found.extensions] == ([carried] if carried else [])
    assert len({(s.frame, s.tile) for s in found.segments}) == dates * len(coder.windows)


@pytest.mark.parametrize(
    ("tiles", "bands", "text", "each"),
    [(5, 4, 8, True), (5, 4, 8, False), pytest.param(60, 1, 3, True, marks=pytest.mark.slow), (60, 1, 3, False)],
)
def test_free_text_never_takes_what_tiles_need(tiles: int, bands: int, text: int, each: bool) -> None:
    """The text seemed a small share of a budget that holds many tiles, and the smallest one that was named was refused by it."""
    data = np.random.default_rng(tiles).integers(700, 900, (bands, 9, 256 * tiles - 100)).astype(np.uint16)
    frame, regions = Frame(data, ("B02", "B03", "B04", "B08")[:bands]), [Region(8, 256 * tiles - 110, 1, 1, 3)]

    def made(budget: int) -> bytes:
        coder = SeriesEncoder(
            shipped(), [frame], Carried(bytes(text), b"", ("a note",)), mode="transform", regions=regions
        )
        return coder.per_frame(budget) if each else coder.in_total(budget)

    with pytest.raises(UserError, match="expected at least") as refused:
        made(20)
    least = int(str(refused.value).split("at least ")[1].split(",")[0])
    for budget in (least, least + 1, least + text):
        found = read_stream(made(budget))
        assert not found.extensions and len({s.tile for s in found.segments}) == tiles
    with pytest.raises(UserError, match=f"expected at least {least},"):
        made(least - 1)


def test_free_text_gives_way_to_the_image_and_what_is_essential_does_not() -> None:
    frames, carried = series(), Carried(os.urandom(300), os.urandom(60), ("a licence",))
    small, large = (SeriesEncoder(shipped(), frames, carried) for _ in range(2))
    assert [e.data for e in read_stream(small.per_frame(1000)).extensions] == [carried.essential]
    assert [e.data for e in read_stream(large.per_frame(40_000)).extensions] == [carried.whole]
    assert (small.left_out, large.left_out) == (("a licence",), ())


@pytest.mark.parametrize("level", [65.0, pytest.param(126.0, marks=pytest.mark.slow), -3.0])
def test_a_level_beyond_the_learned_codecs_steps_takes_its_last_step(
    level: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where dates starve, the transform coder's level lies beyond the coarsest step while some tiles are the learned codec's."""
    frames = series(64, 64, 2, seed=4)
    monkeypatch.setattr(encoder_module, "level_fitting", lambda *_: level)
    monkeypatch.setattr(Coders, "level_beside", lambda *_: level)

    def leave_first(self: FrameCoder, q: int, layers: int) -> bool:
        assert quality_of(q) == q
        return self.index == 0 and self._learned.pop(0, None) is not None

    monkeypatch.setattr(FrameCoder, "_leave_losers", leave_first)
    for each in (False, True):
        coder = encoder(frames, mode="auto")
        data = coder.per_frame(400) if each else coder.in_total(800)
        assert len(data) <= 800


@pytest.mark.parametrize("layers", [1, 5, 16])
def test_layers_are_what_is_sent(layers: int) -> None:
    stream = read_stream(encoder(series(dates=2)).at_quality(20, layers))
    assert [(s.layer_start, s.layer_stop) for s in stream.segments] == [(0, layers)] * 2
    assert [c.layers for c in stream.segments[1].contexts] == [layers]


def test_contexts_come_from_earlier_frames_and_can_be_switched_off() -> None:
    frames = series(64, 64, 4, seed=5)
    usual = read_stream(encoder(frames).at_quality(24)).segments
    assert [len(s.contexts) for s in usual] == [0, 1, 2, 2]
    assert all(c.frame < s.frame for s in usual for c in s.contexts)
    assert [len(s.contexts) for s in read_stream(encoder(frames, intra_every=1).at_quality(24)).segments] == [0] * 4
    assert [len(s.contexts) for s in read_stream(encoder(frames, intra_every=2).at_quality(24)).segments] == [
        0,
        1,
        0,
        1,
    ]


def test_context_saves_bytes_at_equal_latents() -> None:
    frames = series(128, 128, 2, seed=6)
    sizes, latents = [], []
    for every in (0, 1):
        data = encoder(frames, intra_every=every, slope=0).at_quality(24)
        sizes.append(len(read_stream(data).segments[1].payload))
        latents.append([t.latent_digest for r in StreamDecoder(shipped(), data).frames().reports for t in r.tiles])
    assert latents[0] == latents[1] and sizes[0] < sizes[1]


def test_the_likest_date_is_the_first_context() -> None:
    """The fourth frame repeats the first: it must name frame 0 first, and never the unlike frame 2."""
    base, other = series(64, 64, 2, seed=7), series(64, 64, 1, seed=8)
    segments = read_stream(encoder([*base, *other, base[0]]).at_quality(24)).segments
    assert [c.frame for c in segments[3].contexts] == [0, 1]


def test_frames_that_differ_are_refused() -> None:
    with pytest.raises(UserError, match="frame 1.*: expected 64 x 64 pixels as in frame 0.*, found 64 x 80"):
        encoder([*series(64, 64), *series(64, 80)])
    other = replace(series(64, 64)[0].select(BANDS[:3]), time="2024-01-05")
    with pytest.raises(
        UserError, match=r"frame 1 \(2024-01-05\): expected the bands B01, .*, found B01, B02, B03; give"
    ):
        encoder([*series(64, 64), other])
    with pytest.raises(UserError, match="no frames"):
        encoder([])


def test_a_frame_without_data_costs_next_to_nothing() -> None:
    frames = series(64, 64, 2)
    empty = Frame(np.zeros_like(frames[0].data), frames[0].bands, valid=np.zeros((64, 64), bool))
    data = encoder([frames[0], empty]).at_quality(24)
    assert len(read_stream(data).segments) == 1
    decoded = StreamDecoder(shipped(), data).frames()
    assert not decoded.problems and not decoded.frames[1].valid.any() and not decoded.frames[1].data.any()


@pytest.mark.parametrize("guess", [0, 28, 63])
@pytest.mark.parametrize("budget", [1, 90, 500, 3000, 10**9])
def test_finest_fitting_step(guess: int, budget: int) -> None:
    def size_of(q: int) -> int:
        return int(40_000 * 2 ** (-q / 10)) if q < STEPS - 1 else 1

    found = finest_fitting(size_of, budget, guess)
    assert size_of(found) <= budget and (found == 0 or size_of(found - 1) > budget)


SCRIPT = """
from swathpack.edge.codec.model import EdgeModel
from tests.tools.files.test_encoder import bytes_and_latents
print(*bytes_and_latents(EdgeModel(threads=2)))
"""


def bytes_and_latents(model: EdgeModel) -> tuple[str, list[str]]:
    """Digests of a stream of two dates, and of what it decodes to."""
    data = SeriesEncoder(model, series(48, 64, 2, seed=9), mode="learned").at_quality(24)
    found = StreamDecoder(model, data).frames()
    return sha256(data).hexdigest(), [t.latent_digest for r in found.reports for t in r.tiles]


@pytest.mark.long
def test_another_process_with_more_threads_writes_the_same_bytes() -> None:
    """Of two threads, against this one's single one."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    digest, latents = bytes_and_latents(shipped())
    assert latents and done.stdout.strip() == f"{digest} {latents}"


def test_more_bands_than_a_stream_holds_are_counted_in_the_message() -> None:
    """It spoke of tiles of 1 to 256 pixels."""
    frame = Frame(np.ones((17, 8, 8), np.uint16), tuple(f"x{i}" for i in range(17)))
    with pytest.raises(PlainError, match="expected 1 to 16 bands in a stream, found 17"):
        encoder([frame], mode="auto")
