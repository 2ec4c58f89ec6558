"""Keys of a mission that nothing hears are named, and those that something hears are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from swathpack.edge.config import parse_mission
from swathpack.edge.mission_unused import unused_keys

LEAST = "[uplink]\ninsecure = true\n{}[passes]\nbytes = 5000\nevery_s = 600\n{}"


def unused(text: str, passes: str = "", uplink: str = "") -> list[str]:
    return list(unused_keys(parse_mission(LEAST.format(uplink, passes) + text, Path("/m"))))


def test_nothing_is_said_of_what_is_heard_or_left_as_it_is() -> None:
    assert unused("") == []
    assert unused('[source]\nkind = "tcp"\nport = 9\nidle_s = 3\n[port]\nkind = "udp"\nhost = "a"\n') == []
    assert unused('[source]\nkind = "tcp"\npath = "inbox"\n') == [], "the default may stand there"
    assert (
        unused('[coding]\nq = 20\nmode = "transform"\nfinest_dn = 2\n[link]\nerasure = "cauchy"\nblock_packets = 9')
        == []
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[source]\nkind = "tcp"\npath = "there"', ['source.path: not used with source.kind = "tcp"']),
        ("[source]\ncount = 3\nmax_senders = 2", ["source.max_senders: not", "source.count: not"]),
        ('[port]\nhost = "a"', ['port.host: not used with port.kind = "file"']),
        ("[link]\nparity_packets = 9", ['link.parity_packets: not used with link.erasure = "none"']),
        (
            '[coding]\nmax_error = 0\nq = 20\nmode = "learned"',
            ["coding.q: not used with coding.max_error", "coding.mode:"],
        ),
        ('[coding]\nmode = "transform"\nslope = 0.5', ['coding.slope: not used with coding.mode = "transform"']),
        (
            '[coding]\nmode = "learned"\nfinest_dn = 2',
            ['coding.finest_dn: not used with coding.mode = "learned", but for frames with bands'],
        ),
        ('[coding]\nmode = "learned"\n[[coding.regions]]\nfinest_dn = 2', ["coding.regions 1 finest_dn: not used"]),
    ],
)
def test_keys_that_nothing_hears_are_named_with_the_reason(text: str, said: list[str]) -> None:
    found = unused(text)
    assert len(found) == len(said) and all(line.startswith(start) for line, start in zip(found, said)), found


def test_keys_of_plans_beside_equal_passes() -> None:
    assert unused("", 'satellite = "a"\npaced = true\n') == [
        "passes.satellite: not used without passes.budget",
        "passes.paced: not used without passes.budget",
    ]
    assert unused("", uplink="port = 7\n") == ['uplink.port: not used with uplink.kind = "folder"']
