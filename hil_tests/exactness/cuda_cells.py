"""The GPU's cells of the exactness matrix: the network by torch on CUDA, and what a copy through the runtime's buffers brings back.

Each cell is skipped by name where torch finds no GPU, or a CUDA library none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from swathpack.edge.codec.engines.cuda import LIBRARIES, Cuda, CudaError, CudaMissing, open_cuda
from swathpack.hil_tests.exactness.torch_engine import Array, TorchEngine
from swathpack.hil_tests.exactness.worker import Result, Tile, batch_predictions, predictions

KINDS = (
    "float32",
    "float32 TF32",
    "float64",
)  # TF32 rounds the factors of products to 11 bits: those of int8 planes fit
BUFFER_BYTES = (1, 4096, (1 << 22) + 3)


@contextmanager
def tensor_cores(on: bool) -> Iterator[None]:
    """Whether float32 products may use TF32."""
    matmul, convolution = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = on
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, convolution


def torch_cells(
    parameters: dict[str, Array], tiles: Sequence[Tile], batches: Sequence[int], device: str = "cuda"
) -> Iterator[tuple[str, Result | None]]:
    """Name and predictions of every torch cell, None where there is no GPU."""
    there = device != "cuda" or torch.cuda.is_available()
    for kind in KINDS:
        for batch in batches if kind != "float64" else (1,):
            name = f"torch {device} {kind}" + (f" batch {batch}" if kind != "float64" else "")
            if not there:
                yield name, None
                continue
            engine = TorchEngine(parameters, torch.float64 if kind == "float64" else torch.float32, device)
            with tensor_cores(kind.endswith("TF32")):
                found = predictions(engine, tiles) if batch == 1 else batch_predictions(engine, tiles, batch)
            yield name, found


def buffer_cells(rng: np.random.Generator) -> Iterator[tuple[str, int | str]]:
    """Name of every CUDA library, and how many bytes differ after the way to the GPU and back; a sentence where it finds none."""
    for library in LIBRARIES:
        try:
            cuda = open_cuda(library)
        except CudaMissing as error:
            yield f"buffers {library}", str(error)
            continue
        yield f"buffers {library}", sum(changed_bytes(cuda, size, rng) for size in BUFFER_BYTES)


def changed_bytes(cuda: Cuda, size: int, rng: np.random.Generator) -> int:
    """Of `size` random bytes that go to the GPU and come back; all of them where a call fails."""
    try:
        with cuda.current():
            given, back, address = cuda.pinned(size), cuda.pinned(size), cuda.allocate(size)
            given[:] = rng.integers(0, 256, size, np.uint8)
            back[:] = ~given
            stream: Any = cuda.stream()
            cuda.to_device(address, given, stream)
            cuda.to_host(back, address, stream)
            cuda.wait(stream)
            return int((given != back).sum())
    except CudaError:
        return size
