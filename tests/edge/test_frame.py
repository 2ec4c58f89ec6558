"""Frame: validation, conversion, native grids, the +1000 offset."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.bands import BANDS, NATIVE_M
from swathpack.edge.frame import Frame, FrameError, normalise_level, to_dn
from swathpack.edge.radiometry import PLAIN, Radiometry


def cube(bands=4, height=12, width=18, seed=0):
    return np.random.default_rng(seed).integers(1, 9000, (bands, height, width), np.uint16)


def test_mask_is_zero_in_all_bands():
    data = cube()
    data[0, 1, 1] = 0  # dark in one band: a value
    data[:, 2, 2] = 0
    frame = Frame(data, ("b2", "B3", "B04", "B08"))
    assert frame.bands == ("B02", "B03", "B04", "B08")
    assert frame.valid[1, 1] and not frame.valid[2, 2] and frame.valid.sum() == 12 * 18 - 1
    assert (frame.height, frame.width, frame.grid) == (12, 18, (1, 1, 1, 1))


@pytest.mark.parametrize(
    "reason, make",
    [
        ("dtype", lambda: Frame(cube().astype(np.float32), BANDS[:4])),
        ("shape", lambda: Frame(cube()[0], BANDS[:4])),
        ("size", lambda: Frame(np.zeros((4, 0, 5), np.uint16), BANDS[:4])),
        ("size", lambda: Frame(np.zeros((1, 1, 40000), np.uint16), BANDS[:1])),
        ("bands", lambda: Frame(cube(), BANDS[:3])),
        ("bands", lambda: Frame(cube(), ("B02", "B03", "B04", " "))),
        ("bands", lambda: Frame(cube(), BANDS[:4], wavelengths=(490, 560))),
        ("shape", lambda: Frame(cube(), BANDS[:4], holes=np.zeros((4, 3, 3), bool))),
        ("bands", lambda: Frame(cube(), ("B02", "B03", "B04", "b4"))),
        ("shape", lambda: Frame(cube(), BANDS[:4], valid=np.ones((3, 3), bool))),
        ("shape", lambda: Frame(cube(), BANDS[:4], grid=(1, 1, 1, 5))),
        ("values", lambda: Frame.from_array(cube().astype(np.float32) / 10000, BANDS[:4])),
        ("values", lambda: Frame.from_array(np.full((4, 2, 2), np.inf), BANDS[:4])),
        ("values", lambda: Frame.from_array(np.full((4, 2, 2), -5), BANDS[:4])),
        ("values", lambda: Frame.from_array(np.full((4, 2, 2), 70000), BANDS[:4])),
        ("dtype", lambda: Frame.from_array(np.full((4, 2, 2), "x"), BANDS[:4])),
        ("bands", lambda: Frame.from_native({})),
        ("shape", lambda: Frame.from_native({"B02": np.ones((12, 12)), "B05": np.ones((5, 6))})),
    ],
)
def test_bad_frames_are_refused_with_a_reason(reason, make):
    with pytest.raises(FrameError) as caught:
        make()
    assert caught.value.reason == reason


def test_floats_with_nan_become_dn_with_a_mask():
    data = cube().astype(np.float64) + 0.4
    data[2, 3, 4] = np.nan
    frame = Frame.from_array(data, BANDS[:4])
    assert not frame.valid[3, 4] and frame.valid.sum() == 12 * 18 - 1
    assert (frame.data[:, 3, 4] == 0).all()
    assert frame.data[1, 0, 0] == cube()[1, 0, 0]


def test_other_nodata_value():
    data = cube().astype(np.int32)
    data[:, 0, :3] = -10000
    values, valid = to_dn(data, nodata=-10000)
    assert (values[:, 0, :3] == 0).all() and (~valid).sum() == 3


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 99))
def test_native_grids_come_back_exactly(height, width, seed):
    rng = np.random.default_rng(seed)
    native = {}
    for band in ("B02", "B05", "B09"):
        factor = NATIVE_M[band] // 10
        native[band] = rng.integers(1, 65536, (-(-height // factor), -(-width // factor))).astype(np.uint16)
    frame = Frame.from_native(native)
    assert frame.data.shape == (3, height, width)
    back = frame.to_native()
    assert all((back[b] == native[b]).all() for b in native)


def test_to_native_averages_valid_pixels_only():
    frame = Frame.from_native({"B02": np.full((4, 4), 100), "B05": np.full((2, 2), 7)})
    data = frame.data.copy()
    data[1, :2, :2] = [[10, 20], [30, 0]]
    valid = np.ones((4, 4), bool)
    valid[1, 1] = False
    changed = Frame(data, frame.bands, valid=valid, grid=frame.grid)
    assert changed.to_native()["B05"][0, 0] == 20


def test_bands_of_20_m_alone_stay_on_their_grid():
    frame = Frame.from_native({"B05": np.ones((6, 6)) * 500, "B09": np.ones((2, 2)) * 800})
    assert frame.data.shape == (2, 6, 6) and frame.grid == (1, 3)


def test_offset_goes_and_comes():
    data = cube() + np.uint16(1000)
    data[:, 0, 0] = 0
    data[:, 0, 1] = 900  # below the offset: stays valid
    frame = Frame(data, BANDS[:4], boa_offset=True)
    low = frame.without_offset()
    assert not low.boa_offset and (low.data[:, 5, 5] == data[:, 5, 5] - 1000).all()
    assert (low.data[:, 0, 0] == 0).all() and (low.data[:, 0, 1] == 1).all() and low.valid[0, 1]
    back = low.with_offset()
    assert back.boa_offset and (back.data[:, 1:] == data[:, 1:]).all() and (back.data[:, 0, 0] == 0).all()
    assert low.without_offset() is low


def test_dark_pixels_below_the_offset_stay_negative_dn():
    frame = Frame(np.full((4, 2, 2), 930, np.uint16), BANDS[:4], boa_offset=True)
    assert (frame.dn() == -70).all() and frame.dn().dtype == np.float32
    assert (frame.counts_of(frame.dn()) == 930).all()


def test_other_radiometries_give_dn_and_take_them_back():
    landsat = Radiometry(gain=0.275, zero=7272.727)
    frame = Frame(np.full((4, 2, 2), 10909, np.uint16), BANDS[:4], radiometry=landsat)
    assert np.allclose(frame.dn(), 1000, atol=0.1) and (frame.without_offset().data == 1000).all()
    assert frame.without_offset().radiometry == PLAIN and (frame.counts_of(frame.dn()) == 10909).all()


def test_other_bands_keep_their_names_and_wavelengths():
    frame = Frame(cube(), ("b2", "pan", "yellow", "B8A"), wavelengths=(490, 590, 610, 865))
    assert frame.bands == ("B02", "pan", "yellow", "B8A")
    picked = frame.select(["yellow", "B02"])
    assert picked.bands == ("yellow", "B02") and picked.wavelengths == (610, 490)
    assert Frame(cube(), ("B02", "pan", "B04", "B8A")).wavelengths == (490, 0, 665, 865)


def test_holes_are_of_one_band_alone():
    holes = np.zeros((4, 12, 18), bool)
    holes[2, :3] = True
    frame = Frame(cube(), BANDS[:4], holes=holes)
    assert frame.valid.all() and frame.band_valid(0).all() and not frame.band_valid(2)[:3].any()
    assert frame.select([BANDS[2]]).holes[0, :3].all()
    assert not frame.native_valid()[BANDS[2]][:3].any()


def test_select_reorders_and_refuses():
    frame = Frame(cube(), ("B02", "B03", "B04", "B08"))
    picked = frame.select(["b8", "B02"])
    assert picked.bands == ("B08", "B02") and (picked.data[0] == frame.data[3]).all()
    with pytest.raises(FrameError, match="no B11"):
        frame.select(["B11"])


def test_level_names():
    assert normalise_level("L2A (MAJA FRE)") == "L2A" and normalise_level("S2MSI1C l1c") == "L1C"
    assert normalise_level("L1C/L2A unknown") == "unknown" and normalise_level("") == "unknown"
