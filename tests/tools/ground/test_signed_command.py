"""`swathpack receive --signed`: a pass that nobody signed is refused by name, and forged packets are told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from swathpack.edge.packets.link_keys import LinkKey, link_keys_text
from swathpack.edge.packets.pieces import Piece, pack_pieces
from swathpack.edge.packets.security import PacketSigner
from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.tools.cli import main

KEY = LinkKey(2, bytes(range(32)))


def packet(sequence: int, number: int = 6) -> SpacePacket:
    return SpacePacket(Apid.IMAGE, sequence, 7, number, pack_pieces([Piece(sequence, 0, b"\xe1 no segment")]))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "link.keys"
    path.write_text(link_keys_text(dict([KEY])))
    path.chmod(0o600)
    return path


def receive(tmp_path: Path, data: bytes, *words: object) -> int:
    path = tmp_path / "pass-000006.bin"
    path.write_bytes(data)
    return main(["receive", str(path), "--store", str(tmp_path / "ground.db"), *map(str, words)])


def test_a_pass_that_nobody_signed(tmp_path, keys, capsys):
    assert receive(tmp_path, packet(0).pack(), "--signed", "--key-file", keys) == 1
    assert "expected packets signed by a key of" in capsys.readouterr().err
    assert receive(tmp_path, packet(0).pack(), "--signed") == 2
    assert "--signed: expected a --key-file with it" in capsys.readouterr().err


def test_forged_packets_are_counted_and_the_first_one_does_not_name_the_pass(tmp_path, keys, capsys):
    signer = PacketSigner(KEY)
    forged = PacketSigner(LinkKey(2, bytes(32))).sign(packet(9, 4000)).pack()
    data = packet(8, 3000).pack() + forged + signer.sign(packet(0)).pack() + signer.sign(packet(1)).pack()
    assert receive(tmp_path, data, "--signed", "--key-file", keys) == 3
    said = capsys.readouterr().out
    assert "pass 6: 2 forged packets, 2 packets" in said


def test_a_ground_without_keys_reads_signed_packets(tmp_path, capsys):
    receive(tmp_path, PacketSigner(KEY).sign(packet(0)).pack())
    assert "pass 6: 1 packets" in capsys.readouterr().out
