"""Stand-ins for TensorRT and a GPU, which are not here: the calls that edge/codec/engines makes, and no others.

The "device" is host memory, an "engine" is the ONNX graph itself run by ONNX Runtime. What this shows is that shapes,
types, addresses, copies, files and errors are handled; not what a GPU computes. `export/tensorrt_gate.py` checks that
every name here exists in NVIDIA's own bindings where they are installed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

from swathpack.edge.codec.engines.cuda import CudaError, Octets


class StandinCuda:
    """A "GPU" whose memory is this machine's. Work happens when it is queued; `calls` notes the order."""

    def __init__(self, gpu: str = "Stand-in Orin", capability: str = "8.7", graphs: bool = False) -> None:
        self.gpu, self.capability, self.graphs = gpu, capability, graphs
        self.calls: list[str] = []
        self.recording: list[Any] | None = None
        self.inside = 0
        self.broken = ""
        self.held: list[Any] = []

    @contextmanager
    def current(self) -> Iterator[None]:
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def pinned(self, nbytes: int) -> Octets:
        return np.full(nbytes, 0xA5, np.uint8)

    def allocate(self, nbytes: int) -> int:
        assert self.inside, "memory is allocated inside current()"
        self.held.append((ctypes.c_uint8 * nbytes)())
        return ctypes.addressof(self.held[-1])

    def stream(self) -> Any:
        return SimpleNamespace(queued=0)

    def handle(self, stream: Any) -> int:
        return id(stream)

    def do(self, name: str, work: Any) -> None:
        assert self.inside, f"{name} outside current()"
        if self.broken == name:
            raise CudaError(f"{name}: an illegal memory access was encountered")
        self.calls.append(name)
        if self.recording is not None:
            self.recording.append(work)
        else:
            work()

    def to_device(self, address: int, host: Octets, stream: Any) -> None:
        self.do("to_device", lambda: ctypes.memmove(address, host.ctypes.data, host.nbytes))

    def to_host(self, host: Octets, address: int, stream: Any) -> None:
        self.do("to_host", lambda: ctypes.memmove(host.ctypes.data, address, host.nbytes))

    def wait(self, stream: Any) -> None:
        self.do("wait", lambda: None)

    def begin_capture(self, stream: Any) -> None:
        self.recording = []

    def end_capture(self, stream: Any) -> Any:
        recorded, self.recording = self.recording, None
        return recorded

    def launch(self, graph: Any, stream: Any) -> None:
        self.calls.append("launch")
        for work in graph:
            work()


class StandinTensorRt:
    """The module `tensorrt`. fault: a call that fails (`parse`, `build`, `dla`, `load`, `run`)."""

    __version__ = "10.3.0"

    def __init__(self, cuda: StandinCuda, fault: str = "", dla_cores: int = 0) -> None:
        self.cuda, self.fault, self.builds = cuda, fault, 0
        self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
        self.ProfilingVerbosity = SimpleNamespace(DETAILED="detailed")
        self.BuilderFlag = SimpleNamespace(TF32="tf32", GPU_FALLBACK="gpu_fallback")
        self.DeviceType = SimpleNamespace(DLA="dla")
        self.TensorIOMode = SimpleNamespace(INPUT="input")
        self.LayerInformationFormat = SimpleNamespace(JSON="json")
        outer = self

        class ILogger:
            INTERNAL_ERROR, ERROR = "internal", "error"

            def __init__(self) -> None: ...

        class Builder(_Builder):
            num_DLA_cores = dla_cores  # noqa: N815

            def __init__(self, logger: Any) -> None:
                super().__init__(outer, logger)

        self.ILogger, self.Builder = ILogger, Builder

    def OnnxParser(self, network: Any, logger: Any) -> Any:  # noqa: N802  as in TensorRT
        return _Parser(self, network)

    def Runtime(self, logger: Any) -> Any:  # noqa: N802
        return SimpleNamespace(
            deserialize_cuda_engine=lambda data: None if self.fault == "load" else StandinEngine(self, data)
        )

    @staticmethod
    def nptype(dtype: Any) -> Any:
        return dtype


class _Builder:
    def __init__(self, trt: StandinTensorRt, logger: Any) -> None:
        self._trt, self._logger = trt, logger

    def create_network(self, flags: int) -> Any:
        assert flags == 1 << 1, "strongly typed"
        return SimpleNamespace(model=b"", num_inputs=0, get_input=None)

    def create_builder_config(self) -> Any:
        return _Config(self._trt)

    def create_optimization_profile(self) -> Any:
        shapes: dict[str, Any] = {}
        return SimpleNamespace(shapes=shapes, set_shape=lambda name, *s: shapes.__setitem__(name, s))

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        self._trt.builds += 1
        on_dla = config.default_device_type == "dla"
        if self._trt.fault == "build" or (self._trt.fault == "dla" and on_dla):
            self._logger.log("error", "no implementation for node conv_3/node")
            return None
        (shapes,) = config.profiles
        assert shapes.keys() == {i.name for i in onnx.load_from_string(network.model).graph.input}
        return repr(shapes).encode() + b"\n" + network.model


class _Config:
    default_device_type, DLA_core, profiling_verbosity = "gpu", -1, ""

    def __init__(self, trt: StandinTensorRt) -> None:
        self._trt = trt
        self.profiles: list[Any] = []
        self.timing = b""

    def set_memory_pool_limit(self, pool: str, size: int) -> None: ...
    def clear_flag(self, flag: str) -> None: ...
    def set_flag(self, flag: str) -> None: ...

    def create_timing_cache(self, data: bytes) -> Any:
        return SimpleNamespace(data=data, serialize=lambda: data + b"timed;")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> None:
        self._cache = cache

    def get_timing_cache(self) -> Any:
        return self._cache

    def add_optimization_profile(self, profile: Any) -> None:
        self.profiles.append(profile.shapes)


class _Parser:
    def __init__(self, trt: StandinTensorRt, network: Any) -> None:
        self._trt, self._network, self.num_errors = trt, network, 0

    def parse(self, data: bytes) -> bool:
        if self._trt.fault == "parse":
            self.num_errors = 1
            return False
        inputs = onnx.load_from_string(data).graph.input
        self._network.model, self._network.num_inputs = data, len(inputs)
        self._network.get_input = lambda i: SimpleNamespace(
            name=inputs[i].name, shape=[d.dim_value or -1 for d in inputs[i].type.tensor_type.shape.dim]
        )
        return True

    def get_error(self, index: int) -> str:
        return "unsupported operator Sigmoid"


class StandinEngine:
    def __init__(self, trt: StandinTensorRt, data: bytes) -> None:
        self.trt = trt
        shapes, self.graph = data.split(b"\n", 1)
        self.profile: dict[str, Any] = eval(shapes)  # noqa: S307  our own repr
        graph = onnx.load_from_string(self.graph).graph
        self.inputs = [i.name for i in graph.input]
        self.ports = {p.name: p for p in (*graph.input, *graph.output)}
        self.num_io_tensors = len(self.ports)
        options = onnxruntime.SessionOptions()  # no int8 kernels: they saturate on processors without dot products
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        self.session = onnxruntime.InferenceSession(self.graph, options, providers=["CPUExecutionProvider"])

    def get_tensor_name(self, index: int) -> str:
        return list(self.ports)[index]

    def get_tensor_mode(self, name: str) -> str:
        return "input" if name in self.inputs else "output"

    def get_tensor_dtype(self, name: str) -> Any:
        kinds = {TensorProto.FLOAT: np.float32, TensorProto.INT8: np.int8}
        return kinds[self.ports[name].type.tensor_type.elem_type]

    def get_tensor_profile_shape(self, name: str, profile: int) -> Any:
        return self.profile[name]

    def create_execution_context(self) -> Any:
        return Context(self)

    def create_engine_inspector(self) -> Any:
        return SimpleNamespace(execution_context=None, get_engine_information=lambda form: '{"Layers": []}')


class Context:
    def __init__(self, engine: StandinEngine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: Any) -> bool:
        low, _, high = self._engine.profile[name]
        if not all(a <= n <= b for a, n, b in zip(low, shape, high)):
            return False
        self._shapes[name] = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self._shapes:
            return self._shapes[name]
        if name == "coefficients":
            batch, _, *sides = self._shapes["frame"]
            return (batch, 512, *((n - 8) // 16 for n in sides))
        batch = self._shapes["own"][0]
        positions = self._shapes["own"][2] * self._shapes["own"][3]
        return (batch, positions, 192) if name == "first" else (batch, 1920, positions, 1)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        if self._engine.trt.fault == "run":
            return False
        shapes = dict(self._shapes)
        self._engine.trt.cuda.do("execute", lambda: self._execute(shapes))
        return True

    def _execute(self, shapes: dict[str, tuple[int, ...]]) -> None:
        feeds = {name: self._array(name, shapes[name]).copy() for name in self._engine.inputs}
        outputs = [o.name for o in self._engine.session.get_outputs()]
        for name, value in zip(outputs, self._engine.session.run(outputs, feeds)):
            self._array(name, value.shape)[...] = value

    def _array(self, name: str, shape: tuple[int, ...]) -> Any:
        dtype = np.dtype(self._engine.get_tensor_dtype(name))
        size = int(np.prod(shape)) * dtype.itemsize
        raw = (ctypes.c_uint8 * size).from_address(self._addresses[name])
        return np.frombuffer(raw, np.uint8).view(dtype).reshape(shape)
