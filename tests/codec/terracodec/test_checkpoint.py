"""Published checkpoints: loaded strictly or refused by name; our own file round-trips."""

from pathlib import Path

import pytest
import torch

from swathpack.codec.terracodec.checkpoint import (
    FAMILIES,
    CheckpointError,
    import_checkpoint,
    load_model,
    model_from_state,
    read_state,
    save_model,
    strip_prefix,
)
from tests.codec.terracodec.make_models import imported, layout, random_state, small

# Published: 3.06 M, 16.5 M at 128/192, 225 M, 225 M.
MILLIONS = {"fp": 3.06, "elic": 16.5, "tt": 225, "flextec": 225}


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_published_layout_loads_strictly_at_full_size(family: str) -> None:
    state = strip_prefix(random_state(family))
    found, model = model_from_state(state)
    assert found == family
    count = sum(p.numel() for p in model.parameters())
    assert count / 1e6 == pytest.approx(MILLIONS[family], rel=2e-3)
    assert set(model.state_dict()) == set(state)
    for name, tensor in model.state_dict().items():
        assert tensor.shape == state[name].shape, name


@pytest.mark.parametrize("family", FAMILIES)
def test_small_models_have_the_same_names(family: str) -> None:
    names = {name.removeprefix("model.") for name in layout(family)}
    layers = [f"encoder_layer_{i}." for i in range(1, 6)]  # small models have fewer layers
    names = {name for name in names if not any(layer in name for layer in layers)}
    assert names <= set(small(family).state_dict())


def _write(tmp_path: Path, state: dict[str, object], name: str = "model.pt") -> Path:
    torch.save(state, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prefix", ["", "model."])
def test_small_checkpoint_with_and_without_prefix(tmp_path: Path, family: str, prefix: str) -> None:
    wanted = small(family).state_dict()
    path = _write(tmp_path, {prefix + name: tensor for name, tensor in wanted.items()})
    model = import_checkpoint(path)
    assert model.family == family
    for name, tensor in model.model.state_dict().items():
        assert torch.equal(tensor, wanted[name])


def test_filled_tables_and_wrapped_state_are_accepted(tmp_path: Path) -> None:
    state = small("elic").state_dict()
    for name in [n for n in state if n.endswith("_quantized_cdf")]:
        state[name] = torch.zeros(64, 3133, dtype=torch.int32)
    assert import_checkpoint(_write(tmp_path, {"state_dict": state})).family == "elic"


def test_mask_token_outside_the_prefix(tmp_path: Path) -> None:
    state = {f"model.{name}": t for name, t in small("flextec").state_dict().items()}
    state["z_cur_mask_token"] = state.pop("model.entropy_model.z_cur_mask_token")
    assert import_checkpoint(_write(tmp_path, state)).family == "flextec"


def test_repacked_weights_without_mask_tokens_on_request(tmp_path: Path) -> None:
    path = _write(tmp_path, small("tt").state_dict())
    assert import_checkpoint(path).family == "tt"
    model = import_checkpoint(path, family="flextec")
    assert model.family == "flextec" and model.model.sizes.flex


def test_wrong_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "plan.pt").write_text("# A plan")
    cases = {
        _write(tmp_path, {"layer.weight": torch.zeros(3)}, "other.pt"): "expected a TerraCodec checkpoint",
        _write(tmp_path, {"epoch": 3}, "epoch.pt"): "expected tensors only",
        tmp_path / "text.pt": "weights_only",
        tmp_path
        / "plan.pt": "loads with weights_only: UnpicklingError [^.]*$",  # no advice to load it without the check
        tmp_path: "expected a file, found a folder",
        tmp_path / "none.pt": "no such file",
    }
    for path, message in cases.items():
        with pytest.raises(CheckpointError, match=message) as caught:
            import_checkpoint(path)
        assert path.name in str(caught.value)


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("executed"),)


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = _write(tmp_path, {"g_a.1.beta": _Evil()})
    with pytest.raises(CheckpointError, match="weights_only"):
        import_checkpoint(path)
    assert not Path("executed").exists()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_deviation_is_named(tmp_path: Path, family: str) -> None:
    good = small(family).state_dict()
    name = sorted(n for n in good if n.endswith("3.bias") or n.endswith("5.beta") or "fc2.weight" in n)[-1]
    missing = {n: t for n, t in good.items() if n != name}
    turned = {**good, name: torch.zeros(*good[name].shape, 2)}
    halves = {**good, name: good[name].half()}
    broken = {**good, name: torch.full_like(good[name], torch.nan)}
    for state in (missing, turned, halves, broken, {**good, "surplus.weight": torch.zeros(1)}):
        wanted = "surplus.weight" if "surplus.weight" in state else name
        with pytest.raises(CheckpointError, match=wanted.replace(".", r"\.")):
            import_checkpoint(_write(tmp_path, state))


def test_other_band_counts_need_statistics(tmp_path: Path) -> None:
    path = _write(tmp_path, small("tt", bands=13).state_dict())
    with pytest.raises(CheckpointError, match="13 bands"):
        import_checkpoint(path)
    model = import_checkpoint(path, mean=(1000.0,) * 13, std=(500.0,) * 13)
    assert model.model.bands == 13 and float(model.std[12]) == 500
    with pytest.raises(CheckpointError, match="above 0"):
        import_checkpoint(path, mean=(0.0,) * 13, std=(0.0,) * 13)


@pytest.mark.parametrize("family", FAMILIES)
def test_own_file_round_trip(tmp_path: Path, family: str) -> None:
    wanted = imported(family)
    save_model(wanted, tmp_path / "m.swt")
    found = load_model(tmp_path / "m.swt")
    assert (found.family, found.digest) == (family, wanted.digest)
    assert torch.equal(found.mean, wanted.mean) and torch.equal(found.std, wanted.std)
    for name, table in wanted.tables.items():
        assert found.tables[name].digest() == table.digest()
    state = wanted.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.model.state_dict().items())


def test_a_checkpoint_is_not_our_own_file(tmp_path: Path) -> None:
    path = _write(tmp_path, small("fp").state_dict())
    with pytest.raises(CheckpointError, match="swathpack import"):
        load_model(path)
    assert set(read_state(path)) == set(small("fp").state_dict())
