"""GDAL's XML in TIFF tag 42112: the file's items, and what it says of each sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

from swathpack.tools.files.rasters.facts import number

_WAVELENGTHS = ("WAVELENGTH", "CENTRAL_WAVELENGTH_UM", "CENTRAL_WAVELENGTH_NM")
_UNITS = ("WAVELENGTH_UNIT", "WAVELENGTH_UNITS")


@dataclass
class GdalMetadata:
    """items: of the file. Of samples, by index: description, scale, offset, colour, other items."""

    items: dict[str, str] = field(default_factory=dict)
    description: dict[int, str] = field(default_factory=dict)
    scale: dict[int, float] = field(default_factory=dict)
    offset: dict[int, float] = field(default_factory=dict)
    colour: dict[int, str] = field(default_factory=dict)
    samples: dict[int, dict[str, str]] = field(default_factory=dict)

    def linear(self, count: int) -> tuple[tuple[float, float] | None, ...]:
        """(scale, offset) of every sample, None where neither is given."""
        either = self.scale.keys() | self.offset.keys()
        return tuple((self.scale.get(i, 1.0), self.offset.get(i, 0.0)) if i in either else None for i in range(count))

    def wavelengths(self, count: int) -> tuple[float, ...]:
        """Centres in nm, 0 where unknown."""
        return tuple(wavelength_nm(self.samples.get(i, {})) for i in range(count))


def wavelength_nm(items: Mapping[str, str]) -> float:
    """The centre wavelength that a band's items name, nm; 0 if they do not."""
    upper = {k.upper(): v for k, v in items.items()}
    for key in _WAVELENGTHS:
        found = number(upper.get(key))
        if found:
            unit = next((upper[u] for u in _UNITS if u in upper), "nm").lower()
            micro = key.endswith("_UM") or unit.startswith(("um", "µm", "micro"))
            return found * 1000 if micro or found < 20 else found
    return 0.0


def parse(xml: str) -> GdalMetadata:
    """What the XML says; empty where there is none or it cannot be read."""
    found = GdalMetadata()
    try:
        root = ElementTree.fromstring(xml.strip().strip("\0")) if xml.strip("\0 \n") else None
    except ElementTree.ParseError:
        return found
    for item in root.iter("Item") if root is not None else ():
        _add(found, item)
    return found


def _add(found: GdalMetadata, item: ElementTree.Element) -> None:
    name, text, sample = item.get("name") or "", item.text or "", item.get("sample")
    if sample is None or not sample.isdigit():
        found.items[name] = text
        return
    index, role = int(sample), (item.get("role") or "").lower()
    value = number(text)
    if role == "description":
        found.description[index] = text
    elif role == "colorinterp":
        found.colour[index] = text.lower()
    elif role in ("scale", "offset") and value is not None:
        (found.scale if role == "scale" else found.offset)[index] = value
    else:
        found.samples.setdefault(index, {})[name] = text


def rewritten(
    xml: str, kept: Sequence[int], descriptions: Sequence[str], items: Mapping[str, str] | None = None
) -> str:
    """The XML for a file that holds the samples `kept` of the one it was written for, in that order.

    Items of the file stay, but for those of `items`, which come in their place; those of samples that are left out go, and
    samples without a description get theirs, where it is not empty.
    """
    root = ElementTree.Element("GDALMetadata")
    root.text = "\n"
    described = set()
    try:
        given = list(ElementTree.fromstring(xml.strip().strip("\0")).iter("Item")) if xml.strip("\0 \n") else []
    except ElementTree.ParseError:
        given = []
    for item in given:
        sample = item.get("sample")
        if sample is None and item.get("name") in (items or {}):
            continue
        if sample is not None and sample.isdigit():
            if int(sample) not in kept:
                continue
            item.set("sample", str(list(kept).index(int(sample))))
            if (item.get("role") or "").lower() == "description":
                described.add(int(item.get("sample", "0")))
        root.append(item)
    for index, text in enumerate(descriptions):
        if text and index not in described:
            item = ElementTree.SubElement(root, "Item", name="DESCRIPTION", sample=str(index), role="description")
            item.text, item.tail = text, "\n"
    for name, text in (items or {}).items():
        item = ElementTree.SubElement(root, "Item", name=name)
        item.text, item.tail = text, "\n"
    return ElementTree.tostring(root, encoding="unicode")
