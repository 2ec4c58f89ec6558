"""The few CUDA calls an engine needs, behind one interface: pycuda where it is installed, else cuda-python.

Device memory is an address (int), page-locked host memory an array; both live as long as the `Cuda` object. A CUDA
context belongs to a thread: work is done inside `with cuda.current():`. pycuda has no stream capture, so CUDA graphs
need cuda-python. Neither library can be imported without an NVIDIA driver; this module imports them only when asked.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Octets = NDArray[np.uint8]
LIBRARIES = ("pycuda", "cuda-python")


class CudaError(RuntimeError):
    """A CUDA call that failed: the call, and what the driver says."""


class CudaMissing(Exception):  # noqa: N818
    """No CUDA library, driver or GPU; says what was tried. `absent`: no library at all."""

    def __init__(self, message: str, absent: bool) -> None:
        super().__init__(message)
        self.absent = absent


class Cuda(Protocol):
    """Memory, streams and copies of one GPU; methods raise CudaError. Streams and graphs are opaque. gpu: its name,
    capability: `8.7`. graphs: whether streams can be captured.
    """

    gpu: str
    capability: str
    graphs: bool

    def current(self) -> AbstractContextManager[None]:
        """The GPU is the calling thread's inside; no other method may be called outside."""

    def pinned(self, nbytes: int) -> Octets:
        """Page-locked memory of the host, (nbytes,) uint8: what copies run from and to."""

    def allocate(self, nbytes: int) -> int:
        """Address of `nbytes` of the GPU's memory, never given back."""

    def stream(self) -> Any:
        """A queue of copies and launches that waits for no other."""

    def handle(self, stream: Any) -> int:
        """The stream's address, as TensorRT takes it."""

    def to_device(self, address: int, host: Octets, stream: Any) -> None:
        """Queue a copy of all of pinned `host` to the GPU's `address`; returns at once."""

    def to_host(self, host: Octets, address: int, stream: Any) -> None:
        """Queue a copy from the GPU's `address` that fills pinned `host`; returns at once."""

    def wait(self, stream: Any) -> None:
        """Returns when all that was queued on the stream is done."""

    def begin_capture(self, stream: Any) -> None:
        """What is queued from here on is recorded, not run."""

    def end_capture(self, stream: Any) -> Any:
        """The recorded graph, ready to launch."""

    def launch(self, graph: Any, stream: Any) -> None:
        """Queue a graph's recorded work."""


class PyCuda:
    """A `Cuda`: pycuda's driver API on the primary context of a GPU."""

    graphs = False

    def __init__(self, device: int = 0) -> None:
        import pycuda.driver as driver

        driver.init()
        self._driver, self._device = driver, driver.Device(device)
        self._context = self._device.retain_primary_context()
        self.gpu = str(self._device.name())
        self.capability = ".".join(str(n) for n in self._device.compute_capability())
        self._held: list[Any] = []

    @contextmanager
    def current(self) -> Iterator[None]:
        self._context.push()
        try:
            yield
        except self._driver.Error as error:
            raise CudaError(str(error)) from error
        finally:
            self._driver.Context.pop()

    def pinned(self, nbytes: int) -> Octets:
        array: Octets = self._driver.pagelocked_empty(nbytes, np.uint8)
        return array

    def allocate(self, nbytes: int) -> int:
        self._held.append(self._driver.mem_alloc(nbytes))
        return int(self._held[-1])

    def stream(self) -> Any:
        return self._driver.Stream()

    def handle(self, stream: Any) -> int:
        return int(stream.handle)

    def to_device(self, address: int, host: Octets, stream: Any) -> None:
        self._driver.memcpy_htod_async(address, host, stream)

    def to_host(self, host: Octets, address: int, stream: Any) -> None:
        self._driver.memcpy_dtoh_async(host, address, stream)

    def wait(self, stream: Any) -> None:
        stream.synchronize()

    def begin_capture(self, stream: Any) -> None:
        raise CudaError("pycuda does not capture streams")

    def end_capture(self, stream: Any) -> Any:
        raise CudaError("pycuda does not capture streams")

    def launch(self, graph: Any, stream: Any) -> None:
        raise CudaError("pycuda does not launch graphs")


class CudaPython:
    """A `Cuda`: NVIDIA's cuda-python (cuda.bindings), runtime API."""

    graphs = True

    def __init__(self, device: int = 0) -> None:
        from cuda.bindings import runtime

        self._runtime, self._device = runtime, device
        properties = self._call("cudaGetDeviceProperties", device)
        name = properties.name
        self.gpu = name.decode().rstrip("\0") if isinstance(name, bytes) else str(name)
        self.capability = f"{properties.major}.{properties.minor}"

    def _call(self, name: str, *args: Any) -> Any:
        """Calls return (status, results...): the result, or CudaError."""
        status, *results = getattr(self._runtime, name)(*args)
        if int(status) != 0:
            raise CudaError(f"{name}: {status.name}")
        return results[0] if len(results) == 1 else results

    @contextmanager
    def current(self) -> Iterator[None]:
        self._call("cudaSetDevice", self._device)
        yield

    def pinned(self, nbytes: int) -> Octets:
        address = int(self._call("cudaMallocHost", nbytes))
        array: Octets = np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))
        return array

    def allocate(self, nbytes: int) -> int:
        return int(self._call("cudaMalloc", nbytes))

    def stream(self) -> Any:
        return self._call("cudaStreamCreateWithFlags", self._runtime.cudaStreamNonBlocking)

    def handle(self, stream: Any) -> int:
        return int(stream)

    def to_device(self, address: int, host: Octets, stream: Any) -> None:
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, host.ctypes.data, host.nbytes, kind, stream)

    def to_host(self, host: Octets, address: int, stream: Any) -> None:
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", host.ctypes.data, address, host.nbytes, kind, stream)

    def wait(self, stream: Any) -> None:
        self._call("cudaStreamSynchronize", stream)

    def begin_capture(self, stream: Any) -> None:
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)

    def end_capture(self, stream: Any) -> Any:
        return self._call("cudaGraphInstantiate", self._call("cudaStreamEndCapture", stream), 0)

    def launch(self, graph: Any, stream: Any) -> None:
        self._call("cudaGraphLaunch", graph, stream)


def open_cuda(library: str = "", device: int = 0) -> Cuda:
    """The first library of LIBRARIES, or the one named, that finds a GPU. Raises CudaMissing."""
    if library and library not in LIBRARIES:
        raise CudaMissing(f"expected one of {', '.join(LIBRARIES)}, found {library}", absent=True)
    faults, absent = [], True
    for name in (library,) if library else LIBRARIES:
        try:
            return PyCuda(device) if name == "pycuda" else CudaPython(device)
        except ImportError as error:
            faults.append(f"{name}: {error}")
        except Exception as error:  # each library has an error class of its own
            absent = False
            faults.append(f"{name}: {type(error).__name__}: {error}")
    raise CudaMissing("; ".join(faults), absent)
