"""The int8 analysis codes only where it computes what the float one does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swathpack.edge.codec.analysis import FILES, open_analysis
from swathpack.edge.codec.latents import STEP_UNIT_DN
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel, ModelError
from swathpack.hil_tests.simulation.made_frames import values
from tests.codec_models import shipped


def test_int8_is_close_to_float() -> None:
    model = EdgeModel(analysis="int8")
    tile = values(64, 96, 1, 4)[0].astype(np.float32)
    event = model.engine_events[-1]
    assert event.engine == "analysis:int8"
    if event.reason == "golden":
        pytest.skip(f"this processor's int8 kernels are refused: {event.detail}")
    off = (model.analyse(tile) - shipped().analyse(tile)) * STEP_UNIT_DN
    assert 0 < np.sqrt(np.mean(off**2)) < 10


class Skewed:
    """The real sessions, but the int8 one saturates as 16-bit sums do."""

    def session(self, name: str) -> Any:
        real = shipped().session(name)
        if name == FILES["float"]:
            return real

        class Wrong:
            def run(self, names: Any, feeds: Any) -> list[Any]:
                return [np.clip(real.run(names, feeds)[0], -500, 500)]

        return Wrong()


def test_int8_that_saturates_is_refused() -> None:
    session, told = open_analysis(Skewed(), "int8")
    assert [t.reason for t in told] == ["golden"] and "DN rms" in told[0].detail
    tile = values(64, 64, 1, 4)[0].astype(np.float32)
    frame = {"frame": np.pad(tile, ((0, 0), (4, 4), (4, 4)))[None]}
    wanted = shipped().session(FILES["float"]).run(None, frame)[0]
    np.testing.assert_array_equal(session.run(None, frame)[0], wanted)


def test_damaged_graphs_are_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(DEFAULT_DIRECTORY, folder)
    for name in FILES.values():
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(bytes(data))
        if name == FILES["float"]:
            with pytest.raises(ModelError, match=r"analysis\.onnx: expected digest"):
                EdgeModel(folder).analyse(np.ones((12, 16, 16), np.float32))
            shutil.copy(DEFAULT_DIRECTORY / name, folder / name)
    model = EdgeModel(folder, analysis="int8")
    assert model.engine_events[-1].reason == "files"
    assert model.analyse(np.ones((12, 16, 16), np.float32)).shape == (512, 1, 1)


def test_another_kind_is_refused() -> None:
    with pytest.raises(ModelError, match="float or int8, found 'int4'"):
        EdgeModel(analysis="int4")
