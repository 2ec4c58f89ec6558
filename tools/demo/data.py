"""Real Sentinel-2 frames that a fresh machine can get from its package index, for the demo.

Two packages carry sample data: `nrt` (140 dates x 6 bands, 100 x 100, Romania) and the source archive of
`s2cloudless` (one 13-band L1C scene, 856 x 512). They are downloaded by pip into a cache folder and read;
they are not installed. Offline, a synthetic scene stands in, and `DemoSeries.real` says so.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import Series, read_series
from swathpack.tools.files.rasters.npz import write_npz
from swathpack.tools.files.synthetic_scene import synthetic_series

CACHE = Path(os.environ.get("SWATHPACK_CACHE", Path.home() / ".cache" / "swathpack"))
DOWNLOAD_S = 300
NRT, S2CLOUDLESS = "nrt==0.1.0", "s2cloudless==1.0.1"
CREDITS = {
    "nrt": "nrt 0.1.0 (European Union, Joint Research Centre), EUPL-1.2; "
    "contains modified Copernicus Sentinel data 2015-2021",
    "s2cloudless": "s2cloudless 1.0.1 (Sinergise), CC-BY-SA-4.0; contains modified Copernicus Sentinel data",
    "synthetic": "synthetic scene, made by this program",
}
_NRT_FILES = {
    "sentinel2_cube_subset_romania_10m.nc": {"B02": "B2", "B03": "B3", "B04": "B4", "B08": "B8"},
    "sentinel2_cube_subset_romania_20m.nc": {"B8A": "B8A", "B11": "B11"},
}
L1C_ORDER = (*BANDS[:10], "B10", *BANDS[10:])


@dataclass(frozen=True)
class DemoSeries:
    """A series, its name, whom it is from, and whether it is real. `cloud` (T,) is the share of cloudy
    pixels.
    """

    name: str
    series: Series
    credit: str
    real: bool
    cloud: list[float]


def romania(cache: Path = CACHE) -> DemoSeries:
    """140 dates of a forest in Romania, 6 bands, 20 m bands on their own grid. Raises UserError if not to be
    had.
    """
    stored = cache / "nrt_romania.npz"
    if not stored.is_file():
        _store(_read_nrt(_fetch(NRT, cache)), stored)
    series = read_series(stored)
    with np.load(stored) as archive:
        cloud = archive["cloud"].tolist()
    return DemoSeries("romania", series, CREDITS["nrt"], True, cloud)


def cloudy_scene(cache: Path = CACHE) -> DemoSeries:
    """One partly cloudy L1C scene of 856 x 512, 13 bands. Raises UserError if it is not to be had."""
    stored = cache / "s2cloudless_scene.npz"
    if not stored.is_file():
        _store(_read_s2cloudless(_fetch(S2CLOUDLESS, cache)), stored)
    series = read_series(stored)
    with np.load(stored) as archive:
        cloud = archive["cloud"].tolist()
    return DemoSeries("cloudy scene", series, CREDITS["s2cloudless"], True, cloud)


def load(cache: Path = CACHE) -> list[DemoSeries]:
    """Both real series, or the synthetic one when neither can be had; each says what it is.

    Callers print `credit`.
    """
    found: list[DemoSeries] = []
    for get in (romania, cloudy_scene):
        try:
            found.append(get(cache))
        except UserError as error:
            print(f"demo data: {error}", file=sys.stderr)
    if found:
        return found
    print("demo data: no package index within reach, using the built-in synthetic scene", file=sys.stderr)
    series, cloud = synthetic_series()
    return [DemoSeries("synthetic", series, CREDITS["synthetic"], False, cloud)]


def clear_dates(demo: DemoSeries, count: int, most_cloud: float = 0.05) -> Series:
    """The last `count` dates with little cloud, in order of time."""
    clear = [i for i, share in enumerate(demo.cloud) if share <= most_cloud][-count:]
    return Series([demo.series.frames[i] for i in clear], demo.series.metadata)


def _fetch(requirement: str, cache: Path) -> Path:
    """The downloaded archive of a package. Raises UserError with pip's last line."""
    name, version = requirement.split("==")
    folder = cache / "downloads"
    folder.mkdir(parents=True, exist_ok=True)

    def here() -> list[Path]:
        return [p for p in folder.glob(f"{name}-{version}*") if p.suffix in (".whl", ".gz", ".zip")]

    if not here():
        print(f"downloading {requirement} from the package index ...", file=sys.stderr)
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--retries",
            "1",
            "--dest",
            str(folder),
            requirement,
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UserError(f"{requirement}: download failed ({error})") from error
        if not here():
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
            raise UserError(f"{requirement}: download failed ({lines[-1].strip()})")
    return here()[0]


def _member(archive: Path, ending: str) -> bytes:
    """The one file in a wheel or source archive whose path ends so; nothing else is unpacked."""
    try:
        if archive.suffix in (".whl", ".zip"):
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(next(n for n in wheel.namelist() if n.endswith(ending)))
        with tarfile.open(archive) as source:
            member = next(m for m in source if m.name.endswith(ending) and m.isfile())
            stream = source.extractfile(member)
            return stream.read() if stream is not None else b""
    except (StopIteration, OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise UserError(f"{archive.name}: no readable {ending} inside") from error


def _read_nrt(archive: Path) -> dict[str, NDArray[Any]]:
    """The two NetCDF-4 (HDF5) cubes on their native grids."""
    try:
        import h5py
    except ImportError as error:
        raise UserError("the Romania series needs h5py: pip install 'swathpack[demo]'") from error
    arrays: dict[str, NDArray[Any]] = {}
    for (file, names), grid in zip(_NRT_FILES.items(), ("10m", "20m")):
        with h5py.File(io.BytesIO(_member(archive, file))) as cube:
            planes = [np.asarray(cube[key][...]) for key in names.values()]
            arrays[f"data_{grid}"] = np.clip(np.stack(planes, axis=1), 0, 65535).astype(np.uint16)
            arrays[f"bands_{grid}"] = np.array(list(names))
            if grid == "10m":
                arrays["dates"] = _dates(cube["time"])
                # Scene classes 3 and 8 to 10: cloud shadow, cloud, thin cirrus (ESA L2A scene
                # classification).
                arrays["cloud"] = np.isin(cube["SCL"][...], (3, 8, 9, 10)).mean(axis=(1, 2))
    return arrays | {"level": np.array("L2A"), "boa_offset_1000": np.array("no")}


def _dates(time: Any) -> NDArray[np.str_]:
    """CF time ("days since 2015-08-01 ...") to ISO dates."""
    units = time.attrs["units"]
    unit, _, start = (units.decode() if isinstance(units, bytes) else str(units)).partition(" since ")
    step = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}[unit]
    base = np.datetime64(start.strip().replace(" ", "T")[:19], "s")
    days = base + (np.asarray(time[...], np.float64) * step).round().astype("timedelta64[s]")
    return days.astype("datetime64[D]").astype(str)


def _read_s2cloudless(archive: Path) -> dict[str, NDArray[Any]]:
    """The 13-band reflectances of the package's own test, as DN."""
    with np.load(io.BytesIO(_member(archive, "TestInputs/input_arrays.npz"))) as arrays:
        scene, mask = arrays["s2_im"], arrays["cl_mask"]
    data = np.clip(np.rint(scene.transpose(0, 3, 1, 2) * 10_000.0), 0, 65535).astype(np.uint16)
    return {
        "data": data,
        "bands": np.array(L1C_ORDER),
        "dates": np.array(["unknown"]),
        "cloud": mask.astype(np.float64).mean(axis=(1, 2)),
        "level": np.array("L1C"),
        "boa_offset_1000": np.array("no"),
    }


def _store(arrays: dict[str, Any], path: Path) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}.{os.getpid()}.npz")
    np.savez_compressed(partial, **arrays)
    partial.replace(path)


def save(demo: DemoSeries, path: Path) -> None:
    """Writes a series where the command line can read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_npz(demo.series, path)
