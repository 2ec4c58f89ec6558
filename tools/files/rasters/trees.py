"""Files of a product, in a folder or in a zip archive, under the same names."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from swathpack.edge.spoken import reason
from swathpack.tools.errors import UserError


@dataclass(frozen=True)
class Member:
    """One file: on disk, or inside an archive (`archive`)."""

    path: str
    archive: Path | None = None
    inside: str = ""

    @property
    def name(self) -> str:
        """The file's own name."""
        return PurePosixPath(self.inside or Path(self.path).as_posix()).name

    def read(self) -> bytes:
        """Its bytes. Raises UserError."""
        try:
            if self.archive is None:
                return Path(self.path).read_bytes()
            with zipfile.ZipFile(self.archive) as archive:
                return archive.read(self.inside)
        except (OSError, zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, RuntimeError) as error:
            raise UserError(f"{self.path}: cannot be read ({reason(error, self.path)})") from error


@dataclass(frozen=True)
class Tree:
    """All files below a folder or in an archive: {relative POSIX path: Member}."""

    root: Path
    members: dict[str, Member]

    @classmethod
    def of(cls, root: Path) -> Tree:
        """The tree of a folder or a zip archive. Raises UserError."""
        if root.is_dir():
            found = sorted(p for p in root.rglob("*") if p.is_file())
            return cls(root, {p.relative_to(root).as_posix(): Member(str(p)) for p in found})
        try:
            with zipfile.ZipFile(root) as archive:
                names = [i.filename for i in archive.infolist() if not i.is_dir()]
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f"{root}: not a readable zip archive ({reason(error, root)})") from error
        return cls(root, {n: Member(f"{root}/{n}", root, n) for n in sorted(names)})
