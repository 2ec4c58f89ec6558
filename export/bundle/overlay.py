"""The bundle for boards that are flashed as a whole: a root file system overlay, or the same as a .deb.

The overlay goes over `Linux_for_Tegra/rootfs` before `l4t_initrd_flash.sh`; the package is installed there by
chroot or on a running board by `dpkg -i`. Either way `swathpack-firstboot.service` installs the bundle at the
first boot with every check and test of `swathpack flash`.
"""

from __future__ import annotations

import gzip
import io
import tarfile

from swathpack.edge.install.agent import is_agents
from swathpack.edge.install.manifest import Manifest
from swathpack.export.bundle.archive import tar_bytes
from swathpack.export.bundle.contents import DATA

FIRSTBOOT = "swathpack-firstboot.service"
# What `systemctl enable` would make, and the installer that is used until a slot brings its own.
LINKS = {
    f"etc/systemd/system/multi-user.target.wants/{FIRSTBOOT}": f"../{FIRSTBOOT}",
    "opt/swathpack/agent": "agents/factory",
}
PACKAGE = "runtime/swathpack/"


def overlay_tar(tar: bytes, files: dict[str, bytes], manifest: Manifest, public: str) -> bytes:
    """The overlay as a tar archive, to be unpacked over the root. public: the key's line."""
    return _with_links(tar_bytes(_tree(tar, files, manifest, public), manifest.release, folders=True), manifest.release)


def deb(tar: bytes, files: dict[str, bytes], manifest: Manifest, public: str) -> bytes:
    """A Debian package with the overlay's files (deb(5)); the same input gives the same bytes."""
    tree = _tree(tar, files, manifest, public)
    data = gzip.compress(overlay_tar(tar, files, manifest, public), mtime=0, compresslevel=1)
    control = _control(manifest, sum(len(d) for _, d in tree) // 1024)
    after = (
        b"#!/bin/sh\nset -e\n[ ! -d /run/systemd/system ] || systemctl start --no-block " + FIRSTBOOT.encode() + b"\n"
    )
    head = _executable(tar_bytes([("control", control), ("postinst", after)], manifest.release), "postinst")
    members = [("debian-binary", b"2.0\n"), ("control.tar.gz", gzip.compress(head, mtime=0)), ("data.tar.gz", data)]
    return b"!<arch>\n" + b"".join(_member(name, content, manifest.release) for name, content in members)


def _tree(tar: bytes, files: dict[str, bytes], manifest: Manifest, public: str) -> list[tuple[str, bytes]]:
    agent = {
        f"opt/swathpack/agents/factory/{path.removeprefix('runtime/')}": data
        for path, data in files.items()
        if path.startswith(PACKAGE) and is_agents(path.removeprefix(PACKAGE))
    }
    unit = (DATA / FIRSTBOOT).read_bytes()
    fixed = {
        f"opt/swathpack/factory/{manifest.identity[:16]}.tar": tar,
        "opt/swathpack/trusted/mission.pub": public.encode(),
        f"etc/systemd/system/{FIRSTBOOT}": unit,
    }
    return sorted({**agent, **fixed}.items())


def _with_links(archive: bytes, time: int) -> bytes:
    out = io.BytesIO(archive)
    with tarfile.open(fileobj=out, mode="a", format=tarfile.GNU_FORMAT) as whole:
        folder = tarfile.TarInfo("etc/systemd/system/multi-user.target.wants")
        folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o755, time
        links = [tarfile.TarInfo(name) for name in LINKS]
        for link in links:
            link.type, link.linkname, link.mtime = tarfile.SYMTYPE, LINKS[link.name], time
        for entry in (folder, *links):
            entry.uname = entry.gname = "root"
            whole.addfile(entry)
    return out.getvalue()


def _executable(archive: bytes, name: str) -> bytes:
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as old,
        tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as new,
    ):
        for member in old:
            member.mode = 0o755 if member.name == name else member.mode
            new.addfile(member, old.extractfile(member))
    return out.getvalue()


def _control(manifest: Manifest, size_kb: int) -> bytes:
    lines = [
        "Package: swathpack",
        f"Version: {manifest.version}+{manifest.release}",
        "Architecture: arm64",
        "Maintainer: SwathPack <swathpack@localhost>",
        f"Installed-Size: {size_kb}",
        "Depends: python3 (>= 3.10)",
        "Section: misc",
        "Priority: optional",
        f"Description: onboard image compression for {manifest.board}, JetPack {manifest.jetpack}",
        " Installs itself into a slot at the next boot, after its signature and self-test have passed.",
    ]
    return ("\n".join(lines) + "\n").encode()


def _member(name: str, data: bytes, time: int) -> bytes:
    """One member of an ar archive (ar(5))."""
    head = f"{name:<16}{time:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
    return head + data + b"\n" * (len(data) % 2)
