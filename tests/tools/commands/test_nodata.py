"""Images without any data come back as images of nodata: alone, as one date of a series, as a window; through every way to code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.stream import read_stream
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.cli import main
from swathpack.tools.errors import BAD_INPUT, DONE

rasterio = pytest.importorskip("rasterio")

BANDS = ("B02", "B03", "B04", "B08")
NODATA = -9999
SIDE = 40, 300  # two tiles


def scenes(folder: Path, empty: Sequence[bool]) -> list[np.ndarray]:
    """GeoTIFFs of several dates, with nothing but nodata where `empty`."""
    folder.mkdir()
    profile = {"driver": "GTiff", "width": SIDE[1], "height": SIDE[0], "count": 4, "dtype": "int16", "nodata": NODATA}
    place = {"crs": "EPSG:32633", "transform": rasterio.transform.from_origin(300000, 5000040, 10, 10)}
    given = []
    for i, (nothing, data) in enumerate(zip(empty, values(*SIDE, len(empty), 3)[:, [1, 2, 3, 7]])):
        given.append(np.full((4, *SIDE), NODATA, np.int16) if nothing else data.astype(np.int16))
        with rasterio.open(folder / f"2026010{i + 1}.tif", "w", **profile, **place) as file:
            file.write(given[-1])
            for n, band in enumerate(BANDS):
                file.set_band_description(n + 1, band)
    return given


def compressed(folder: Path, empty: Sequence[bool], *words: str) -> tuple[Path, list[np.ndarray]]:
    given = scenes(folder / "in", empty)
    mode = [] if {"--lossless", "--max-error"} & set(words) else ["--mode", "transform"]
    assert main(["compress", str(folder / "in"), "-o", str(folder / "s.swp"), *mode, *words]) == DONE
    return folder / "s.swp", given


def is_nothing(path: Path, shape: tuple[int, int] = SIDE) -> bool:
    """Whether a file holds nodata alone and says all that the input said."""
    with rasterio.open(path) as file:
        assert (file.nodata, file.crs.to_epsg(), file.descriptions) == (NODATA, 32633, BANDS)
        assert file.dtypes == ("int16",) * 4 and file.transform * (0, 0) == (300000, 5000040)
        assert file.shape == shape
        return bool((file.read() == NODATA).all()) and not file.dataset_mask().any()


WAYS = [
    [],
    ["--lossless"],
    ["--max-error", "5"],
    ["--bytes", "3000"],
    ["--bytes", "3000", "--region", "0,0,9,9"],
    ["--layers", "3"],
]


@pytest.mark.parametrize("words", WAYS, ids=" ".join)
def test_nothing_but_nodata(tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    stream, _ = compressed(tmp_path, [True], *words)
    assert stream.stat().st_size < 400 and "tiles: \n" not in capsys.readouterr().out
    for out in ("one.tif", "folder", "c.npz", "c.nc"):
        assert main(["decompress", str(stream), "-o", str(tmp_path / out)]) == DONE
    assert main(["decompress", str(stream), "-o", str(tmp_path / "cog.tif"), "--cog"]) == DONE
    assert all(is_nothing(tmp_path / path) for path in ("one.tif", "folder/20260101.tif", "cog.tif"))
    with np.load(tmp_path / "c.npz") as archive:
        assert archive["data"].shape == (1, 4, *SIDE) and (archive["data"] == NODATA).all()


def test_in_the_learned_codec_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", data=np.zeros((1, 12, 40, 40), np.uint16))
    assert main(["compress", str(tmp_path / "in.npz"), "-o", str(tmp_path / "s.swp"), "--mode", "learned"]) == DONE
    assert main(["decompress", str(tmp_path / "s.swp"), "-o", str(tmp_path / "out.npz")]) == DONE
    with np.load(tmp_path / "out.npz") as archive:
        assert archive["data"].shape == (1, 12, 40, 40) and not archive["data"].any()


@pytest.mark.parametrize("words", [["--quality", "30"], ["--lossless"]], ids=" ".join)
def test_a_date_without_data_stays_among_the_others(tmp_path: Path, words: list[str]) -> None:
    stream, given = compressed(tmp_path, [False, True, False], *words)
    assert main(["decompress", str(stream), "-o", str(tmp_path / "out")]) == DONE
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["20260101.tif", "20260102.tif", "20260103.tif"]
    assert [is_nothing(tmp_path / "out" / f"2026010{n}.tif") for n in (1, 2, 3)] == [False, True, False]
    with rasterio.open(tmp_path / "out" / "20260103.tif") as file:
        assert np.abs(file.read() - given[2]).mean() < (1 if "--lossless" in words else 100)
    assert main(["decompress", str(stream), "-o", str(tmp_path / "all.tif")]) == BAD_INPUT, "three dates"
    assert main(["decompress", str(stream), "-o", str(tmp_path / "one.tif"), "--dates", "1"]) == DONE
    assert is_nothing(tmp_path / "one.tif")


def test_the_first_date_without_data(tmp_path: Path) -> None:
    stream, given = compressed(tmp_path, [True, False], "--lossless")
    assert main(["decompress", str(stream), "-o", str(tmp_path / "out")]) == DONE
    assert is_nothing(tmp_path / "out" / "20260101.tif")
    with rasterio.open(tmp_path / "out" / "20260102.tif") as file:
        np.testing.assert_array_equal(file.read(), given[1])


def test_a_window_where_nothing_is(tmp_path: Path) -> None:
    data = values(*SIDE, 1)[0, [1, 2, 3, 7]]
    data[:, :, :256] = 0
    np.savez(tmp_path / "in.npz", data=data, bands=np.array(BANDS))
    assert main(["compress", str(tmp_path / "in.npz"), "-o", str(tmp_path / "s.swp"), "--lossless"]) == DONE
    for words in (["--window", "0", "0", "30", "50"], ["--preview", "4"], []):
        assert main(["decompress", str(tmp_path / "s.swp"), "-o", str(tmp_path / "w.tif"), "--force", *words]) == DONE
        with rasterio.open(tmp_path / "w.tif") as file:
            found = file.read()
            assert found[:, :, 0].any() == 0 and found.any() == (words[:1] != ["--window"])
    assert found.shape == data.shape and (found == data).all()


def test_what_is_lost_is_not_taken_for_nodata(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the record of its mask a date is missing, whatever it was."""
    stream, _ = compressed(tmp_path, [True])
    whole = stream.read_bytes()
    at = read_stream(whole).frames[0].offset
    for data in (whole[:at], whole[: at + 8], whole[: at + 8] + bytes([whole[at + 8] ^ 1]) + whole[at + 9 :]):
        stream.write_bytes(data)
        assert main(["decompress", str(stream), "-o", str(tmp_path / "out.tif")]) == BAD_INPUT
        assert "no tile is in the stream" in capsys.readouterr().err
    assert not (tmp_path / "out.tif").exists()
