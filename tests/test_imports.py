"""The flight runtime loads nothing that a board does not have."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("tools", "codec", "export", "calibration", "hil_tests")
GROUND_ONLY = ("torch", "onnx", "scipy", "matplotlib", *(f"swathpack.{part}" for part in PARTS))
# Read by name in the child: a failed import of one module must not hide what the others load.
CHILD = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted({".".join(m.split(".")[:2 if m.startswith("swathpack.") else 1]) for m in sys.modules})))
"""
OPTIONAL = {"swathpack.edge.codec.rangecoder.constriction_decoder"}  # needs the ground's decoder package


def edge_modules() -> list[str]:
    """Every module of edge/, from the files."""
    names = []
    for path in sorted((ROOT / "edge").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names.append(".".join(["swathpack", *(parts[:-1] if parts[-1] == "__init__" else parts)]))
    return [n for n in names if n not in OPTIONAL and not n.endswith("__main__")]


def loaded_by(names: list[str]) -> set[str]:
    """Top-level modules, and parts of swathpack, in a fresh process after importing `names`."""
    command = [sys.executable, "-c", CHILD, json.dumps(names)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_every_module_of_edge_is_found() -> None:
    assert {
        "swathpack.edge",
        "swathpack.edge.codec.tile_coder",
        "swathpack.edge.stream.reader",
        "swathpack.edge.codec.rangecoder.native",
    } <= set(edge_modules())


def test_edge_loads_nothing_of_the_ground() -> None:
    assert loaded_by(["swathpack.edge"]).isdisjoint(GROUND_ONLY)
    assert loaded_by(edge_modules()).isdisjoint(GROUND_ONLY)


def test_the_check_sees_what_is_loaded() -> None:
    assert "swathpack.tools" in loaded_by(["swathpack.tools.errors"])
