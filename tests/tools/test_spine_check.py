"""The spine check itself: it must pass on sound streams, and tell when a promise is broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from swathpack.tools import spine_check, spine_digests  # noqa: E402
from swathpack.tools.errors import UserError  # noqa: E402
from swathpack.tools.files.decoder import Decoded, StreamDecoder  # noqa: E402
from swathpack.tools.files.encoder import SeriesEncoder  # noqa: E402
from tests.codec_models import shipped  # noqa: E402
from tests.frames import series  # noqa: E402

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def cubes() -> spine_check.Cubes:
    return {"made": series(32, 48, 3, seed=1)}


def test_digests_agree_between_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {k: spine_digests.VARIANTS[k] for k in ("float32, 1 thread", "int64")}
    monkeypatch.setattr(spine_digests, "VARIANTS", {**chosen, "none": ("abacus", 1)})
    found = spine_digests.compare(shipped(), cubes(), tmp_path)["variants"]
    assert found["int64"]["different"] == 0 and found["int64"]["tile_frames"] == 9
    assert "abacus" in found["none"]["refused"]


def test_a_difference_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def worker(engine: str, threads: int, directory: Path, streams: Any) -> dict[str, Any]:
        wrong = "bb" if threads == 2 else "aa"
        return {"digests": {s.name: {"0.0": "aa aa", "0.1": f"aa {wrong}"} for s in streams}, "cpu_s": 0.0}

    monkeypatch.setattr(spine_digests, "_run_worker", worker)
    found = spine_digests.compare(shipped(), cubes(), tmp_path)["variants"]
    assert found["float32, 2 threads"]["different"] == 3 and found["int64"]["different"] == 0
    assert "different" in spine_digests.text(spine_digests.compare(shipped(), cubes(), tmp_path))


def test_damage_and_context_hold_on_made_frames(tmp_path: Path) -> None:
    damage = spine_check.check_damage(shipped(), cubes(), tmp_path, True)
    assert damage["holds"] and "crashes or silently wrong: 0" in damage["text"]
    context = spine_check.check_context(shipped(), cubes(), tmp_path, True)
    assert all(r["equal_latents"] for r in context["rows"]) and "all together" in context["text"]


def test_a_silently_wrong_image_and_a_crash_are_noticed() -> None:
    data = SeriesEncoder(shipped(), cubes()["made"]).at_quality(40)
    decoder = StreamDecoder(shipped(), data)
    whole, windows = decoder.frames(), decoder.windows

    def altered() -> Decoded:
        found = StreamDecoder(shipped(), data).frames()
        found.frames[1].data[3, 4, 5] ^= 1
        return found

    def crash() -> Decoded:
        raise ZeroDivisionError

    assert spine_check.judge(StreamDecoder(shipped(), data).frames, whole, windows) == "whole"
    assert spine_check.judge(altered, whole, windows) == "wrong"
    assert spine_check.judge(crash, whole, windows).startswith("crash: ZeroDivisionError")
    cut = StreamDecoder(shipped(), data[:-30])
    assert spine_check.judge(cut.frames, whole, windows) == "named"


def test_budgets_are_tabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spine_check, "BUDGETS", np.array([250, 900]))
    found = spine_check.check_budgets(shipped(), cubes(), tmp_path, False)
    assert found["overrun"] <= 0 and len(found["rows"]) == 2 and found["holds"]


def test_folders_without_cubes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a catalog.json"):
        spine_check.load_cubes(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "catalog.json").exists(), reason="no ../shared/data here")
@pytest.mark.parametrize("name", ["a", "c", "d", "e"])
def test_the_promises_hold_on_real_cubes(name: str, tmp_path: Path) -> None:
    found = spine_check.CHECKS[name](shipped(), spine_check.load_cubes(SHARED), tmp_path, True)
    assert found["holds"], found["text"]
