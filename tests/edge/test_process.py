"""`python -m swathpack.edge`: what it refuses before anything is loaded or made, each with one clear message and exit code 1."""

import os

import pytest

from swathpack.edge.__main__ import main
from swathpack.hil_tests.simulation.two_ends import write_key_file

OPEN = "[uplink]\ninsecure = true\n"
PASSES = OPEN + "[passes]\nbytes = 1000\nevery_s = 10.0\n"
SIGNED = PASSES.replace("insecure = true", 'key_file = "{}"')
PASS = """
[[pass]]
id = {id}
satellite = "{name}"
station = "s"
start = "2026-12-01T00:00:00Z"
end = "2026-12-01T00:00:10Z"
bytes = 10
rate_at_s = [0.0]
rate_byte_s = [1.0]
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "passes: expected budget"),
        ("[passes]\nbytes = -1\nevery_s = 1.0", "passes.bytes: expected 0 to"),
        (OPEN + "[passes]\nbytes = 9\nevery_s = 1.0", "passes.bytes: expected at least 40"),
        (
            OPEN + '[passes]\nbudget = "two.toml"\nsatellite = "a"',
            "passes.budget: expected a pass of at least 40 bytes",
        ),
        (
            PASSES + 'budget = "two.toml"',
            "passes.budget: expected it or passes.bytes and every_s, found passes.bytes and every_s",
        ),
        (OPEN + '[passes]\nbudget = "two.toml"\nevery_s = 3.0', "every_s, found passes.every_s beside it"),
        ("[passes]\nbytes = 10\nevery_s = nan", "passes.every_s: expected 0 to"),
        (PASSES + "[limits]\nmemory = 3", "memory_mb"),
        (PASSES + "[limits]\nmemory_mb = 1.5", "limits.memory_mb: expected a whole number"),
        (SIGNED.format("none"), "uplink.key_file"),
        (SIGNED.format("short"), "expected a first line 'swathpack-link-keys 1'"),
        (SIGNED.format("empty"), "expected a first line 'swathpack-link-keys 1'"),
        (SIGNED.format("weak"), "line 2: expected a new slot of 0 to 254 and 64 hexadecimal digits"),
        (SIGNED.format("readable"), "expected mode 0600, found 0644"),
        (SIGNED.format("."), "expected a file"),
        (SIGNED.format("pipe"), "expected a file"),
        (PASSES.replace("insecure = true", ""), "uplink.key_file: expected the link keys"),
        (OPEN + '[passes]\nbudget = "none.toml"', "passes.budget: cannot read"),
        (OPEN + '[passes]\nbudget = "two.toml"', "passes.satellite: expected one of a, b"),
        (OPEN + '[passes]\nbudget = "two.toml"\nsatellite = "c"', "'c'"),
        ('model = "no"\n' + PASSES, "model"),
        ("passes = 3", "expected a table"),
        (PASSES + "[coding]\nrounds = [4, 2]", "coding.rounds"),
        ("[passes\n", "line 1"),
    ],
)
def test_a_mission_that_cannot_fly_is_one_message(tmp_path, capsys, text, message):
    for name, data in (("short", b"short"), ("empty", b""), ("weak", b"swathpack-link-keys 1\n0 1234\n")):
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o600)
    write_key_file(tmp_path / "readable", 0o644)
    os.mkfifo(tmp_path / "pipe", 0o600)
    rows = PASS.format(id=1, name="a") + PASS.format(id=2, name="b")
    (tmp_path / "two.toml").write_text('version = 1\nplan = "p"\ncreated = ""\nseed = 1\n' + rows)
    (tmp_path / "mission.toml").write_text(text)
    assert main(["--config", str(tmp_path / "mission.toml")]) == 1
    told = capsys.readouterr().err.strip()
    assert message in told and told.startswith("swathpack: ") and "\n" not in told
    assert not (tmp_path / "state").exists()


def test_once_needs_the_bytes_of_its_pass(tmp_path, capsys):
    (tmp_path / "plan.toml").write_text(
        'version = 1\nplan = "p"\ncreated = ""\nseed = 1\n' + PASS.format(id=1, name="a")
    )
    (tmp_path / "mission.toml").write_text(OPEN + '[passes]\nbudget = "plan.toml"')
    assert main(["--config", str(tmp_path / "mission.toml"), "--once"]) == 1
    assert "passes.budget: --once sends one pass of passes.bytes" in capsys.readouterr().err


def test_a_missing_configuration_is_one_message(tmp_path, capsys):
    assert main(["--config", str(tmp_path / "none.toml")]) == 1
    assert "none.toml" in capsys.readouterr().err
