"""Means over trials by cloud cover, as JSON, as Markdown tables and as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swathpack.tools.bench.metrics import mean_psnr
from swathpack.tools.inpaint.trials import COVERS

if TYPE_CHECKING:
    from swathpack.tools.inpaint.evaluate import Score

MEASURES = {
    "psnr": ("PSNR, dB", "{:.2f}"),
    "ssim": ("SSIM", "{:.4f}"),
    "angle": ("spectral angle, degrees", "{:.2f}"),
}


REAL = "real clouds"
# What the repair must beat, and which of it sees no more than the repair from earlier dates does.
BASELINES = ("last clear date", "median, all", "linear in time", "regression on last date")
CAUSAL = ("last clear date", "median, earlier", "regression on last date")
RACES = (
    ("inpaint", "against_causal", "the three from earlier dates"),
    ("inpaint", "against_all", "all four"),
    ("inpaint, later", "against_all", "all four"),
)


def summarise(scores: Sequence[Score], methods: Mapping[str, bool], split: str) -> dict[str, Any]:
    """Means per group of trials and method; groups are ranges of synthetic cover, then dates with real clouds."""
    groups = {
        f"{low:.0%} to {high:.0%}": [s for s in scores if s.kind == "synthetic" and low <= _asked(s) < high]
        for low, high in COVERS
    }
    groups[REAL] = [s for s in scores if s.kind == "real"]
    return {
        "split": split,
        "methods": {name: {"later": later} for name, later in methods.items()},
        "series": sorted({s.name for s in scores}),
        "groups": {name: _group(members, methods) for name, members in groups.items() if members},
    }


def _asked(score: Score) -> float:
    """Cover of a trial for its group: real cloud on the date counts too, so that it is what the methods face."""
    return min(score.cover, float(np.nextafter(1.0, 0.0)))


def _group(members: Sequence[Score], methods: Mapping[str, bool]) -> dict[str, Any]:
    trials = {(s.name, s.date, s.cover): s.cover for s in members}
    out: dict[str, Any] = {"trials": len(trials), "cover": float(np.mean(list(trials.values())))}
    for method in methods:
        own = [s for s in members if s.method == method]
        out[method] = {
            "psnr": mean_psnr([s.psnr for s in own]),
            "ssim": float(np.nanmean([s.ssim for s in own])),
            "angle": float(np.nanmean([s.angle for s in own])),
            "against_all": _against(members, own, BASELINES),
            "against_causal": _against(members, own, CAUSAL),
        }
    return out


def _against(members: Sequence[Score], own: Sequence[Score], rivals: Sequence[str]) -> dict[str, float]:
    """Trials in which the PSNR is above that of every rival, and the difference to the best: mean and least, dB."""
    best: dict[tuple[str, int, float], float] = {}
    for s in members:
        if s.method in rivals:
            key = (s.name, s.date, s.cover)
            best[key] = max(best.get(key, -np.inf), s.psnr)
    gaps = [s.psnr - best[s.name, s.date, s.cover] for s in own]
    return {"ahead": sum(g > 0 for g in gaps), "gap": float(np.mean(gaps)), "worst": float(min(gaps))}


def write_tables(found: Mapping[str, Any]) -> str:
    """Markdown, a table per measure: methods down, groups across; * looks at later dates."""
    groups = found["groups"]
    lines = [f"Split {found['split']}: {', '.join(found['series'])}. \\* looks at later dates too.", ""]
    for key, (title, form) in MEASURES.items():
        lines += [f"**{title}**", "", "| | " + " | ".join(groups) + " |", "|---" * (len(groups) + 1) + "|"]
        if key == "psnr":
            lines.append("| trials | " + " | ".join(str(g["trials"]) for g in groups.values()) + " |")
        for method, said in found["methods"].items():
            row = [form.format(g[method][key]) for g in groups.values()]
            lines.append(f"| {method}{' *' if said['later'] else ''} | " + " | ".join(row) + " |")
        lines.append("")
    lines += ["**Against the best of the rivals, trial by trial (trials won; mean; worst)**", ""]
    lines += ["| | " + " | ".join(groups) + " |", "|---" * (len(groups) + 1) + "|"]
    for method, key, whom in RACES:
        races = [(g[method][key], g["trials"]) for g in groups.values()]
        row = [f"{r['ahead']} of {n}; {r['gap']:+.2f} dB; {r['worst']:+.2f}" for r, n in races]
        lines.append(f"| {method}, against {whom} | " + " | ".join(row) + " |")
    return "\n".join([*lines, ""])


def write_plot(found: Mapping[str, Any], path: Path) -> bool:
    """PSNR over cover, a line per method; False where matplotlib is missing."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return False
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.6), sharey=True)
    groups = {name: g for name, g in found["groups"].items() if name != REAL}
    for axis, later in zip(axes, (False, True)):
        for method, said in found["methods"].items():
            if said["later"] == later:
                values = [g[method]["psnr"] for g in groups.values()]
                axis.plot(list(groups), values, label=method, **_style(method))
        axis.set_title("earlier and later dates" if later else "earlier dates only")
        axis.set_xlabel("cloud cover of the frame")
        axis.grid(alpha=0.3)
        axis.margins(y=0.35)  # room for the legend below the lines
        axis.legend(fontsize=8, loc="lower left", ncols=2)
    axes[0].set_ylabel("PSNR of hidden pixels, dB")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return True


def _style(method: str) -> dict[str, Any]:
    if method.startswith("inpaint"):
        return {"lw": 3.5, "marker": "o", "color": "tab:cyan"}
    if method.startswith("dates"):  # often on top of the line before
        return {"lw": 1.2, "ls": ":", "color": "black", "zorder": 3}
    return {"lw": 1.3, "marker": ".", "ls": "--" if method.startswith("codec") else "-"}
