"""Packed metadata: exact inverses, small for real series, bounded and checked when they come from anywhere."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.packing import pack, unpack

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)
GOLDEN = (  # of `GOLDEN_METADATA`, made once: streams that hold such bytes must stay readable
    "0504cb066ac322c48025b501e33b1635fd801314fe8806a741e4a866c48c3f46d4b883fa1e9a57984298e2810e807a19e61f"
    "33131d3313a0625ab9d21091f89870a531a83b99b03b2d76f004217271630c2a6e062e38190904265082dea1497499027562"
    "7e49466a113617823233000001000203268c1ee87d8c173f268c1ee87d8c17bf08d4dfd2090406b597062801010800010902"
    "04268c1ee87d8c173f268c1ee87d8c17bf343333333333d33f"
)


def file(name: str, corner: float = 399960.0, pixel: float = 10.0) -> dict[str, Any]:
    place = {"crs": "EPSG:32632", "transform": [pixel, 0.0, corner, 0.0, -pixel, 4500000.0]}
    return {"name": name, "bands": ["B02", "B8A"], "dtype": "uint16", "shape": [64, 64], "georeference": place}


GOLDEN_METADATA = {
    "format": "raster",
    "files": [
        [
            file(f"T32TQM_2023010{i}T101{30 + i}1_B02.tif", pixel=8.983152841195215e-05),
            file(f"{9 + i}.tif", 0.1 + 0.2 * i),
        ]
        for i in range(3)
    ]
    + [[file("other")], None],
}


@pytest.mark.long
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4), st.lists(JSON, max_size=6))
@settings(max_examples=60, deadline=None)
def test_what_is_packed_comes_back(head: dict[str, Any], rows: list[Any]) -> None:
    metadata = head | ({"files": rows} if rows else {})
    assert json.dumps(unpack(pack(metadata)), sort_keys=True) == json.dumps(metadata, sort_keys=True)


@given(
    st.lists(
        st.tuples(st.integers(0, 10**14), st.floats(-1e9, 1e9), st.from_regex(r"[a-c]\d{1,3}\.tif", fullmatch=True))
    )
)
@settings(max_examples=100, deadline=None)
def test_rows_that_differ_in_numbers_come_back(rows: list[tuple[int, float, str]]) -> None:
    metadata = {"format": "raster", "files": [[{"name": f"{n:08d}_{name}", "x": x}] for n, x, name in rows]}
    assert unpack(pack(metadata)) == metadata


def test_streams_of_before_stay_readable() -> None:
    assert unpack(bytes.fromhex(GOLDEN)) == GOLDEN_METADATA
    assert unpack(pack(GOLDEN_METADATA)) == GOLDEN_METADATA
    assert pack({}) == b"" and unpack(b"") == {}


def test_a_series_costs_three_bytes_a_date() -> None:
    files = [[file(f"T32TQM_202301{1 + 5 * i:02d}T101411_B02_10m.tif")] for i in range(6)]
    one, six = (len(pack({"format": "raster", "files": files[:n]})) for n in (1, 6))
    assert one < 70 and six < one + 3 * 5


@pytest.mark.parametrize("seed", range(20))
def test_damaged_bytes_are_refused_in_words(seed: int) -> None:
    rng, data = random.Random(seed), bytearray(pack(GOLDEN_METADATA))
    for _ in range(300):
        bad = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        bad = bad[: rng.randint(1, len(bad))] if rng.random() < 0.5 else bad
        try:
            assert isinstance(unpack(bytes(bad)), dict)
        except UserError as error:
            assert str(error).startswith("metadata is damaged")


def test_no_more_is_made_than_metadata_may_be() -> None:
    bomb = pack({"format": "raster", "files": [{"a": "x" * 4000}] * 1000})
    assert len(bomb) < 200
    with pytest.raises(UserError, match="at most"):
        pack({"format": "raster", "files": [{"a": "x" * 4000}] * 1100})
    # The same bytes with the number of rows raised: 1,000 is e8 07.
    assert bomb[:2] == b"\xe8\x07"
    with pytest.raises(UserError, match="more text than metadata may have"):
        unpack(b"\xff\x7f" + bomb[2:])
