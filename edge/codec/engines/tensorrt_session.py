"""One built TensorRT engine with its memory: two slots, so that copies of one batch overlap the kernels of the other.

A slot has an execution context, a stream, and for every tensor page-locked host memory and device memory for the
largest shape of the profile; all of it is allocated when the session opens. `submit` copies inputs into a free slot
and queues host-to-device copies, kernels and device-to-host copies; `collect` waits for them. Where the CUDA library
can capture streams, the whole slot runs as one CUDA graph from the second run of a shape on.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.engines.cuda import Cuda, CudaError, Octets
from swathpack.edge.codec.engines.tensorrt_build import Shape, make_logger

SLOTS = 2
Array = NDArray[Any]


class TensorRtError(RuntimeError):
    """A call of TensorRT that failed; carries what it logged."""


class Tensor:
    """Name, type and memory of one input or output. Slots, not attributes: the memory scrubber follows attributes,
    and these buffers change with every tile.
    """

    __slots__ = ("name", "dtype", "is_input", "host", "address")

    def __init__(self, name: str, dtype: np.dtype[Any], is_input: bool, host: Octets, address: int) -> None:
        self.name, self.dtype, self.is_input, self.host, self.address = name, dtype, is_input, host, address

    def octets(self, shape: Shape) -> Octets:
        """The part of the host memory that a shape takes. Raises TensorRtError when it does not fit."""
        size = math.prod(shape) * self.dtype.itemsize
        if size > self.host.nbytes:
            raise TensorRtError(f"{self.name}: expected at most {self.host.nbytes} bytes, found shape {shape}")
        return self.host[:size]

    def view(self, shape: Shape) -> Array:
        """The host memory as an array of that shape."""
        return self.octets(shape).view(self.dtype).reshape(shape)


class Slot:
    """One batch on its way: `shapes` are those of the batch in it, `graph` what was captured for them."""

    __slots__ = ("context", "stream", "tensors", "shapes", "runs", "graph")

    def __init__(self, context: Any, stream: Any, tensors: list[Tensor]) -> None:
        self.context, self.stream, self.tensors = context, stream, tensors
        self.shapes: dict[str, Shape] = {}
        self.runs = 0
        self.graph: Any = None


class TensorRtSession:
    """An engine ready to run. Raises TensorRtError when TensorRT does not take the serialised engine."""

    def __init__(self, trt: Any, cuda: Cuda, payload: bytes) -> None:
        self._trt, self._cuda, self._logger = trt, cuda, make_logger(trt)
        with cuda.current():
            # The runtime must outlive the engine, and the engine its contexts.
            self._runtime = trt.Runtime(self._logger)
            self._engine = self._runtime.deserialize_cuda_engine(payload)
            if self._engine is None:
                raise TensorRtError(self._fault("does not load the engine"))
            self._slots = [self._new_slot() for _ in range(SLOTS)]
        self._free = list(self._slots)
        self._ready = threading.Condition()

    @property
    def memory_bytes(self) -> int:
        """Page-locked host memory, which is also what the tensors take on the device; contexts not counted."""
        return sum(t.host.nbytes for slot in self._slots for t in slot.tensors)

    def largest(self, name: str) -> Shape:
        """Largest shape of an input."""
        return tuple(self._engine.get_tensor_profile_shape(name, 0)[2])

    def smallest(self, name: str) -> Shape:
        """Smallest shape of an input."""
        return tuple(self._engine.get_tensor_profile_shape(name, 0)[0])

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, Array]) -> list[Array]:
        """As ONNX Runtime's session: outputs of one batch."""
        return self.collect(self.submit(feeds), outputs)

    def submit(self, feeds: Mapping[str, Array]) -> Slot:
        """Queue a batch; waits for a free slot. Raises TensorRtError, CudaError."""
        with self._ready:
            while not self._free:
                self._ready.wait()
            slot = self._free.pop(0)
        try:
            with self._cuda.current():
                self._prepare(slot, feeds)
                self._start(slot)
        except BaseException:
            self._release(slot)
            raise
        return slot

    def collect(self, slot: Slot, outputs: Sequence[str] | None = None) -> list[Array]:
        """The outputs of a submitted batch, copied out of the slot, which is free again."""
        try:
            with self._cuda.current():
                self._cuda.wait(slot.stream)
            found = {t.name: t.view(slot.shapes[t.name]).copy() for t in slot.tensors if not t.is_input}
        finally:
            self._release(slot)
        return [found[name] for name in outputs or found]

    def layer_information(self) -> str:
        """The engine inspector's JSON for the largest shapes."""
        with self._cuda.current():
            slot = self._slots[0]
            self._set_shapes(slot, {t.name: self.largest(t.name) for t in slot.tensors if t.is_input})
            inspector = self._engine.create_engine_inspector()
            inspector.execution_context = slot.context
            return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def _new_slot(self) -> Slot:
        context = self._engine.create_execution_context()
        if context is None:
            raise TensorRtError(self._fault("has no memory for a context"))
        slot = Slot(context, self._cuda.stream(), [])
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        inputs = {n for n in names if self._engine.get_tensor_mode(n) == self._trt.TensorIOMode.INPUT}
        self._set_shapes(slot, {name: self.largest(name) for name in names if name in inputs})
        for name in names:
            dtype = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name)))
            size = math.prod(context.get_tensor_shape(name)) * dtype.itemsize
            tensor = Tensor(name, dtype, name in inputs, self._cuda.pinned(size), self._cuda.allocate(size))
            self._must(context.set_tensor_address(name, tensor.address), f"address of {name}")
            slot.tensors.append(tensor)
        return slot

    def _prepare(self, slot: Slot, feeds: Mapping[str, Array]) -> None:
        """Shapes and input bytes of a batch into the slot."""
        inputs = [t for t in slot.tensors if t.is_input]
        shapes = {t.name: feeds[t.name].shape for t in inputs}
        if {name: slot.shapes.get(name) for name in shapes} != shapes:
            self._set_shapes(slot, shapes)
            slot.graph, slot.runs = None, 0
            slot.shapes = dict(shapes)
            for t in slot.tensors:
                if not t.is_input:
                    slot.shapes[t.name] = tuple(slot.context.get_tensor_shape(t.name))
        for t in inputs:
            np.copyto(t.view(shapes[t.name]), feeds[t.name], casting="no")

    def _set_shapes(self, slot: Slot, shapes: Mapping[str, Shape]) -> None:
        for name, shape in shapes.items():
            self._must(slot.context.set_input_shape(name, shape), f"shape {shape} of {name}")

    def _start(self, slot: Slot) -> None:
        """Queue the slot, as a graph when there is one. TensorRT wants one plain run of a shape before capture."""
        if slot.graph is not None:
            self._cuda.launch(slot.graph, slot.stream)
            return
        if self._cuda.graphs and slot.runs == 1:
            slot.graph = self._captured(slot)
        if slot.graph is not None:
            self._cuda.launch(slot.graph, slot.stream)
        else:
            self._queue(slot)
        slot.runs += 1

    def _captured(self, slot: Slot) -> Any:
        """The slot's work as a CUDA graph, None when it cannot be captured."""
        self._cuda.wait(slot.stream)
        try:
            self._cuda.begin_capture(slot.stream)
            try:
                self._queue(slot)
            finally:
                graph = self._cuda.end_capture(slot.stream)
        except (CudaError, TensorRtError):
            return None  # some kernels cannot be captured: plain launches give the same result
        return graph

    def _queue(self, slot: Slot) -> None:
        """Copies in, kernels, copies out, in the order of the stream."""
        for t in slot.tensors:
            if t.is_input:
                self._cuda.to_device(t.address, t.octets(slot.shapes[t.name]), slot.stream)
        self._must(slot.context.execute_async_v3(self._cuda.handle(slot.stream)), "run")
        for t in slot.tensors:
            if not t.is_input:
                self._cuda.to_host(t.octets(slot.shapes[t.name]), t.address, slot.stream)

    def _release(self, slot: Slot) -> None:
        with self._ready:
            self._free.append(slot)
            self._ready.notify()

    def _must(self, done: bool, what: str) -> None:
        if not done:
            raise TensorRtError(self._fault(f"refuses {what}"))

    def _fault(self, what: str) -> str:
        return f"TensorRT {what}: " + "; ".join(self._logger.messages or ["no reason given"])
