"""Counts, values of every type, DN: there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.radiometry import PLAIN, Radiometry, RadiometryError

INT16 = Radiometry("int16", shift=32768, nodata=-9999, zero=32768)
EXACT = [
    Radiometry("uint8", nodata=255),
    Radiometry("int8", shift=128, nodata=-128),
    INT16,
    Radiometry("uint16", nodata=65535),
]


@pytest.mark.parametrize("radiometry", EXACT, ids=lambda r: r.dtype)
def test_every_value_of_a_type_of_16_bits_comes_back(radiometry: Radiometry) -> None:
    bounds = np.iinfo(radiometry.dtype)
    values = np.arange(bounds.min, bounds.max + 1).astype(radiometry.dtype)
    valid = values != radiometry.nodata
    back = radiometry.to_values(radiometry.to_counts(values, valid), valid)
    assert back.dtype == values.dtype and (back == values).all()


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64", "float16", "float32", "float64"])
def test_other_types_come_back_in_their_type(dtype: str) -> None:
    radiometry = Radiometry(dtype, shift=0 if dtype.startswith("u") else 1000)
    values = np.array([1, 40, 1024, 2000], dtype)
    valid = np.array([True, True, True, False])
    back = radiometry.to_values(radiometry.to_counts(values, valid), valid)
    assert back.dtype == values.dtype and back.tolist() == [1, 40, 1024, 0]


def test_reflectances_are_scaled_and_nan_is_nodata() -> None:
    radiometry = Radiometry("float32", scale=10000, nodata=float("nan"))
    values = np.array([0.1234, 0.9, np.nan], np.float32)
    counts = radiometry.to_counts(values, np.isfinite(values))
    assert counts.tolist() == [1234, 9000, 0]
    back = radiometry.to_values(counts, np.isfinite(values))
    assert np.array_equal(back[:2], values[:2]) and np.isnan(back[2]) and back.dtype == np.float32


def test_decoded_data_never_look_like_nodata() -> None:
    for radiometry in (
        Radiometry(),
        Radiometry(nodata=500),
        Radiometry(nodata=65535),
        INT16,
        Radiometry("uint8", nodata=7, gain=2),
    ):
        dn = radiometry.to_dn(np.array([0, 7, 499, 500, 501, 22769, 65535], np.uint16))
        counts = radiometry.from_dn(dn)
        back = radiometry.to_values(counts, np.ones(dn.shape, np.bool_))
        assert not (back == radiometry.nodata).any()
        assert (
            np.abs(radiometry.to_dn(counts) - dn)[dn <= radiometry.to_dn(np.array([255], np.uint16))].max()
            <= radiometry.gain
        )
    low, high = Radiometry("uint8").limits
    assert (low, high) == (1, 255) and PLAIN.limits == (1, 65535) and INT16.limits == (0, 65535)


def test_exact_counts_give_exact_values_zero_included() -> None:
    counts = np.array([0, 1, 500, 65535], np.uint16)
    assert (Radiometry(nodata=500).to_values(counts, np.ones(4, np.bool_)) == counts).all()
    assert (PLAIN.to_values(counts, np.ones(4, np.bool_)) == counts).all()


def test_near_lossless_data_move_off_nodata_towards_what_they_were() -> None:
    counts = np.array([0, 5, 22769, 65535], np.uint16)
    assert PLAIN.off_nodata(counts).tolist() == [1, 5, 22769, 65535]
    assert Radiometry(nodata=65535).off_nodata(counts).tolist() == [0, 5, 22769, 65534]
    assert INT16.off_nodata(counts).tolist() == counts.tolist()  # -9999 has values on both sides
    assert Radiometry("uint8", nodata=255).off_nodata(np.array([255, 0], np.uint16)).tolist() == [254, 0]


def test_nodata_beyond_a_float_type_is_its_end() -> None:
    back = Radiometry("float32", nodata=-1.7976931348623157e308).to_values(
        np.zeros(1, np.uint16), np.zeros(1, np.bool_)
    )
    assert back[0] == np.finfo(np.float32).min


@settings(max_examples=60, deadline=None)
@given(gain=st.floats(0.01, 100), zero=st.floats(-5000, 40000), counts=st.lists(st.integers(1, 60000), min_size=1))
def test_dn_and_back(gain: float, zero: float, counts: list[int]) -> None:
    radiometry = Radiometry(gain=gain, zero=zero)
    array = np.array(counts, np.uint16)
    assert np.abs(radiometry.from_dn(radiometry.to_dn(array)).astype(int) - array).max() <= 1


def test_impossible_ones_are_refused() -> None:
    for fields in ({"dtype": "complex64"}, {"scale": 0.0}, {"gain": float("nan")}, {"zero": float("inf")}):
        with pytest.raises(RadiometryError):
            Radiometry(**fields)  # type: ignore[arg-type]
    with pytest.raises(RadiometryError, match="found 0 to 70000"):
        PLAIN.to_counts(np.array([0, 70000]), np.ones(2, np.bool_))
    assert Radiometry(nodata=float("nan")) == Radiometry(nodata=float("nan")) != PLAIN
