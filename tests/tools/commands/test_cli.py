"""The commands as a person uses them: exit codes, one clear message for bad input, sums that add up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.hil_tests.simulation.made_frames import psnr, series
from swathpack.tools.cli import COMMANDS, main
from swathpack.tools.errors import PARTLY, REFUSED, USAGE
from swathpack.tools.files.rasters import read_series


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    return write_cube(tmp_path / "cube.npz", 2)


def write_cube(path: Path, dates: int, bands: tuple[str, ...] = BANDS, **extra: Any) -> Path:
    data = np.stack([f.data for f in series(48, 64, dates, bands=bands)])
    np.savez(
        path,
        data=data,
        bands=list(bands),
        dates=[f"2026-05-{d + 1:02d}" for d in range(dates)],
        level="L2A",
        **extra,
    )
    return path


def swathpack(*words: Any) -> int:
    return main([str(w) for w in words])


def compressed(cube: Path, *options: Any) -> Path:
    out = cube.with_suffix(".swp")
    assert swathpack("compress", cube, "-o", out, *options) == 0
    return out


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The stream of `cube`, made once."""
    return compressed(write_cube(tmp_path_factory.mktemp("coded") / "cube.npz", 2)).read_bytes()


@pytest.fixture
def stream(cube: Path, coded: bytes) -> Path:
    """A copy of it beside the cube, to be damaged or refused."""
    path = cube.with_suffix(".swp")
    path.write_bytes(coded)
    return path


@pytest.mark.parametrize(
    ("options", "limit"),
    [(["--bytes-per-frame", 900], 1800), (["--bytes", 1500], 1500), (["--layers", 3], None), ([], None)],
    ids=str,
)
def test_there_and_back(cube: Path, tmp_path: Path, options: list[Any], limit: int | None, capsys: Any) -> None:
    stream = compressed(cube, *options)
    assert limit is None or 0.95 * limit <= stream.stat().st_size <= limit
    assert swathpack("decompress", stream, "-o", tmp_path / "out.npz", "--report", tmp_path / "report.json") == 0
    assert "2 of 2 frames whole" in capsys.readouterr().out
    before, after = read_series(cube), read_series(tmp_path / "out.npz")
    for a, b in zip(before.frames, after.frames):
        assert (a.bands, a.time, a.level) == (b.bands, b.time, b.level) and psnr(a, b) > 22
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["problems"] == [] and len(report["frames"]) == 2


def test_keys_of_the_input_come_back(tmp_path: Path) -> None:
    cube = write_cube(tmp_path / "cube.npz", 1, group=np.array("a__b"), transform=np.array([10.0, 0, 5e5, 0, -10, 4e6]))
    stream = compressed(cube)
    assert swathpack("decompress", stream, "-o", tmp_path / "out.npz") == 0
    with np.load(cube) as before, np.load(tmp_path / "out.npz") as after:
        assert set(before.files) <= set(after.files)
        for key in ("group", "transform", "level"):
            np.testing.assert_array_equal(before[key], after[key])
        assert after["data"].dtype == np.uint16 and after["data"].shape == before["data"].shape


def test_cirrus_comes_back(tmp_path: Path, capsys: Any) -> None:
    data = np.concatenate([series(32, 32)[0].data, np.full((1, 32, 32), 12, np.uint16)])[None]
    np.savez(tmp_path / "l1c.npz", data=data, bands=[*BANDS, "B10"], dates=["2026-05-01"], level="L1C")
    stream = compressed(tmp_path / "l1c.npz")
    assert "tiles: 1 transform" in capsys.readouterr().out
    assert swathpack("decompress", stream, "-o", tmp_path / "out.npz") == 0
    assert read_series(tmp_path / "out.npz").frames[0].bands == (*BANDS, "B10")


def test_lossless_and_bounded_error(cube: Path, tmp_path: Path, capsys: Any) -> None:
    before = read_series(cube)
    for options, most in ((["--lossless"], 0), (["--max-error", 3], 3)):
        stream = compressed(cube, *options, "--force")
        assert swathpack("decompress", stream, "-o", tmp_path / "out.npz", "--force") == 0
        after = read_series(tmp_path / "out.npz")
        assert max(int(np.abs(a.data.astype(int) - b.data).max()) for a, b in zip(before.frames, after.frames)) == most
        capsys.readouterr()
        swathpack("inspect", stream, "--json")
        tiles = [t for f in json.loads(capsys.readouterr().out)["frames"] for t in f["tiles"]]
        assert {t["mode"] for t in tiles} == {"predictive"} and {t["max_error"] for t in tiles} == {most}


def test_geotiffs_carry_their_georeference(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    from swathpack.tools.files.rasters import Series, write_series

    frames = series(48, 48, 2)
    folder = tmp_path / "in"
    write_series(Series(frames, {}), folder)
    stream = tmp_path / "x.swp"
    assert swathpack("compress", folder, "-o", stream) == 0
    assert swathpack("decompress", stream, "-o", tmp_path / "out") == 0
    after = read_series(tmp_path / "out")
    assert [f.bands for f in after.frames] == [BANDS] * 2
    assert all(psnr(a, b) > 25 for a, b in zip(frames, after.frames))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_cut_file_is_decoded_and_what_is_missing_is_named(
    stream: Path, tmp_path: Path, share: float, capsys: Any
) -> None:
    data = stream.read_bytes()
    stream.write_bytes(data[: int(share * len(data))])
    assert swathpack("decompress", stream, "-o", tmp_path / "out.npz") == PARTLY
    said = capsys.readouterr().out
    assert "missing or damaged: " in said
    assert "2 of 2 frames" not in said, "even where only the last check bytes are gone"
    assert len(read_series(tmp_path / "out.npz").frames) == 2


def test_decompress_of_fewer_layers(cube: Path, tmp_path: Path) -> None:
    stream, found = compressed(cube, "--quality", 8), []
    for layers in (1, 16):
        assert swathpack("decompress", stream, "-o", tmp_path / "out.npz", "--layers", layers, "--force") == 0
        found.append(psnr(read_series(cube).frames[0], read_series(tmp_path / "out.npz").frames[0]))
    assert found[1] > found[0] + 1


# --- inspect ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--bytes-per-frame", 700]], ids=str)
def test_inspect_adds_up(cube: Path, options: list[Any], capsys: Any) -> None:
    stream = compressed(cube, *options, "--mode", "learned")
    capsys.readouterr()
    assert swathpack("inspect", stream, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    size = stream.stat().st_size
    assert facts["total_bytes"] == size == facts["header_bytes"] + sum(f["bytes"] for f in facts["frames"])
    assert facts["problems"] == [] and facts["shape"] == [2, 12, 48, 64]
    for frame in facts["frames"]:
        assert (
            frame["bytes"]
            >= sum(t["bytes"] for t in frame["tiles"])
            > sum(t["payload_bytes"] for t in frame["tiles"])
            > 0
        )
    assert [c["frame"] for c in facts["frames"][1]["tiles"][0]["contexts"]] == [0]
    assert 0 < facts["header_bytes"] < 300


@pytest.mark.parametrize("options", [["--bytes-per-frame", 700], ["--mode", "learned"], ["--lossless"]], ids=str)
def test_inspect_tells_where_every_byte_goes(cube: Path, options: list[Any], capsys: Any) -> None:
    stream = compressed(cube, *options)
    capsys.readouterr()
    assert swathpack("inspect", stream, "--json", "--bytes") == 0
    rows = {row["kind"]: row for row in json.loads(capsys.readouterr().out)["bytes_by_kind"]}
    assert sum(row["bytes"] for row in rows.values()) == stream.stat().st_size
    assert rows["file header"]["count"] == 1 and rows["around segments"]["count"] == 2
    assert rows["around segments"]["bytes"] <= 2 * 12
    assert swathpack("inspect", stream, "--bytes") == 0
    assert f"{stream.stat().st_size}\n" in capsys.readouterr().out
    stream.write_bytes(stream.read_bytes()[:-9])
    assert swathpack("inspect", stream, "--bytes") == PARTLY
    assert "problem at byte" in capsys.readouterr().out


def test_inspect_reads_for_people(cube: Path, capsys: Any) -> None:
    stream = compressed(cube, "--mode", "learned")
    assert swathpack("inspect", stream) == 0
    said = capsys.readouterr().out
    assert "2 frames of 12 bands, 48 x 64 pixels" in said and "frame 0 to layer 16" in said
    stream.write_bytes(stream.read_bytes()[:-9])
    assert swathpack("inspect", stream) == PARTLY
    assert "problem at byte" in capsys.readouterr().out


# --- bad input ----------------------------------------------------------------------------------------------


def refused(capsys: Any, *words: Any, code: int = 1) -> str:
    """The one line that a refused command says."""
    capsys.readouterr()
    assert swathpack(*words) == code
    said = capsys.readouterr()
    assert "Traceback" not in said.err and said.err.strip().count("\n") == 0
    return str(said.err)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bytes-per-frame", 0], "--bytes-per-frame: expected 1 to"),
        (["--bytes-per-frame", 12], "expected at least"),
        (["--bytes", -5], "--bytes: expected 1 to"),
        (["--bytes", 20], "expected at least"),
        (["--layers", 17], "--layers: expected 1 to 16, found 17"),
        (["--quality", 64], "--quality: expected -56 to 63, found 64"),
        (["--quality", 9, "--bytes", 900], "--quality goes without a byte budget"),
        (["--threads", 0], "--threads: expected 1 to"),
        (["--intra-every", -2], "--intra-every: expected 0 to"),
        (["--engine", "abacus"], "abacus"),
        (["--bands", "B02,B99"], "B99"),
        (["--model", "/nowhere"], "/nowhere"),
    ],
    ids=str,
)
def test_compress_refuses_bad_options(cube: Path, options: list[Any], message: str, capsys: Any) -> None:
    out = cube.with_suffix(".swp")
    assert message in refused(
        capsys, "compress", cube, "-o", out, *options, code=USAGE if message.startswith("--") else 1
    )
    assert not out.exists()


@pytest.mark.parametrize("options", [["--bytes", "many"], ["--bytes", 9, "--layers", 2], ["--unheard-of"]], ids=str)
def test_bad_usage_exits_with_two(cube: Path, options: list[Any]) -> None:
    with pytest.raises(SystemExit) as stopped:
        swathpack("compress", cube, "-o", cube.with_suffix(".swp"), *options)
    assert stopped.value.code == 2


def test_missing_and_foreign_inputs_are_refused(tmp_path: Path, capsys: Any) -> None:
    assert "gone.npz" in refused(capsys, "compress", tmp_path / "gone.npz", "-o", tmp_path / "x.swp")
    (tmp_path / "text.npz").write_text("no cube at all")
    assert "text.npz" in refused(capsys, "compress", tmp_path / "text.npz", "-o", tmp_path / "x.swp")
    for command in (["inspect"], ["decompress", "-o", tmp_path / "x.npz"]):
        assert "gone.swp" in refused(capsys, command[0], tmp_path / "gone.swp", *command[1:])
        assert "expected a SwathPack stream" in refused(capsys, command[0], tmp_path / "text.npz", *command[1:])


def test_a_stream_of_another_model_is_refused(stream: Path, tmp_path: Path, capsys: Any) -> None:
    from dataclasses import replace

    from swathpack.edge.stream import StreamWriter, read_stream

    header = read_stream(stream.read_bytes()).header
    stream.write_bytes(StreamWriter(replace(header, model_digest=b"another!")).to_bytes())
    said = refused(capsys, "decompress", stream, "-o", tmp_path / "x.npz")
    assert b"another!".hex() in said and "this is model" in said


def test_unwritable_outputs_are_refused_and_leave_nothing(
    cube: Path, stream: Path, tmp_path: Path, capsys: Any
) -> None:
    folder = tmp_path / "folder.swp"
    folder.mkdir()
    before = sorted(p.name for p in tmp_path.iterdir())
    target = tmp_path / "no" / "where.swp"
    assert f"cannot write {target}" in refused(capsys, "compress", cube, "-o", target, "--quality", 40)
    assert swathpack("compress", cube, "-o", folder, "--force") == REFUSED
    assert f"{folder} is a folder: expected a file" in capsys.readouterr().err
    assert str(tmp_path / "no") in refused(capsys, "decompress", stream, "-o", tmp_path / "no" / "x.npz")
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", 17], "--layers: expected 0 to 16, found 17"),
        (["--threads", -1], "--threads: expected 1 to"),
    ],
    ids=str,
)
def test_decompress_refuses_bad_options(
    stream: Path, tmp_path: Path, options: list[Any], message: str, capsys: Any
) -> None:
    assert message in refused(capsys, "decompress", stream, "-o", tmp_path / "x.npz", *options, code=USAGE)


def test_help_names_every_command(capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        swathpack("--help")
    said = capsys.readouterr().out
    assert stopped.value.code == 0 and all(c in said for c in ("compress", "decompress", "inspect", "bench"))


HELP_OF_EACH = """
import contextlib, io, sys
from swathpack.tools.extras import EXTRAS
sys.modules.update(dict.fromkeys(EXTRAS))  # importing any of them fails
from swathpack.tools.cli import COMMANDS, main
for name in COMMANDS:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as said:
        main([name, "--help"])
    print(name if said.getvalue().startswith(f"usage: swathpack {name}") else f"no help of {name}")
"""


def test_every_command_has_help_without_any_extra() -> None:
    done = subprocess.run([sys.executable, "-c", HELP_OF_EACH], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == [*COMMANDS, ""] and not done.stderr


@pytest.mark.parametrize(("word", "meant"), [("compres", "compress"), ("Decompress", "decompress"), ("xyzzy", None)])
def test_a_mistyped_command_is_told_of_the_nearest(word: str, meant: str | None, capsys: Any) -> None:
    said = refused(capsys, word, "a.npz", code=USAGE)
    assert (f"did you mean {meant}?" in said) if meant else ("did you mean" not in said and "--help" in said)


def test_numbers_with_exponents_are_no_options(stream: Path, tmp_path: Path, capsys: Any) -> None:
    said = refused(capsys, "decompress", stream, "-o", tmp_path / "x.npz", "--bbox", "-1e308", "-.5e1", "-1.", "2")
    assert "--bbox" in said and "argument" not in said


def test_keys_are_never_written_over(tmp_path: Path, capsys: Any) -> None:
    assert swathpack("keys", tmp_path / "link.keys") == 0
    capsys.readouterr()
    assert "exists: give another name" in refused(capsys, "keys", tmp_path / "link.keys", code=REFUSED)
    assert "cannot write" in refused(capsys, "keys", tmp_path / "none" / "link.keys")


def test_a_missing_c_coder_is_told_of_once(monkeypatch, tmp_path, capsys):
    from swathpack.edge.codec.rangecoder import native

    monkeypatch.setattr(native, "available", lambda: False)
    assert main(["decompress", str(tmp_path / "none.swp"), "-o", str(tmp_path / "x.npz")]) != 0
    assert capsys.readouterr().err.count("the C coder is not built") == 1
    main(["inspect", str(tmp_path / "none.swp")])  # it codes nothing
    assert "C coder" not in capsys.readouterr().err
