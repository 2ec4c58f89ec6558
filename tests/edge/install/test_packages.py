"""Wheels: what leads out of the packages is refused before anything is written, and what was unpacked is compared."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from swathpack.edge.install.manifest import Refused
from swathpack.edge.install.packages import unpack_wheel


def wheel(path: Path, *names: str, data: bytes = b"x = 1\n") -> Path:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), data)
    path.write_bytes(out.getvalue())
    return path


@pytest.mark.parametrize("name", [
    "{out}/evil.py", "../evil.py", "good/../../evil.py", "x-1.data/platlib/{out}/evil.py", "x-1.data/platlib/../../evil.py",
    "x-1.data/platlib//evil.py", "good//evil.py", "./evil.py", "good\\..\\evil.py", "//evil.py", "../",
])  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    out, site = tmp_path / "out", tmp_path / "slot/site"
    out.mkdir()
    site.mkdir(parents=True)
    with pytest.raises(Refused, match="expected a path within the packages") as caught:
        unpack_wheel(wheel(tmp_path / "x.whl", name.format(out=out)), site)
    assert caught.value.reason == "tampered"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / "x.whl"]


def test_scripts_and_headers_of_a_wheel_are_left_out(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    names = (
        "a.py",
        "p/b.py",
        "p/",
        "x-1.data/platlib/c.py",
        "x-1.data/purelib/q/d.py",
        "x-1.data/scripts/run",
        "x-1.data/data/e",
    )
    unpack_wheel(wheel(tmp_path / "x.whl", *names), site)
    assert sorted(p.relative_to(site).as_posix() for p in site.rglob("*") if p.is_file()) == [
        "a.py",
        "c.py",
        "p/b.py",
        "q/d.py",
    ]


def test_two_wheels_may_hold_the_same_file_but_not_two_of_one_name(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    unpack_wheel(wheel(tmp_path / "one.whl", "a.py"), site)
    unpack_wheel(wheel(tmp_path / "two.whl", "a.py"), site)
    with pytest.raises(Refused, match="a.py: not as in three.whl"):
        unpack_wheel(wheel(tmp_path / "three.whl", "a.py", data=b"y = 1\n"), site)


@pytest.mark.parametrize("data", [b"", b"PK\3\4 no wheel", b"\0" * 100])
def test_what_is_no_wheel_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.whl").write_bytes(data)
    with pytest.raises(Refused, match=r"x\.whl") as caught:
        unpack_wheel(tmp_path / "x.whl", tmp_path)
    assert caught.value.reason == "damaged"
