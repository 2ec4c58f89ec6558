"""The flight runtime loads nothing that a board does not have."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GROUND_ONLY = ("torch", "onnx", "scipy", "matplotlib", "tools", "codec", "export", "calibration", "hil_tests")
# Read by name in the child: a failed import of one module must not hide what the others load.
CHILD = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted({m.partition(".")[0] for m in sys.modules})))
"""
OPTIONAL = {"edge.rangecoder.constriction_decoder"}  # needs the ground's decoder package


def edge_modules() -> list[str]:
    """Every module of edge/, from the files."""
    names = []
    for path in sorted((ROOT / "edge").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return [n for n in names if n not in OPTIONAL and not n.endswith("__main__")]


def loaded_by(names: list[str]) -> set[str]:
    """Top-level modules in a fresh process after importing `names`."""
    command = [sys.executable, "-c", CHILD, json.dumps(names)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_every_module_of_edge_is_found() -> None:
    assert {"edge", "edge.codec", "edge.stream.reader", "edge.rangecoder.native"} <= set(edge_modules())


def test_edge_loads_nothing_of_the_ground() -> None:
    assert loaded_by(["edge"]).isdisjoint(GROUND_ONLY)
    assert loaded_by(edge_modules()).isdisjoint(GROUND_ONLY)


def test_the_check_sees_what_is_loaded() -> None:
    assert "tools" in loaded_by(["tools.errors"])
