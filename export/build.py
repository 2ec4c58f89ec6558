"""A model folder from checkpoints or from a model folder, with proof, checks and a manifest that refuses mixtures.

    build(Source(model=Path("models/edge")), out)      graphs and golden vectors made anew from the integer network
    verify(folder)                                     the same checks on what is there, nothing written

Order: integer network -> bound proof of every layer -> graphs -> checks of the graphs -> golden vectors of the int64
twin -> engines of this machine against them -> manifest. Everything is made in a folder beside `out` and moved there
when all of it has passed, so a refused export leaves `out` as it was.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from swathpack.edge.codec.engines import BASE_GRAPH, GRAPH, EngineRefused, open_engine
from swathpack.edge.codec.model import EdgeModel, ModelError
from swathpack.edge.digests import MANIFEST
from swathpack.edge.spoken import reason
from swathpack.export.checks import CheckError, check_entropy_graph, check_integers
from swathpack.export.digests import digest_of
from swathpack.export.integer import Bound, BoundError, prove_bounds
from swathpack.export.manifest import (
    ENGINE_FILES,
    NAMES,
    NETWORK,
    ExportError,
    complete_manifest,
    read_manifest,
    write_engine_files,
)

ENGINES = ("float32", "onnxruntime:basic", "onnxruntime:extended")
MUST_PASS = ENGINES[:2]  # int8 kernels may fail on a processor without VNNI; float32 arithmetic may not
Parameters = dict[str, NDArray[Any]]
Tell = Callable[[str], None]
Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Source:
    """Where the model comes from: a folder (`model`), or two checkpoints. finer: layer -> steps by which its scale
    is made too fine, to see it refused.
    """

    model: Path | None = None
    transform: Path | None = None
    entropy: Path | None = None
    finer: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What was proven: bounds of every layer, counts of graph checks, verdict of each engine (empty: admitted)."""

    bounds: list[Bound]
    checked: dict[str, int]
    engines: dict[str, str]


def build(source: Source, out: Path, tell: Tell = lambda text: None) -> Report:
    """Make the folder `out`; returns what was proven. Raises ExportError."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        made = Path(folder)
        try:
            _fill(source, made, tell)
            report = verify(made, tell)
        except (BoundError, CheckError, ModelError) as error:
            raise ExportError(str(error)) from error
        out.mkdir(exist_ok=True)
        # The manifest last: until it is there, the digests refuse a half-moved folder.
        for path in sorted(made.iterdir(), key=lambda p: p.name == MANIFEST):
            path.replace(out / path.name)
    return report


def verify(folder: Path, tell: Tell = lambda text: None) -> Report:
    """Prove and check a model folder. Raises ExportError."""
    try:
        manifest = read_manifest(folder)
        _check_files(folder, manifest)
        model = EdgeModel(folder, engine="float32")
        parameters = {k: v for k, v in model.parameters.items() if k.endswith(NETWORK) or k in NAMES}
        tell("proving the bound of every layer")
        bounds = proven(parameters)
        tell("checking the graphs")
        checked = check_entropy_graph(onnx.load(folder / GRAPH))
        check_entropy_graph(onnx.load(folder / BASE_GRAPH))
        onnx.checker.check_model(onnx.load(folder / "analysis.onnx"), full_check=True)
        tell("running the golden vectors on the engines of this machine")
        verdicts = {name: refusal(name, model) for name in ENGINES}
        for name in MUST_PASS:
            if verdicts[name]:
                raise ExportError(f"engine {name} may not code: {verdicts[name]}")
        return Report(bounds, checked, verdicts)
    except (BoundError, CheckError, ModelError) as error:
        raise ExportError(str(error)) from error
    except (OSError, onnx.checker.ValidationError) as error:
        raise ExportError(f"{folder}: {reason(error, folder)}") from error


def proven(parameters: Parameters) -> list[Bound]:
    """Bounds of all layers. Raises BoundError, CheckError."""
    bounds = prove_bounds(parameters)
    check_integers(parameters)
    return bounds


def finer(parameters: Parameters, layer: str, steps: int) -> Parameters:
    """The same network with one layer's scale `steps` powers of two finer, as a careless calibration would choose.

    Raises ExportError when there is no such layer.
    """
    if f"{layer}.weight" not in parameters:
        names = sorted(k[: -len(".weight")] for k in parameters if k.endswith(".weight"))
        raise ExportError(f"no layer {layer}; there are {', '.join(names)}")
    out = dict(parameters)
    out[f"{layer}.weight"] = parameters[f"{layer}.weight"].astype(np.int32) << steps
    out[f"{layer}.bias"] = parameters[f"{layer}.bias"].astype(np.int64) << steps
    out[f"{layer}.exponent"] = parameters[f"{layer}.exponent"] + np.uint8(steps)
    return out


def refusal(name: str, model: EdgeModel) -> str:
    """Why an engine may not code here; empty when it may."""
    try:
        open_engine(name, model)
    except EngineRefused as refused:
        return f"{refused.reason}: {refused.detail}"
    return ""


def _fill(source: Source, made: Path, tell: Tell) -> None:
    if source.model is None:
        tell("reading the checkpoints")
        _from_checkpoints(source, made)
    else:
        _from_folder(source.model, made)
    with np.load(made / "entropy.npz", allow_pickle=False) as archive:
        parameters = {k: archive[k] for k in archive.files}
    for layer, steps in source.finer.items():
        parameters = finer(parameters, layer, steps)
    proven({k: v for k, v in parameters.items() if k.endswith(NETWORK) or k in NAMES})
    if source.finer:
        raise ExportError("the spoiled network passed the proof; nothing is written from one")
    if source.model is not None:
        tell("writing the graph and the golden vectors")
        write_engine_files(parameters, made)
    complete_manifest(made)


def _from_folder(model: Path, made: Path) -> None:
    manifest = read_manifest(model)
    _check_files(model, manifest)
    for path in model.iterdir():
        if path.is_file() and path.name not in ENGINE_FILES:
            shutil.copy2(path, made / path.name)
    if not (made / "entropy.npz").is_file():
        raise ExportError(f"{model}: expected a model folder, found no entropy.npz")


def _from_checkpoints(source: Source, made: Path) -> None:
    if source.transform is None or source.entropy is None:
        raise ExportError("expected both checkpoints, of the transform and of the entropy model")
    from swathpack.codec.train_entropy import load_transform
    from swathpack.export.edge_model import load_entropy, write_model

    transform, entropy = _loaded(source.transform, load_transform), _loaded(source.entropy, load_entropy)
    write_model(transform, entropy, made, {"attribution": ATTRIBUTION})


def _loaded(path: Path, load: Callable[[Path], Loaded]) -> Loaded:
    try:
        return load(path)
    except Exception as error:  # torch raises kinds of its own for damaged and foreign files
        raise ExportError(f"{path}: not a checkpoint of this codec: {error}") from error


ATTRIBUTION = "Trained on modified Copernicus Sentinel data 2015-2024."


def _check_files(folder: Path, manifest: dict[str, Any]) -> None:
    """Files that the manifest vouches for are what it says."""
    for name, expected in {**manifest.get("files", {}), **manifest.get("engine_files", {})}.items():
        path = folder / name
        found = digest_of(path) if path.is_file() else "no such file"
        if found != expected:
            raise ExportError(f"{path}: expected digest {expected}, found {found}")
