"""More bytes never make a worse image: by step and at rate control's own choices, from water to saturated clouds, with a
real decode every time.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from swathpack.edge.codec.latents import step_dn
from swathpack.edge.frame import Frame
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from tests.codec_models import shipped
from tests.distortion import (
    DATA,
    DRAWN,
    FOUR,
    check_never_worse,
    constant,
    made_scene,
    rmse,
    slack_dn,
    val_scenes,
    val_series,
)

STEPS = (56, 40, 24, 12, 6, 0)
BUDGETS = (400, 1500, 6000, 30_000)
needs_val = pytest.mark.skipif(not (DATA / "val").is_dir(), reason="no ../shared/data here")


def decoded(frames: list[Frame], stream: bytes) -> tuple[list[float], list[int]]:
    """Per frame its RMSE in DN and the step of its one tile."""
    found = StreamDecoder(shipped(), stream).frames()
    assert not found.problems
    return [rmse(f, g.data) for f, g in zip(frames, found.frames)], [r.tiles[0].q for r in found.reports]


def check_streams(frames: list[Frame], streams: Iterable[bytes], scene: str) -> list[list[float]]:
    """Streams of one series in the order of rising bytes; returns each frame's RMSE."""
    rows = [decoded(frames, stream) for stream in streams]
    errors = [list(e) for e in zip(*(row[0] for row in rows))]
    for t, (error, steps) in enumerate(zip(errors, zip(*(row[1] for row in rows)))):
        check_never_worse(error, steps, f"{scene}, frame {t}")
    return errors


def by_step(frames: list[Frame], scene: str, steps: Iterable[int] = STEPS) -> list[list[float]]:
    coder = SeriesEncoder(shipped(), frames, slope=0.0)
    return check_streams(frames, (coder.at_quality(q) for q in steps), scene)


def by_budget(frames: list[Frame], scene: str, budgets: Iterable[int] = BUDGETS) -> list[list[float]]:
    coder = SeriesEncoder(shipped(), frames, slope=0.0)
    return check_streams(frames, (coder.per_frame(n) for n in budgets), scene)


@pytest.mark.parametrize("scene", DRAWN)
def test_finer_steps_are_never_worse(scene: str) -> None:
    by_step([made_scene(scene)], scene)


@pytest.mark.parametrize("value", [1, 3000, 10_000, 30_000, 50_000, 65_535])
def test_constants_keep_their_value_at_every_step(value: int) -> None:
    """The transform is not exact on a constant: a block comes back within 0.3 % and what the step makes."""
    for bands in (("B04",), tuple(constant(1).bands)):
        (errors,) = by_step([constant(value, bands)], f"constant {value}")
        for error, q in zip(errors, STEPS):
            assert error <= 0.003 * value + step_dn(q) / 8, f"q {q}: {error:.1f} DN off {value}"


@pytest.mark.parametrize("scene", ["land x 4", "clouds of 65,535"])
def test_larger_budgets_are_never_worse(scene: str) -> None:
    """With a second, darker date, whose context is the bright one."""
    bright = made_scene(scene)
    by_budget([bright, Frame(bright.data // 4 + 1, bright.bands)], scene)


def test_optimised_quantisation_is_never_worse_with_more_bytes() -> None:
    frame = made_scene("clouds of 65,535", 32)
    coder = SeriesEncoder(shipped(), [frame])
    check_streams([frame], (coder.at_quality(q) for q in STEPS), "optimised quantisation")


def test_steps_too_fine_for_a_tile_give_the_finest_that_holds_it() -> None:
    """Beyond some 40,000 DN; a darker tile of the same frame keeps its step."""
    data = np.full((12, 16, 272), 65_535, np.uint16)
    data[:, :, 256:] = 900
    frame = Frame(data, constant(1).bands)
    found = StreamDecoder(
        shipped(), SeriesEncoder(shipped(), [frame], slope=0.0, mode="learned").at_quality(0)
    ).frames()
    assert [t.q for t in found.reports[0].tiles] == [6, 0]
    assert rmse(frame, found.frames[0].data) < 200


@needs_val
@pytest.mark.parametrize("name", ["terramind-l1c__609U_541L_3_0", "terramind-l2a__609U_541L_3_0"])
def test_fine_steps_of_a_bright_place(name: str) -> None:
    (errors,) = by_step(val_series(name, rows=48), name, (16, 8, 4, 0))
    assert errors[-1] < 20, "once clipped, and once what 512 channels cannot hold"


@needs_val
def test_a_large_budget_of_a_cloudy_date() -> None:
    frames = val_series("eotdl__boadella_east", (0, 1), FOUR, rows=96)
    errors = by_budget(frames, "boadella_east", (6000, 20_000))
    assert errors[1][1] < 1.01 * errors[1][0]


@needs_val
@pytest.mark.slow
def test_val_as_it_is_and_brighter() -> None:
    for n, (scene, frame) in enumerate(val_scenes()):
        by_step([frame], scene, range(60, -1, -6))
        if n % 5 == n // 5 % 5:  # every cube in one of its five forms
            coder = SeriesEncoder(shipped(), [frame])
            budgets = np.geomspace(200, 40_000, 6).astype(int)
            check_streams([frame], (coder.per_frame(int(b)) for b in budgets), f"{scene}, optimised, by budget")


@pytest.mark.slow
@pytest.mark.parametrize("value", [1, 2, 100, 1000, 5000, 20_000, 40_000, 41_000, 60_000, 65_534])
def test_more_constants_by_step_and_budget(value: int) -> None:
    for bands in (("B04",), ("B02", "B03", "B04", "B08"), tuple(constant(1).bands)):
        by_step([constant(value, bands)], f"constant {value}", range(60, -1, -4))
        by_budget([constant(value, bands)], f"constant {value}")


def test_the_slack_would_show_what_clipping_did() -> None:
    """A constant of 30,000 DN came back 5,605 DN off at q 24, after some 60 DN at q 40."""
    with pytest.raises(AssertionError, match="5605"):
        check_never_worse([60.0, 5605.0], [40, 24], "constant 30,000")
    assert slack_dn(0, 8) < 3 and slack_dn(24, 40) < 40
