"""Published checkpoints: recognise, check name by name and shape by shape, load, and keep in our own file.

Sizes are read from the shapes, so smaller models in the same layout load too. Files are read with
`weights_only=True`: nothing in them is executed. Our own file (`.swt`) adds what a stream needs to be decoded
anywhere: the integer probability tables, the band statistics and the model's digest.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from swathpack.codec.atomic import replaced
from swathpack.codec.terracodec.elic import Elic, ElicSizes
from swathpack.codec.terracodec.fp import FactorizedPrior
from swathpack.codec.terracodec.gaussian import SIGMA_MIN_CODED, SIGMA_MIN_ELIC, STEPS_PER_UNIT, gaussian_tables
from swathpack.codec.terracodec.tt import CONTEXT_FRAMES, CONTEXT_TOKENS, TOKENS, Temporal, TemporalSizes
from swathpack.edge.bands import SSL4EO_MEAN, SSL4EO_STD
from swathpack.edge.codec.digest import arrays_digest
from swathpack.edge.codec.tables import ProbabilityTables, TableError
from swathpack.edge.spoken import reason
from swathpack.edge.stream.wire import MODEL_DIGEST_BYTES

FAMILIES = ("fp", "elic", "tt", "flextec")
FORMAT = "swathpack-terracodec"
VERSION = 1
PREFIX = "model."
# Filled by the published coders' `update`, empty before it: their length says nothing about the model.
FREE_BUFFERS = (
    "_offset",
    "_quantized_cdf",
    "_cdf_length",
    "_indexes_table",
    "_prior_mean",
    "_prior_scale",
    "scale_table",
)
Model = FactorizedPrior | Elic | Temporal
M = TypeVar("M", FactorizedPrior, Elic, Temporal)

# SSL4EO-S12 v1.1 L2A, B01..B12 without B10: the published 12-band models are trained on data standardised so.
L2A_MEAN, L2A_STD = (tuple(float(v) for v in values) for values in (SSL4EO_MEAN, SSL4EO_STD))

State = dict[str, Tensor]


class CheckpointError(ValueError):
    """A file that is not the checkpoint it should be; names the file, the expected and the found."""


@dataclass
class Imported:
    """A model ready to code with.

    mean, std: (bands,) float32 digital numbers. tables: by name; `y` for the latent, and ELIC's `hyper`.
    digest: 8 bytes that name the weights in a stream.
    """

    family: str
    model: Model
    mean: Tensor
    std: Tensor
    tables: dict[str, ProbabilityTables]
    digest: bytes

    @property
    def parameters(self) -> int:
        """Number of learned values."""
        return sum(p.numel() for p in self.model.parameters())

    def of(self, kind: type[M]) -> M:
        """The model, known to be of a kind. CheckpointError for another."""
        if not isinstance(self.model, kind):
            raise CheckpointError(f"expected a model of class {kind.__name__}, found family {self.family}")
        return self.model


def read_state(path: str | Path) -> State:
    """The tensors of a torch file, the `model.` prefix stripped where every name has it."""
    content = _read(Path(path))
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path}: expected a state dict of tensors, found {type(content).__name__}")
    strange = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if strange:
        raise CheckpointError(f"{path}: expected tensors only, found another type under {strange[0]!r}")
    return strip_prefix({str(key): value for key, value in content.items()})


def _read(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a file, found a folder" if path.is_dir() else f"{path}: no such file")
    try:
        mapped = zipfile.is_zipfile(path)  # the old format cannot be mapped
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped or None)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, OSError) as error:
        said = f"{type(error).__name__} {reason(error, path).splitlines()[0]}"  # the text alone may be a bare number
        if isinstance(error, pickle.UnpicklingError):
            said = said.partition(". ")[0]  # what follows advises to load it without the check
        raise CheckpointError(f"{path}: not a torch file that loads with weights_only: {said}") from error


def strip_prefix(state: State) -> State:
    """Names without `model.` if all of them start with it (mask tokens may stand outside it)."""
    outside = {"z_cur_mask_token"}
    if not all(name.startswith(PREFIX) or name in outside for name in state):
        return state
    return {name.removeprefix(PREFIX): value for name, value in state.items()}


def recognise(state: State) -> str:
    """The family that a state's names belong to; CheckpointError if none."""
    marks = {
        "flextec": "entropy_model.mask_token",
        "tt": "entropy_model.learned_zero.sym",
        "elic": "latent_codec.hyper.h_a.0.weight",
        "fp": "g_a.1.beta",
    }
    for family, mark in marks.items():
        if mark in state:
            return family
    wanted = " or ".join(marks.values())
    raise CheckpointError(f"expected a TerraCodec checkpoint (with {wanted}), found {sorted(state)[:3]}")


def _shape(state: State, name: str) -> tuple[int, ...]:
    if name not in state:
        raise CheckpointError(f"expected {name}, found no such tensor")
    return tuple(state[name].shape)


def _width(state: State, name: str) -> int:
    """First dimension of a tensor that must not be a scalar."""
    shape = _shape(state, name)
    if not shape or 0 in shape:
        raise CheckpointError(f"expected {name} with at least one value, found shape {shape}")
    return shape[0]


def _inputs(state: State, name: str) -> int:
    shape = _shape(state, name)
    if len(shape) != 4:
        raise CheckpointError(f"expected {name} of a convolution, found shape {shape}")
    return shape[1]


def _two_widths(state: State, layers: str) -> tuple[int, int]:
    return _width(state, f"{layers}.0.weight"), _width(state, f"{layers}.2.weight")


def build_fp(state: State) -> FactorizedPrior:
    """An empty model of the state's sizes."""
    first = "g_a.0.weight"
    return FactorizedPrior(_inputs(state, first), _width(state, first), _width(state, "g_a.6.weight"))


def build_elic(state: State) -> Elic:
    """An empty model of the state's sizes."""
    group = "latent_codec.y.latent_codec.y{}"
    count = sum(f"{group.format(k)}.context_prediction.bias" in state for k in range(64))
    if count < 2:
        raise CheckpointError(f"expected at least 2 channel groups, found {count}")
    hidden = f"{group.format(0)}.entropy_parameters"
    sizes = ElicSizes(
        bands=_inputs(state, "g_a.0.weight"),
        n=_width(state, "g_a.0.weight"),
        m=_width(state, "g_a.13.weight"),
        groups=tuple(_inputs(state, f"{group.format(k)}.context_prediction.weight") for k in range(count)),
        hyper_mid=_inputs(state, "latent_codec.hyper.h_s.2.weight"),
        side=_width(state, "latent_codec.hyper.h_s.4.weight"),
        channel_hidden=_two_widths(state, "latent_codec.y.channel_context.y1"),
        aggregate_hidden=_two_widths(state, hidden),
    )
    if sum(sizes.groups) != sizes.m:
        raise CheckpointError(f"expected groups that sum to {sizes.m} channels, found {sizes.groups}")
    return Elic(sizes)


def build_temporal(state: State, flex: bool) -> Temporal:
    """An empty model of the state's sizes."""
    convs = [f"transform.analysis_transform.transforms.{i}.weight" for i in (0, 4, 9, 13)]
    layers = tuple(_layers(state, stack) for stack in ("encoder_sep", "encoder_joint", "decoder"))
    sizes = TemporalSizes(
        bands=_inputs(state, convs[0]),
        widths=tuple(_width(state, name) for name in convs),  # type: ignore[arg-type]
        d_model=_width(state, "entropy_model.encoder_embedding.weight"),
        hidden=_width(state, "entropy_model.decoder.layers.encoder_layer_0.mlp1.fc1.weight"),
        layers=layers,  # type: ignore[arg-type]
        flex=flex,
        mask_tokens="entropy_model.mask_token" in state,
    )
    _check_temporal(state, sizes)
    return Temporal(sizes)


def _layers(state: State, stack: str) -> int:
    start = f"entropy_model.{stack}.layers.encoder_layer_"
    return len({name[len(start) :].split(".")[0] for name in state if name.startswith(start)})


def _check_temporal(state: State, sizes: TemporalSizes) -> None:
    spans = {"enc_position_sep": CONTEXT_TOKENS, "dec_position": TOKENS}
    spans["enc_position_joint"] = CONTEXT_FRAMES * CONTEXT_TOKENS
    for name, length in spans.items():
        found = _shape(state, f"entropy_model.{name}._pos")
        if found != (1, length, sizes.d_model):
            raise CheckpointError(f"expected {name} of shape (1, {length}, {sizes.d_model}), found {found}")
    if sizes.d_model % 16:
        raise CheckpointError(f"expected a width that 16 heads divide, found {sizes.d_model}")
    if sizes.flex and sizes.channels % CONTEXT_TOKENS:
        raise CheckpointError(f"expected latent channels divisible by 64 to repack, found {sizes.channels}")


def model_from_state(state: State, family: str | None = None) -> tuple[str, Model]:
    """(family, model in eval mode) from stripped tensors. `family` overrides for TT weights trained with
    repacking but without mask tokens, which no name gives away. Every name and shape must fit."""
    found = recognise(state)
    chosen = family or found
    if chosen != found and {chosen, found} != {"tt", "flextec"}:
        raise CheckpointError(f"expected a checkpoint of {chosen}, found one of {found}")
    state = _place_mask_token(dict(state))
    with torch.device("meta"):  # weights are taken over as they are, so none are drawn here
        model = _build(state, chosen)
    _resize_free_buffers(model, state)
    _check_strictly(model, state)
    model.load_state_dict(state, strict=True, assign=True)
    return chosen, model.requires_grad_(False).eval()


def _build(state: State, family: str) -> Model:
    if family == "fp":
        return build_fp(state)
    if family == "elic":
        return build_elic(state)
    return build_temporal(state, family == "flextec")


def _place_mask_token(state: State) -> State:
    """The feature mask token may stand at the top; it belongs to the entropy model."""
    if "z_cur_mask_token" in state:
        state["entropy_model.z_cur_mask_token"] = state.pop("z_cur_mask_token")
    return state


def _resize_free_buffers(model: nn.Module, state: State) -> None:
    for name, buffer in list(model.named_buffers()):
        owner, _, leaf = name.rpartition(".")
        given = state.get(name)
        if leaf in FREE_BUFFERS and given is not None and given.dtype == buffer.dtype:
            setattr(model.get_submodule(owner), leaf, torch.empty_like(given, device="meta"))


def _check_strictly(model: nn.Module, state: State) -> None:
    """Names, shapes and types, one clear message for the first that does not fit."""
    expected = model.state_dict()
    missing = [name for name in expected if name not in state]
    surplus = [name for name in state if name not in expected]
    if missing or surplus:
        lines = [f"missing {missing[0]} (and {len(missing) - 1} more)"] if missing else []
        lines += [f"unknown {surplus[0]} (and {len(surplus) - 1} more)"] if surplus else []
        raise CheckpointError(f"expected the published names, found {'; '.join(lines)}")
    learned = {name for name, _ in model.named_parameters()}
    for name, tensor in expected.items():
        given = state[name]
        if given.shape != tensor.shape:
            raise CheckpointError(f"expected {name} {tuple(tensor.shape)}, found {tuple(given.shape)}")
        if given.dtype != tensor.dtype:
            raise CheckpointError(f"expected {name} as {tensor.dtype}, found {given.dtype}")
        if name in learned and not given.isfinite().all():
            raise CheckpointError(f"expected finite values in {name}, found inf or NaN")


def model_digest(model: nn.Module) -> bytes:
    """8 bytes of SHA-256 over the learned values (not the buffers, which coders fill in)."""
    arrays = {name: p.detach().numpy() for name, p in model.named_parameters()}
    return arrays_digest(arrays, MODEL_DIGEST_BYTES)


def build_tables(model: Model) -> dict[str, ProbabilityTables]:
    """The integer tables that the model codes with."""
    if isinstance(model, FactorizedPrior):
        return {"y": model.entropy_bottleneck.tables()}
    if isinstance(model, Elic):
        hyper = model.latent_codec.hyper.entropy_bottleneck.tables()
        return {"hyper": hyper, "y": gaussian_tables(SIGMA_MIN_ELIC, 1)}
    return {"y": gaussian_tables(SIGMA_MIN_CODED, STEPS_PER_UNIT)}


def import_checkpoint(
    path: str | Path,
    family: str | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> Imported:
    """Read a published checkpoint. mean, std: per band, needed unless the model has the 12 L2A bands.

    CheckpointError names the file and what does not fit.
    """
    try:
        chosen, model = model_from_state(read_state(path), family)
    except CheckpointError as error:
        raise error if str(error).startswith(str(path)) else CheckpointError(f"{path}: {error}") from error
    return from_model(chosen, model, mean, std)


def from_model(
    family: str, model: Model, mean: tuple[float, ...] | None = None, std: tuple[float, ...] | None = None
) -> Imported:
    """Wrap a model that is already in memory."""
    if mean is None and std is None and model.bands == len(L2A_MEAN):
        mean, std = L2A_MEAN, L2A_STD
    if mean is None or std is None or not len(mean) == len(std) == model.bands:
        raise CheckpointError(
            f"expected mean and standard deviation of {model.bands} bands (12-band L2A alone has a default)"
        )
    if not all(np.isfinite(v) for v in (*mean, *std)) or min(std) <= 0:
        raise CheckpointError("expected finite means and standard deviations above 0")
    tables = build_tables(model)
    return Imported(family, model, torch.tensor(mean), torch.tensor(std), tables, model_digest(model))


def save_model(imported: Imported, path: str | Path) -> None:
    """Write our own file: everything that `load_model` needs, tensors and plain values only."""
    tables = {
        name: {key: _as_tensor(array) for key, array in table.to_arrays().items()}
        for name, table in imported.tables.items()
    }
    content = {
        "format": FORMAT,
        "version": VERSION,
        "family": imported.family,
        "mean": imported.mean,
        "std": imported.std,
        "digest": imported.digest.hex(),
        "tables": tables,
        "state": imported.model.state_dict(),
    }
    with replaced(Path(path)) as part:
        torch.save(content, part)


def load_model(path: str | Path) -> Imported:
    """Read a file that `save_model` wrote; CheckpointError for anything else."""
    content = _read(Path(path))
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: expected a model made by `swathpack import`, found another file")
    if content.get("version") != VERSION:
        raise CheckpointError(f"{path}: expected version {VERSION}, found {content.get('version')}")
    try:
        family, model = model_from_state(dict(content["state"]), content["family"])
        tables = {name: _tables_from(arrays) for name, arrays in content["tables"].items()}
        digest = bytes.fromhex(content["digest"])
        return Imported(family, model, content["mean"], content["std"], tables, digest)
    except (KeyError, TypeError, ValueError, AttributeError, TableError) as error:
        raise CheckpointError(f"{path}: {error}") from error


# torch files hold no uint16 and uint32 on all versions: kept as int64, given back their type on reading.
_TYPES = {"tables_widths": "u4", "tables_half": "u2", "tables_shift": "u1", "tables_escape_order": "u1"}


def _as_tensor(array: Any) -> Tensor:
    values = np.asarray(array)
    return torch.from_numpy(np.array(values, np.float64 if values.dtype.kind == "f" else np.int64))


def _tables_from(arrays: Mapping[str, Tensor]) -> ProbabilityTables:
    cast = {key: value.numpy().astype(_TYPES.get(key, value.numpy().dtype)) for key, value in arrays.items()}
    return ProbabilityTables.from_arrays(cast)
