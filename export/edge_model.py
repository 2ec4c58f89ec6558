"""Build models/edge from training checkpoints.

    python -m swathpack.export.edge_model --transform runs/transform/transform.pt --entropy runs/entropy/entropy.pt
    --prior runs/prior.npz --out models/edge

Writes entropy.npz, its graphs, golden.npz, analysis.onnx, synthesis.onnx, gains.npz and manifest.json, and
prints the bound of the tightest layers. Refuses a model whose worst-case sums do not fit (BoundError names
the layer).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from swathpack.codec.atomic import staged
from swathpack.codec.entropy import EntropyModel
from swathpack.codec.train_entropy import load_transform
from swathpack.codec.transform import UNIT, EdgeTransform
from swathpack.edge.codec.model import model_digest
from swathpack.edge.codec.tables import Mixture, build
from swathpack.export.analysis_int8 import write as write_int8_analysis
from swathpack.export.integer import Bound, integer_parameters, prove_bounds
from swathpack.export.manifest import complete_manifest, write_engine_files
from swathpack.export.transform_graphs import analysis_graph, synthesis_graph


def load_entropy(path: Path) -> EntropyModel:
    """The averaged weights of stage 2."""
    model = EntropyModel()
    model.load_state_dict(torch.load(path, weights_only=True)["ema"])
    return model.eval().requires_grad_(False)


def load_mean(paths: Sequence[Path]) -> EdgeTransform:
    """The mean of the averaged weights of several checkpoints that were trained from one start: often better than each
    (Wortsman et al., "Model soups", ICML 2022).
    """
    model, found = load_transform(paths[0]), [load_transform(path).state_dict() for path in paths]
    model.load_state_dict({key: torch.stack([f[key] for f in found]).mean(0) for key in found[0]})
    return model


def synthesis_gains(transform: EdgeTransform) -> Any:
    """(512,) squared error in DN^2 over the frame per unit squared error of a coefficient: the kernels'
    energy.
    """
    return (transform.synthesis_kernel.square().sum((1, 2, 3)) * UNIT**2).double().numpy()


def write_model(
    transform: EdgeTransform,
    entropy: EntropyModel,
    out: Path,
    notes: dict[str, Any],
    prior: NDArray[np.int32] | None = None,
    golden: Path | None = None,
) -> list[Bound]:
    """Write the model's files, all of them or none; returns the proven bounds. prior: of `swathpack.codec.fit_prior`;
    without one, scales do not adapt. golden: see `write_engine_files`.
    """
    parameters = integer_parameters(entropy)
    bounds = prove_bounds(parameters)
    tables = replace(build(mixture=Mixture(logistic=1.0, gaussian=0.0, laplace=0.0)), prior=prior)
    arrays: dict[str, Any] = {**parameters, **tables.to_arrays()}
    with staged(out) as place:
        np.savez_compressed(place / "entropy.npz", **arrays)
        onnx.save(analysis_graph(transform), str(place / "analysis.onnx"))
        onnx.save(synthesis_graph(transform), str(place / "synthesis.onnx"))
        np.savez_compressed(place / "gains.npz", gains=synthesis_gains(transform))
        write_engine_files(parameters, place, golden)
        manifest = {
            "preset": "edge",
            "model_digest": model_digest(place).hex(),
            "tables_digest": tables.digest().hex(),
            "parameters": {
                "analysis": transform.analysis_kernel.numel(),
                "synthesis": sum(p.numel() for n, p in transform.named_parameters() if n != "analysis_kernel"),
                "entropy": sum(v.size for k, v in parameters.items() if k.endswith((".weight", ".bias"))),
            },
            **notes,
        }
        (place / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
        write_int8_analysis(place)
        complete_manifest(place)
    return bounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--transform",
        type=Path,
        nargs="+",
        default=[Path("runs/transform/transform.pt")],
        help="checkpoint of stage 1 or 3; of several the weights' mean",
    )
    parser.add_argument("--entropy", type=Path, default=Path("runs/entropy/entropy.pt"))
    parser.add_argument("--prior", type=Path, help="what adaptive scales start from (default: scales do not adapt)")
    parser.add_argument("--out", type=Path, default=Path("models/edge"))
    args = parser.parse_args()
    states = {
        n: torch.load(p, weights_only=True)["state"]
        for n, p in (("transform", args.transform[-1]), ("entropy", args.entropy))
    }
    bounds = write_model(
        load_mean(args.transform),
        load_entropy(args.entropy),
        args.out,
        {"training": states, "attribution": "Trained on modified Copernicus Sentinel data 2015-2024."},
        None if args.prior is None else np.load(args.prior)["prior"],
    )
    for b in sorted(bounds, key=lambda b: b.margin_bits)[:8]:
        print(f"{b.layer:36s} worst sum {b.worst:8d} of {1 << 22}, {b.margin_bits:.2f} bits to spare")


if __name__ == "__main__":
    main()
