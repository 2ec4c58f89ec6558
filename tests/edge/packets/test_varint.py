"""Variable-length integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.varint import read_varint, unzigzag, write_varint, zigzag


@given(value=st.integers(0, 2**64 - 1), before=st.binary(max_size=3))
def test_round_trip(value, before):
    data = before + write_varint(value)
    assert read_varint(data, len(before)) == (value, len(data))


@given(value=st.integers(-(2**63), 2**63 - 1))
def test_zigzag_round_trip_and_small_stays_small(value):
    assert unzigzag(zigzag(value)) == value
    assert zigzag(value) <= 2 * abs(value)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80" * 10, b"\xff" * 20, b"\xff" * 9 + b"\x7f"])
def test_cut_and_endless_numbers_are_refused(data):
    with pytest.raises(PacketError):
        read_varint(data, 0)


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_numbers_out_of_range_are_refused(value):
    with pytest.raises(PacketError, match="expected"):
        write_varint(value)
