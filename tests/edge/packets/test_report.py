"""Reception reports: compact, authenticated, refused whenever anything is off."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.link_keys import UNSIGNED, LinkKey
from swathpack.edge.packets.report import MAX_GAPS, Report, ReportEntry, held_digest, held_digests

KEY = LinkKey(3, b"a shared key of the mission")
KEYS = dict([KEY])
ENTRY = ReportEntry(1003, TileKey(77, 1_700_000_100), 5, 4000, b"12345678", ((10, 200), (1, 1)), True, False)
REPORT = Report(3, 1, 9, 44, 1000, 1100, 1_700_000_000, (ENTRY,))

ENTRIES = st.lists(
    st.builds(
        lambda n, tile, time, layers, held, gaps, waiting, intra: ReportEntry(
            n, TileKey(tile, time), layers, held, b"digest.." if layers else b"", tuple(gaps), waiting, intra
        ),
        st.integers(1000, 9000),
        st.integers(0, 2**40),
        st.integers(-(2**40), 2**40),
        st.integers(0, 16),
        st.integers(0, 2**20),
        st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999)), max_size=8),
        st.booleans(),
        st.booleans(),
    ),
    max_size=30,
    unique_by=lambda e: e.number,
)


@given(entries=ENTRIES, time=st.integers(-(2**40), 2**40), full=st.booleans())
def test_round_trip(entries, time, full):
    report = Report(1, 2, 3, 4, 1000, 9001, time, tuple(sorted(entries, key=lambda e: e.number)), full)
    assert Report.unpack(report.pack(KEY), KEYS) == report


def test_a_headless_segment_is_told_as_such():
    entry = ReportEntry(1003, TileKey(0, 0), 0, 0, gaps=((40, 9),), headless=True)
    report = Report(3, 1, 9, 44, 1000, 1100, 0, (entry,))
    assert Report.unpack(report.pack(KEY), KEYS) == report


def test_golden_bytes():
    assert REPORT.pack(KEY).hex() == (
        "53520200030003"
        "00000001"
        "00000009"
        "0000002c"
        "000003e8"
        "0000044c"
        "000000006553f100"
        "0001"
        "03a59a01c801a01f020ac801"
        "0101"
        "3132333435363738"
        "893db9a27943b05ffc50ec7d405e2fcc"
    )


def test_a_series_costs_about_fourteen_bytes_a_tile():
    entries = tuple(ReportEntry(1000 + i, TileKey(50 + i, 1_700_000_000), 2, 900 + i, b"12345678") for i in range(500))
    assert len(Report(1, 1, 1, 1, 1000, 1500, 1_700_000_000, entries).pack(KEY)) < 15 * 500 + 60


@pytest.mark.parametrize("byte", range(len(REPORT.pack(KEY))))
def test_any_changed_byte_and_any_cut_are_refused(byte):
    data = REPORT.pack(KEY)
    for wrong in (data[:byte] + bytes([data[byte] ^ 1]) + data[byte + 1 :], data[:byte]):
        with pytest.raises(PacketError):
            Report.unpack(wrong, KEYS)


def test_another_key_is_refused():
    with pytest.raises(PacketError, match="the tag is not the one of key 3"):
        Report.unpack(REPORT.pack(LinkKey(3, b"forged")), KEYS)
    with pytest.raises(PacketError, match="expected a report signed by key 3, found one by key 2"):
        Report.unpack(REPORT.pack(LinkKey(2, KEY.secret)), KEYS)


def test_signed_and_unsigned_are_not_taken_for_each_other():
    with pytest.raises(PacketError, match="signed by key 3, found one by nobody"):
        Report.unpack(REPORT.pack(UNSIGNED), KEYS)
    with pytest.raises(PacketError, match="signed by nobody, found one by key 3"):
        Report.unpack(REPORT.pack(KEY), dict([UNSIGNED]))
    assert Report.unpack(REPORT.pack(UNSIGNED), dict([UNSIGNED])) == REPORT


def test_signed_nonsense_is_refused_too():
    """With the key in hand the parser must still hold: bounds are checked behind the tag."""
    from swathpack.edge.packets.report import TAG_BYTES, tag_of

    rng = random.Random(3)
    body = bytearray(REPORT.pack(KEY)[:-TAG_BYTES])
    refused = 0
    for _ in range(3000):
        wrong = bytearray(body)
        for _ in range(rng.randrange(1, 4)):
            wrong[rng.randrange(5, len(wrong))] = rng.randrange(256)
        try:
            report = Report.unpack(bytes(wrong) + tag_of(KEY.secret, bytes(wrong)), KEYS)
            assert all(report.first <= e.number < report.last and e.layers <= 16 for e in report.entries)
        except PacketError:
            refused += 1
    assert refused > 1000


@pytest.mark.parametrize(
    "entry",
    [
        ReportEntry(1100, TileKey(1, 1), 0, 0),
        ReportEntry(1001, TileKey(1, 1), 17, 0, b"12345678"),
        ReportEntry(1001, TileKey(1, 1), 1, 0, b"short"),
        ReportEntry(1001, TileKey(1, 1), 0, 0, gaps=((1, 1),) * (MAX_GAPS + 1)),
    ],
)
def test_entries_out_of_range_are_not_packed(entry):
    with pytest.raises(PacketError, match="expected an entry"):
        Report(1, 1, 1, 1, 1000, 1100, 0, (entry,)).pack(KEY)


def test_gaps_name_the_missing_ranges():
    assert ENTRY.missing() == [(4000, 4010), (4210, 4211)] and ENTRY.reach() == 4212


def test_held_digest_depends_on_all_that_matters_and_on_nothing_beyond():
    latent = np.arange(64 * 16, dtype=np.int16).reshape(64, 4, 4)
    base = held_digest(TileKey(1, 2), 3, 4, latent)
    beyond = latent.copy()
    beyond[16:] = 0
    assert held_digest(TileKey(1, 2), 3, 4, beyond) == base
    others = [
        held_digest(TileKey(2, 2), 3, 4, latent),
        held_digest(TileKey(1, 3), 3, 4, latent),
        held_digest(TileKey(1, 2), 4, 4, latent),
        held_digest(TileKey(1, 2), 3, 5, latent),
        held_digest(TileKey(1, 2), 3, 4, latent + 1),
    ]
    assert len({base, *others}) == 6
    assert held_digests(TileKey(1, 2), 3, latent)[4 * 8 : 5 * 8] == base
