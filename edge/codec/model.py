"""The shipped model: its files, their digests, and the sessions that run it.

models/edge/manifest.json   preset, digests of the other files, what they were trained on
models/edge/entropy.npz     integer entropy network and probability tables (exact)
models/edge/entropy.onnx    the same network as a graph, for ONNX Runtime and TensorRT; entropy_base.onnx: of the
                            base layer's pass
models/edge/golden.npz      what an engine must reproduce before it may code
models/edge/analysis.onnx   frame -> coefficients (any precision); analysis_int8.onnx: the same in int8
models/edge/synthesis.onnx  latent -> frame (any precision; used on the ground only)
models/edge/gains.npz       squared error in DN^2 that a unit error of each channel makes (rate control)
models/edge/band_statistics.npz   what bands are expected to be (`swathpack.edge.bands`)
models/edge/rate_quality.json     measured rates, for the planner on the ground
"""

from __future__ import annotations

import io
import json
import threading
import zipfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.engines import EngineEvent
from swathpack.edge.codec.latents import CHANNELS
from swathpack.edge.codec.network import ExactNetwork
from swathpack.edge.codec.pixels import padded
from swathpack.edge.codec.prediction import EntropyEngine, Reconstruction
from swathpack.edge.codec.tables import ProbabilityTables, TableError
from swathpack.edge.codec.transform_coder.bitplane import read_model as read_bitplane_model
from swathpack.edge.digests import MANIFEST, DigestError, bytes_digest, check_file
from swathpack.edge.spoken import reason
from swathpack.edge.stream.wire import MODEL_DIGEST_BYTES

DEFAULT_DIRECTORY = Path(__file__).resolve().parent.parent.parent / "models" / "edge"
FILES = (".npz", ".onnx", ".json")  # of a model folder, all named by its manifest but the manifest itself
NO_SCALE = 16  # the scale index that moves nothing in synthesis
DIGESTED = ("entropy.npz", "synthesis.onnx")


class ModelError(Exception):
    """The model's files are missing, damaged or do not belong together."""


def model_digest(directory: Path) -> bytes:
    """Eight bytes that name what decides decoded images: the entropy network with its tables, and the
    synthesis.
    """
    joined = b"".join(bytes_digest((directory / name).read_bytes()) for name in DIGESTED)
    return bytes_digest(joined, MODEL_DIGEST_BYTES)


def _manifest(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())
    if not isinstance(found, dict):
        raise ValueError(f"{path.name}: expected a JSON object, found {type(found).__name__}")
    return found


def _arrays(path: Path, data: io.BytesIO | None = None) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz file, whose bytes may be here already, or a ModelError."""
    try:
        with np.load(data or path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(f"model in {path.parent}: {path.name}: {reason(error, path)}") from error


class EdgeModel:
    """Everything loaded once from a directory; raises ModelError.

    threads: of every session. engine: how the entropy network runs, a name of `swathpack.edge.codec.engines` or an order of them
    such as `tensorrt,auto`, of which the first that reproduces the golden vectors on this machine is taken; `auto` is
    the order of the processor's own engines. analysis: `float` or `int8`, see `swathpack.edge.codec.analysis`; an engine with an
    analysis of its own goes before it. engine_events: what happened to each that was tried.
    """

    def __init__(
        self,
        directory: Path = DEFAULT_DIRECTORY,
        threads: int = 1,
        engine: str = "auto",
        analysis: str = "float",
    ) -> None:
        self.directory, self.threads = directory, threads
        self._lock = threading.Lock()
        try:
            self.manifest = _manifest(directory / MANIFEST)
            self.digest = model_digest(directory)
        except (OSError, ValueError) as error:
            raise ModelError(f"model in {directory}: {reason(error, directory)}") from error
        # Before anything is parsed: a damaged archive fails in many ways, but its digest only in one.
        if self.manifest.get("model_digest") != self.digest.hex():
            raise ModelError(
                f"model in {directory}: files have digest {self.digest.hex()}, "
                f"its manifest says {self.manifest.get('model_digest')}"
            )
        self.parameters = _arrays(directory / "entropy.npz")
        try:
            self.tables = ProbabilityTables.from_arrays(self.parameters)
        except (ValueError, KeyError, TableError) as error:
            raise ModelError(f"model in {directory}: {error}") from error
        self.tables_digest = self.tables.digest()
        self.engine_events: list[EngineEvent] = []
        self.engine: EntropyEngine = self._make_engine(engine)
        if analysis != "float":
            self._analysis = self._make_analysis(analysis)

    def _make_engine(self, name: str) -> EntropyEngine:
        if name in ("float32", "int64"):
            return ExactNetwork(self.parameters, np.dtype(name))
        from swathpack.edge.codec.engines import EngineRefused, configured_order, open_engine, open_first

        try:
            if name == "auto" or "," in name:
                engine, self.engine_events = open_first(configured_order(name), self)
                return engine
            return open_engine(name, self)
        except EngineRefused as refused:
            raise ModelError(str(refused)) from refused

    def session(self, name: str) -> Any:
        """An ONNX Runtime session of a graph in the model's directory, on the CPU."""
        from swathpack.edge.codec.engines.onnxruntime_engine import open_session

        graph = self._checked(name)
        try:
            return open_session(graph, self.threads)
        except Exception as error:  # onnxruntime raises classes of its own for every cause
            raise ModelError(f"model in {self.directory}: {name}: {error}") from error

    def _checked(self, name: str) -> bytes:
        """A file that the manifest vouches for; raises ModelError for one that it does not name."""
        try:
            data = (self.directory / name).read_bytes()
            check_file(name, data, self.manifest)
        except (OSError, DigestError) as error:
            raise ModelError(f"model in {self.directory}: {reason(error, self.directory)}") from error
        return data

    def check_files(self) -> None:
        """That every file of the folder is one that the manifest names, and as it says, whether or not it is used now; and
        that the transform coder's model is its own. Raises ModelError.
        """
        there = {p.name for p in self.directory.iterdir() if p.suffix in FILES and p.name != MANIFEST}
        files = self.manifest.get("files")
        for name in sorted(there | set(files if isinstance(files, dict) else ())):
            self._checked(name)
        try:
            read_bitplane_model()
        except ValueError as error:
            raise ModelError(str(error)) from error

    def _make_analysis(self, kind: str) -> Any:
        from swathpack.edge.codec.analysis import open_analysis

        own = getattr(self.engine, "analysis", None)
        if own is not None:
            return own
        try:
            session, told = open_analysis(self, kind)
        except ValueError as error:
            raise ModelError(str(error)) from error
        self.engine_events = [*self.engine_events, *told]
        return session

    @cached_property
    def _analysis(self) -> Any:
        # An engine on a GPU brings the transform along, unless that failed there.
        return getattr(self.engine, "analysis", None) or self.session("analysis.onnx")

    @cached_property
    def _synthesis(self) -> Any:
        return self.session("synthesis.onnx")

    @cached_property
    def gains(self) -> NDArray[np.float64]:
        """(512,) DN^2 of squared error, summed over a frame, for a unit squared error of a coefficient (64 DN
        units).
        """
        data = io.BytesIO(self._checked("gains.npz"))
        found = _arrays(self.directory / "gains.npz", data).get("gains", np.zeros(0)).astype(np.float64)
        if found.shape != (CHANNELS,):
            raise ModelError(f"gains.npz: expected ({CHANNELS},), found {found.shape}")
        return found

    def analyse(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Tile (12, H, W) DN without nodata -> coefficients (512, ceil(H/16), ceil(W/16)) in units of 64
        DN.
        """
        out: NDArray[np.float32] = self._analysis.run(None, {"frame": padded(tile)[None]})[0][0]
        return out

    def synthesise(self, latent: Reconstruction | NDArray[np.float32], q: int = -1) -> NDArray[np.float32]:
        """Latent (512, h, w) -> (12, 16h, 16w) DN.

        Best is what `TileDecoder.reconstruction` gives; values alone, in steps of q, will do where nothing more is
        known.
        """
        if not isinstance(latent, Reconstruction):
            latent = Reconstruction(latent, latent, np.full(latent.shape, NO_SCALE, np.uint8), q)
        feeds = {
            "latent": latent.values[None].astype(np.float32),
            "expected": latent.mean[None].astype(np.float32),
            "scale": latent.scale[None].astype(np.float32),
            "q": np.array([[latent.q]], np.float32),
        }
        out: NDArray[np.float32] = self._synthesis.run(
            None, {i.name: feeds[i.name] for i in self._synthesis.get_inputs()}
        )[0][0]
        return out
