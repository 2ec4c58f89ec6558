"""What the board refuses, by itself, and that it has written nothing then."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swathpack.edge.install.archive import check_all, unpack
from swathpack.edge.install.installer import Installer
from swathpack.edge.install.keys import read_ring
from swathpack.edge.install.manifest import Refused, parse_manifest
from swathpack.edge.install.record import Record
from swathpack.edge.install.report import Reporter
from swathpack.edge.install.slots import Slots
from swathpack.export.bundle.archive import tar_bytes
from swathpack.hil_tests.simulation.small_bundle import KEY, bundle, files, kit, manifest

NOW = 1_800_000_000.0


def refusal(places: Any, path: Path, clock: float | None = None) -> str:
    with pytest.raises(Refused) as caught:
        Installer(places, Reporter(), clock).install(path)
    assert not (places.base / "slots").exists()
    return caught.value.reason


@pytest.mark.parametrize(
    ("changes", "key", "reason"),
    [
        ({}, None, "unsigned"),
        ({}, Ed25519PrivateKey.from_private_bytes(bytes(32)), "unknown-key"),
        ({"board": "orin-nx"}, KEY, "wrong-board"),
        ({"jetpack": 7}, KEY, "wrong-board"),
        ({"machine": "riscv64"}, KEY, "wrong-board"),
        ({"python": "2.7"}, KEY, "wrong-board"),
        ({"release": 4_000_000_000}, KEY, "clock"),
        ({"release": 1_500_000_000}, KEY, "too-old"),
        ({"needs_bytes": 1 << 60}, KEY, "space"),
        ({"format": 2}, KEY, "format"),
        ({"jetpack": "6"}, KEY, "damaged"),
    ],
)
def test_bundles_that_may_not_fly(tmp_path: Path, changes: dict[str, Any], key: Any, reason: str) -> None:
    places = kit(tmp_path / "root")
    Slots(places.base).update(lambda _: Record(floor=1_600_000_000))
    assert refusal(places, bundle(tmp_path, key=key, **changes)) == reason


def test_a_clock_far_from_the_flashing_machine_is_refused(tmp_path: Path) -> None:
    assert refusal(kit(tmp_path / "root"), bundle(tmp_path), clock=1.0) == "clock"


@pytest.mark.parametrize(
    ("old", "new"), [(b"answer = 42", b"answer = 43"), (b'"jetpack": 6', b'"jetpack": 7'), (b"[passes]", b"[pasSes]")]
)
def test_changed_bytes_are_found(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = bundle(tmp_path)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    assert refusal(kit(tmp_path / "root"), path) == "tampered"


def test_any_cut_of_the_archive_is_refused(tmp_path: Path) -> None:
    places, path = kit(tmp_path / "root"), bundle(tmp_path)
    data = path.read_bytes()
    end = data.rstrip(b"\0")
    for length in (0, 100, 512, 1500, len(end) // 2, len(end) - 1):
        path.write_bytes(data[:length])
        assert refusal(places, path) in ("damaged", "tampered")


@pytest.mark.parametrize(
    "name", ["runtime/../../etc/passwd", "/etc/passwd", "etc/passwd", "runtime//x", "runtime/./x", "wheels/\0"]
)
def test_paths_that_lead_elsewhere_are_refused(name: str) -> None:
    told = json.loads(manifest(files()))
    told["files"][0]["path"] = name
    with pytest.raises(Refused, match="expected a path"):
        parse_manifest(json.dumps(told).encode())


def test_links_and_extra_files_are_refused(tmp_path: Path) -> None:
    places, path = kit(tmp_path / "root"), bundle(tmp_path)
    keys = read_ring(places.trusted).public()
    with path.open("rb") as stream:
        assert check_all(stream, keys).version == "1.0"
    data = path.read_bytes()
    extra = tar_bytes([("runtime/extra.py", b"import os")], 0)
    for added in (extra, _link_archive()):
        path.write_bytes(data.rstrip(b"\0").ljust(-(-len(data.rstrip(b"\0")) // 512) * 512, b"\0") + added)
        assert refusal(places, path) == "tampered"


def test_nothing_is_written_before_the_signature_holds(tmp_path: Path) -> None:
    path, target = bundle(tmp_path, key=None), tmp_path / "target"
    with pytest.raises(Refused):
        unpack(path, target, {}, lambda done, total: None)
    assert not target.exists()


def _link_archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        link = tarfile.TarInfo("runtime/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return out.getvalue()


def test_a_file_that_is_no_key_costs_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = kit(tmp_path / "root")
    trusted = places.base / "trusted"
    for name, data in (("empty.pub", b""), ("binary.pub", bytes(range(256))), ("short.pub", b"swathpack-ed25519 AAAA")):
        (trusted / name).write_bytes(data)
    (trusted / "folder.pub").mkdir()
    assert len(read_ring(trusted).keys) == 1
    assert read_ring(trusted).strays == ["binary.pub", "empty.pub", "folder.pub", "short.pub"]
    path = bundle(tmp_path, jetpack=7)
    with pytest.raises(Refused, match="bundle for JetPack 7"):
        Installer(places, Reporter()).install(path)
    assert "trusted/empty.pub is no key" in capsys.readouterr().out
