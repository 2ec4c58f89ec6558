"""The kits that bundles are made for."""

from __future__ import annotations

from dataclasses import dataclass

PYTHON_OF_JETPACK = {6: "3.10", 7: "3.12"}


@dataclass(frozen=True)
class Kit:
    """power_mode: a name in the board's /etc/nvpmodel.conf. memory_mb: what the runtime may take at most."""

    power_mode: str
    memory_mb: int


# Modes that all releases of JetPack 6 and 7 offer on the kit; memory leaves room for the system and CUDA.
KITS = {
    "orin-agx": Kit("MODE_30W", 8192),
    "orin-nx": Kit("15W", 4096),
    "orin-nano": Kit("15W", 3072),
}
