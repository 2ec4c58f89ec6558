"""Which files fly, and the manifest that names them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import zipfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import swathpack
from swathpack.edge.codec.model import model_digest
from swathpack.edge.install.manifest import FORMAT, KeyChanges
from swathpack.edge.spoken import reason
from swathpack.export.bundle.boards import KITS, PYTHON_OF_JETPACK
from swathpack.export.bundle.coder import LIBRARY

PARTS = Path(__file__).resolve().parent.parent.parent  # the folder that holds edge/ and models/
DATA = Path(__file__).with_name("data")
SPARE_BYTES = 64 << 20  # logs, byte code, file system overhead
UNIT_FILES = ("mission.toml", "fallback.sh", "swathpack-fallback.service", "swathpack-fallback.timer")
CODE = (".py", ".c", ".h")
NOT_ABOARD = ("edge/codec/rangecoder/constriction_decoder.py",)  # its library is the ground's
# The model's files by name: what an export leaves beside them does not fly.
MODEL_FILES = (
    "manifest.json",
    "entropy.npz",
    "entropy.onnx",
    "entropy_base.onnx",
    "analysis.onnx",
    "analysis_int8.onnx",
    "synthesis.onnx",
    "golden.npz",
    "gains.npz",
    "band_statistics.npz",
    "rate_quality.json",
)


class BundleError(Exception):
    """A bundle that cannot be made; the message says what is missing or wrong."""


@dataclass(frozen=True)
class Order:
    """What to make. release: seconds since 1970; oldest_allowed: 0 for the release itself."""

    board: str
    jetpack: int
    release: int
    python: str = ""
    power_mode: str = ""
    oldest_allowed: int = 0
    model: Path = PARTS / "models/edge"
    wheels: tuple[Path, ...] = ()
    library: bytes | None = None
    keys: KeyChanges = KeyChanges()


@dataclass(frozen=True)
class Contents:
    """The files by path, in the order of the archive, and the manifest's bytes."""

    files: dict[str, bytes] = field(repr=False)
    manifest: bytes


def check(order: Order) -> None:
    """BundleError where an order cannot be made, before anything takes time."""
    if order.board not in KITS or order.jetpack not in PYTHON_OF_JETPACK:
        raise BundleError(
            f"expected a board of {', '.join(KITS)} and JetPack 6 or 7, found {order.board}, {order.jetpack}"
        )
    if not 0 <= order.oldest_allowed <= order.release:
        raise BundleError(f"expected 0 <= oldest allowed <= release {order.release}, found {order.oldest_allowed}")
    for name in MODEL_FILES:
        if not (order.model / name).is_file():
            raise BundleError(f"model in {order.model}: expected a file {name}, found none")


def collect(order: Order) -> Contents:
    """Everything that flies; raises BundleError."""
    check(order)
    files = {**_code(), **_model(order.model), **_unit(order.board), **_wheels(order.wheels)}
    if order.library is not None:
        files[f"runtime/swathpack/edge/codec/rangecoder/{LIBRARY}"] = order.library
    files = dict(sorted(files.items()))
    return Contents(files, manifest_of(order, files))


def release_time() -> int:
    """SOURCE_DATE_EPOCH, or the time of the last commit: the same tree is always the same release."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isdecimal():
        return int(given)
    command = ["git", "-C", str(PARTS), "log", "-1", "--format=%ct"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        told = ""
    if not told.isdecimal():
        raise BundleError("no git history here: give --release SECONDS or set SOURCE_DATE_EPOCH")
    return int(told)


def _code() -> dict[str, bytes]:
    found = [p for p in (PARTS / "edge").rglob("*") if p.suffix in CODE and p.is_file()]
    names = {p.relative_to(PARTS).as_posix(): p for p in found}
    code = {f"runtime/swathpack/{name}": path.read_bytes() for name, path in names.items() if name not in NOT_ABOARD}
    return {**code, "runtime/swathpack/__init__.py": Path(swathpack.__file__).read_bytes()}


def _model(folder: Path) -> dict[str, bytes]:
    try:
        return {f"runtime/swathpack/models/edge/{name}": (folder / name).read_bytes() for name in MODEL_FILES}
    except OSError as error:
        raise BundleError(f"model in {folder}: {reason(error, folder)}") from error


def _unit(board: str) -> dict[str, bytes]:
    memory = KITS[board].memory_mb
    unit = (DATA / "swathpack.service").read_text(encoding="utf-8")
    unit = unit.replace("@MEMORY_MAX@", f"{memory}M").replace("@MEMORY_HIGH@", f"{memory * 7 // 8}M")
    return {
        "unit/swathpack.service": unit.encode(),
        **{f"unit/{name}": (DATA / name).read_bytes() for name in UNIT_FILES},
    }


def _wheels(paths: tuple[Path, ...]) -> dict[str, bytes]:
    try:
        return {f"wheels/{path.name}": path.read_bytes() for path in paths}
    except OSError as error:
        raise BundleError(reason(error)) from error


def manifest_of(order: Order, files: dict[str, bytes]) -> bytes:
    """The manifest, JSON, of an order and the files that fly, by path."""
    listed = [
        {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in files.items()
    ]
    kit = KITS[order.board]
    values = {
        "format": FORMAT,
        "product": "swathpack",
        "version": swathpack.__version__,
        "release": order.release,
        "oldest_allowed": order.oldest_allowed or order.release,
        "board": order.board,
        "jetpack": order.jetpack,
        "machine": "aarch64",
        "python": (order.python or PYTHON_OF_JETPACK[order.jetpack]) if order.wheels else "",
        "power_mode": order.power_mode or kit.power_mode,
        "model_digest": model_digest(order.model).hex(),
        "needs_bytes": _needed(files),
        "files": listed,
    }
    if order.keys:
        values["keys"] = {"trust": list(order.keys.trust), "revoke": list(order.keys.revoke)}
    return json.dumps(values, indent=1).encode()


def _needed(files: dict[str, bytes]) -> int:
    """Bytes on the board: the files and what the wheels become."""
    unpacked = 0
    for path, data in files.items():
        if path.startswith("wheels/"):
            try:
                with zipfile.ZipFile(BytesIO(data)) as wheel:
                    unpacked += sum(item.file_size for item in wheel.infolist())
            except zipfile.BadZipFile as error:
                raise BundleError(f"{path}: not a wheel: {error}") from error
    return sum(map(len, files.values())) + unpacked + SPARE_BYTES
