"""Single bit flips: what escapes is told, and what the board does about the rest."""

import pytest

from swathpack.hil_tests.campaigns import bitflips
from swathpack.hil_tests.campaigns.bitflips import Flip, campaign, main, report
from swathpack.hil_tests.simulation import memory


def test_the_report_counts_what_escaped():
    found = [Flip("weights", "a", False, "scrub"), Flip("engine", "b", True, "canary")]
    found.append(Flip("engine", "c", True, "", "3 of 8192"))
    text = report(found, 1_000_000)
    assert "escaped: engine: c: 3 of 8192" in text
    assert text.splitlines()[5].split() == ["all", "3", "2", "1", "1"]


def test_too_few_flips_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--flips", "1"])
    assert "expected 10 or more" in capsys.readouterr().err


def test_weights_are_found_in_the_graph_files():
    from swathpack.edge.codec.model import DEFAULT_DIRECTORY

    for graph in memory.GRAPHS:
        sizes = [len(held) for _, held in memory.graph_weights(DEFAULT_DIRECTORY / graph)]
        total = (DEFAULT_DIRECTORY / graph).stat().st_size
        assert sum(sizes) > 0.7 * total, "nearly all of a graph's file is weights"


@pytest.mark.slow
def test_nothing_escapes():
    found, watched = campaign(200, seed=5)
    assert watched > 1_000_000 and {f.where for f in found} == set(bitflips.SHARES)
    assert sum(f.changed for f in found) > 5, "some flips must matter, or nothing is shown"
    assert [f for f in found if f.escaped] == []
