"""Erasure coding: what is lost comes back exactly while enough arrived, and never wrong."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.packets.erasure import (
    CODES,
    MAX_BLOCK,
    MAX_PARITY,
    PRODUCT,
    CauchyCode,
    ErasureDecoder,
    inverse,
    parity_packet_bytes,
    parity_payloads,
)
from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.space_packet import OVERHEAD_BYTES, Apid, SpacePacket


def make_code(name: str):
    if name == "raptorq":
        pytest.importorskip("raptorq")
    return CODES[name]()


def slow_product(a: int, b: int) -> int:
    """Multiplication in GF(256) bit by bit: the obvious twin of the table."""
    total = 0
    for bit in range(8):
        if b >> bit & 1:
            total ^= a << bit
    for bit in range(14, 7, -1):
        if total >> bit & 1:
            total ^= 0x11D << bit - 8
    return total


def test_the_product_table_is_the_field():
    rng = random.Random(0)
    for _ in range(2000):
        a, b = rng.randrange(256), rng.randrange(256)
        assert PRODUCT[a, b] == slow_product(a, b)
    assert all(slow_product(a, inverse(a)) == 1 for a in range(1, 256))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, MAX_BLOCK), parities=st.integers(1, 20))
def test_any_k_of_all_symbols_give_the_block(seed, count, parities):
    rng = np.random.default_rng(seed)
    symbols = rng.integers(0, 256, (count, 30)).astype(np.uint8)
    code = CauchyCode()
    parity = dict(enumerate(code.encode(symbols, parities)))
    lost = rng.permutation(count)[: rng.integers(0, min(count, parities) + 1)]
    have = {k: symbols[k].tobytes() for k in range(count) if k not in lost}
    some = dict(rng.permutation(np.array(list(parity.items()), object))[: len(lost)])
    assert code.decode(count, have, some) == [s.tobytes() for s in symbols]
    if len(lost):
        some.popitem()
        assert code.decode(count, have, some) is None


def test_largest_block_with_all_parities():
    symbols = np.random.default_rng(1).integers(0, 256, (MAX_BLOCK, 8)).astype(np.uint8)
    parity = dict(enumerate(CauchyCode().encode(symbols, MAX_PARITY)))
    have = {0: symbols[0].tobytes()}
    assert CauchyCode().decode(MAX_BLOCK, have, parity) == [s.tobytes() for s in symbols]


def block(first: int, count: int, parities: int, code, pass_number: int = 1):
    rng = random.Random(first)
    sources = [
        SpacePacket(Apid.IMAGE, first + k, 2, pass_number, rng.randbytes(rng.randrange(10, 200))) for k in range(count)
    ]
    sources = [SpacePacket.unpack(p.pack()) for p in sources]
    payloads = parity_payloads([p.pack() for p in sources], first, parities, code)
    return sources, [SpacePacket(Apid.PARITY, i, 2, pass_number, p) for i, p in enumerate(payloads)]


@pytest.mark.parametrize("name", CODES)
def test_lost_packets_come_back_across_the_turn_of_the_sequence_count(name):
    sources, parity = block(16370, 30, 6, make_code(name))
    decoder = ErasureDecoder(Apid.IMAGE)
    lost = {0, 3, 15, 29}
    found = [q for i, p in enumerate(sources) if i not in lost for q in decoder.source(p)]
    for packet in parity:
        found += decoder.parity(packet)
    assert sorted(found, key=lambda p: p.sequence) == sorted((sources[i] for i in lost), key=lambda p: p.sequence)
    assert decoder.restored == 4


@pytest.mark.parametrize("name", CODES)
def test_parity_first_and_sources_late(name):
    sources, parity = block(5, 10, 3, make_code(name))
    decoder = ErasureDecoder(Apid.IMAGE)
    assert [q for p in parity for q in decoder.parity(p)] == []
    found = [q for i, p in enumerate(sources) if i not in (2, 9) for q in decoder.source(p)]
    assert {p.sequence for p in found} == {7, 14} or {p.sequence for p in found} == {7, 13, 14}
    assert all(p in sources for p in found)


@pytest.mark.parametrize("name", CODES)
def test_stale_packets_of_another_turn_never_give_a_wrong_packet(name):
    old, _ = block(100, 10, 3, make_code(name), pass_number=1)
    new, parity = block(100, 10, 3, make_code(name), pass_number=2)
    decoder = ErasureDecoder(Apid.IMAGE)
    for packet in (*old, *new[:7]):
        decoder.source(packet)
    found = [q for p in parity for q in decoder.parity(p)]
    assert all(p in new for p in found)


@pytest.mark.parametrize("name", CODES)
def test_hostile_parity_is_an_error_or_nothing(name):
    sources, parity = block(0, 6, 3, make_code(name))
    rng = random.Random(2)
    for _ in range(300):
        decoder = ErasureDecoder(Apid.IMAGE)
        for packet in sources[:4]:
            decoder.source(packet)
        for packet in parity:
            raw = bytearray(packet.payload)
            for _ in range(rng.randrange(3)):
                raw[rng.randrange(len(raw))] = rng.randrange(256)
            cut = bytes(raw[: rng.randrange(len(raw) + 1)])
            try:
                found = decoder.parity(SpacePacket(Apid.PARITY, 0, 2, 1, cut))
            except PacketError:
                continue
            assert all(p in sources for p in found)


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("size", [3, 4, 5, 11])
def test_symbols_too_short_for_the_code_never_reach_the_library(name, size, capfd):
    """A Rust panic is a BaseException and prints a trace, even where it is caught."""
    make_code(name)
    decoder = ErasureDecoder(Apid.IMAGE)
    head = bytes([0, 3, 2, 2, 0, CODES[name].number])
    assert decoder.parity(SpacePacket(Apid.PARITY, 0, 1, 2, head + bytes([0, 0, 0, 2] * 3)[:size])) == []
    assert decoder.parity(SpacePacket(Apid.PARITY, 1, 1, 2, head[:4] + b"\1" + head[5:] + bytes(size))) == []
    assert capfd.readouterr().err == ""


def test_memory_of_the_decoder_is_bounded():
    decoder = ErasureDecoder(Apid.IMAGE, keep=50)
    for first in range(0, 3000, 30):
        sources, parity = block(first, 30, 2, CauchyCode(), pass_number=first)
        for packet in sources[:20]:
            decoder.source(packet)
        decoder.parity(parity[0])
    assert len(decoder.packets) <= 50 and len(decoder.blocks) <= 64


def test_parity_packets_are_no_longer_than_declared():
    for name in CODES:
        sources, parity = block(0, 5, 2, make_code(name))
        most = max(len(p.pack()) for p in sources)
        assert max(len(p.pack()) for p in parity) <= parity_packet_bytes(most, OVERHEAD_BYTES)


@pytest.mark.parametrize("count, parities", [(0, 1), (MAX_BLOCK + 1, 1), (3, MAX_PARITY + 1)])
def test_blocks_out_of_range_are_refused(count, parities):
    with pytest.raises(PacketError, match="expected"):
        parity_payloads([b"x"] * count, 0, parities, CauchyCode())
