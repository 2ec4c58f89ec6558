"""The flight bundle: same bytes twice, everything aboard, forms for images."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from swathpack.edge.clibrary import source_digest
from swathpack.edge.install.archive import check_all
from swathpack.edge.install.manifest import Manifest, key_id, parse_manifest, read_public_key
from swathpack.edge.install.slots import Slots
from swathpack.export.bundle import wheels
from swathpack.export.bundle.archive import ArchiveError, bundle_tar, compressed, read_tar
from swathpack.export.bundle.boards import KITS, PYTHON_OF_JETPACK
from swathpack.export.bundle.coder import LIBRARY, CoderMissing, cross_compiled
from swathpack.export.bundle.contents import DATA, BundleError, Contents, Order, collect, release_time
from swathpack.export.bundle.overlay import deb, overlay_tar
from swathpack.export.bundle.signing import SigningError, make_key, public_line, read_key, sign
from swathpack.hil_tests.simulation.small_bundle import KEY, kit, kit_environment, public_key, wheel
from swathpack.hil_tests.simulation.small_bundle import bundle as small_bundle
from swathpack.hil_tests.simulation.small_bundle import files as small_files
from swathpack.hil_tests.simulation.small_bundle import manifest as small_manifest

ORDER = Order("orin-agx", 6, 1_700_000_000)


@pytest.fixture(scope="module")
def contents() -> Contents:
    return collect(ORDER)


def packed(contents: Contents) -> bytes:
    return bundle_tar(contents.files, contents.manifest, sign(KEY, contents.manifest), ORDER.release)


def told(contents: Contents) -> Manifest:
    return parse_manifest(contents.manifest)


def test_twice_the_same_bytes(contents: Contents) -> None:
    assert compressed(packed(collect(ORDER))) == compressed(packed(contents))


def test_what_is_aboard(contents: Contents) -> None:
    names = set(contents.files)
    for name in (
        "runtime/swathpack/edge/loop.py",
        "runtime/swathpack/edge/install/selftest.py",
        "runtime/swathpack/edge/codec/rangecoder/encoder.c",
        "runtime/swathpack/models/edge/entropy.onnx",
        "runtime/swathpack/models/edge/golden.npz",
        "unit/swathpack.service",
    ):
        assert name in names
    assert not any(name.endswith((".so", ".pyc")) or "constriction" in name for name in names)


def test_all_of_the_model_is_aboard(contents: Contents) -> None:
    shipped = {p.name for p in ORDER.model.iterdir() if p.suffix in (".npz", ".onnx", ".json")}
    assert {name.rpartition("/")[2] for name in contents.files if "models/edge/" in name} == shipped


def test_what_code_aboard_reads_is_there(contents: Contents, tmp_path: Path) -> None:
    for name, data in contents.files.items():
        if name.startswith("runtime/"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
    check = (
        "from swathpack.edge.bands import STATISTICS_FILE; from swathpack.edge.codec.model import EdgeModel; "
        "import swathpack.edge.loop, swathpack.edge.install.selftest; "
        "assert STATISTICS_FILE.exists(); EdgeModel(engine='float32').gains; print(swathpack.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", check],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "runtime")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))


def test_a_board_that_trusts_the_key_reads_it(contents: Contents) -> None:
    manifest = check_all(io.BytesIO(packed(contents)), {key_id(public_key()): public_key()})
    assert (manifest.board, manifest.jetpack, manifest.python, manifest.machine) == ("orin-agx", 6, "", "aarch64")
    assert manifest.oldest_allowed == manifest.release == ORDER.release
    assert manifest.needs_bytes > sum(map(len, contents.files.values()))


def test_the_archive_tells_nothing_of_this_machine(contents: Contents) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(contents))) as archive:
        kinds = {(m.uid, m.gid, m.uname, m.gname, m.mtime, m.mode, m.type) for m in archive}
    assert kinds == {(0, 0, "root", "root", ORDER.release, 0o644, tarfile.REGTYPE)}


def test_packages_and_library_of_the_board(tmp_path: Path) -> None:
    path = tmp_path / "tiny-1-py3-none-any.whl"
    path.write_bytes(wheel("tiny"))
    found = collect(replace(ORDER, jetpack=7, wheels=(path,), library=b"ELF"))
    assert told(found).python == PYTHON_OF_JETPACK[7] == "3.12"
    assert (
        found.files[f"runtime/swathpack/edge/codec/rangecoder/{LIBRARY}"] == b"ELF"
        and f"wheels/{path.name}" in found.files
    )


def test_the_unit_has_watchdog_limits_and_the_boards_memory(contents: Contents) -> None:
    unit = contents.files["unit/swathpack.service"].decode()
    assert "@" not in unit and "WatchdogSec=" in unit and f"MemoryMax={KITS['orin-agx'].memory_mb}M" in unit
    assert "Type=notify" in unit and "ExecStartPre=" in unit and "ExecStartPost=" in unit


def test_the_example_mission_is_one(tmp_path: Path) -> None:
    from swathpack.edge.config import read_mission

    assert read_mission(DATA / "mission.toml").passes.bytes == 2_000_000


@pytest.mark.parametrize(
    "changes",
    [
        {"board": "orin"},
        {"jetpack": 5},
        {"model": Path("/nowhere")},
        {"wheels": (Path("/x.whl"),)},
        {"wheels": (Path(__file__),)},
        {"oldest_allowed": 1_800_000_000},
    ],
)
def test_what_cannot_be_made(changes: dict[str, object]) -> None:
    with pytest.raises((BundleError, OSError)):
        collect(replace(ORDER, **changes))  # type: ignore[arg-type]


def test_the_release_of_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234")
    assert release_time() == 1234


def test_damaged_files_are_no_bundles(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.zst"
    data = compressed(b"x" * 100_000)
    path.write_bytes(data)
    assert read_tar(path) == b"x" * 100_000
    for bad in (b"not zstd", data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]):
        path.write_bytes(bad)
        with pytest.raises(ArchiveError):
            read_tar(path)


def test_the_coder_is_built_the_same_twice() -> None:
    try:
        library = cross_compiled()
    except CoderMissing:
        pytest.skip("no cross compiler here")
    assert library == cross_compiled() and library[18:20] == b"\xb7\x00"  # ELF: AArch64
    assert source_digest().encode() in library


def test_keys(tmp_path: Path) -> None:
    path = tmp_path / "mission.key"
    public = make_key(path, "mission")
    assert path.stat().st_mode & 0o777 == 0o600
    key = read_key(path)
    assert read_public_key(public.read_text()) == public_key(key)
    with pytest.raises(SigningError):
        make_key(path, "mission")
    for bad in (tmp_path / "none", public):
        with pytest.raises(SigningError):
            read_key(bad)


def test_overlay_and_package(contents: Contents, tmp_path: Path) -> None:
    public = public_line(public_key())
    tar, few = b"the bundle", {p: d for p, d in contents.files.items() if p.startswith("runtime/swathpack/edge/")}
    whole = overlay_tar(tar, few, told(contents), public)
    package = deb(tar, few, told(contents), public)
    assert package == deb(tar, few, told(contents), public)
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        archive.extractall(tmp_path / "root", filter="tar")
    root = tmp_path / "root"
    assert (root / "opt/swathpack/agent/swathpack/edge/install/__main__.py").exists()  # through the link
    assert (root / "etc/systemd/system/multi-user.target.wants/swathpack-firstboot.service").exists()
    assert [p.read_bytes() for p in (root / "opt/swathpack/factory").iterdir()] == [tar]
    assert package.startswith(b"!<arch>\ndebian-binary")
    data = package.index(b"data.tar.gz")
    size = int(package[data + 48 : data + 58])
    assert (
        hashlib.sha256(gzip.decompress(package[data + 60 : data + 60 + size])).digest()
        == hashlib.sha256(whole).digest()
    )


def test_the_installer_of_an_image_runs(contents: Contents, tmp_path: Path) -> None:
    few = {p: d for p, d in contents.files.items() if p.startswith("runtime/swathpack/edge/")}
    with tarfile.open(fileobj=io.BytesIO(overlay_tar(b"", few, told(contents), "key"))) as archive:
        archive.extractall(tmp_path, filter="tar")
    done = subprocess.run(
        [sys.executable, "-S", "-m", "swathpack.edge.install", "status", "--root", str(tmp_path)],
        env={"PYTHONPATH": str(tmp_path / "opt/swathpack/agent")},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0 and '"record"' in done.stdout, done.stderr


def test_an_image_installs_its_bundle_at_the_first_boot(tmp_path: Path) -> None:
    places = kit(tmp_path)
    (places.base / "trusted/mission.pub").unlink()
    path = small_bundle(tmp_path, small_files())
    manifest = parse_manifest(small_manifest(small_files()))
    image = overlay_tar(path.read_bytes(), small_files(), manifest, public_line(public_key()))
    with tarfile.open(fileobj=io.BytesIO(image)) as archive:
        archive.extractall(tmp_path, filter="tar")
    factory = next((places.base / "factory").glob("*.tar"))
    done = subprocess.run(
        [sys.executable, "-m", "swathpack.edge.install", "install", "--path", str(factory), "--root", str(tmp_path)],
        env={**kit_environment(tmp_path), "PYTHONPATH": str(places.base / "agent")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert Slots(places.base).read().active == "a" and not factory.exists()


def test_pins_of_every_python() -> None:
    for python in (*PYTHON_OF_JETPACK.values(), "3.11"):
        found = wheels.pins(python)
        assert {p.name for p in found} == {"numpy", "onnxruntime"} and all(len(p.sha256) == 64 for p in found)
        assert all("cp" + python.replace(".", "") in p.file and "aarch64" in p.file for p in found)
    with pytest.raises(wheels.WheelsMissing, match="no pins for Python 2.7"):
        wheels.pins("2.7")


def test_cached_packages_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = wheel("tiny")
    pin = wheels.Pin("3.10", "tiny", "1", "tiny-1-py3-none-any.whl", hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(wheels, "pins", lambda python: [pin])
    monkeypatch.setattr(wheels, "download", lambda missing, python, cache: None)
    (tmp_path / pin.file).write_bytes(data)
    assert wheels.wheel_files("3.10", tmp_path) == [tmp_path / pin.file]
    (tmp_path / pin.file).write_bytes(data[:-1])
    with pytest.raises(wheels.WheelsMissing, match="pinned digest"):
        wheels.wheel_files("3.10", tmp_path)
    assert zipfile.is_zipfile(io.BytesIO(data))
