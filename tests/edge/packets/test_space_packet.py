"""Space Packets: the same bytes as an independent implementation, and nothing damaged gets through."""

import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.space_packet import MAX_PACKET_BYTES, OVERHEAD_BYTES, Apid, SpacePacket, packet_size

EXAMPLE = SpacePacket(Apid.IMAGE, 5, 0xBEEF, 77, b"payload")


def test_golden_bytes():
    assert EXAMPLE.pack().hex() == ("0b20c00500145301beef0000004d7061796c6f61640c266ce8472b")


@given(
    apid=st.sampled_from(list(Apid)),
    sequence=st.integers(0, 16383),
    payload=st.binary(max_size=300),
    command=st.booleans(),
    store=st.integers(0, 65535),
    pass_number=st.integers(0, 2**32 - 1),
)
def test_round_trip_and_length(apid, sequence, payload, command, store, pass_number):
    packet = SpacePacket(apid, sequence, store, pass_number, payload, command)
    data = packet.pack()
    assert SpacePacket.unpack(data) == packet
    assert len(data) == OVERHEAD_BYTES + len(payload) == packet_size(data)


def test_header_and_crc_agree_with_spacepackets():
    ccsds = pytest.importorskip("spacepackets.ccsds.spacepacket")
    for command in (False, True):
        for sequence, payload in ((0, b""), (16383, b"x" * 1000), (16384 + 3, b"ab")):
            data = SpacePacket(Apid.EVENT, sequence, 1, 2, payload, command).pack()
            header = ccsds.SpacePacketHeader.unpack(data)
            assert header.apid == Apid.EVENT and header.seq_count == sequence % 16384
            assert header.sec_header_flag and header.packet_type == (1 if command else 0)
            assert header.seq_flags == ccsds.SequenceFlags.UNSEGMENTED
            assert header.packet_len == len(data)
            assert header.pack() == data[:6]
            assert binascii.crc_hqx(data, 0xFFFF) == 0, "a CRC over data and its CRC is zero"


@pytest.mark.parametrize("bit", range(8 * len(EXAMPLE.pack())))
def test_every_flipped_bit_is_found(bit):
    data = bytearray(EXAMPLE.pack())
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PacketError):
        SpacePacket.unpack(bytes(data))


def test_too_large_and_too_small():
    with pytest.raises(PacketError, match="at most"):
        SpacePacket(1, 0, 0, 0, bytes(MAX_PACKET_BYTES)).pack()
    for data in (b"", EXAMPLE.pack()[:-1], EXAMPLE.pack() + b"\0"):
        with pytest.raises(PacketError):
            SpacePacket.unpack(data)
