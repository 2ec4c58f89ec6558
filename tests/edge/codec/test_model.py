"""Loading the shipped model: what is missing, damaged or mixed is refused with the directory's name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.bands import StatisticsError, load_statistics
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel, ModelError
from swathpack.edge.codec.transform_coder import bitplane
from swathpack.edge.digests import FILE_DIGEST_BYTES, bytes_digest
from swathpack.export.digests import renew
from tests.codec_models import shipped

FILES = ("manifest.json", "entropy.npz", "analysis.onnx", "synthesis.onnx", "gains.npz")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    out = tmp_path / "model"
    out.mkdir()
    for name in FILES:
        shutil.copy(DEFAULT_DIRECTORY / name, out / name)
    return out


def use(directory: Path) -> None:
    """Touch every file."""
    model = EdgeModel(directory, engine="float32")
    model.gains  # noqa: B018
    model.synthesise(np.zeros((512, 1, 1), np.float32), 30)
    model.analyse(np.zeros((12, 16, 16), np.float32))


def test_the_manifest_agrees_with_the_files() -> None:
    manifest = json.loads((DEFAULT_DIRECTORY / "manifest.json").read_text())
    assert manifest["model_digest"] == shipped().digest.hex()
    assert manifest["tables_digest"] == shipped().tables_digest.hex()
    assert all(bound["margin_bits"] > 0 for bound in manifest["bounds"].values())
    assert "Copernicus" in manifest["attribution"]


def test_shapes() -> None:
    model = shipped()
    for height, width in ((64, 64), (37, 51), (1, 20)):
        grid = (-(-height // 16), -(-width // 16))
        found = model.analyse(np.full((12, height, width), 1500, np.float32))
        assert found.shape == (512, *grid) and found.dtype == np.float32
        assert model.synthesise(found, 8).shape == (12, 16 * grid[0], 16 * grid[1])
    assert model.gains.shape == (512,) and (model.gains > 0).all()


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ModelError, match=name):
        use(copy)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["empty", "cut", "text", "flip"])
def test_a_damaged_file_is_a_model_error(copy: Path, name: str, damage: str) -> None:
    data = bytearray((copy / name).read_bytes())
    if damage == "flip" and name == "manifest.json":
        pytest.skip("its bits are not all checked here: the bundle's manifest has its digest")
    data[len(data) // 2] ^= 4
    (copy / name).write_bytes(
        {"empty": b"", "cut": bytes(data[: len(data) // 2]), "text": b"[1, 2]", "flip": bytes(data)}[damage]
    )
    with pytest.raises(ModelError):
        use(copy)


def test_a_foreign_manifest_is_refused(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "model_digest": "00" * 8}))
    with pytest.raises(ModelError, match="its manifest says 0000000000000000"):
        EdgeModel(copy)


@pytest.mark.parametrize("name", ["analysis.onnx", "synthesis.onnx", "gains.npz"])
@pytest.mark.parametrize("files", [None, {}, [], "no"])
def test_a_file_that_the_manifest_does_not_name_is_refused(copy: Path, name: str, files: object) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    if isinstance(files, dict):
        files = {one: digest for one, digest in manifest["files"].items() if one != name}
    (copy / "manifest.json").write_text(json.dumps({**manifest, "files": files}))
    model = EdgeModel(copy, engine="float32")
    with pytest.raises(ModelError, match=f"{name}: its manifest names no digest"):
        model.gains if name == "gains.npz" else model.session(name)  # noqa: B018


def test_gains_of_another_shape_are_refused(copy: Path) -> None:
    np.savez(copy / "gains.npz", gains=np.ones(7))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["gains.npz"] = bytes_digest((copy / "gains.npz").read_bytes(), FILE_DIGEST_BYTES).hex()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=r"expected \(512,\), found \(7,\)"):
        EdgeModel(copy, engine="float32").gains  # noqa: B018


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ModelError, match="bogus"):
        EdgeModel(engine="bogus")


def test_the_integer_engine_decodes_what_float32_coded() -> None:
    from swathpack.edge.codec.prediction import TileDecoder
    from swathpack.edge.codec.tile_coder import encode_tile
    from swathpack.hil_tests.simulation.made_frames import values

    tile = encode_tile(shipped(), shipped().analyse(values(32, 48)[0].astype(np.float32)), 24)
    other = EdgeModel(engine="int64")
    decoder = TileDecoder(other.engine, other.tables, (), 24, (2, 3))
    assert decoder.decode(tile.layers.payload(16), 16) == 16
    np.testing.assert_array_equal(decoder.latent, tile.latent)


def test_every_file_of_the_shipped_folder_is_vouched_for() -> None:
    files = {p.name for p in DEFAULT_DIRECTORY.iterdir()} - {"manifest.json"}
    assert files == set(json.loads((DEFAULT_DIRECTORY / "manifest.json").read_text())["files"])
    EdgeModel(engine="float32").check_files()


@pytest.mark.parametrize("name", sorted(json.loads((DEFAULT_DIRECTORY / "manifest.json").read_text())["files"]))
@pytest.mark.parametrize("damage", ["flip", "missing"])
def test_a_damaged_file_is_found_before_anything_flies(tmp_path: Path, name: str, damage: str) -> None:
    folder = shutil.copytree(DEFAULT_DIRECTORY, tmp_path / "model")
    model = EdgeModel(folder, engine="float32")
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 3] ^= 1
    (folder / name).unlink() if damage == "missing" else (folder / name).write_bytes(data)
    with pytest.raises(ModelError, match=name):
        model.check_files()


def test_a_file_beside_the_model_that_nobody_vouches_for_is_refused(copy: Path) -> None:
    model = EdgeModel(copy, engine="float32")
    (copy / "other.npz").write_bytes(b"")
    with pytest.raises(ModelError):
        model.check_files()


def test_statistics_of_another_model_are_not_taken(tmp_path: Path) -> None:
    folder = shutil.copytree(DEFAULT_DIRECTORY, tmp_path / "model")
    path = folder / "band_statistics.npz"
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(path, **{**arrays, "pooled_mean": arrays["pooled_mean"] + 1})
    with pytest.raises(StatisticsError, match="band_statistics.npz: expected digest"):
        load_statistics("pooled", path)
    renew(path)
    assert load_statistics("pooled", path).mean[0] == pytest.approx(arrays["pooled_mean"][0] + 1)
    alone = tmp_path / "alone.npz"
    np.savez(alone, **arrays)
    assert load_statistics("L2A", alone).mean.shape == (12,), "with no model beside it, nobody could vouch"


def test_the_transform_coders_model_is_the_one_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(bitplane.MODEL_FILE.read_bytes())
    data[-100] ^= 1
    other = tmp_path / "model.npz"
    other.write_bytes(data)
    model = EdgeModel(engine="float32")
    monkeypatch.setattr(bitplane, "MODEL_FILE", other)
    with pytest.raises(ModelError, match=r"model\.npz: expected digest"):
        model.check_files()
    monkeypatch.setattr(bitplane, "MODEL_FILE", tmp_path / "none.npz")
    with pytest.raises(ModelError, match=r"none\.npz"):
        model.check_files()
