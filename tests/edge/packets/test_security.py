"""Signed packets: what a key has signed gets through, nothing else does, whatever was changed."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swathpack.edge.packets.deframer import Deframer
from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.link_keys import LinkKey
from swathpack.edge.packets.security import (
    MAC_BYTES,
    SECURITY_BYTES,
    ForgedPacketError,
    PacketSigner,
    check_signed,
    opened,
    without_security,
)
from swathpack.edge.packets.space_packet import MAX_PACKET_BYTES, OVERHEAD_BYTES, Apid, SpacePacket

SECRET = bytes(range(32))
SIGNER = PacketSigner(LinkKey(3, SECRET))
KEYS = {3: SECRET, 4: bytes(range(1, 33))}
EXAMPLE = SpacePacket(Apid.IMAGE, 5, 0xBEEF, 77, b"payload")


def test_golden_bytes():
    """Both headers of 14 bytes, index 3, the payload, the tag, and both checksums."""
    signed = SIGNER.sign(EXAMPLE)
    data = signed.pack()
    assert data[:23].hex() == "0b20c00500225302beef0000004d" + "0003" + "7061796c6f6164"
    key = hmac.new(SECRET, b"swathpack downlink 1", hashlib.sha256).digest()
    assert data[23:35] == hmac.new(key, data[:23], hashlib.sha256).digest()[:MAC_BYTES]
    assert len(data) == OVERHEAD_BYTES + SECURITY_BYTES + 7 and SECURITY_BYTES == 14


@given(
    apid=st.sampled_from(list(Apid)),
    sequence=st.integers(0, 16383),
    store=st.integers(0, 65535),
    pass_number=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=200),
)
def test_what_was_signed_comes_back(apid, sequence, store, pass_number, payload):
    packet = SpacePacket(apid, sequence, store, pass_number, payload)
    (found,) = Deframer().feed(SIGNER.sign(packet).pack())
    assert check_signed(found, KEYS) == packet == without_security(found)


def test_no_other_bit_gets_through():
    signed = SIGNER.sign(EXAMPLE)
    for bit in range(8 * len(signed.payload)):
        payload = bytearray(signed.payload)
        payload[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ForgedPacketError):
            check_signed(replace(signed, payload=bytes(payload)), KEYS)


@pytest.mark.parametrize(
    "change", [{"apid": Apid.EVENT}, {"sequence": 6}, {"store": 1}, {"pass_number": 78}, {"command": True}]
)
def test_the_headers_are_signed_too(change):
    with pytest.raises(ForgedPacketError, match="not the one of key 3"):
        check_signed(replace(SIGNER.sign(EXAMPLE), **change), KEYS)


def test_unsigned_unknown_short_and_too_long_packets_are_refused():
    with pytest.raises(ForgedPacketError, match="nobody signed"):
        check_signed(EXAMPLE, KEYS)
    with pytest.raises(ForgedPacketError, match="key 4, found key 3"):
        check_signed(SIGNER.sign(EXAMPLE), {4: KEYS[4]})
    with pytest.raises(ForgedPacketError, match="14 bytes of security fields, found 13"):
        check_signed(replace(EXAMPLE, payload=bytes(13), secured=True), KEYS)
    with pytest.raises(PacketError, match="at most"):
        SIGNER.sign(replace(EXAMPLE, payload=bytes(MAX_PACKET_BYTES - OVERHEAD_BYTES - 13)))


def test_a_tag_of_a_report_is_never_that_of_a_packet():
    signed = SIGNER.sign(EXAMPLE)
    tag = hmac.digest(SECRET, signed.front() + signed.payload[:-MAC_BYTES], "sha256")[:MAC_BYTES]
    with pytest.raises(ForgedPacketError):
        check_signed(replace(signed, payload=signed.payload[:-MAC_BYTES] + tag), KEYS)


def test_who_has_no_key_reads_and_who_does_not_insist_takes_both():
    signed = SIGNER.sign(EXAMPLE)
    assert opened(signed, None, False) == EXAMPLE == opened(EXAMPLE, KEYS, False) == opened(signed, KEYS, True)
    with pytest.raises(ForgedPacketError):
        opened(EXAMPLE, KEYS, True)
    with pytest.raises(ForgedPacketError):
        opened(replace(signed, pass_number=1), KEYS, False)
