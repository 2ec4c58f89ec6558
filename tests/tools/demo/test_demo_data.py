"""Demo data: what pip brings is read, not installed; offline, the synthetic scene stands in and says so."""

import io
import subprocess
import tarfile
import zipfile

import numpy as np
import pytest

from swathpack.tools.demo import data as demo_data
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import read_series
from swathpack.tools.files.synthetic_scene import synthetic_series


def wheel(path):
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for grid, side, names in (("10m", 20, ("B2", "B3", "B4", "B8")), ("20m", 10, ("B8A", "B11"))):
            buffer = io.BytesIO()
            with h5py.File(buffer, "w") as file:
                for name in names:
                    file[name] = rng.integers(1, 5000, (3, side, side), np.uint16)
                file["SCL"] = np.full((3, side, side), 4) * np.array([1, 2, 1])[:, None, None]
                file["time"] = np.array([0, 10, 400])
                file["time"].attrs["units"] = np.bytes_("days since 2015-08-01 00:00:00")
            archive.writestr(f"nrt/data/sentinel2_cube_subset_romania_{grid}.nc", buffer.getvalue())


def source(path):
    buffer = io.BytesIO()
    scene = np.random.default_rng(1).uniform(0, 1, (1, 30, 40, 13)).astype(np.float32)
    np.savez(buffer, s2_im=scene, cl_mask=np.zeros((1, 30, 40), np.int8))
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("s2cloudless-1.0.1/s2cloudless/TestInputs/input_arrays.npz")
        info.size = buffer.tell()
        buffer.seek(0)
        archive.addfile(info, buffer)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Both archives are there already, and any call of pip fails."""
    (tmp_path / "downloads").mkdir()
    wheel(tmp_path / "downloads" / "nrt-0.1.0-py3-none-any.whl")
    source(tmp_path / "downloads" / "s2cloudless-1.0.1.tar.gz")

    def no_pip(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(demo_data.subprocess, "run", no_pip)
    return tmp_path


def test_real_series_are_read_from_the_archives(cache):
    romania, scene = demo_data.load(cache)
    first = romania.series.frames[0]
    assert romania.real and first.bands == ("B02", "B03", "B04", "B08", "B8A", "B11")
    assert first.grid == (1, 1, 1, 1, 2, 2) and first.data.shape == (6, 20, 20)
    assert [f.time for f in romania.series.frames] == ["2015-08-01", "2015-08-11", "2016-09-04"]
    assert romania.cloud == [0.0, 1.0, 0.0]
    assert "EUPL-1.2" in romania.credit and "Copernicus" in romania.credit
    assert scene.series.frames[0].data.shape == (13, 30, 40) and scene.series.frames[0].level == "L1C"
    assert "CC-BY-SA-4.0" in scene.credit


def test_second_call_reads_the_cache(cache):
    demo_data.load(cache)
    for archive in (cache / "downloads").iterdir():
        archive.unlink()
    assert [d.real for d in demo_data.load(cache)] == [True, True]


def test_clear_dates_and_saving(cache):
    romania = demo_data.romania(cache)
    clear = demo_data.clear_dates(romania, 5)
    assert [f.time for f in clear.frames] == ["2015-08-01", "2016-09-04"]
    demo_data.save(romania, cache / "out" / "romania.npz")
    assert (read_series(cache / "out" / "romania.npz").frames[2].data == romania.series.frames[2].data).all()


def test_offline_says_so(tmp_path, monkeypatch, capsys):
    def no_pip(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(demo_data.subprocess, "run", no_pip)
    (only,) = demo_data.load(tmp_path)
    assert not only.real and only.name == "synthetic"
    said = capsys.readouterr().err
    assert "no network" in said and "synthetic" in said


def test_a_failed_download_shows_pips_reason(tmp_path, monkeypatch):
    done = subprocess.CompletedProcess([], 1, "", "noise\nERROR: No matching distribution\n")
    monkeypatch.setattr(demo_data.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(UserError, match="s2cloudless==1.0.1.*No matching distribution"):
        demo_data.cloudy_scene(tmp_path)


def test_synthetic_series_is_plausible_and_repeatable():
    series, cloud = synthetic_series(4, 96, seed=3, cloudy=1.0)
    again, _ = synthetic_series(4, 96, seed=3, cloudy=1.0)
    assert all((a.data == b.data).all() for a, b in zip(series.frames, again.frames))
    assert max(cloud) > 0.02 and len(cloud) == 4
    frame = series.frames[0]
    assert frame.valid.all() and frame.data.max() < 20_000
    coarse = frame.data[9, :6, :6].astype(float)  # B09 comes from 60 m: flat inside a block but for noise
    assert coarse.std() < 60
