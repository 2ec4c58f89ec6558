"""Masks from files of every kind, from scene classes, and what is refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from swathpack.hil_tests.simulation.made_frames import series
from swathpack.tools.errors import UserError
from swathpack.tools.inpaint import masks
from swathpack.tools.pages.pictures import png

FRAMES = series(40, 50, dates=3)


def _mask(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).random((count, 40, 50)) < 0.3


def test_npz_mask_of_every_date(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", mask=_mask().astype(np.uint8) * 255)
    np.testing.assert_array_equal(masks.read_mask(tmp_path / "m.npz", FRAMES, [0, 1, 2]), _mask())


def test_one_plane_goes_to_the_named_dates(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", anything=_mask()[0])
    found = masks.read_mask(tmp_path / "m.npz", FRAMES, [1])
    np.testing.assert_array_equal(found[1], _mask()[0])
    assert not found[0].any() and not found[2].any()


def test_geotiffs_and_their_folder(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    for t, plane in enumerate(_mask()):
        tifffile.imwrite(tmp_path / f"{t}.tif", plane.astype(np.uint8))
    np.testing.assert_array_equal(masks.read_mask(tmp_path, FRAMES, [0, 1, 2]), _mask())
    with pytest.raises(UserError, match="expected 1 or 3 masks, found 2"):
        (tmp_path / "2.tif").unlink()
        masks.read_mask(tmp_path, FRAMES, [0])


def test_png_mask(tmp_path: Path) -> None:
    picture = np.repeat(_mask()[0][..., None], 3, axis=2).astype(np.uint8) * 200
    (tmp_path / "m.png").write_bytes(png(picture))
    np.testing.assert_array_equal(masks.read_png(tmp_path / "m.png") > 0, _mask()[0])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P"])
def test_png_kinds_as_another_writer_makes_them(tmp_path: Path, mode: str) -> None:
    image = pytest.importorskip("PIL.Image")
    smooth = (np.add.outer(np.arange(40), np.arange(50)) * 2 % 256).astype(np.uint8)
    made = image.fromarray(smooth).convert(mode)
    made.save(tmp_path / "m.png")
    found, planes = masks.read_png(tmp_path / "m.png"), np.asarray(made)
    expected = planes if planes.ndim == 2 else planes[..., : {"LA": 1}.get(mode, 3)].max(2)
    np.testing.assert_array_equal(found, expected.astype(np.uint8))


@pytest.mark.parametrize("kind", range(5))
def test_png_filters(tmp_path: Path, kind: int) -> None:
    """Rows filtered here by the definitions of the PNG standard, section 9.2."""
    values = np.random.default_rng(kind).integers(0, 256, (7, 9)).astype(int)
    rows = b""
    for y in range(7):
        line = []
        for x in range(9):
            a = values[y, x - 1] if x else 0
            b = values[y - 1, x] if y else 0
            c = values[y - 1, x - 1] if x and y else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line.append((values[y, x] - (0, a, b, (a + b) // 2, paeth)[kind]) % 256)
        rows += bytes([kind, *line])
    data = b"\x89PNG\r\n\x1a\n"
    head = struct.pack(">IIBBBBB", 9, 7, 8, 0, 0, 0, 0)
    for name, body in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    (tmp_path / "m.png").write_bytes(data)
    np.testing.assert_array_equal(masks.read_png(tmp_path / "m.png"), values)


@pytest.mark.parametrize("cut", [0, 5, 20, 40])
def test_broken_png_is_named(tmp_path: Path, cut: int) -> None:
    whole = png(np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "m.png").write_bytes(whole[:cut])
    with pytest.raises(UserError, match="m.png"):
        masks.read_planes(tmp_path / "m.png")


def test_scene_classes_on_a_coarser_grid() -> None:
    classes = np.full((3, 20, 25), 4, np.uint8)
    classes[1, 2, 3], classes[1, 4, 4], classes[1, 5, 5] = 3, 9, 11
    found = masks.scl_mask(classes, FRAMES, masks.SCL_CLASSES, "scl")
    expected = np.zeros((3, 40, 50), bool)
    expected[1, 4:6, 6:8] = expected[1, 8:10, 8:10] = True
    np.testing.assert_array_equal(found, expected)
    assert masks.scl_mask(classes, FRAMES, (11,), "scl")[1, 10:12, 10:12].all()


@pytest.mark.parametrize(
    ("planes", "said"),
    [
        (np.full((3, 40, 50), 12, np.uint8), "0..11"),
        (np.zeros((2, 40, 50), np.uint8), "3 dates, found 2"),
        (np.zeros((3, 41, 50), np.uint8), "40 x 50"),
        (np.zeros((3, 40, 50), np.float32), "scene classes"),
    ],
)
def test_wrong_scene_classes_are_refused(planes: np.ndarray, said: str) -> None:
    with pytest.raises(UserError, match=said):
        masks.scl_mask(planes, FRAMES, masks.SCL_CLASSES, "scl")


def test_files_that_are_no_masks(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=np.zeros((4, 4)), b=np.zeros((4, 4)))
    np.savez(tmp_path / "nan.npz", mask=np.full((40, 50), np.nan))
    np.savez(tmp_path / "text.npz", mask=np.array(["x"]))
    (tmp_path / "no.npz").write_bytes(b"PK\x03\x04")
    (tmp_path / "m.jpg").write_bytes(b"x")
    for name in ("two.npz", "nan.npz", "text.npz", "no.npz", "m.jpg", "absent.npz"):
        with pytest.raises(UserError, match=name):
            masks.read_planes(tmp_path / name)
