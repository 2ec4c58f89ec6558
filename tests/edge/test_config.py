"""Configuration: good files give the values, bad ones one message that names the key."""

from pathlib import Path

import pytest

from swathpack.edge.codec.protocol import Goal
from swathpack.edge.config import ConfigError, guarantees, parse_mission, read_mission
from swathpack.edge.downlink.context_policy import Policy

PASSES = "[passes]\nbytes = 5000\nevery_s = 600\n"
OPEN = PASSES + "[uplink]\ninsecure = true\n"
GOOD = PASSES + '[uplink]\nkey_file = "key"\n'
LARGE = '[coding]\ntile = 512\nmode = "transform"\n'


def parse(text, base="/m"):
    return parse_mission(text, Path(base))


def test_defaults_and_relative_paths():
    mission = parse(GOOD)
    assert mission.passes.every_s == 600.0 and mission.state == Path("/m/state")
    assert mission.source.path == Path("/m/inbox") and mission.port.path == Path("/m/outbox")
    assert mission.uplink.key_file == Path("/m/key") and not mission.uplink.insecure and mission.model is None
    assert parse(OPEN).uplink.key_file is None and parse(OPEN).uplink.insecure
    assert mission.context_settings.policy is Policy.CONFIRMED


def test_values_of_every_kind():
    mission = parse(
        GOOD
        + """
        [context]
        policy = "sent"
        slots = 128
        [link]
        erasure = "cauchy"
        packet_bytes = 2048
        [coding]
        rounds = [1, 4, 16]
        [[coding.regions]]
        place = 7
        rows = [0, 4]
        weight = 3
        urgency = 1
    """
    )
    assert mission.context_settings.policy is Policy.SENT and mission.geometry.slots == 128
    assert mission.link.erasure == "cauchy" and mission.plan.rounds == (1, 4, 16)
    (region,) = mission.coding.regions
    assert (region.place, region.rows, region.columns, region.weight) == (7, (0, 4), (0, 4096), 3.0)
    assert mission.uplink.key_file == Path("/m/key")


@pytest.mark.parametrize(("signed", "least"), [("", 40), ('[downlink]\nkey_file = "key"\n', 54)])
def test_a_pass_carries_the_smallest_packet_or_the_mission_is_refused(signed, least):
    """Equal passes of fewer bytes would send nothing for ever, without a word."""
    text = GOOD.replace("5000", "{}") + signed
    assert parse(text.format(least)).least_pass_bytes == least
    for small in (1, 9, least - 1):
        with pytest.raises(ConfigError, match=f"passes.bytes: expected at least {least}, .*, found {small}$"):
            parse(text.format(small))


def test_large_tiles_are_the_transform_coders_and_have_large_slots():
    assert parse(GOOD + LARGE + "[context]\nslot_bytes = 131072").coding.tile == 512
    assert parse(GOOD + LARGE.replace("512", "320") + "[context]\nslot_bytes = 51200").coding.tile == 320


def test_what_is_asked_of_a_tile_is_the_finest_of_its_regions():
    text = GOOD + "[coding]\nq = 30\n"
    text += "[[coding.regions]]\nname = 'coast'\nplace = 3\nrows = [0, 2]\nmax_error = 4\n"
    text += "[[coding.regions]]\nplace = 3\nrows = [1, 2]\ncolumns = [5, 6]\nmax_error = 0\n"
    text += "[[coding.regions]]\nplace = 3\nq = 12\nfinest_dn = 1.0\n"
    coding = parse(text).coding
    assert coding.promises == (0, 4) and coding.max_error is None
    assert coding.goal(3, 0, 5) == Goal(4, 12, 1.0) and coding.goal(3, 1, 5) == Goal(0, 12, 1.0)
    assert coding.goal(3, 2, 5) == Goal(None, 12, 1.0) and coding.goal(4, 0, 0) == Goal()
    assert list(guarantees(coding)) == [
        "coast, place 3, tiles of rows 0-1, columns 0-4095: no count off by more than 4",
        "region 2, place 3, tiles of rows 1-1, columns 5-5: lossless",
    ]
    whole = parse(GOOD + "[coding]\nmax_error = 5\n[[coding.regions]]\nplace = 1\nmax_error = 2\n").coding
    assert whole.goal(0, 0, 0) == Goal(5) and whole.goal(1, 0, 0) == Goal(2)
    assert list(guarantees(whole))[0] == "all tiles: no count off by more than 5"


@pytest.mark.parametrize(
    "text, message",
    [
        ("[passes]\nbites = 1", r"passes.bites: no such key; did you mean 'bytes'"),
        ("pass = 1", "pass: no such key"),
        (GOOD + "[link]\npacket_bytes = 100", "link.packet_bytes: expected 192 to 65542, found 100"),
        (
            GOOD + "[link]\npacket_bytes = true",
            "link.packet_bytes: expected a whole number from 192 to 65542, found True",
        ),
        (GOOD + "[link]\npacket_bytes = 1.5", "link.packet_bytes: expected a whole number"),
        (GOOD + '[link]\nerasure = "xor"', "link.erasure: expected one of none, cauchy, raptorq"),
        (GOOD + "[source]\nkind = 3", "source.kind: expected a text"),
        (GOOD + "[throttle]\nmargin = nan", "throttle.margin: expected 0 to 0.5"),
        ("source = 3\n" + GOOD, "source.*: expected a table"),
        (GOOD + "[coding]\nrounds = [4, 1]", "coding.rounds: expected rising layer counts"),
        (GOOD + '[coding]\nrounds = ["a"]', "coding.rounds: expected a whole number, found"),
        (GOOD + "[coding]\nrounds = []", "coding.rounds: expected a list of 1 to 1000"),
        (GOOD + "[source]\nname = ''", "source.name: expected a text that is not empty"),
        (
            GOOD + "[[coding.regions]]\nplace = 1\n[[coding.regions]]\nweigth = 1",
            "coding.regions 2.weigth: no such key; did you mean 'weight'",
        ),
        (GOOD + "[coding]\ntile = 100", "coding.tile: expected a multiple of 64"),
        (GOOD + "[coding]\ntile = 576", "coding.tile: expected 64 to 512, found 576"),
        (GOOD + "[coding]\ntile = 320", 'coding.tile: 320, .* expected coding.mode = "transform", found "auto"'),
        (GOOD + LARGE + "max_error = 0", "coding.tile: 512, .* expected no max_error of any tile, found 0"),
        (GOOD + LARGE + "[[coding.regions]]\nmax_error = 7", "expected no max_error of any tile, found 7"),
        (GOOD + LARGE, "context.slot_bytes: expected at least 131072 for tiles of 512 .* found 32768"),
        (GOOD + "[[coding.regions]]\nrows = [1]", "coding.regions 1: expected rows"),
        (
            GOOD + "[[coding.regions]]\nplace = -1\nmax_error = 0",
            "coding.regions 1.place: expected 0 to 67108863, found -1",
        ),
        (GOOD + "[[coding.regions]]\nrows = [256, 300]", "coding.regions 1: expected a first row and column below 256"),
        (GOOD + "[[coding.regions]]\nrows = [-3, 2]", "coding.regions 1.rows: expected 0 to 4096, found -3"),
        (GOOD + "[[coding.regions]]\ncolumns = [0, 4097]", "coding.regions 1.columns: expected 0 to 4096, found 4097"),
        (GOOD + "[[coding.regions]]\nname = 'port'\ncolumns = [4, 4]", r"coding.regions 1 \(port\): expected rows"),
        (GOOD + "[coding]\nmax_error = -1", "coding.max_error: expected 0 to 65535, found -1"),
        (GOOD + "[coding]\nmax_error = 0.5", "coding.max_error: expected a whole number from 0 to 65535"),
        (GOOD + "[[coding.regions]]\nmax_error = 0\nq = 8", "coding.regions 1: expected max_error or q, found both"),
        (
            GOOD + "[coding]\nmax_error = 0\n[[coding.regions]]\nmax_error = 10",
            "coding.regions 1: expected max_error up to that of coding.max_error, 0, which holds for all tiles; found 10",
        ),
        (
            GOOD + "[coding]\nmax_error = 0\n[[coding.regions]]\nfinest_dn = 1",
            "coding.regions 1: expected no finest_dn with coding.max_error",
        ),
        (GOOD + "[context]\nslots = 100", "context: expected slots in whole sets"),
        (GOOD + "[context]\nslots = 64000000\nmemory_mb = 100", "context.slots: 64000000 slots need"),
        (PASSES, "uplink.key_file: expected the link keys, .* or insecure = true, found neither"),
        (PASSES + "[uplink]\ninsecure = false", "uplink.key_file: expected the link keys"),
        (GOOD + "insecure = true", "uplink.insecure: expected no key_file with insecure = true"),
        ("", "passes: expected budget"),
        ("a = = 1", "line 1"),
    ],
)
def test_bad_files_are_refused_by_name(text, message):
    with pytest.raises(ConfigError, match=message):
        parse(text)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml"):
        read_mission(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="binary"):
        read_mission(tmp_path / "binary.toml")
    (tmp_path / "good.toml").write_text(GOOD)
    assert read_mission(str(tmp_path / "good.toml")) == read_mission(tmp_path / "good.toml")
    assert parse_mission(GOOD, str(tmp_path)) == parse_mission(GOOD, tmp_path)
