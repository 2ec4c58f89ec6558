"""Make the signed flight bundle of a board.

    swathpack bundle --new-key mission.key
    swathpack bundle --board orin-agx --jetpack 6 --key mission.key -o swathpack-agx-jp6.tar.zst

Prints the release, what is in the bundle, its size and its SHA-256. The same tree, key and packages give the
same bytes.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from swathpack.edge.install.keys import MISSION, RELEASE, check_signer, trusted_key
from swathpack.edge.install.manifest import KEY_WORD, KeyChanges, Refused, parse_manifest, read_public_key
from swathpack.edge.spoken import reason
from swathpack.export.bundle.boards import KITS, PYTHON_OF_JETPACK
from swathpack.export.bundle.coder import CoderMissing, cross_compiled
from swathpack.export.bundle.contents import BundleError, Contents, Order, check, collect, release_time
from swathpack.export.bundle.wheels import WheelsMissing, wheel_files
from swathpack.tools.errors import RefusedError, UsageError, UserError
from swathpack.tools.files.outputs import Output, add_force
from swathpack.tools.options import expect

FORMS = {".tar.zst": "bundle", ".deb": "deb", ".overlay.tar": "overlay"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--board", choices=sorted(KITS))
    parser.add_argument("--jetpack", type=int, choices=sorted(PYTHON_OF_JETPACK))
    parser.add_argument("-o", "--out", type=Path, help="X.tar.zst to flash; X.deb or X.overlay.tar for an image")
    parser.add_argument("--key", type=Path, help="the secret that signs; boards must trust its public half")
    parser.add_argument("--new-key", type=Path, metavar="FILE", help="make a key pair FILE and FILE.pub, and end")
    parser.add_argument("--role", choices=(MISSION, RELEASE), default=MISSION, help="of the new key (default: mission)")
    parser.add_argument("--expires", default="", metavar="YYYY-MM-DD", help="last day of the new key (default: none)")
    parser.add_argument(
        "--trust-key", type=Path, action="append", default=[], metavar="KEY.pub",
        help="boards trust this key too, once the bundle has started well; signed with a mission key",
    )  # fmt: skip
    parser.add_argument(
        "--revoke-key", action="append", default=[], metavar="ID", help="and never again the key of this id"
    )
    parser.add_argument("--unsigned", action="store_true", help="no signature: every board refuses it")
    parser.add_argument(
        "--release", type=int, help="seconds since 1970 (default: SOURCE_DATE_EPOCH or the last commit)"
    )
    parser.add_argument(
        "--oldest-allowed",
        type=int,
        default=0,
        metavar="RELEASE",
        help="oldest release that may follow this one (default: this one)",
    )
    parser.add_argument("--power-mode", default="", help="a name in the board's /etc/nvpmodel.conf")
    parser.add_argument("--python", default="", metavar="X.Y", help="the board's Python where it is not JetPack's")
    parser.add_argument("--model", type=Path, help="model directory (default: the shipped one)")
    parser.add_argument(
        "--wheel",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="one more package, such as a pycuda built on the board",
    )
    parser.add_argument("--no-wheels", action="store_true", help="the board has numpy and onnxruntime already")
    add_force(parser)


def run(args: argparse.Namespace) -> int:
    """Make a key, or a bundle."""
    _check_options(args)
    signing = _signing()
    try:
        if args.new_key:
            public = signing.make_key(args.new_key, _key_words(args))
            print(f"secret {args.new_key}: keep it off boards and out of git\npublic {public}: what boards trust")
            return 0
        return _make(args, signing)
    except (BundleError, WheelsMissing, signing.SigningError, OSError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, FileExistsError):
            raise RefusedError(f"{cause.filename} exists: give another name") from error
        raise UserError(reason(error)) from error


def _check_options(args: argparse.Namespace) -> None:
    """What would be ignored beside other options. Raises UsageError."""
    if args.new_key:
        others = ("board", "jetpack", "out", "key", "trust_key", "revoke_key", "unsigned", "release", "oldest_allowed")
        more = ("power_mode", "python", "model", "wheel", "no_wheels")
        expect(args, "without --new-key, which makes a key alone", *others, *more)
    else:
        expect(args, "with --new-key only", "expires", role=MISSION)
    if args.no_wheels:
        expect(args, "without --no-wheels", "wheel")


def _key_words(args: argparse.Namespace) -> str:
    """What the public line of a new key says behind the key."""
    words = [f"role={args.role}"] if args.role != MISSION else []
    words += [f"expires={args.expires}"] if args.expires else []
    line = " ".join([*words, args.new_key.stem])
    try:
        trusted_key(f"{KEY_WORD} {base64.b64encode(bytes(32)).decode()} {line}")
    except Refused as refused:
        raise UsageError(f"--{refused}") from refused
    return line


def _key_changes(args: argparse.Namespace) -> KeyChanges:
    """What the bundle changes of the keys that boards trust. Raises UserError, OSError."""
    try:
        lines = [path.read_text().strip() for path in args.trust_key]
        for line in lines:
            trusted_key(line)
    except Refused as refused:
        raise UserError(f"--trust-key: {refused}") from refused
    for name in args.revoke_key:
        if not re.fullmatch(r"[0-9a-f]{16}", name):
            raise UsageError(f"--revoke-key: expected the id of a key, 16 hexadecimal digits, found {name!r}")
    return KeyChanges(tuple(lines), tuple(args.revoke_key))


def _make(args: argparse.Namespace, signing: Any) -> int:
    if not (args.board and args.jetpack and args.out):
        raise UsageError("expected --board, --jetpack and -o (or --new-key FILE)")
    form = next((f for suffix, f in FORMS.items() if args.out.name.endswith(suffix)), None)
    if form is None:
        raise UserError(f"{args.out}: expected a name that ends in {', '.join(FORMS)}")
    if bool(args.key) == args.unsigned:
        raise UsageError("expected --key FILE (make one: swathpack bundle --new-key FILE), or --unsigned")
    output = Output(args.out, filter(None, [args.key, *args.wheel]), args.force)
    key = signing.read_key(args.key) if args.key else None
    public = _public_line(args.key, signing.public_line_of(key)) if key else ""
    if form != "bundle" and not public:
        raise UsageError("an image needs a signed bundle: give --key")
    order = replace(_order(args), keys=_key_changes(args))
    check(order)
    contents = collect(_with_library(order))
    if public:
        _check_signer(contents, public)
    signature = signing.sign(key, contents.manifest) if key else b""
    data = _form(form, contents, signature, public)
    with output as place:
        place.write_bytes(data)
    _tell(args.out, data, contents)
    return 0


def _check_signer(contents: Contents, public: str) -> None:
    """That boards will take this key's signature under it. Raises UserError."""
    try:
        check_signer(parse_manifest(contents.manifest), trusted_key(public), 0.0)
    except Refused as refused:
        raise UserError(f"--key: {refused}") from refused


def _public_line(secret: Path, plain: str) -> str:
    """The line of the key's .pub file, which says its role and its last day; the bare one without that file."""
    path = secret.with_name(secret.name + ".pub")
    line = path.read_text() if path.exists() else plain
    if read_public_key(line) != read_public_key(plain):
        raise UserError(f"{path}: expected the public half of {secret}")
    return line


def _order(args: argparse.Namespace) -> Order:
    python = args.python or PYTHON_OF_JETPACK[args.jetpack]
    wheels = () if args.no_wheels else tuple(wheel_files(python)) + tuple(args.wheel)
    if args.no_wheels:
        print("note: no packages in the bundle; the board's own numpy and onnxruntime will be used")
    order = Order(
        args.board,
        args.jetpack,
        release_time() if args.release is None else args.release,
        python,
        args.power_mode,
        args.oldest_allowed,
        wheels=wheels,
    )
    return replace(order, model=args.model) if args.model else order


def _with_library(order: Order) -> Order:
    try:
        return replace(order, library=cross_compiled())
    except CoderMissing as missing:
        print(f"note: no prebuilt range coder, the board codes with the slow one in Python: {missing}")
    return order


def _form(form: str, contents: Contents, signature: bytes, public: str) -> bytes:
    from swathpack.export.bundle.archive import bundle_tar, compressed
    from swathpack.export.bundle.overlay import deb, overlay_tar

    manifest = parse_manifest(contents.manifest)
    tar = bundle_tar(contents.files, contents.manifest, signature, manifest.release)
    if form == "bundle":
        return compressed(tar)
    return (deb if form == "deb" else overlay_tar)(tar, contents.files, manifest, public)


def _tell(path: Path, data: bytes, contents: Contents) -> None:
    manifest = parse_manifest(contents.manifest)
    groups = {"code, model, coder": "runtime/", "packages": "wheels/", "unit, mission": "unit/"}
    parts = [
        f"{name} {sum(len(d) for p, d in contents.files.items() if p.startswith(start)) / 1e6:.1f} MB"
        for name, start in groups.items()
    ]
    print(
        f"bundle {manifest.short} for {manifest.board}, JetPack {manifest.jetpack}, Python {manifest.python or 'any'}"
    )
    print(f"  {len(contents.files)} files: {'; '.join(parts)}; power mode {manifest.power_mode}")
    print(f"{path}: {len(data) / 1e6:.1f} MB, sha256 {hashlib.sha256(data).hexdigest()}")


def _signing() -> Any:
    try:
        from swathpack.export.bundle import archive, signing  # noqa: F401
    except ImportError as error:
        raise UserError(f"{error.name} is not installed: pip install 'swathpack[flash]'") from error
    return signing
