"""Sentinel-2 products as ESA ships them: SAFE folders and zips, L1C and L2A, one JPEG2000 file a band.

Each band is taken at its own resolution (10, 20 or 60 m). Offset and quantification value come from the product's
metadata; the scene classification of L2A becomes the series' classes. ESA, Sentinel-2 Products Specification
Document, issue 15.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from swathpack.edge.bands import NATIVE_M
from swathpack.edge.frame import BOA_OFFSET
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.records import Georeference
from swathpack.tools.files.rasters.trees import Member, Tree

_METADATA = re.compile(r"(^|/)(MTD_MSI(L1C|L2A)|S2\w*_MTD_SAFL\w*)\.xml$", re.IGNORECASE)
_TILE_METADATA = re.compile(r"(^|/)(MTD_TL|S2\w*_MTD_L\w*)\.xml$", re.IGNORECASE)
_BAND = re.compile(r"(^|/)[^/]*_(B\d\d|B8A|SCL)(?:_(10|20|60)m)?\.jp2$", re.IGNORECASE)
_OFFSETS = ("RADIO_ADD_OFFSET", "BOA_ADD_OFFSET")
_QUANTIFICATION = ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE")
USUAL_QUANTIFICATION = 10000.0
CLASSES = "SCL"


@dataclass(frozen=True)
class SafeProduct:
    """One product: its files by band, and what its metadata says.

    offset: DN that the files' numbers carry (1000 from baseline 04.00 on), None where the metadata is silent.
    georeference: by pixel size in metres.
    """

    name: str
    bands: dict[str, Member]
    classes: Member | None
    level: str
    time: str | None
    offset: float | None
    quantification: float
    nodata: float
    georeference: dict[int, Georeference]
    baseline: str = ""

    @property
    def linear(self) -> tuple[float, float] | None:
        """(gain, zero) of DN = gain (count - zero), None for plain DN (the +1000 apart)."""
        gain = USUAL_QUANTIFICATION / self.quantification
        usual = gain == 1 and self.offset in (None, 0, BOA_OFFSET)
        return None if usual else (gain, self.offset or 0.0)


def is_product(path: Path) -> bool:
    """Whether the path is a SAFE folder, or a zip archive (of one, as `products` finds out)."""
    if path.is_dir():
        return path.suffix.upper() == ".SAFE" or any(_METADATA.search(p.name) for p in path.glob("*.xml"))
    return path.suffix.lower() == ".zip"


def products(path: Path) -> list[SafeProduct]:
    """The products in a SAFE folder or a zip archive, mostly one. Raises UserError when there is none."""
    tree = Tree.of(path)
    found = [_product(tree, name) for name in tree.members if _METADATA.search(name)]
    if not found:
        raise UserError(f"{path}: expected a Sentinel-2 product (MTD_MSIL1C.xml or MTD_MSIL2A.xml), found none")
    return found


def _product(tree: Tree, metadata: str) -> SafeProduct:
    base = str(PurePosixPath(metadata).parent)
    inside = {n: m for n, m in tree.members.items() if base == "." or n.startswith(base + "/")}
    root = _xml(tree.members[metadata])
    said = _texts(root)
    bands, classes = _files(inside)
    where = str(tree.root) if base == "." else f"{tree.root}/{base}"
    if not bands:
        raise UserError(f"{where}: expected JPEG2000 files of bands below GRANULE, found none")
    offsets = {o for key in _OFFSETS for o in said.get(key, ())}
    quantification = next((_number(where, k, said[k][0]) for k in _QUANTIFICATION if k in said), USUAL_QUANTIFICATION)
    return SafeProduct(
        name=PurePosixPath(where).name,
        bands=bands,
        classes=classes,
        level="L2A" if "L2A" in PurePosixPath(metadata).name.upper() or "L2A" in where.upper() else "L1C",
        time=_time(said, inside),
        offset=_offset(where, offsets, bands),
        quantification=quantification,
        nodata=_special(root, "NODATA", 0.0),
        georeference=_grids(inside),
        baseline=next(iter(said.get("PROCESSING_BASELINE", ())), ""),
    )


def _files(inside: dict[str, Member]) -> tuple[dict[str, Member], Member | None]:
    """Bands and classes, each at its own resolution, or the finest there is."""
    _check_one_tile(inside)
    best: dict[str, tuple[int, Member]] = {}
    for name, member in inside.items():
        match = _BAND.search(name)
        if match is None or "/QI_DATA/" in name:
            continue
        band, metres = match.group(2).upper(), int(match.group(3) or 0)
        own = NATIVE_M.get(band, 20)
        distance = 0 if metres in (0, own) else 1000 + metres if metres < own else metres
        if band not in best or distance < best[band][0]:
            best[band] = (distance, member)
    classes = best.pop(CLASSES, None)
    order = sorted(best, key=lambda b: (b.replace("B8A", "B08A"), b))
    return {b: best[b][1] for b in order}, classes[1] if classes else None


def _check_one_tile(inside: dict[str, Member]) -> None:
    """UserError for products of before December 2016, which hold many tiles."""
    tiles = sorted({n.split("GRANULE/", 1)[1].split("/")[0] for n in inside if "GRANULE/" in n and _BAND.search(n)})
    if len(tiles) > 1:
        raise UserError(
            f"expected one tile a product, found {len(tiles)} below GRANULE: {', '.join(tiles[:4])}; give the "
            "files of one"
        )


def _xml(member: Member) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(member.read())
    except ElementTree.ParseError as error:
        raise UserError(f"{member.path}: not readable XML ({error})") from error


def _texts(root: ElementTree.Element) -> dict[str, list[str]]:
    """{element name without namespace: its texts}."""
    found: dict[str, list[str]] = {}
    for element in root.iter():
        text = (element.text or "").strip()
        if text and isinstance(element.tag, str):
            found.setdefault(element.tag.rsplit("}", 1)[-1], []).append(text)
    return found


def _number(where: str, key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if value <= 0 and key in _QUANTIFICATION:
        raise UserError(f"{where}: {key}: expected a positive number, found {text!r}")
    return value


def _offset(where: str, offsets: set[str], bands: dict[str, Member]) -> float | None:
    """What the numbers carry, the same for all bands; the metadata gives what is to be added."""
    found = {-_number(where, "offset", o) for o in offsets}
    if len(found) > 1:
        raise UserError(f"{where}: expected one offset for all bands, found {sorted(found)}")
    return found.pop() if found else None


def _special(root: ElementTree.Element, text: str, usual: float) -> float:
    """The value of a Special_Values entry, such as NODATA."""
    for element in root.iter():
        children = {str(c.tag).rsplit("}", 1)[-1]: (c.text or "").strip() for c in element}
        if children.get("SPECIAL_VALUE_TEXT", "").upper() == text:
            return float(children.get("SPECIAL_VALUE_INDEX", "") or usual)
    return usual


def _time(said: dict[str, list[str]], inside: dict[str, Member]) -> str | None:
    """Sensing time of the tile, else the start of the data take, to the second."""
    texts = list(said.get("DATATAKE_SENSING_START", ())) + list(said.get("PRODUCT_START_TIME", ()))
    for root in _tile_metadata(inside):
        texts = _texts(root).get("SENSING_TIME", []) + texts
    return re.sub(r"\.\d+", "", texts[0]) if texts else None


def _tile_metadata(inside: dict[str, Member]) -> Iterator[ElementTree.Element]:
    for name, member in inside.items():
        if _TILE_METADATA.search(name):
            yield _xml(member)


def _grids(inside: dict[str, Member]) -> dict[int, Georeference]:
    """The tile's grids by pixel size: CRS code, upper left corner and steps of its metadata."""
    found: dict[int, Georeference] = {}
    for root in _tile_metadata(inside):
        code = next(iter(_texts(root).get("HORIZONTAL_CS_CODE", ())), None)
        for element in root.iter("Geoposition"):
            numbers = {str(c.tag): float(c.text or 0) for c in element}
            if {"ULX", "ULY", "XDIM", "YDIM"} <= numbers.keys():
                transform = (numbers["XDIM"], 0.0, numbers["ULX"], 0.0, numbers["YDIM"], numbers["ULY"])
                found[int(element.get("resolution", "0"))] = Georeference(code, transform)
    return found
