"""Engines of the entropy network: opened by name, and allowed to code only after the golden vectors pass.

Names: `float32` (numpy), `int64` (numpy, the twin that defines the network), `onnxruntime[:off|basic|extended|all]`
(default basic), and `tensorrt[:dla0|dla1]` (the analysis transform on a DLA core when one is named).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.engines.golden import GoldenCase, GoldenError, first_difference, read_cases
from swathpack.edge.codec.network import ExactNetwork
from swathpack.edge.digests import FILE_DIGEST_BYTES, bytes_digest
from swathpack.edge.spoken import reason

if TYPE_CHECKING:
    from swathpack.edge.codec.prediction import EntropyEngine

NAMES = "float32, int64, onnxruntime[:off|basic|extended|all], tensorrt[:dla0|dla1]"
TENSORRT_OPTIONS = {"": None, "dla0": 0, "dla1": 1}
FASTEST = ("onnxruntime:extended", "onnxruntime:basic")  # what `auto` stands for in an order
LAST_RESORT = ("float32", "int64")
GRAPH, GOLDEN, ANALYSIS = "entropy.onnx", "golden.npz", "analysis.onnx"
BASE_GRAPH = "entropy_base.onnx"  # models made before the base layer have none


class EngineModel(Protocol):
    """What an engine needs of `swathpack.edge.codec.model.EdgeModel`."""

    directory: Path
    threads: int
    manifest: dict[str, Any]
    parameters: dict[str, NDArray[Any]]


class EngineRefused(Exception):  # noqa: N818
    """An engine that may not code. `engine`: its name; `reason`: unknown, absent, device, files, build, failed
    or golden; `detail`: what was expected and found, with the first differing output when the golden vectors failed.
    """

    def __init__(self, engine: str, reason: str, detail: str) -> None:
        super().__init__(f"engine {engine} refused ({reason}): {detail}")
        self.engine, self.reason, self.detail = engine, reason, detail


@dataclass(frozen=True)
class EngineEvent:
    """What happened to one name of the configured order; reason `opened` for the engine that codes."""

    engine: str
    reason: str
    detail: str


def open_engine(name: str, model: EngineModel) -> EntropyEngine:
    """The engine of that name after it has reproduced every golden vector; raises EngineRefused."""
    cases = _golden(name, model)
    try:
        engine = create_engine(name, model)
        difference = first_difference(engine, cases)
    except EngineRefused:
        raise
    except Exception as error:  # runtimes raise classes of their own for every cause
        raise EngineRefused(name, "failed", f"{type(error).__name__}: {error}") from error
    if difference is not None:
        raise EngineRefused(name, "golden", str(difference))
    return engine


def open_first(names: Sequence[str], model: EngineModel) -> tuple[EntropyEngine, list[EngineEvent]]:
    """The first engine that may code, in the given order, then numpy float32, then int64; and what happened.

    Raises the last EngineRefused when not even int64 passes: then the model's files do not belong together.
    """
    events: list[EngineEvent] = []
    order = [*names, *(n for n in LAST_RESORT if n not in names)]
    for place, name in enumerate(order):
        try:
            engine = open_engine(name, model)
        except EngineRefused as refused:
            events.append(EngineEvent(name, refused.reason, refused.detail))
            if place == len(order) - 1:
                raise
            continue
        events += getattr(engine, "notes", [])
        events.append(EngineEvent(name, "opened", f"choice {place + 1} of {len(order)}"))
        return engine, events
    raise AssertionError("the order is never empty")


def configured_order(text: str) -> list[str]:
    """Names of a configured order such as `tensorrt,auto`; `auto` stands for FASTEST."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    expanded = [part for name in names for part in (FASTEST if name == "auto" else (name,))]
    return list(dict.fromkeys(expanded))


def create_engine(name: str, model: EngineModel) -> EntropyEngine:
    """The engine of that name without the golden check: for measurements, never for coding."""
    kind, _, option = name.partition(":")
    if name in LAST_RESORT:
        return ExactNetwork(model.parameters, np.dtype(name))
    if kind == "onnxruntime":
        return _onnxruntime(name, option or "basic", model)
    if kind == "tensorrt":
        return _tensorrt(name, option, model)
    raise EngineRefused(name, "unknown", f"expected one of {NAMES}")


def _onnxruntime(name: str, level: str, model: EngineModel) -> EntropyEngine:
    from swathpack.edge.codec.engines.onnxruntime_engine import LEVELS, OnnxEngine

    if level not in LEVELS:
        raise EngineRefused(name, "unknown", f"expected a level of {', '.join(LEVELS)}, found {level}")
    graph = _checked(name, model, GRAPH)
    listed = BASE_GRAPH in model.manifest.get("engine_files", {})
    base = _checked(name, model, BASE_GRAPH) if listed else None
    try:
        return OnnxEngine(model.parameters, graph, level, model.threads, base)
    except ImportError as error:
        raise EngineRefused(name, "absent", f"onnxruntime does not import: {error}") from error


def _tensorrt(name: str, option: str, model: EngineModel) -> EntropyEngine:
    from swathpack.edge.codec.engines.cuda import CudaMissing
    from swathpack.edge.codec.engines.onnxruntime_engine import open_session
    from swathpack.edge.codec.engines.tensorrt_build import BuildError
    from swathpack.edge.codec.engines.tensorrt_engine import find_platform, open_tensorrt

    if option not in TENSORRT_OPTIONS:
        raise EngineRefused(name, "unknown", f"expected one of {NAMES}")
    entropy, analysis = _checked(name, model, GRAPH), _analysis_graph(name, model)
    try:
        platform = find_platform(model.directory)
        dla = TENSORRT_OPTIONS[option]
        return open_tensorrt(
            name, model.parameters, platform, entropy, analysis, lambda: open_session(analysis or b""), dla
        )
    except ImportError as error:
        raise EngineRefused(name, "absent", f"TensorRT does not import: {error}") from error
    except CudaMissing as error:
        raise EngineRefused(name, "absent" if error.absent else "device", str(error)) from error
    except BuildError as error:
        raise EngineRefused(name, "build", f"{GRAPH} {error}") from error


def _analysis_graph(engine: str, model: EngineModel) -> bytes | None:
    """The analysis transform's graph; without it, TensorRT runs the entropy pass alone."""
    return _checked(engine, model, ANALYSIS, "files") if (model.directory / ANALYSIS).exists() else None


def _checked(engine: str, model: EngineModel, name: str, table: str = "engine_files") -> bytes:
    """A file of the model that a table of the manifest vouches for."""
    expected = model.manifest.get(table, {}).get(name)
    if expected is None:
        found = f"the manifest of {model.directory} lists no {name}; export the model again"
        raise EngineRefused(engine, "files", found)
    try:
        data = (model.directory / name).read_bytes()
    except OSError as error:
        raise EngineRefused(engine, "files", reason(error)) from error
    found = bytes_digest(data, FILE_DIGEST_BYTES).hex()
    if found != expected:
        raise EngineRefused(engine, "files", f"{name}: expected digest {expected}, found {found}")
    return data


def _golden(engine: str, model: EngineModel) -> list[GoldenCase]:
    data = _checked(engine, model, GOLDEN)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return read_cases({key: archive[key] for key in archive.files})
    except (OSError, ValueError, GoldenError) as error:
        raise EngineRefused(engine, "files", f"{GOLDEN}: {reason(error)}") from error
