"""The manifest of a model folder: what refuses a wrong pairing of files, and what was proven of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from swathpack.codec.atomic import replaced
from swathpack.edge.codec.base_layer import BASE_GROUPS
from swathpack.edge.codec.engines import BASE_GRAPH, GOLDEN, GRAPH
from swathpack.edge.codec.latents import CHANNELS, LAYERS
from swathpack.edge.codec.model import FILES
from swathpack.edge.codec.network import ACT_BITS, IN_BITS, RES_BITS
from swathpack.edge.digests import MANIFEST
from swathpack.edge.spoken import reason
from swathpack.export.checks import describe_graph
from swathpack.export.digests import digest_of
from swathpack.export.entropy_graph import entropy_graph
from swathpack.export.golden import write_golden
from swathpack.export.integer import INPUT_PEAK, LIMIT, prove_bounds

ENGINE_FILES = (GRAPH, BASE_GRAPH, GOLDEN)
NETWORK = (".weight", ".bias", ".exponent")
NAMES = ("base_index", "step_embed", "heads")

Parameters = dict[str, NDArray[Any]]


class ExportError(Exception):
    """The export is refused; the message says which step and why."""


def write_engine_files(parameters: Parameters, folder: Path, golden: Path | None = None) -> None:
    """The graphs of both entropy passes, and the golden vectors; golden: those of this very network, where they are made already."""
    onnx.save(entropy_graph(parameters), str(folder / GRAPH))
    onnx.save(entropy_graph(parameters, BASE_GROUPS), str(folder / BASE_GRAPH))
    if golden is None:
        write_golden(parameters, folder / GOLDEN)
    else:
        shutil.copyfile(golden, folder / GOLDEN)


def complete_manifest(folder: Path) -> None:
    """Add to manifest.json what refuses a wrong pairing: digests of all files, ports of the graphs, number formats,
    and the bound of every layer.
    """
    manifest = read_manifest(folder)
    with np.load(folder / "entropy.npz", allow_pickle=False) as archive:
        parameters = {k: archive[k] for k in archive.files}
    network = {k: v for k, v in parameters.items() if k.endswith(NETWORK) or k in NAMES}
    manifest["engine_files"] = {name: digest_of(folder / name) for name in ENGINE_FILES}
    manifest["files"] = {
        p.name: digest_of(p) for p in sorted(folder.iterdir()) if p.suffix in FILES and p.name != MANIFEST
    }
    manifest["graphs"] = {p.name: describe_graph(onnx.load(p)) for p in sorted(folder.glob("*.onnx"))}
    manifest["integer"] = {
        "activation_bits": ACT_BITS,
        "input_bits": IN_BITS,
        "residual_bits": RES_BITS,
        "input_peak": INPUT_PEAK,
        "limit": LIMIT,
    }
    manifest["network"] = {
        "channels": CHANNELS,
        "layers": LAYERS,
        "width": int(network["step_embed"].shape[1]),
        "blocks": sum(k.endswith("attention.query.weight") for k in network),
        "heads": int(network["heads"]),
    }
    manifest["bounds"] = {
        b.layer: {
            "worst": b.worst,
            "bits": round(float(np.log2(max(b.worst, 1))), 3),
            "margin_bits": round(b.margin_bits, 3),
        }
        for b in prove_bounds(network)
    }
    with replaced(folder / MANIFEST) as part:
        part.write_text(json.dumps(manifest, indent=1) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder. Raises ExportError."""
    try:
        found = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise ExportError(f"{folder}: expected a model folder with {MANIFEST}: {reason(error, folder)}") from error
    if not isinstance(found, dict):
        raise ExportError(f"{folder / MANIFEST}: expected a JSON object, found {type(found).__name__}")
    return found
