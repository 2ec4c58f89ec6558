"""A pass of which no packet is whole: counted as damaged, and the other passes of the command are taken all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from swathpack.edge.packets.link_keys import LinkKey, link_keys_text
from swathpack.edge.packets.pieces import Piece, pack_pieces
from swathpack.edge.packets.security import PacketSigner
from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.tools.cli import main

KEY = LinkKey(2, bytes(range(32)))


def packet(sequence: int, number: int) -> bytes:
    pieces = pack_pieces([Piece(sequence, 0, b"\xe1 no segment" * 9)])
    return PacketSigner(KEY).sign(SpacePacket(Apid.IMAGE, sequence, 7, number, pieces)).pack()


def flipped(data: bytes) -> bytes:
    return data[:40] + bytes([data[40] ^ 1]) + data[41:]


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    ("torn", "heads"),
    [(packet(0, 4)[:60], 1), (flipped(packet(0, 4)), 1), (b"noise" + flipped(packet(0, 4)) + packet(1, 4)[:-1], 2)],
)
def test_a_torn_pass_holds_up_no_other(tmp_path: Path, capsys, torn: bytes, heads: int, signed: bool) -> None:
    (tmp_path / "link.keys").write_text(link_keys_text(dict([KEY])))
    (tmp_path / "link.keys").chmod(0o600)
    files = [tmp_path / f"pass-{number:06d}.bin" for number in (4, 5)]
    for path, data in zip(files, (torn, packet(2, 5) + packet(3, 5))):
        path.write_bytes(data)
    words = ["--store", tmp_path / "ground.db", "--key-file", tmp_path / "link.keys", "--reports", tmp_path / "up"]
    assert main(["receive", *map(str, files + words), *(["--signed"] if signed else [])]) == 3
    said = capsys.readouterr()
    assert f"pass-000004.bin: pass 4: {heads} damaged packets" in said.out and not said.err
    assert "pass-000005.bin: pass 5: 2 packets" in said.out
    assert [path.name for path in (tmp_path / "up").iterdir()] == ["reports-000005.bin"]


@pytest.mark.parametrize("data", [b"notes", packet(0, 4)[:6], packet(0, 4)[9:], b"\0" * 5000])
def test_a_file_without_a_head_of_a_packet_is_refused_before_any_pass_is_taken(
    tmp_path: Path, capsys, data: bytes
) -> None:
    good, bad = tmp_path / "pass-000001.bin", tmp_path / "pass-000002.bin"
    good.write_bytes(packet(0, 1))
    bad.write_bytes(data)
    assert main(["receive", str(good), str(bad), "--store", str(tmp_path / "ground.db")]) == 1
    assert "pass-000002.bin: expected packets of a pass, found something else" in capsys.readouterr().err
    assert not (tmp_path / "ground.db").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--max-packet", "-5"], 2, "--max-packet: expected 40 to 65542, found -5"),
        (["--max-packet", "70000"], 2, "--max-packet: expected 40 to 65542, found 70000"),
        (["--store", "none/ground.db"], 1, "cannot write none/ground.db: no such folder: none"),
    ],
)
def test_what_no_pass_could_be_received_with(tmp_path: Path, capsys, monkeypatch, words, code, said) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pass-000001.bin").write_bytes(packet(0, 1))
    store = [] if "--store" in words else ["--store", "ground.db"]
    assert main(["receive", "pass-000001.bin", *store, *words]) == code
    assert said in capsys.readouterr().err and [path.name for path in tmp_path.iterdir()] == ["pass-000001.bin"]
