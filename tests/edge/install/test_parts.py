"""Receiving in pieces, the record, the facts, power figures."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import pytest

from swathpack.edge.install import selftest
from swathpack.edge.install.facts import read_facts
from swathpack.edge.install.manifest import Refused
from swathpack.edge.install.power import mode_number, module_mw, rails_mw, set_power_mode
from swathpack.edge.install.receive import bundle_path, bytes_here, receive
from swathpack.hil_tests.simulation.small_bundle import kit

DATA = bytes(range(256)) * 5000
SHA = hashlib.sha256(DATA).hexdigest()
STANDINS = Path(__file__).resolve().parents[3] / "hil_tests/boards/standins"


def test_a_bundle_arrives_in_pieces(tmp_path: Path) -> None:
    for end in (100_000, 300_001, 900_000):
        with pytest.raises(Refused) as caught:
            receive(
                tmp_path, SHA, len(DATA), bytes_here(tmp_path, SHA), io.BytesIO(DATA[bytes_here(tmp_path, SHA) : end])
            )
        assert caught.value.reason == "cut" and bytes_here(tmp_path, SHA) == end
    receive(tmp_path, SHA, len(DATA), 900_000, io.BytesIO(DATA[900_000:]))
    assert bundle_path(tmp_path, SHA).read_bytes() == DATA and bytes_here(tmp_path, SHA) == len(DATA)


def test_a_piece_from_the_wrong_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        receive(tmp_path, SHA, len(DATA), 10, io.BytesIO(DATA[10:]))


def test_damage_on_the_way_is_found_and_thrown_away(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        receive(tmp_path, SHA, len(DATA), 0, io.BytesIO(DATA[:-1] + b"x"))
    assert caught.value.reason == "damaged" and bytes_here(tmp_path, SHA) == 0


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "0" * 63, "G" * 64])
def test_only_digests_name_bundles(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused):
        bundle_path(tmp_path, name)


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [
        ("R35 (release), REVISION: 6.0", 5),
        ("R36 (release), REVISION: 4.3", 6),
        ("R39 (release), REVISION: 2.0", 7),
        ("R50 (release), REVISION: 1.0", 0),
        ("nothing", 0),
    ],
)
def test_the_jetpack_of_a_release(tmp_path: Path, l4t: str, jetpack: int) -> None:
    facts = read_facts(tmp_path, kit(tmp_path, l4t=l4t).root)
    assert facts.jetpack == jetpack and facts.model == "NVIDIA Jetson AGX Orin Developer Kit"


def test_a_machine_that_is_no_kit(tmp_path: Path) -> None:
    facts = read_facts(tmp_path, tmp_path)
    assert (facts.model, facts.jetpack, facts.modes) == ("", 0, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[passes]\nbytes = 50\nevery_s = 1.0\n", "uplink.key_file: expected the link keys"),
        ("[passes]\n", "passes: expected budget"),
        ('[passes]\nbytes = 50\nevery_s = 1.0\n[uplink]\nkey_file = "none"\n', "uplink.key_file"),
    ],
)
def test_a_mission_that_would_not_start_fails_the_self_test(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mission.toml").write_text(text)
    assert selftest.main([str(tmp_path / "mission.toml")]) == 1
    shown = capsys.readouterr()
    assert message in shown.err and json.loads(shown.out)["step"] == "mission"


NANO = "RAM 3011/7620MB CPU [1%@729] GR3D_FREQ 0% cpu@47.6C tj@48.9C gpu@-256C VDD_IN 4880mW/4901mW VDD_CPU_GPU_CV 560mW/560mW"


@pytest.mark.parametrize("number", [6, 7])
def test_lines_of_both_jetpacks(number: int) -> None:
    lines = (STANDINS / f"tegrastats-jetpack{number}.txt").read_text().splitlines()
    assert len(lines) == 20
    for line in lines:
        rails = rails_mw(line)
        assert set(rails) == {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"} and module_mw(line) == sum(rails.values())


def test_other_lines() -> None:
    assert module_mw(NANO) == 4880
    assert module_mw("RAM 1/2MB VDD_GPU_SOC 100mW/100mW") is None


def test_modes_by_name() -> None:
    modes = {"MAXN": 0, "MODE_15W": 1, "25W": 3}
    assert [mode_number(name, modes) for name in ("MAXN", "15W", "MODE_15W", "MODE_25W")] == [0, 1, 1, 3]
    with pytest.raises(Refused, match="MODE_15W"):
        mode_number("60W", modes)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo 'NV Power Mode: X'; echo 2", "was set already"),
        ("[ $1 = -q ] && echo 0; exit 0", "number 2)"),
        (
            "echo 'Reboot required for changing'; read answer; [ $answer = no ] || exit 0; exit 1",
            "needs a reboot and is not set",
        ),
    ],
)
def test_setting_a_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, told: str) -> None:
    program = tmp_path / "nvpmodel"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert told in set_power_mode("MAXN", {"MAXN": 2})


def test_a_mode_that_nvpmodel_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="not installed"):
        set_power_mode("MAXN", {"MAXN": 2})
    (tmp_path / "nvpmodel").write_text("#!/bin/sh\n[ $1 = -q ] || { echo bad >&2; exit 1; }\n")
    (tmp_path / "nvpmodel").chmod(0o755)
    with pytest.raises(Refused, match="nvpmodel -m 2: bad"):
        set_power_mode("MAXN", {"MAXN": 2})
