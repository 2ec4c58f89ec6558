"""What every command says and does with inputs and outputs of every kind: message, exit code, files by digest.

    python -m tests.input_table             runs all cases in a new folder, prints the table

`CASES` is data; tests/test_input_table.py runs each of them. A case may only make the files and change the files that it
names; everything else in the folder is compared by SHA-256 before and after.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from swathpack.edge.bands import BANDS
from swathpack.edge.stream import StreamWriter, read_stream
from swathpack.hil_tests.simulation.made_frames import series
from swathpack.tools.cli import main
from swathpack.tools.files.rasters import Series, write_series

MISSION = """
[uplink]
insecure = true
[source]
kind = "folder"
path = "inbox"
[port]
kind = "file"
path = "outbox"
[passes]
bytes = 6000
every_s = 60
[coding]
q = 30
"""


@dataclass(frozen=True)
class Case:
    """words: the command line. code: exit code. said: a part of the message. made, changed: files it may make or change."""

    words: str
    code: int
    said: str
    made: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    needs: str = ""  # a package, where it is one of an extra


def _cases() -> Iterator[Case]:
    yield Case("compress cube.npz -o new.swp --quality 40", 0, "new.swp: ", ("new.swp",))
    yield Case("compress tifs -o new.swp --quality 40", 0, "new.swp: ", ("new.swp",), needs="tifffile")
    for target in ("cube.npz", "link.npz", "hard.npz", "tree/../cube.npz"):
        yield Case(f"compress cube.npz -o {target}", 4, "is an input")
        yield Case(f"compress cube.npz -o {target} --force", 4, "is an input")
    yield Case("compress tifs -o tifs/000_2026-05-01.tif --force", 4, "lies in the input folder")
    yield Case("compress cube.npz -o old.swp", 4, "exists: give another output, or --force")
    yield Case("compress cube.npz -o old.swp --quality 40 --force", 0, "old.swp: ", changed=("old.swp", "link.swp"))
    yield Case("compress cube.npz -o link.swp --quality 40 --force", 0, "link.swp: ", changed=("old.swp", "link.swp"))
    yield Case("compress cube.npz -o tree --force", 4, "is a folder: expected a file")
    for target in ("new.npz", "new.TIF", "new.nc", "new.zarr"):
        yield Case(f"compress cube.npz -o {target}", 1, "expected a stream's name, such as new.swp")
    yield Case("compress cube.npz -o no/where.swp", 1, "no such folder: ")
    yield Case("compress nowhere.npz -o new.swp", 1, "no such file: nowhere.npz")
    yield Case("compress text.npz -o new.swp", 1, "text.npz: not a readable .npz")
    yield Case("compress empty.npz -o new.swp", 1, "empty.npz: expected an .npz cube; it is empty")
    yield Case("compress nokeys.npz -o new.swp", 1, "expected a key 'data'")
    yield Case("compress float.npz -o new.swp", 1, "look like reflectance")
    yield Case("compress text.tif -o new.swp", 1, "text.tif", needs="tifffile")
    yield Case("compress void -o new.swp", 1, "void: expected")
    yield Case("compress notes.txt -o new.swp", 1, "notes.txt")
    yield Case("compress cube.npz -o new.swp --bytes 20", 1, "--bytes 20: expected at least")
    yield Case("compress cube.npz -o new.swp --bytes-per-frame 12", 1, "for headers, georeference and names")
    yield Case("compress cube.npz -o new.swp --bytes-per-frame 0", 2, "expected 1 to")
    yield Case("compress cube.npz -o new.swp --bytes many", 2, "invalid int value")
    yield Case("compress cube.npz -o new.swp --bytes 999 --layers 2", 2, "not allowed with")
    yield Case("compress cube.npz -o new.swp --quality 99", 2, "--quality: expected -56 to 63, found 99")
    yield Case("compress cube.npz -o new.swp --quality 9 --lossless", 2, "--quality goes without --lossless")
    yield Case("compress cube.npz -o new.swp --engine abacus", 1, "abacus")
    yield Case("compress cube.npz -o new.swp --model void", 1, "void")
    yield Case("compress cube.npz -o new.swp --bands B02,B99", 1, "B99")
    yield Case("compress cube.npz", 2, "the following arguments are required")

    yield Case("decompress cube.swp -o new.npz", 0, "2 of 2 frames whole", ("new.npz",))
    yield Case("decompress cube.swp -o images", 0, "2 of 2 frames whole", ("images",), needs="tifffile")
    yield Case("decompress cube.swp -o new.npz --report new.json", 0, "whole", ("new.npz", "new.json"))
    yield Case("decompress cube.swp -o new.npz --synthesis best", 0, "2 of 2 frames whole", ("new.npz",))
    yield Case("decompress cube.swp -o new.npz --synthesis finest", 2, "invalid choice")
    yield Case("decompress cube.swp -o new.npz --synthesis best --preview 4", 2, "a preview shows too little")
    yield Case("decompress cube.swp -o cube.swp --force", 4, "is an input")
    yield Case("decompress cube.swp -o . --force", 4, "is the folder of the input")
    yield Case("decompress cube.swp -o old.npz", 4, "exists: give another output, or --force")
    yield Case("decompress cube.swp -o old.npz --force", 0, "whole", changed=("old.npz",))
    yield Case("decompress cube.swp -o tifs", 4, "tifs exists")
    yield Case("decompress cube.swp -o tree", 4, "tree exists")
    for target in ("out.swp", "x.png"):
        yield Case(f"decompress cube.swp -o {target}", 1, "expected a name that ends in")
    yield Case("decompress cube.swp -o x.nc", 0, "2 of 2 frames whole", ("x.nc",), needs="h5netcdf")
    yield Case("decompress cube.swp -o x.zarr", 0, "2 of 2 frames whole", ("x.zarr",))
    yield Case("decompress cube.swp -o tree.zarr --force", 4, "holds no Zarr group")
    yield Case("decompress cube.swp -o old.nc", 4, "old.nc exists")
    yield Case("decompress cube.swp -o old.nc --force", 0, "whole", changed=("old.nc",), needs="h5netcdf")
    yield Case("decompress cube.swp -o images --cog", 0, "2 of 2 frames whole", ("images",), needs="rasterio")
    yield Case("decompress cube.swp -o x.nc --cog", 1, "--cog makes GeoTIFFs")
    yield Case("decompress cube.swp -o images --cog lzw", 2, "invalid choice")
    yield Case("decompress cube.swp -o x.tif", 1, "one .tif holds one date", needs="tifffile")
    yield Case("decompress cube.swp -o no/x.npz", 1, "no such folder: ")
    yield Case("decompress cube.swp -o new.npz --report cube.swp --force", 4, "is an input")
    yield Case("decompress cube.swp -o new.npz --report new.npz", 4, "is given for two outputs")
    yield Case("decompress cube.swp -o new.npz --report old.npz", 4, "old.npz exists")
    yield Case("decompress cube.swp -o new.npz --layers 17", 2, "--layers: expected 0 to 16")
    yield Case("decompress cut.swp -o new.npz", 3, "missing or damaged:", ("new.npz",))
    yield Case("decompress hurt.swp -o new.npz", 3, "missing or damaged:", ("new.npz",))
    yield Case("decompress other.swp -o new.npz", 1, "the stream was made with model")
    yield Case("decompress text.npz -o new.npz", 1, "expected a SwathPack stream")
    yield Case("decompress empty.swp -o new.npz", 1, "expected a SwathPack stream")
    yield Case("decompress nowhere.swp -o new.npz", 1, "cannot read nowhere.swp")
    yield Case("decompress tree -o new.npz", 1, "expected a SwathPack stream; it is a folder")

    yield Case("inspect cube.swp", 0, "2 frames of 12 bands")
    yield Case("inspect cut.swp", 3, "problem at byte")
    yield Case("inspect hurt.swp --json", 3, "problems")
    yield Case("inspect text.npz", 1, "expected a SwathPack stream")
    yield Case("inspect empty.swp", 1, "expected a SwathPack stream")
    yield Case("inspect nowhere.swp", 1, "cannot read nowhere.swp")

    store = "--store ground.db"
    yield Case(f"receive pass.bin {store}", 0, "tile-frames grew", ("ground.db*",))
    yield Case(f"receive pass.bin {store} --images pictures", 0, "images: ", ("ground.db*", "pictures"))
    yield Case(
        f"receive pass.bin {store} --images pictures --synthesis best", 0, "images: ", ("ground.db*", "pictures")
    )
    yield Case(f"receive lost.bin {store}", 3, "damaged packets", ("ground.db*",))
    yield Case(f"receive empty.bin {store}", 1, "expected packets of a pass; it is empty")
    yield Case(f"receive cube.npz {store}", 1, "expected packets of a pass; it is an .npz cube")
    yield Case(f"receive pass.bin notes.txt {store}", 1, "notes.txt: expected packets of a pass")
    yield Case(f"receive nowhere.bin {store}", 1, "nowhere.bin")
    yield Case("receive pass.bin --store pass.bin", 4, "is an input")
    yield Case("receive pass.bin --store notes.txt", 1, "notes.txt")
    yield Case(f"receive pass.bin {store} --images .", 4, "is the folder of the input")

    quick = "--method regression --mask clouds.npz"
    yield Case(f"inpaint cube.npz {quick} -o new.npz", 0, "filled", ("new.npz", "new.html"))
    yield Case(f"inpaint cube.npz {quick} -o cube.npz --force", 4, "is an input")
    yield Case(f"inpaint cube.npz {quick} -o clouds.npz --force", 4, "is an input")
    yield Case(f"inpaint cube.npz {quick} -o old.npz", 4, "old.npz exists")
    yield Case(f"inpaint cube.npz {quick} -o new.npz --page cube.npz --force", 4, "is an input")
    yield Case(f"inpaint cube.npz {quick} -o new.npz --page new.npz", 4, "is given for two outputs")
    yield Case(f"inpaint cube.npz {quick} -o old.swp --force", 1, "expected a name that ends in")
    yield Case("inpaint cube.npz --mask nowhere.npz -o new.npz", 1, "nowhere.npz")
    yield Case("inpaint cube.npz --dates 9 -o new.npz", 1, "--dates 9: no such date")

    yield Case("plan --presets", 0, "s-band-cubesat")
    yield Case("plan nowhere.toml", 1, "nowhere.toml", needs="skyfield")
    yield Case("plan notes.txt", 1, "notes.txt", needs="skyfield")
    yield Case("plan --init notes.txt", 4, "notes.txt exists")
    yield Case("mission --init new.toml", 0, "wrote new.toml", ("new.toml",))
    yield Case("mission --init notes.txt", 4, "notes.txt exists")
    yield Case("mission notes.txt", 1, "notes.txt")
    yield Case("hil nowhere", 1, "nowhere")
    yield Case("hil standard --days 1 --out tree", 4, "tree: not empty")

    yield Case("bundle --new-key key", 0, "public key.pub", ("key", "key.pub"), needs="cryptography")
    yield Case("bundle --new-key notes.txt", 4, "notes.txt exists: give another name", needs="cryptography")
    yield Case("bundle --new-key lone", 4, "lone.pub exists: give another name", needs="cryptography")
    yield Case("bundle --board orin-agx --jetpack 6 --unsigned -o x.zip", 1, "x.zip", needs="cryptography")
    yield Case("flash --bundle notes.txt --dry-run", 1, "notes.txt", needs="cryptography")
    yield Case("import notes.txt -o new.swt", 1, "notes.txt", needs="torch")
    yield Case("import notes.txt -o notes.txt --force", 4, "is an input", needs="torch")
    yield Case("adapt tree -o tree", 4, "expected a new or empty folder", needs="torch")
    yield Case("adapt nowhere -o new", 1, "nowhere", needs="torch")
    yield Case("calibrate nowhere --out new", 1, "nowhere", needs="onnx")
    yield Case("calibrate tree --out tree --force", 4, "is an input", needs="onnx")
    yield Case("bench nowhere --out new", 1, "nowhere", needs="matplotlib")
    yield Case("export --out tree", 4, "tree exists", needs="torch")
    yield Case("export --verify tree", 1, "tree", needs="torch")
    yield Case("engines list --json notes.txt", 4, "notes.txt exists")
    yield Case("engines inspect notes.txt", 1, "notes.txt")
    yield Case("compres cube.npz -o new.swp", 2, "did you mean compress?")
    yield Case("keys old.swp", 4, "old.swp exists: give another name")
    yield Case("compress cube.npz -o new.swp --region 1,2", 2, "--region: expected ROW,COL")
    yield Case("decompress cube.swp -o new.npz --bbox -1e308 0 1 1", 1, "--bbox")
    yield Case("decompress cube.swp -o new.tif", 1, "one .tif holds one date, these are 2")
    yield Case(
        "compress cube.swp -o new.swp",
        1,
        "expected a raster or an .npz cube; it is a SwathPack stream",
        needs="rasterio",
    )
    yield Case("frobnicate", 2, "no command 'frobnicate'")


CASES = tuple(_cases())


def lay(folder: Path) -> None:
    """The files that the cases speak of."""
    data = np.stack([f.data for f in series(48, 64, 2)])
    dates = ["2026-05-01", "2026-05-06"]
    np.savez(folder / "cube.npz", data=data, bands=list(BANDS), dates=dates, level="L2A")
    np.savez(folder / "float.npz", data=data / 1e4, bands=list(BANDS))
    np.savez(folder / "nokeys.npz", pixels=data)
    np.savez(folder / "clouds.npz", mask=np.arange(48 * 64 * 2).reshape(2, 48, 64) % 64 < 9)
    for name in (
        "text.npz",
        "text.tif",
        "notes.txt",
        "lone.pub",
        "old.swp",
        "old.npz",
        "old.nc",
        "tree/notes.txt",
        "tree.zarr/notes.txt",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"{name}: somebody's notes\n")
    for name in ("empty.npz", "empty.swp", "empty.bin"):
        (folder / name).touch()
    (folder / "void").mkdir()
    (folder / "link.npz").symlink_to("cube.npz")
    (folder / "link.swp").symlink_to("old.swp")
    os.link(folder / "cube.npz", folder / "hard.npz")
    _lay_tiffs(folder)
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["compress", str(folder / "cube.npz"), "-o", str(folder / "cube.swp"), "--bytes", "3000"]) == 0
    _lay_streams(folder, (folder / "cube.swp").read_bytes())
    _lay_passes(folder)


def _lay_tiffs(folder: Path) -> None:
    with contextlib.suppress(Exception):  # without tifffile the cases that need it are left out
        write_series(Series(series(48, 64, 2)), folder / "tifs")
        for path in sorted((folder / "tifs").iterdir()):
            path.rename(path.with_name("000_2026-05-01.tif" if path.name.startswith("000") else "001_2026-05-06.tif"))


def _lay_streams(folder: Path, data: bytes) -> None:
    (folder / "cut.swp").write_bytes(data[: len(data) * 6 // 10])
    hurt = bytearray(data)
    hurt[len(data) // 2] ^= 0x55
    (folder / "hurt.swp").write_bytes(hurt)
    header = replace(read_stream(data).header, model_digest=b"another!")
    (folder / "other.swp").write_bytes(StreamWriter(header).to_bytes())


def _lay_passes(folder: Path) -> None:
    """A pass of the flight loop, whole and with bytes lost from its middle."""
    with tempfile.TemporaryDirectory() as place:
        board = Path(place)
        (board / "inbox").mkdir()
        (board / "mission.toml").write_text(MISSION)
        shutil.copyfile(folder / "cube.npz", board / "inbox/cube.npz")
        command = [sys.executable, "-m", "swathpack.edge", "--config", str(board / "mission.toml"), "--once"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        data = b"".join(path.read_bytes() for path in sorted((board / "outbox").glob("pass-*.bin")))
    (folder / "pass.bin").write_bytes(data)
    (folder / "lost.bin").write_bytes(data[: len(data) // 3] + data[len(data) * 2 // 3 :])


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file, `->` and the target of every link, `/` for a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        else:
            found[name] = "/" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@dataclass(frozen=True)
class Outcome:
    """code, what was said, and files by digest: those equal before and after, changed, gone, new."""

    code: int
    said: str
    equal: int
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    new: tuple[str, ...]

    def wrong(self, case: Case) -> str:
        """What is not as the case says, in words; empty for nothing."""
        new = {name for name in self.new if not any(_is(name, made) for made in case.made)}
        changed = set(self.changed) - set(case.changed)
        if self.code != case.code or case.said not in self.said or "Traceback" in self.said:
            return f"expected code {case.code} and {case.said!r}, found {self.code} and {self.said!r}"
        if new or changed or self.gone:
            return f"files: new {sorted(new)}, changed {sorted(changed)}, gone {list(self.gone)}"
        missing = [made for made in case.made if not any(_is(name, made) for name in self.new)]
        return f"not made: {missing}" if missing else ""


def _is(name: str, made: str) -> bool:
    return name == made or name.startswith(f"{made}/") or (made.endswith("*") and name.startswith(made[:-1]))


def run(case: Case, folder: Path) -> Outcome:
    """The case in `folder`, which is as before afterwards."""
    before = digests(folder)
    keep = {name: (folder / name).read_bytes() for name in case.changed if not (folder / name).is_symlink()}
    said = io.StringIO()
    here = os.getcwd()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            os.chdir(folder)
            code = main(case.words.split())
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        finally:
            os.chdir(here)
    after = digests(folder)
    changed = tuple(n for n in before if n in after and before[n] != after[n])
    new, gone = tuple(n for n in after if n not in before), tuple(n for n in before if n not in after)
    _restore(folder, keep, new)
    equal = sum(before[n] == after.get(n) for n in before)
    return Outcome(code, said.getvalue(), equal, changed, gone, new)


def _restore(folder: Path, keep: dict[str, bytes], new: tuple[str, ...]) -> None:
    for name, data in keep.items():
        (folder / name).write_bytes(data)
    for name in sorted(new, reverse=True):
        path = folder / name
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def line(case: Case, outcome: Outcome) -> str:
    """A row of the table."""
    told = next((part for part in outcome.said.splitlines() if case.said in part), outcome.said[:80])
    files = f"{outcome.equal} equal"
    if outcome.changed:
        files += f", changed {' '.join(outcome.changed)}"
    if outcome.new:
        files += f", new {' '.join(n for n in outcome.new if '/' not in n)}"
    return f"| `{case.words}` | {outcome.code} | {told.strip()[:150]} | {files} |"


def table() -> int:
    """Run all cases and print them; 1 when one is not as it should be."""
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        lay(Path(place))
        print("| command | code | message | files |\n|---|---|---|---|")
        for case in CASES:
            outcome = run(case, Path(place))
            print(line(case, outcome), flush=True)
            if problem := outcome.wrong(case):
                wrong += 1
                print(f"WRONG: {problem}")
    print(f"\n{len(CASES)} cases, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(table())
