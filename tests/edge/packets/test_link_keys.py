"""Link keys: made, read, changed; a file that others can use, or that holds no secrets, is refused on both sides."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from swathpack.edge.packets.deframer import Deframer
from swathpack.edge.packets.link_keys import (
    HEADLINE,
    UNSIGNED,
    LinkKeyError,
    choose_key,
    make_link_keys,
    parse_link_keys,
    read_link_keys,
)
from swathpack.edge.packets.report import Report
from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.tools.cli import main

ONE, TWO = bytes(range(32)).hex(), bytes(range(1, 33)).hex()


def test_what_is_made_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "link.keys"
    assert main(["keys", str(path), "--slots", "3"]) == 0
    keys = read_link_keys(path)
    assert sorted(keys) == [0, 1, 2] and len(set(keys.values())) == 3 and all(len(s) == 32 for s in keys.values())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert main(["keys", str(path)]) == 4 and read_link_keys(path) == keys, "never over an existing file"
    with pytest.raises(FileExistsError):
        make_link_keys(path)


@pytest.mark.parametrize(
    ("name", "code", "said"), [("/", 4, "exists"), (".", 4, "exists"), ("no/keys", 1, "no such folder")]
)
def test_a_place_that_holds_no_new_file_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["keys", name]) == code
    told = capsys.readouterr().err
    assert said in told and ".part" not in told and not any(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    make_link_keys(tmp_path / "keys")
    (tmp_path / "keys").chmod(mode)
    with pytest.raises(LinkKeyError, match=f"expected mode 0600, found {mode:04o}"):
        read_link_keys(tmp_path / "keys")


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEADLINE,
        f"{HEADLINE}\n",
        f"0 {ONE}",
        f"{HEADLINE}\n0 {ONE[:-2]}",
        f"{HEADLINE}\n0 {ONE}ab",
        f"{HEADLINE}\n255 {ONE}",
        f"{HEADLINE}\n-1 {ONE}",
        f"{HEADLINE}\n0 {ONE}\n0 {TWO}",
        f"{HEADLINE}\n0 {ONE}\n1 {ONE}",
        f"{HEADLINE}\n0 {'00' * 32}",
        "a passphrase of sixteen bytes and more",
        f"{HEADLINE}\n" + "#" * 70_000,
    ],
)
def test_what_holds_no_secrets_is_refused_without_telling_any(text: str) -> None:
    with pytest.raises(LinkKeyError, match="expected") as caught:
        parse_link_keys(text.encode(), "keys")
    assert ONE[:12] not in str(caught.value)


def test_the_ground_signs_with_the_lowest_slot_or_the_one_it_is_told(tmp_path: Path) -> None:
    keys = parse_link_keys(f"{HEADLINE}\n7 {TWO}  # later\n2 {ONE}\n".encode(), "keys")
    assert choose_key(keys) == (2, bytes.fromhex(ONE)) and choose_key(keys, 7).slot == 7
    with pytest.raises(LinkKeyError, match="expected a key slot of 2, 7, found 3"):
        choose_key(keys, 3)


def test_receive_writes_no_reports_that_nobody_signs_unless_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pass-1.bin").write_bytes(SpacePacket(Apid.EVENT, 0, 1, 1, b"").pack())
    words = ["receive", str(tmp_path / "pass-1.bin"), "--store", str(tmp_path / "g"), "--reports", str(tmp_path / "up")]
    assert main(words) == 2
    assert "give --key-file, or --insecure" in capsys.readouterr().err
    make_link_keys(tmp_path / "keys")
    (tmp_path / "keys").chmod(0o644)
    assert main([*words, "--key-file", str(tmp_path / "keys")]) == 1
    assert "expected mode 0600" in capsys.readouterr().err
    (tmp_path / "keys").chmod(0o600)
    assert main([*words, "--key-file", str(tmp_path / "keys"), "--insecure"]) == 2
    assert main([*words, "--key-file", str(tmp_path / "keys"), "--key-slot", "9"]) == 1
    assert "expected a key slot of 0, 1" in capsys.readouterr().err
    assert main([*words, "--key-file", str(tmp_path / "keys")]) == 0 and main([*words, "--insecure"]) == 0


def test_a_store_that_was_lost_begins_a_new_epoch(tmp_path: Path) -> None:
    (tmp_path / "pass-1.bin").write_bytes(SpacePacket(Apid.EVENT, 0, 1, 1, b"").pack())
    words = [
        "receive",
        str(tmp_path / "pass-1.bin"),
        "--store",
        str(tmp_path / "g"),
        "--reports",
        str(tmp_path / "up"),
        "--insecure",
    ]
    for more, epoch in ((["--epoch", "3"], 3), ([], 3), (["--epoch", "2"], 3)):
        assert main([*words, *more]) == 0
        packets = Deframer().feed((tmp_path / "up/reports-000001.bin").read_bytes())
        assert {Report.unpack(packet.payload, dict([UNSIGNED])).epoch for packet in packets} == {epoch}
    assert main([*words, "--epoch", "0"]) == 2
