"""Parts of a stream: windows, boxes, bands, dates and previews are what the whole gives there, for as few bytes as they need."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.codec.pixels import tile_windows
from swathpack.edge.stream import read_stream
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.cli import main
from swathpack.tools.errors import BAD_INPUT, DONE, PARTLY, USAGE
from swathpack.tools.files.part_file import PartFile
from swathpack.tools.files.rasters import read_series

rasterio = pytest.importorskip("rasterio")
BANDS = ("B02", "B03", "B08")
SIDE = (380, 600)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dates of three bands as GeoTIFFs, compressed; the folder holds scene.swp and the whole as whole/."""
    folder = tmp_path_factory.mktemp("scene")
    (folder / "in").mkdir()
    profile = {
        "driver": "GTiff",
        "height": SIDE[0],
        "width": SIDE[1],
        "count": 3,
        "dtype": "uint16",
        "crs": "EPSG:32633",
    }
    transform = rasterio.transform.from_origin(300000, 5000040, 10, 10)
    for i, data in enumerate(values(*SIDE, 2, 3)[:, :3]):
        with rasterio.open(folder / "in" / f"2026010{i + 1}.tif", "w", transform=transform, **profile) as file:
            file.write(data)
            for n, band in enumerate(BANDS):
                file.set_band_description(n + 1, band)
    assert (
        main(
            [
                "compress",
                str(folder / "in"),
                "-o",
                str(folder / "scene.swp"),
                "--bytes",
                "65000",
                "--fast",
                "--tile",
                "256",
            ]
        )
        == DONE
    )
    assert main(["decompress", str(folder / "scene.swp"), "-o", str(folder / "whole")]) == DONE
    return folder


def part(scene: Path, out: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> int:
    """Decompress a part, and how many bytes that read."""
    assert main(["decompress", str(scene / "scene.swp"), "-o", str(out), *words]) == DONE
    found = re.search(r"read (\d+) of (\d+) bytes", capsys.readouterr().out)
    assert found is not None and int(found[2]) == (scene / "scene.swp").stat().st_size
    return int(found[1])


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return np.asarray(file.read())


def test_a_window_is_that_part_and_lies_where_it_did(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--window", "270", "520", "100", "60", "--bands", "B08,B02", "--dates", "1"]
    read = part(scene, tmp_path / "a.tif", *words, capsys=capsys)
    whole = pixels(scene / "whole" / "20260102.tif")
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif"), whole[[0, 2], 270:370, 520:580])
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.transform * (0, 0) == (305200, 4997340) and file.crs.to_epsg() == 32633
        assert set(file.descriptions) == {"B02", "B08"}
    size, tiles = (scene / "scene.swp").stat().st_size, 2 * len(list(tile_windows(*SIDE, 256)))
    assert read < 1024 + 64 * (tiles + 2) + 2.5 * size / tiles + 2000


def test_a_box_is_a_window(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part(scene, tmp_path / "a", "--bbox", "305200", "4996340", "305800", "4997340", capsys=capsys)
    for name in ("20260101.tif", "20260102.tif"):
        np.testing.assert_array_equal(
            pixels(tmp_path / "a" / name), pixels(scene / "whole" / name)[:, 270:370, 520:580]
        )
    assert (
        main(["decompress", str(scene / "scene.swp"), "-o", str(tmp_path / "b"), "--bbox", "0", "0", "1", "1"])
        == BAD_INPUT
    )


@pytest.mark.parametrize("n", [4, 8, 16])
def test_a_preview_is_the_mean_of_pixels(
    scene: Path, tmp_path: Path, n: int, capsys: pytest.CaptureFixture[str]
) -> None:
    read = part(scene, tmp_path / "a", "--preview", str(n), capsys=capsys)
    given, found = pixels(scene / "in" / "20260101.tif").astype(float), pixels(tmp_path / "a" / "20260101.tif")
    rows, columns = np.arange(0, SIDE[0], n), np.arange(0, SIDE[1], n)
    mean = np.add.reduceat(np.add.reduceat(given, rows, 1), columns, 2)
    mean /= np.add.reduceat(np.add.reduceat(np.ones(SIDE), rows, 0), columns, 1)
    assert found.shape == mean.shape and np.abs(found - mean).mean() < 0.25 * mean.std()
    with rasterio.open(tmp_path / "a" / "20260101.tif") as file:
        assert file.transform.a == 10 * n and file.transform.c == 300000
    whole = pixels(scene / "whole" / "20260101.tif").astype(float)
    near = np.add.reduceat(np.add.reduceat(whole, rows, 1), columns, 2)
    near /= np.add.reduceat(np.add.reduceat(np.ones(SIDE), rows, 0), columns, 1)
    assert np.sqrt(np.square(found - near).mean()) < 0.05 * near.std(), "near to the means of what the whole file gives"
    size, tiles = (scene / "scene.swp").stat().st_size, 2 * len(list(tile_windows(*SIDE, 256)))
    assert read <= size + 1024 + 64 * (tiles + 2)  # the second date was coded against the first, which is read whole
    first = part(scene, tmp_path / "b.tif", "--preview", str(n), "--dates", "0", capsys=capsys)
    assert first < read and first < size
    np.testing.assert_array_equal(pixels(tmp_path / "b.tif"), found)


@pytest.mark.parametrize("words", [["--lossless"], ["--max-error", "3"], ["--quality", "40", "--region", "0,0,9,9"]])
def test_a_preview_of_exact_tiles_is_their_mean_to_the_last_row(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "a.npz", data=values(96, 80, 1, 2)[:, :2], bands=["B02", "B08"])
    stream, whole, small = tmp_path / "a.swp", tmp_path / "whole.npz", tmp_path / "small.npz"
    assert main(["compress", str(tmp_path / "a.npz"), "-o", str(stream), *words]) == DONE
    assert main(["decompress", str(stream), "-o", str(whole)]) == DONE
    assert main(["decompress", str(stream), "-o", str(small), "--preview", "16"]) == DONE
    wanted = np.load(whole)["data"].reshape(1, 2, 6, 16, 5, 16).mean(axis=(3, 5))
    assert np.abs(np.load(small)["data"] - wanted).max() <= 0.5
    data = bytearray(stream.read_bytes())
    data[len(data) * 2 // 3] ^= 1
    stream.write_bytes(data)
    capsys.readouterr()
    assert main(["decompress", str(stream), "-o", str(small), "--preview", "16", "--force"]) == PARTLY
    assert "0 of 1 frames whole" in capsys.readouterr().out


def test_a_preview_of_less_than_it_takes_says_so(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray((scene / "scene.swp").read_bytes())
    (tmp_path / "cut.swp").write_bytes(data[: len(data) // 4])
    words = ["decompress", str(tmp_path / "cut.swp"), "-o", str(tmp_path / "a.npz"), "--dates", "0"]
    assert main(words) == PARTLY
    said = [line for line in capsys.readouterr().out.splitlines() if "payload bytes are good" in line]
    assert main([*words, "--preview", "4", "--force"]) == PARTLY
    assert said and said == [line for line in capsys.readouterr().out.splitlines() if "payload bytes are good" in line]


@pytest.mark.parametrize(
    "words", [["--window", "250", "500", "20", "30"], ["--window", "256", "0", "16", "512", "--preview", "4"]]
)
def test_beside_a_seam_a_part_is_what_the_whole_is_there(
    scene: Path, tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    part(scene, tmp_path / "a.tif", *words, "--dates", "1", capsys=capsys)
    n, whole = 1, scene / "whole" / "20260102.tif"
    if "--preview" in words:
        n, whole = 4, tmp_path / "b.tif"
        part(scene, whole, "--preview", "4", "--dates", "1", capsys=capsys)
    y, x, h, w = (int(word) // n for word in words[1:5])
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif"), pixels(whole)[:, y : y + h, x : x + w])


@pytest.mark.long
@pytest.mark.parametrize("mode", ["learned", "transform"])
def test_dates_that_name_contexts_are_decoded_with_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    np.savez(tmp_path / "cube.npz", data=values(64, 300, 3, 5), dates=["2026-01-01", "2026-01-06", "2026-01-11"])
    words = [str(tmp_path / "cube.npz"), "-o", str(tmp_path / "scene.swp"), "--quality", "24", "--fast"]
    words += ["--mode", mode, "--tile", "256"]
    assert main(["compress", *words]) == DONE
    assert main(["decompress", str(tmp_path / "scene.swp"), "-o", str(tmp_path / "whole.npz")]) == DONE
    read = part(tmp_path, tmp_path / "a.npz", "--dates", "2", "--window", "3", "265", "50", "35", capsys=capsys)
    segments = read_stream((tmp_path / "scene.swp").read_bytes()).segments
    assert any(s.contexts for s in segments if s.frame == 2)
    whole, found = (read_series(tmp_path / f"{n}.npz").frames for n in ("whole", "a"))
    assert len(found) == 1
    np.testing.assert_array_equal(found[0].data, whole[2].data[:, 3:53, 265:300])
    assert read < (tmp_path / "scene.swp").stat().st_size
    part(tmp_path, tmp_path / "p.npz", "--preview", "8", capsys=capsys)
    assert read_series(tmp_path / "p.npz").frames[2].data.shape == (12, 8, 38)


def test_what_is_no_part_is_refused(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["--window", "0", "0", "381", "1"], "--window: expected a part of 380 x 600"),
        (["--window", "-1", "0", "1", "1"], "--window: expected a part"),
        (["--bands", "B99"], "--bands: "),
        (["--dates", "2"], "--dates: expected different numbers of 0 to 1"),
        (["--dates", "x"], "--dates: expected numbers such as"),
    ):
        code = USAGE if "x" in words else BAD_INPUT
        assert main(["decompress", str(scene / "scene.swp"), "-o", str(tmp_path / "x.npz"), *words]) == code
        assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_damage_within_a_part_is_named_and_beside_it_does_no_harm(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray((scene / "scene.swp").read_bytes())
    heads = PartFile(scene / "scene.swp")._heads
    inside, beside = heads[0], heads[1]
    data[beside.payload_start + 40] ^= 1
    (tmp_path / "scene.swp").write_bytes(data)
    words = ["--window", "0", "0", "100", "100", "--dates", "0"]
    assert main(["decompress", str(tmp_path / "scene.swp"), "-o", str(tmp_path / "a.tif"), *words]) == DONE
    data[inside.payload_start + 40] ^= 1
    (tmp_path / "scene.swp").write_bytes(data)
    report = tmp_path / "r.json"
    more = ["--report", str(report), "--force"]
    assert main(["decompress", str(tmp_path / "scene.swp"), "-o", str(tmp_path / "b.npz"), *words, *more]) == PARTLY
    assert any("damaged" in p for p in json.loads(report.read_text())["problems"])
    (tmp_path / "scene.swp").write_bytes(data[: len(data) // 2])  # heads do not lead to the end: all is read
    main(["decompress", str(tmp_path / "scene.swp"), "-o", str(tmp_path / "c.npz"), *words])
    found = re.findall(r"read (\d+) of", capsys.readouterr().out)
    assert int(found[-1]) >= len(data) // 2


@pytest.mark.parametrize("size", [(7, 13), (1, 5), (13, 7)])
def test_small_files_of_coarser_grids_keep_their_pixels(tmp_path: Path, size: tuple[int, int]) -> None:
    given = {}
    (tmp_path / "in").mkdir()
    for metres, band in ((10, "B02"), (20, "B05"), (60, "B09")):
        h, w = (-(-side * 10 // metres) for side in size)
        given[metres] = np.arange(500, 500 + h * w, dtype=np.uint16).reshape(1, h, w)
        transform = rasterio.transform.from_origin(300000, 5000040, metres, metres)
        profile = {"driver": "GTiff", "height": h, "width": w, "count": 1, "dtype": "uint16", "crs": "EPSG:32633"}
        name = tmp_path / "in" / f"T32TQM_20230101_{band}_{metres}m.tif"
        with rasterio.open(name, "w", transform=transform, **profile) as file:
            file.write(given[metres])
            file.set_band_description(1, band)
    assert main(["compress", str(tmp_path / "in"), "-o", str(tmp_path / "a.swp"), "--lossless"]) == DONE
    last = [str(side - 1) for side in size]
    words = {"part": ["--window", *last, "1", "1"], "small": ["--preview", "4"]}
    for out, more in words.items():
        assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / out), *more]) == DONE
    for metres, values_ in given.items():
        (name,) = (tmp_path / "part").glob(f"*_{metres}m.tif")
        with rasterio.open(name) as file:
            row, column = round((5000040 - file.transform.f) / metres), round((file.transform.c - 300000) / metres)
            assert file.transform.a == metres
            np.testing.assert_array_equal(
                file.read(), values_[:, row : row + file.height, column : column + file.width]
            )
        with rasterio.open(tmp_path / "small" / name.name) as file:
            assert (file.transform.a, file.transform.e) == (40, -40) and file.shape == (
                -(-size[0] // 4),
                -(-size[1] // 4),
            )


def test_python_reads_the_same_parts(scene: Path) -> None:
    import swathpack

    found = swathpack.decompress(scene / "scene.swp", window=(270, 520, 100, 60), bands=["B08", "B02"], dates=[1])
    whole = pixels(scene / "whole" / "20260102.tif")
    np.testing.assert_array_equal(found[0], whole[[2, 0], 270:370, 520:580])
    small = swathpack.decompress((scene / "scene.swp").read_bytes(), preview=16)
    assert small.shape == (2, 3, 24, 38)
    with pytest.raises(swathpack.Error, match="^window: expected a part"):
        swathpack.decompress(scene / "scene.swp", window=(0, 0, 381, 1))
