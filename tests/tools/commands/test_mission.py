"""`swathpack mission`: the file that --init writes is the loop's defaults, and flies a plan's budget."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from swathpack.edge import __main__ as process
from swathpack.edge.config import Mission, parse_mission, read_mission
from swathpack.hil_tests.simulation.two_ends import write_key_file
from swathpack.tools.cli import main
from swathpack.tools.commands.mission import WORDS, template
from swathpack.tools.errors import REFUSED
from tests.edge.downlink.test_budget import budget, format_budget

PASSES = {"passes.bytes": 50, "passes.every_s": 2.0}


def test_every_key_is_there_with_its_default(tmp_path: Path) -> None:
    text = template(PASSES)
    full = re.sub(r"^# ([a-z_]+ = )", r"\1", text, flags=re.M)
    least = '[passes]\nbytes = 50\nevery_s = 2.0\n[uplink]\nkey_file = "link.keys"\n'
    assert parse_mission(full, tmp_path) == parse_mission(least, tmp_path)
    assert parse_mission(text, tmp_path) == parse_mission(full, tmp_path)
    known = set()
    for field in dataclasses.fields(Mission):
        kind = field.default_factory if dataclasses.is_dataclass(field.default_factory) else None
        part = text.split(f"\n[{field.name}]\n")[1].split("\n[")[0] if kind else text.split("\n[")[0]
        for one in dataclasses.fields(kind) if kind else [field]:
            assert re.search(rf"^(#|#  )? ?{one.name}( =|:)|of their own weight", part, re.M), one.name
            known.add(f"{field.name}.{one.name}" if kind else field.name)
    assert set(WORDS) <= known


def test_init_and_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan/budget.toml").write_text(format_budget(budget()))
    made, planned = tmp_path / "flight/mission.toml", str(tmp_path / "plan/budget.toml")
    made.parent.mkdir()
    assert main(["mission", "--init", str(made), "--budget", planned]) == 1
    assert "--satellite: expected one of sat-1, sat-2, found none" in capsys.readouterr().err
    assert main(["mission", "--init", str(made), "--budget", planned, "--satellite", "sat-9"]) == 1
    assert "found 'sat-9'" in capsys.readouterr().err and not made.exists()
    assert main(["mission", "--init", str(made), "--budget", planned, "--satellite", "sat-1"]) == 0
    assert f"make its keys with: swathpack keys {made.parent / 'link.keys'}" in capsys.readouterr().out
    assert main(["keys", str(made.parent / "link.keys")]) == main(["keys", str(tmp_path / "link.keys")]) == 0
    assert main(["mission", str(made), "--check"]) == 0
    assert "passes of sat-1 in plan plan: 2, 2026-12-01T00:00:00Z to" in capsys.readouterr().out
    assert read_mission(made).passes.budget == made.parent / "../plan/budget.toml"
    assert main(["mission", "--init", str(made)]) == REFUSED
    assert "exists: give another name" in capsys.readouterr().err
    assert main(["mission", "--init", str(tmp_path / "plain.toml")]) == 0
    assert main(["mission", str(tmp_path / "plain.toml"), "--check"]) == 0
    assert "2000000 bytes every 5400 s" in capsys.readouterr().out


def test_both_checks_say_what_is_promised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "m.toml"
    made.write_text(template(PASSES) + "\n[[coding.regions]]\nname = 'port'\nplace = 4\nrows = [2, 3]\nmax_error = 0\n")
    write_key_file(tmp_path / "link.keys")
    assert main(["mission", str(made), "--check"]) == 0
    promised = "port, place 4, tiles of rows 2-2, columns 0-4095: lossless"
    assert capsys.readouterr().out.splitlines()[1:] == [f"  {promised}"]
    assert process.main(["--config", str(made), "--check"]) == 0
    assert f"guarantee: {promised}" in capsys.readouterr().err


def test_both_checks_say_which_passes_of_a_plan_carry_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One such pass is legal; a plan of nothing else is refused."""
    (tmp_path / "m.toml").write_text(
        "[uplink]\ninsecure = true\n[passes]\nbudget = 'b.toml'\nsatellite = 'sat-1'\n[downlink]\nkey_file = 'k'\n"
    )
    write_key_file(tmp_path / "k")
    first, second = (one for one in budget().passes if one.satellite == "sat-1")
    small = dataclasses.replace(first, bytes=53, rate_at_s=(0.0,), rate_byte_s=(53 / first.duration_s,))
    for passes, code in (((small, second), 0), ((small,), 1)):
        (tmp_path / "b.toml").write_text(format_budget(dataclasses.replace(budget(), passes=passes)))
        assert main(["mission", str(tmp_path / "m.toml"), "--check"]) == code
        told = capsys.readouterr()
        assert process.main(["--config", str(tmp_path / "m.toml"), "--check"]) == code
        loop = capsys.readouterr().err
        said = (
            f"warning: passes.budget: 1 of 2 passes (id {small.id}) carry nothing: of fewer bytes than the smallest packet, 54"
            if code == 0
            else "passes.budget: expected a pass of at least 54 bytes, which the smallest packet has, found none of more than 53"
        )
        assert said in told.out + told.err and said in loop


def test_both_checks_name_keys_that_nothing_hears(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "m.toml"
    made.write_text(template(PASSES).replace("# satellite = ", "satellite = 'a' # "))
    write_key_file(tmp_path / "link.keys")
    said = "warning: passes.satellite: not used without passes.budget"
    assert main(["mission", str(made), "--check"]) == 0 and said in capsys.readouterr().out
    assert process.main(["--config", str(made), "--check"]) == 0 and said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("written", "wrong", "said"),
    [
        ("", "link.keys is missing", r"uplink.key_file: .*link.keys: No such file or directory"),
        ('[downlink]\nkey_file = "down.keys"', "", r"downlink.key_file: .*down.keys: No such file or directory"),
        ("", "link.keys is open", r"uplink.key_file: .*link.keys"),
        ('model = "none"', "", r"model in .*none: "),
    ],
)
def test_the_check_says_what_the_loop_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], written: str, wrong: str, said: str
) -> None:
    """What the mission names beside itself is read too: the check of the board and that of the ground agree."""
    made = tmp_path / "m.toml"
    made.write_text(f'{written}\n[passes]\nbytes = 60\nevery_s = 2.0\n[uplink]\nkey_file = "link.keys"\n')
    if wrong != "link.keys is missing":
        write_key_file(tmp_path / "link.keys")
    if wrong == "link.keys is open":
        (tmp_path / "link.keys").chmod(0o644)
    assert main(["mission", str(made), "--check"]) == 1
    told = capsys.readouterr().err
    assert re.search(said, told) and told.count("\n") == 1 and "Errno" not in told
    assert process.main(["--config", str(made), "--check"]) == 1
    assert re.search(said, capsys.readouterr().err)


def test_what_is_wrong_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.toml").write_text("[coding]\nq = 99\n")
    for arguments, message in (
        ([], "expected a mission.toml to check, or --init"),
        ([str(tmp_path / "m.toml")], "coding.q: expected 0 to 63, found 99"),
        ([str(tmp_path / "none.toml")], "No such file"),
        (["--init", str(tmp_path / "x.toml"), "--satellite", "a"], "with --budget only"),
        (["--init", str(tmp_path / "x.toml"), "--budget", str(tmp_path / "none")], "cannot read the budget"),
    ):
        assert main(["mission", *arguments]) == (
            2 if message.startswith(("expected a mission", "with --budget")) else 1
        )
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
