"""A file of another kind is named, with the command that reads it."""

from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.tools.cli import main
from swathpack.tools.errors import BAD_INPUT
from swathpack.tools.files.what_is import what_is

KINDS = {
    "cube.npz": "it is an .npz cube: swathpack compress",
    "other.npz": "it is an .npz without `data`",
    "array.npy": "it is one array: save it with `numpy.savez(",
    "pass-000001.bin": "it is packets of a pass: swathpack receive",
    "scene.tif": "it is a TIFF: swathpack compress",
    "stream.swp": "it is a SwathPack stream: swathpack inspect",
    "empty": "it is empty",
    "folder": "it is a folder",
    "noise": "",
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    np.savez(tmp_path / "cube.npz", data=np.ones((1, 1, 4, 4), np.uint16), bands=["B02"])
    np.savez(tmp_path / "other.npz", pixels=np.ones(4))
    np.save(tmp_path / "array.npy", np.ones((1, 4, 4), np.uint16))
    (tmp_path / "pass-000001.bin").write_bytes(SpacePacket(Apid.IMAGE, 0, 1, 1, bytes(40)).pack())
    (tmp_path / "scene.tif").write_bytes(b"II*\0" + bytes(40))
    (tmp_path / "stream.swp").write_bytes(b"SWP\x03" + bytes(40))
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "noise").write_bytes(b"\x07 noise " * 9)
    return tmp_path


def test_kinds(files: Path) -> None:
    for name, said in KINDS.items():
        assert what_is(files / name).startswith(said) and (said or not what_is(files / name)), name


@pytest.mark.parametrize("name", sorted(KINDS))
@pytest.mark.parametrize(
    "words", [["inspect", "IN"], ["decompress", "IN", "-o", "x.npz"], ["receive", "IN", "--store", "g"]]
)
def test_commands_say_it_in_one_line(
    files: Path, name: str, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    reads = {"stream.swp": ("inspect", "decompress"), "pass-000001.bin": ("receive",)}
    if words[0] in reads.get(name, ()):
        return
    assert main([name if word == "IN" else word for word in words]) == BAD_INPUT
    said = capsys.readouterr().err
    assert KINDS[name] in said and said.count("\n") == 1 and name in said and "expected" in said
    assert not (files / "x.npz").exists() and not (files / "g").exists()


@pytest.mark.parametrize("name", ["stream.swp", "pass-000001.bin", "empty"])
def test_compress_says_it_too(files: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compress", str(files / name), "-o", str(files / "x.swp")]) == BAD_INPUT
    said = capsys.readouterr().err
    assert KINDS[name] in said and said.count("\n") == 1
