"""The deframer: every whole packet comes out, in any chunks, through garbage, and nothing else does."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.packets.deframer import Deframer, SequenceCheck
from swathpack.edge.packets.space_packet import Apid, SpacePacket


def packet(sequence: int, size: int = 20, apid: int = Apid.IMAGE) -> SpacePacket:
    return SpacePacket(apid, sequence, 3, 9, random.Random(sequence).randbytes(size))


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    gaps=st.lists(st.binary(max_size=60), min_size=1, max_size=12),
    chunk=st.integers(1, 400),
)
def test_packets_between_garbage_in_any_chunks(seed, gaps, chunk):
    sizes = random.Random(seed)
    packets = [packet(i, sizes.randrange(200)) for i in range(len(gaps))]
    stream = b"".join(gap + p.pack() for gap, p in zip(gaps, packets))
    deframer, found = Deframer(max_packet_bytes=400), []
    for at in range(0, len(stream), chunk):
        found += deframer.feed(stream[at : at + chunk])
    assert found + deframer.flush() == packets
    assert deframer.counts.garbage_bytes == sum(map(len, gaps))


def test_a_damaged_packet_costs_only_itself():
    rng = random.Random(4)
    packets = [packet(i, 100) for i in range(50)]
    raw = [bytearray(p.pack()) for p in packets]
    for i in range(0, 50, 3):
        raw[i][rng.randrange(len(raw[i]))] ^= 1 << rng.randrange(8)
    deframer = Deframer(max_packet_bytes=300)
    found = deframer.feed(b"".join(raw)) + deframer.flush()
    assert found == [p for i, p in enumerate(packets) if i % 3]


def test_a_header_that_promises_too_much_does_not_hide_what_follows():
    liar = bytearray(packet(0, 100).pack())
    liar[4:6] = (390).to_bytes(2, "big")
    greedy = bytearray(packet(0, 100).pack())
    greedy[4:6] = b"\xff\xff"
    good = packet(1, 100)
    deframer = Deframer(max_packet_bytes=400)
    assert deframer.feed(bytes(liar) + bytes(greedy) + good.pack()) + deframer.flush() == [good]


def test_a_cut_packet_is_dropped_at_the_end_and_the_buffer_stays_small():
    deframer = Deframer(max_packet_bytes=1000)
    rng = random.Random(1)
    head = packet(0, 900).pack()[:8]
    for _ in range(300):
        deframer.feed(rng.randbytes(50) + head + rng.randbytes(800))
        assert deframer.held_bytes <= 1000
    assert deframer.flush() == [] and deframer.counts.packets == 0


def test_sequence_check_counts_losses_repeats_and_late_ones():
    check = SequenceCheck()
    for sequence in (16380, 16381, 16383, 1, 0, 0, 2, 16382):
        check.note(packet(sequence))
    assert check.lost[Apid.IMAGE] == 0 and check.repeated[Apid.IMAGE] == 1
    check.note(packet(8))
    check.note(packet(3, apid=Apid.EVENT))
    assert check.lost == {Apid.IMAGE: 5, Apid.EVENT: 0}
