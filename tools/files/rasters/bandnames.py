"""Which bands a file has: from descriptions, wavelengths, colour words, the sensor, the file's name, or the caller.

Names come from where they are surest: a wavelength in the file's metadata; the sensor's own numbering; Sentinel-2's
names, GDAL's spelling of them included; colour words. A band of another sensor gets the name of the Sentinel-2 band
whose centre is nearest, within 6 %, because that is what the codec knows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from swathpack.edge.bands import BANDS, DROPPED, BandError, normalise_name
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.records import CENTRES, BandRecord
from swathpack.tools.files.rasters.sensors import Sensor, landsat_of

NEAREST = 0.06  # of the wavelength: how far a band may lie from the Sentinel-2 band it is coded as
OWN_NM = 15  # centres of Sentinel-2A and 2B lie so near the nominal ones
# Colour words of STAC's eo extension, PlanetScope, Landsat and common habit.
COLOURS = {
    "coastal": "B01",
    "coastalaerosol": "B01",
    "coastalblue": "B01",
    "aerosol": "B01",
    "ultrablue": "B01",
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    "rededge": "B05",
    "rededge1": "B05",
    "rededge071": "B05",
    "re1": "B05",
    "vnir1": "B05",
    "rededge2": "B06",
    "rededge075": "B06",
    "re2": "B06",
    "vnir2": "B06",
    "rededge3": "B07",
    "rededge078": "B07",
    "re3": "B07",
    "vnir3": "B07",
    "nir": "B08",
    "nir1": "B08",
    "nearinfrared": "B08",
    "nirbroad": "B08",
    "nir08": "B8A",
    "nirnarrow": "B8A",
    "narrownir": "B8A",
    "rededge4": "B8A",
    "nir2": "B8A",
    "nir09": "B09",
    "watervapour": "B09",
    "watervapor": "B09",
    "cirrus": "B10",
    "swir": "B11",
    "swir1": "B11",
    "swir16": "B11",
    "swir2": "B12",
    "swir22": "B12",
}
# Planes that are no reflectance: scene classes, quality bits, angles, aerosol, masks.
OTHERS = re.compile(
    r"^(scl|aot|wvp|tci|cld|snw|cldprb|snwprb|cloud.*|.*_?mask|msk.*|qa.*|.*_qa|fmask|udm2?|dem|[sv][az]a|"
    r"st_.*|atmos.*|lineage|datamask|valid)\b",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"^\s*([A-Za-z]+[ _-]?\d{0,2}[Aa]?|\d{1,2}[Aa]?)")
_WAVELENGTH = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(nm|nanomet|um|µm|micromet)", re.IGNORECASE)
_IN_FILE = re.compile(
    r"(?:^|[._-])((?:SR_|ST_)?B\d{1,2}A?|"
    + "|".join(c for c in COLOURS if len(c) > 2)
    + r"|SCL|AOT|WVP|TCI|QA_PIXEL|QA_RADSAT|QA_AEROSOL|FMASK|[SV][AZ]A)(?=$|[._-])",
    re.IGNORECASE,
)
SENTINEL_13 = (*BANDS[:10], DROPPED, *BANDS[10:])
SENTINEL_STACKS = {12: BANDS, 13: SENTINEL_13}


@dataclass(frozen=True)
class Found:
    """Bands of a file's samples, and what was assumed about them."""

    bands: tuple[BandRecord, ...]
    assumed: str = ""
    sensor: Sensor | None = None


def how_to_name(count: int) -> str:
    """What to do about `count` planes without names, with as many names in the example."""
    like = ",".join(("B02", "B03", "B04", "B08")[:count]) + (",..." if count > 4 else "")
    return f"name {'it' if count == 1 else f'all {count}'} with --bands {like} (any names do)"


def band_in_name(stem: str) -> str | None:
    """The band that the name of a one-band file says: `T32TQM_20230101_B02_10m`, `..._SR_B4`, `scene_nir`."""
    found = _IN_FILE.findall(stem)
    return str(found[-1]) if found else None


def without_band(stem: str) -> str:
    """The name without its band, the same for all bands of a date."""
    matches = list(_IN_FILE.finditer(stem))
    if not matches:
        return stem
    return (stem[: matches[-1].start()] + stem[matches[-1].end() :]).strip("._-")


def name_bands(
    names: Sequence[str],
    wavelengths: Sequence[float] = (),
    sensor: Sensor | None = None,
    colours: Sequence[str] = (),
    stem: str = "",
) -> Found | None:
    """The bands of samples with these descriptions (empty where there is none); None where nothing tells.

    wavelengths: nm, 0 where unknown. colours: TIFF's or GDAL's colour interpretation of the samples.
    """
    waves = list(wavelengths) or [0.0] * len(names)
    given, assumed, sensor = list(names), "", sensor or landsat_of(names)
    if not any(given) and not any(waves):
        given, assumed = _unnamed(len(names), sensor, colours, stem)
    if not given:
        return None
    bands = [_one(name, wave, sensor) for name, wave in zip(given, waves)]
    if all(b.spectral and b.frame not in CENTRES and b.wavelength_nm == 0 for b in bands):
        return None
    return Found(_assigned(bands, sensor), assumed, sensor)


def _unnamed(count: int, sensor: Sensor | None, colours: Sequence[str], stem: str) -> tuple[list[str], str]:
    """Names for samples that have none, and what was assumed."""
    if sensor and count in sensor.stacks:
        return list(sensor.stacks[count]), f"bands without names taken as those of {sensor.name}"
    if count == 1 and band_in_name(stem):
        return [str(band_in_name(stem))], ""
    if count >= 3 and sorted(colours[:3]) == ["blue", "green", "red"]:
        rest = ["nir" if c in ("nir", "", "undefined") else c for c in colours[3:]]
        if len(rest) <= 1:
            return [*colours[:3], *rest], "bands without names taken as " + ", ".join([*colours[:3], *rest])
    if count in SENTINEL_STACKS:
        return list(SENTINEL_STACKS[count]), f"{count} bands without names taken as Sentinel-2's in their order"
    return [], ""


def _one(name: str, wavelength: float, sensor: Sensor | None) -> BandRecord:
    """A band with its best known wavelength; its frame name is Sentinel-2's only where its own name is."""
    text = name.strip()
    if OTHERS.match(text) and not wavelength:
        return BandRecord(name, text, 0.0, False)
    said = _WAVELENGTH.search(text)
    if not wavelength and said:
        wavelength = float(said.group(1)) * (1 if said.group(2).lower().startswith("n") else 1000)
    if not wavelength and sensor:
        wavelength = float(_in_sensor(text, sensor))
    if wavelength:
        return BandRecord(name, text, wavelength)
    known = sentinel_name(text)
    return BandRecord(name, known or text, float(CENTRES.get(known or "", 0)))


def sentinel_name(text: str) -> str | None:
    """Sentinel-2's name of `B2`, `b02`, `B2, central wavelength 490 nm`, `blue`, `swir 1`; None for others."""
    word = re.sub(r"[ _.-]", "", text).lower()
    if word in COLOURS:
        return COLOURS[word]
    token = _TOKEN.match(text)
    if token is None or re.match(r"[A-Za-z0-9]", text[token.end() :][:1] or " "):
        return None
    try:
        return normalise_name(token.group(1))
    except BandError:
        return None


def _in_sensor(text: str, sensor: Sensor) -> int:
    word = re.sub(r"^SR_", "", text.strip().upper())
    numbered = re.fullmatch(r"(?:BAND[ _-]?|B)0*(\d+)", word)
    for name, nm in sensor.bands.items():
        same = numbered and re.fullmatch(rf"B0*{numbered.group(1)}", name)
        if same or re.sub(r"[ _-]", "", name).upper() == re.sub(r"[ _-]", "", word):
            return nm
    return 0


def _assigned(bands: list[BandRecord], sensor: Sensor | None) -> tuple[BandRecord, ...]:
    """Bands with frame names: by wavelength the nearest Sentinel-2 band, each once; others keep a name of their own."""
    named = {i: b.frame for i, b in enumerate(bands) if b.spectral and b.frame in CENTRES and _exact(b)}
    _check_once(bands, named)
    free = [c for c in CENTRES if c not in named.values()]
    pairs = sorted(
        (abs(b.wavelength_nm - CENTRES[c]) / CENTRES[c], i, c)
        for i, b in enumerate(bands)
        for c in free
        if b.spectral and b.wavelength_nm and i not in named
    )
    for distance, i, c in pairs:
        if distance <= NEAREST and i not in named and c not in named.values():
            named[i] = c
    out: list[BandRecord] = []
    for i, band in enumerate(bands):
        frame = named.get(i) or _own_name(band.name.strip() or f"sample {i + 1}", sensor)
        out.append(replace(band, frame=frame))
    return tuple(out)


def _check_once(bands: Sequence[BandRecord], named: dict[int, str]) -> None:
    for i, name in named.items():
        first = next(k for k, n in named.items() if n == name)
        if first != i:
            raise UserError(f"bands {bands[first].name!r} and {bands[i].name!r} are both {name}")


def _exact(band: BandRecord) -> bool:
    """Whether the band has its frame name from its own name, not from a wavelength."""
    return band.wavelength_nm == CENTRES[band.frame] and band.frame == sentinel_name(band.name)


def _own_name(text: str, sensor: Sensor | None) -> str:
    """A frame name that no Sentinel-2 band has."""
    try:
        normalise_name(text)
    except BandError:
        return text[:80]
    return f"{sensor.name if sensor else 'other'} {text}"


def picked(bands: Sequence[BandRecord], wanted: Sequence[str], where: str) -> list[int]:
    """Indexes of the wanted bands by own name, frame name or colour word, in the order wanted.

    Raises UserError that lists those that are not there.
    """
    found = [_match(bands, w) for w in wanted]
    missing = [w for w, i in zip(wanted, found) if i is None]
    if missing:
        there = ", ".join(dict.fromkeys(b.name.strip() or b.frame for b in bands))
        raise UserError(f"{where}: --bands: no {', '.join(missing)}; there are {there}")
    indexes = [i for i in found if i is not None]
    if len(set(indexes)) < len(indexes):
        raise UserError(f"{where}: --bands names a band twice: {', '.join(wanted)}")
    return indexes


def _match(bands: Sequence[BandRecord], wanted: str) -> int | None:
    word = wanted.strip().lower()
    for names in ([b.name.strip().lower() for b in bands], [b.frame.lower() for b in bands]):
        if word in names:
            return names.index(word)
    known = sentinel_name(wanted)
    return next((i for i, b in enumerate(bands) if known and b.frame == known), None)


def mapping_note(bands: Sequence[BandRecord], sensor: Sensor | None) -> str:
    """What to say of bands that are coded as Sentinel-2 bands by wavelength or colour; empty for Sentinel-2's own."""
    mapped = [b for b in bands if b.frame in CENTRES]
    moved = [b for b in mapped if abs(b.wavelength_nm - CENTRES[b.frame]) > OWN_NM or sensor]
    if sensor and not sensor.bands:
        return ""
    if moved:
        said = ", ".join(f"{_said(b)} as {b.frame}" for b in moved)
        of = f" of {sensor.name}" if sensor else ""
        return (
            f"bands{of} coded as the nearest of Sentinel-2: {said}; the model has seen only Sentinel-2, so expect "
            "larger errors at equal bytes than for it"
        )
    coloured = [b for b in mapped if re.sub(r"[ _.-]", "", b.name).lower() in COLOURS]
    return "bands by colour: " + ", ".join(f"{b.name.strip()} as {b.frame}" for b in coloured) if coloured else ""


def _said(band: BandRecord) -> str:
    return f"{band.name.strip() or 'a band'} ({band.wavelength_nm:g} nm)"
