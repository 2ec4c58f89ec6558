"""Built engines on disk: a file belongs to the GPU, the TensorRT version and the graph that made it.

    magic     8 bytes   b"SWPENG01"
    length    4 bytes   of the head, big-endian
    head      JSON      what the engine belongs to (EngineKey), and the SHA-256 of the payload
    payload             as TensorRT serialised it

A file that is damaged, cut short or of another key reads as None and is built anew. Files are written beside their
name and moved, so a power cut leaves the old one or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

MAGIC = b"SWPENG01"


@dataclass(frozen=True)
class EngineKey:
    """What a built engine belongs to. graph: digest of the ONNX file. options: batch, device and whatever else decided
    the build.
    """

    role: str
    gpu: str
    capability: str
    tensorrt: str
    graph: str
    options: str

    @property
    def name(self) -> str:
        """File name: readable, and different whenever the key is."""
        gpu = re.sub(r"[^A-Za-z0-9]+", "-", self.gpu).strip("-")[:32]
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]
        return f"{self.role}-{gpu}-sm{self.capability.replace('.', '')}-trt{self.tensorrt}-{digest}.engine"

    @property
    def timing_name(self) -> str:
        """Of the timing cache, which all graphs on one GPU and TensorRT version share."""
        gpu = re.sub(r"[^A-Za-z0-9]+", "-", self.gpu).strip("-")[:32]
        return f"timing-{gpu}-sm{self.capability.replace('.', '')}-trt{self.tensorrt}.cache"


def pack(key: EngineKey, payload: bytes) -> bytes:
    """The bytes of a file: key and digest as JSON, then the payload."""
    head = json.dumps({**asdict(key), "sha256": hashlib.sha256(payload).hexdigest()}).encode()
    return MAGIC + struct.pack(">I", len(head)) + head + payload


def unpack(key: EngineKey, data: bytes) -> bytes | None:
    """The payload, or None when the bytes are damaged or belong to another key."""
    start = len(MAGIC) + 4
    if len(data) < start or data[: len(MAGIC)] != MAGIC:
        return None
    length = struct.unpack_from(">I", data, len(MAGIC))[0]
    try:
        head = json.loads(data[start : start + length])
    except ValueError:
        return None
    payload = data[start + length :]
    expected = {**asdict(key), "sha256": hashlib.sha256(payload).hexdigest()}
    return payload if head == expected else None


def load(folder: Path, key: EngineKey) -> tuple[bytes | None, str]:
    """The stored engine, or None; and why it is not used, "" when there was none."""
    try:
        data = (folder / key.name).read_bytes()
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"{key.name} cannot be read: {error.strerror}"
    payload = unpack(key, data)
    return payload, "" if payload is not None else f"{key.name} is damaged or foreign"


def store(folder: Path, name: str, data: bytes) -> str:
    """Write a file atomically; returns why it could not be kept, "" when it was."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, folder / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        return f"{name} not kept: {error.strerror}"
    return ""
