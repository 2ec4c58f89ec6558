"""Raster files made in the tests: GeoTIFFs of any type and mask, JPEG2000 files, products as ESA lays them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.edge.bands import NATIVE_M
from swathpack.hil_tests.simulation.made_frames import values

NAMES = ("B02", "B03", "B04", "B08")
CORNER = (399960.0, 4500000.0)


def have_rasterio() -> bool:
    try:
        import rasterio  # noqa: F401
    except ImportError:
        return False
    return True


READERS = [
    pytest.param("light"),
    pytest.param("rasterio", marks=pytest.mark.skipif(not have_rasterio(), reason="rasterio is not installed")),
]
both_readers = pytest.mark.parametrize("reader", READERS)


def image(bands: int = 4, height: int = 33, width: int = 47, seed: int = 0) -> NDArray[np.uint16]:
    """(bands, h, w) random values 1 to 8,999: for tests that code nothing."""
    return np.random.default_rng(seed).integers(1, 9000, (bands, height, width)).astype(np.uint16)


def land(height: int = 48, width: int = 64, dates: int = 1, seed: int = 0) -> NDArray[np.uint16]:
    """(T, 4, h, w) of B02 B03 B04 B08 that look like land to a codec."""
    return values(height, width, dates, seed)[:, [1, 2, 3, 7]]


def geo(epsg: int = 32632, pixel: float = 10.0, corner: tuple[float, float] = CORNER) -> list[tuple[Any, ...]]:
    """Tags of a north-up grid in UTM."""
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, epsg)
    return [
        (33550, 12, 3, (pixel, pixel, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, *corner, 0.0), True),
        (34735, 3, len(keys), keys, True),
    ]


def gdal_xml(names: Sequence[str] | None, more: str = "") -> tuple[Any, ...]:
    items = "".join(
        f'<Item name="DESCRIPTION" sample="{i}" role="description">{n}</Item>' for i, n in enumerate(names or ())
    )
    text = f"<GDALMetadata>{more}{items}</GDALMetadata>"
    return (42112, 2, len(text) + 1, text, True)


def write_tiff(
    path: Path,
    data: NDArray[Any],
    names: Sequence[str] | None = NAMES,
    nodata: str | None = None,
    tags: Sequence[tuple[Any, ...]] | None = None,
    xml: str = "",
    mask: NDArray[np.bool_] | None = None,
    **options: Any,
) -> Path:
    """(C, h, w) as a GeoTIFF; mask: an internal one."""
    import tifffile

    extra = [*(geo() if tags is None else tags)]
    extra += [gdal_xml(names, xml)] if names or xml else []
    extra += [(42113, 2, len(nodata) + 1, nodata, True)] if nodata is not None else []
    layout = {"planarconfig": "separate"} if len(data) > 1 else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            data if len(data) > 1 else data[0],
            metadata=None,
            software=False,
            extratags=extra,
            **{"photometric": "minisblack", **layout, **options},
        )
        if mask is not None:
            writer.write(mask, photometric=4, subfiletype=4, metadata=None, software=False)
    return path


def write_jp2(path: Path, plane: NDArray[Any]) -> Path:
    """One plane as a lossless JPEG2000 file without georeference."""
    imagecodecs = pytest.importorskip("imagecodecs")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(imagecodecs.jpeg2k_encode(plane, level=0, codecformat="jp2", reversible=True))
    return path


def native(full: NDArray[Any], metres: int) -> NDArray[Any]:
    """A 10 m plane at 20 or 60 m: every second or sixth pixel."""
    step = metres // 10
    return np.ascontiguousarray(full[::step, ::step])


SENSED = "20230101T101411"
_TL = """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-2A_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-2A_Tile_Metadata.xsd">
<n1:General_Info><SENSING_TIME metadataLevel="Standard">2023-01-01T10:14:21.458Z</SENSING_TIME></n1:General_Info>
<n1:Geometric_Info><Tile_Geocoding><HORIZONTAL_CS_NAME>WGS84 / UTM zone 32N</HORIZONTAL_CS_NAME>
<HORIZONTAL_CS_CODE>EPSG:32632</HORIZONTAL_CS_CODE>{grids}</Tile_Geocoding></n1:Geometric_Info></n1:Level-2A_Tile_ID>
"""
_MTD = """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level}.xsd">
<n1:General_Info><Product_Info><PRODUCT_START_TIME>2023-01-01T10:14:11.024Z</PRODUCT_START_TIME>
<PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE></Product_Info><Product_Image_Characteristics>
<Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>
<Special_Values><SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
</Special_Values>{numbers}</Product_Image_Characteristics></n1:General_Info></n1:Level-{level}_User_Product>
"""


def write_safe(
    folder: Path,
    bands: Mapping[str, NDArray[Any]],
    level: str = "L2A",
    offset: int | None = -1000,
    classes: NDArray[np.uint8] | None = None,
    tile: str = "T32TQM",
    sensed: str = SENSED,
) -> Path:
    """A product folder as ESA lays them out; `bands` are 10 m planes, written at the resolution of each band.

    L2A also holds coarser copies of fine bands, which must not be taken.
    """
    baseline = "05.09" if offset else "03.01"
    root = folder / f"S2A_MSI{level}_{sensed}_N{baseline.replace('.', '')}_R022_{tile}_{sensed}.SAFE"
    granule = root / "GRANULE" / f"{level}_{tile}_A039329_{sensed}"
    for band, full in bands.items():
        own = 60 if band == "B10" else NATIVE_M[band]
        for metres in (10, 20, 60) if level == "L2A" else (own,):
            if metres < own:
                continue
            name = f"{tile}_{sensed}_{band}" + (f"_{metres}m" if level == "L2A" else "")
            inside = granule / "IMG_DATA" / (f"R{metres}m" if level == "L2A" else "")
            write_jp2(inside / f"{name}.jp2", native(full, metres))
    if classes is not None:
        write_jp2(granule / "IMG_DATA" / "R20m" / f"{tile}_{sensed}_SCL_20m.jp2", native(classes, 20))
    write_jp2(granule / "QI_DATA" / "MSK_DETFOO_B02.jp2", np.zeros((8, 8), np.uint8))
    grids = "".join(
        f'<Geoposition resolution="{r}"><ULX>{CORNER[0]:g}</ULX><ULY>{CORNER[1]:g}</ULY><XDIM>{r}</XDIM><YDIM>-{r}</YDIM>'
        "</Geoposition>"
        for r in (10, 20, 60)
    )
    (granule / "MTD_TL.xml").write_text(_TL.format(grids=grids))
    key, add = (
        ("BOA_QUANTIFICATION_VALUE", "BOA_ADD_OFFSET")
        if level == "L2A"
        else ("QUANTIFICATION_VALUE", "RADIO_ADD_OFFSET")
    )
    numbers = f'<{key} unit="none">10000</{key}>'
    numbers += "".join(f'<{add} band_id="{i}">{offset}</{add}>' for i in range(13)) if offset is not None else ""
    spelled = {"L2A": "2A", "L1C": "1C"}[level]
    (root / f"MTD_MSI{level}.xml").write_text(_MTD.format(level=spelled, baseline=baseline, numbers=numbers))
    return root
