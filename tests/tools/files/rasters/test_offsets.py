"""The +1,000 of baseline 04.00 in some dates of a series: noticed, said, absorbed; values come back as given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.frame import Frame
from swathpack.edge.stream import read_stream
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.cli import main
from swathpack.tools.files.rasters import read_series
from swathpack.tools.files.rasters.offsets import absorbed, shifted
from tests.tools.files.rasters.made import geo, image, write_tiff


def cube(shifted_dates: tuple[int, ...] = (1,), dates: int = 3, size: int = 64) -> NDArray[np.uint16]:
    data = values(size, size, dates)
    for t in shifted_dates:
        data[t] += 1000
    return data


def write(path: Path, data: NDArray[np.uint16], **keys: object) -> Path:
    np.savez(path, data=data, bands=BANDS, dates=[f"2022-0{t + 1}-05" for t in range(len(data))], **keys)  # type: ignore[arg-type]
    return path


def frames(data: NDArray[np.uint16]) -> list[Frame]:
    return [Frame(d, BANDS, f"2022-0{t + 1}-05") for t, d in enumerate(data)]


@pytest.mark.parametrize("dates", [(1,), (0,), (2,), (0, 1)])
def test_pixels_tell_which_dates_carry_the_offset(dates: tuple[int, ...]) -> None:
    found, notes = absorbed(frames(cube(dates)), [None] * 3)
    assert [f.boa_offset for f in found] == [t in dates for t in range(3)]
    assert len(notes) == 1 and "+1,000" in notes[0] and all(f"2022-0{t + 1}-05" in notes[0] for t in dates)
    assert all((f.data == d).all() for f, d in zip(found, cube(dates)))


def test_pixels_are_believed_where_metadata_says_otherwise() -> None:
    found, notes = absorbed(frames(cube((1,))), [True, False, False])
    assert [f.boa_offset for f in found] == [False, True, False]
    assert any("metadata says otherwise of 2022-01-05, 2022-02-05" in n for n in notes)
    found, notes = absorbed(frames(cube(())), [False, True, False])  # said to be mixed, but it is not
    assert not any(f.boa_offset for f in found) and any("otherwise of 2022-02-05" in n for n in notes)


@pytest.mark.parametrize("told", [[True] * 3, [False] * 3, [None, True, None], [None] * 3])
def test_dates_that_are_alike_are_as_their_metadata_says(told: list[bool | None]) -> None:
    found, notes = absorbed(frames(cube(())), told)
    assert [f.boa_offset for f in found] == [True in told] * 3 and notes == []


def test_clouds_are_no_offset() -> None:
    data = cube(())
    cloud = np.linspace(2500, 5500, 12)[:, None, None]
    data[1] = np.maximum(data[1], cloud).astype(np.uint16)
    found, notes = absorbed(frames(data), [None] * 3)
    assert not any(f.boa_offset for f in found) and notes == []
    found, _ = absorbed(frames(data), [False, True, False])  # under cloud metadata is all there is
    assert [f.boa_offset for f in found] == [False, True, False]


def test_haze_in_the_visible_is_no_offset() -> None:
    data = cube(()).astype(np.int64)
    data[2] += np.array([1500, 1300, 1100, 900, 700, 600, 500, 450, 400, 300, 150, 80])[:, None, None]
    found, _ = absorbed(frames(data.astype(np.uint16)), [None] * 3)
    assert not any(f.boa_offset for f in found)


def test_dates_of_other_bands_are_no_measure() -> None:
    """Bright bands of one date are no offset over dark ones of another; dates of the same bands still tell."""
    data = cube((3,), dates=4)
    dark, bright = BANDS[:4], BANDS[6:10]
    data[:, 6:10] = data[:, :4] + 1000
    mixed = [Frame(data[t, :4] if t in (0, 3) else data[t, 6:10], dark if t in (0, 3) else bright) for t in range(4)]
    assert [f.boa_offset for f in absorbed(mixed, [None] * 4)[0]] == [False, False, False, True]
    few = [Frame(data[0, :4], dark), Frame(data[1, :3], BANDS[:3])]
    assert [f.boa_offset for f in absorbed(few, [False, True])[0]] == [False, True]


@pytest.mark.parametrize("options", [[], ["--keep-going"]])  # read whole, and by rows
def test_dates_with_other_bands_are_named(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tifffile")
    write_tiff(tmp_path / "a_20230101.tif", image(bands=3), ("B02", "B03", "B04"), tags=geo())
    write_tiff(tmp_path / "a_20230201.tif", image(bands=4), ("B02", "B03", "B04", "B08"), tags=geo())
    assert main(["compress", str(tmp_path), "-o", str(tmp_path / "a.swp"), *options]) == 1
    said = capsys.readouterr().err
    assert (
        "frame 1 (20230201): expected the bands B02, B03, B04 as in frame 0 (20230101), found B02, B03, B04, B08"
        in said
    )


def test_few_bands_or_pixels_do_not_tell() -> None:
    assert shifted([np.array([100.0]), np.array([1100.0])]) == [None, None]
    assert shifted([np.array([100.0, 150.0, 120.0])]) == [None]
    assert shifted([np.array([100.0, 150, 120]), np.array([1100.0, 1140, 1125])]) == [False, True]
    empty = [Frame(np.zeros((12, 8, 8), np.uint16)), Frame(cube()[0, :, :8, :8])]
    assert [f.boa_offset for f in absorbed(empty, [None, None])[0]] == [False, False]


@pytest.mark.long
def test_a_mixed_series_comes_back_as_given_and_its_contexts_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, mixed = (
        write(tmp_path / "plain.npz", cube(())),
        write(tmp_path / "mixed.npz", cube((1,)), boa_offset_1000="no"),
    )
    sizes = []
    for path in (plain, mixed):
        assert (
            main(
                [
                    "compress",
                    str(path),
                    "-o",
                    str(path.with_suffix(".swp")),
                    "--quality",
                    "16",
                    "--fast",
                    "--mode",
                    "learned",
                ]
            )
            == 0
        )
        assert main(["decompress", str(path.with_suffix(".swp")), "-o", str(path.with_suffix(".out.npz"))]) == 0
        stream = read_stream(path.with_suffix(".swp").read_bytes())
        sizes.append(sum(len(s.payload) for s in stream.segments))
        assert [len(s.contexts) for s in stream.segments][1] == 1
    said = capsys.readouterr().out
    assert "2022-02-05 of 3 dates carry the +1,000" in said and "otherwise of 2022-02-05" in said
    assert sizes[1] == sizes[0]  # the offset costs the image nothing
    with np.load(tmp_path / "mixed.out.npz") as back, np.load(tmp_path / "plain.out.npz") as other:
        assert (back["data"].astype(int) - other["data"])[1].min() >= 999
        assert (back["data"][0] == other["data"][0]).all() and str(back["boa_offset_1000"]) == "no"
        assert np.abs(back["data"].astype(int) - cube((1,))).mean() < 200


def test_dark_water_below_the_offset_stays_below_it(tmp_path: Path) -> None:
    data = cube((0,), dates=1)
    data[:, :, 20:40, 20:40] = 940  # a slightly negative reflectance
    write(tmp_path / "a.npz", data, boa_offset_1000="yes")
    assert main(["compress", str(tmp_path / "a.npz"), "-o", str(tmp_path / "a.swp"), "--quality", "0", "--fast"]) == 0
    assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / "b.npz")]) == 0
    with np.load(tmp_path / "b.npz") as back:
        water = back["data"][0, :, 24:36, 24:36].astype(int)
    assert abs(water.mean() - 940) < 15 and (water < 1000).mean() > 0.7


@pytest.mark.parametrize(
    "xml, name, expected",
    [
        ('<Item name="BOA_ADD_OFFSET">-1000</Item>', "a_20230101.tif", True),
        ('<Item name="BOA_ADD_OFFSET">0</Item><Item name="PROCESSING_BASELINE">05.09</Item>', "a_20230101.tif", False),
        ('<Item name="PROCESSING_BASELINE">04.00</Item>', "a_20230101.tif", True),
        ('<Item name="PROCESSING_BASELINE">03.01</Item>', "a_20230101.tif", False),
        ("", "S2A_MSIL2A_20230101T101411_N0509_R022_T32TQM.tif", True),
        ("", "S2A_MSIL2A_20200101T101411_N0213_R022_T32TQM.tif", False),
        ("", "a_20230101.tif", False),
    ],
)
def test_offsets_in_metadata_and_names(tmp_path: Path, xml: str, name: str, expected: bool) -> None:
    pytest.importorskip("tifffile")
    path = write_tiff(tmp_path / name, image(), xml=xml, tags=geo())
    assert read_series(path).frames[0].boa_offset == expected
    signed = write_tiff(tmp_path / f"s_{name}", image().astype(np.int16), xml=xml, tags=geo())
    assert not read_series(signed).frames[0].boa_offset  # signed types are harmonised


def test_each_date_of_an_archive_may_say_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", cube((1, 2)), boa_offset_1000=np.array([False, True, True]))
    assert [f.boa_offset for f in read_series(path).frames] == [False, True, True]
