"""A small signed bundle whose self-test is a line of Python, and a folder that looks like a kit's root."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import swathpack
from swathpack.edge.install.agent import agent_paths
from swathpack.edge.install.service import Places
from swathpack.export.bundle.archive import bundle_tar
from swathpack.export.bundle.contents import DATA, UNIT_FILES
from swathpack.export.bundle.signing import public_line, sign

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PASSES = 'print(\'{"step": "engine", "state": "done", "text": "fine"}\')\n'
FAILS = "import sys; print('no such engine', file=sys.stderr); sys.exit(1)\n"
PYTHON = "{}.{}".format(*sys.version_info[:2])
# Programs of a kit, as shell scripts that keep what they were told.
SYSTEMCTL = """#!/bin/sh
case $1 in
    is-active) cat "$KIT_ROOT/is-active" 2>/dev/null || echo active ;;
    show) cat "$KIT_ROOT/$3" ;;
    *) echo "$*" >> "$KIT_ROOT/systemctl.log" ;;
esac
"""
NVPMODEL = (
    '#!/bin/sh\necho "$*" >> "$KIT_ROOT/nvpmodel.log"\n[ "$1" = -q ] && printf "NV Power Mode: MAXN\\n0\\n"\nexit 0\n'
)


def public_key(key: Ed25519PrivateKey = KEY) -> bytes:
    """32 bytes."""
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def wheel(module: str) -> bytes:
    """A wheel with one module."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo(f"{module}.py"), "answer = 42\n")
        archive.writestr(zipfile.ZipInfo(f"{module}-1.data/platlib/{module}_more.py"), "")
    return out.getvalue()


def files(selftest: str = PASSES, note: str = "") -> dict[str, bytes]:
    """Contents of a bundle by path, sorted; selftest: the board's, as Python text."""
    package = Path(swathpack.__file__).parent
    found = {
        f"runtime/swathpack/{path.relative_to(package).as_posix()}": path.read_bytes() for path in agent_paths(package)
    }
    found["runtime/swathpack/__init__.py"] = found["runtime/swathpack/edge/__init__.py"] = b""
    found["runtime/swathpack/edge/install/selftest.py"] = selftest.encode()
    found["runtime/note.txt"] = note.encode()
    found["unit/swathpack.service"] = f"[Service]\n# {note}\n".encode()
    found["unit/mission.toml"] = b"[passes]\n"
    found |= {f"unit/{name}": (DATA / name).read_bytes() for name in UNIT_FILES if name != "mission.toml"}
    found["wheels/tiny-1-py3-none-any.whl"] = wheel("tiny")
    return dict(sorted(found.items()))


def manifest(content: dict[str, bytes], **changes: Any) -> bytes:
    """The JSON that lists the contents; changes: of its fields."""
    listed = [{"path": p, "bytes": len(d), "sha256": hashlib.sha256(d).hexdigest()} for p, d in content.items()]
    values = {
        "format": 1,
        "version": "1.0",
        "release": 1_700_000_000,
        "oldest_allowed": 1_700_000_000,
        "board": "orin-agx",
        "jetpack": 6,
        "machine": os.uname().machine,
        "python": PYTHON,
        "power_mode": "MODE_30W",
        "model_digest": "00",
        "needs_bytes": 1 << 20,
        "files": listed,
    }
    return json.dumps({**values, **changes}).encode()


def bundle(
    folder: Path, content: dict[str, bytes] | None = None, key: Ed25519PrivateKey | None = KEY, **changes: Any
) -> Path:
    """Write the tar of a bundle; changes: of its manifest."""
    content = files() if content is None else content
    told = manifest(content, **changes)
    path = folder / f"{hashlib.sha256(told).hexdigest()[:12]}.tar"
    path.write_bytes(bundle_tar(content, told, sign(key, told) if key else b"", 0))
    return path


def kit(
    root: Path, model: str = "NVIDIA Jetson AGX Orin Developer Kit", l4t: str = "R36 (release), REVISION: 4.3"
) -> Places:
    """The files by which a kit is known, its programs, and a trusted key."""
    texts = {
        "proc/device-tree/model": model + "\0",
        "etc/nv_tegra_release": f"# {l4t}, GCID: 1\n",
        "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=2 NAME=MODE_30W >\n",
        "bin/systemctl": SYSTEMCTL,
        "bin/nvpmodel": NVPMODEL,
        "opt/swathpack/trusted/mission.pub": public_line(public_key()),
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name in ("systemctl", "nvpmodel"):
        (root / "bin" / name).chmod(0o755)
    return Places(root)


def kit_environment(root: Path) -> dict[str, str]:
    """This process's, with the kit's programs first."""
    return {**os.environ, "PATH": f"{root}/bin:{os.environ['PATH']}", "KIT_ROOT": str(root)}
