"""Tables and charts of a band set over all rates: the mean of the cubes, and the worst one beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.tools.errors import UserError

Reals = NDArray[np.float64]
COLOURS = ("#8d99ae", "#0072b2", "#009e73", "#e69f00", "#9b5de5", "#56b4e9")  # Okabe and Ito (2008)
INK = "#d1495b"
TICKS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.6, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)


@dataclass(frozen=True)
class BandSet:
    """What was measured: `table` (scenes, 1 + peers, rates) RMSE in DN, ours first, nan where a codec does not reach a rate."""

    title: str
    scenes: tuple[str, ...]
    peers: tuple[str, ...]
    rates: tuple[float, ...]
    table: Reals

    def ratios(self, peer: int) -> Reals:
        """(scenes, rates): error of ours over a peer's."""
        return np.asarray(self.table[:, 0] / self.table[:, 1 + peer])

    def best(self) -> Reals:
        """(scenes, rates): error of ours over that of the peer that is best there."""
        others = np.where(np.isnan(self.table[:, 1:]), np.inf, self.table[:, 1:]).min(axis=1)
        return np.asarray(self.table[:, 0] / np.where(np.isinf(others), np.nan, others))


def _over(values: Reals, reduce: Any) -> list[float]:
    """Of every column without its nans; nan where nothing is left."""
    columns = (column[~np.isnan(column)] for column in values.T)
    return [float(reduce(column)) if len(column) else float("nan") for column in columns]


def geometric(values: Reals) -> list[float]:
    """Mean of every column in the logarithms, without its nans."""
    with np.errstate(divide="ignore"):  # an exact image has an error of 0
        return _over(values, lambda column: np.exp(np.log(column).mean()))


def _row(name: str, cells: list[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _ratios(ratios: Reals) -> list[str]:
    """Mean and worst scene of every rate; of one scene its own."""
    means, worst = geometric(ratios), _over(ratios, np.max)
    beside = [f" ({w:.2f})" if len(ratios) > 1 else "" for w in worst]
    return ["" if np.isnan(m) else f"{m:.2f}{b}" for m, b in zip(means, beside)]


def markdown(found: BandSet, each: bool, unit: str = "DN") -> str:
    """One table: ours in the unit of the values, then the mean ratio to every peer with the worst scene's in parentheses."""
    count = "1 scene" if len(found.scenes) == 1 else f"{len(found.scenes)} scenes"
    lines = [f"### {found.title}", "", _row(f"{count}, bppb", [f"{r:g}" for r in found.rates])]
    lines.append("|---" * (1 + len(found.rates)) + "|")
    lines.append(_row(f"ours, RMSE in {unit}", [_number(v) for v in geometric(found.table[:, 0])]))
    for number, peer in enumerate(found.peers):
        lines.append(_row(f"over {peer}", _ratios(found.ratios(number))))
    if found.peers:
        lines.append(_row("over the best there", _ratios(found.best())))
    if each:
        for name, row in zip(found.scenes, found.table):
            cells = [" / ".join(_number(v) or "-" for v in column) for column in row.T]
            lines.append(_row(name[:39], cells))
    return "\n".join(lines) + "\n"


def _drawn(found: BandSet, peer: int) -> Reals:
    """(scenes, rates): error of a peer over ours, at most TICKS[-1] (ours may have none), nan where there is none."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.minimum(1.0 / found.ratios(peer), TICKS[-1]))


def _limits(ratios: Reals) -> tuple[float, float]:
    """Ends of the axis, the usual ones unless a scene lies beyond them."""
    there = ratios[~np.isnan(ratios)]
    return float(min([0.75, *(there / 1.05)])), float(max([5.5, *(there * 1.05)]))


def chart(found: BandSet, path: Path) -> None:
    """Error of every peer over ours by rate: above 1 it is worse. Line: mean of the scenes; dots: each scene's."""
    try:
        import matplotlib
    except ImportError as error:
        raise UserError("the chart needs matplotlib: pip install 'swathpack[bench]'") from error
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7.2, 3.6), dpi=110)
    for number, (peer, colour) in enumerate(zip(found.peers, COLOURS)):
        ratios = _drawn(found, number)
        axis.plot(found.rates, geometric(ratios), "o-", color=colour, label=peer, linewidth=1.8, markersize=3.5)
        shift = 1.02 ** (number - len(found.peers) / 2)
        for row in ratios:
            axis.plot(np.multiply(found.rates, shift), row, ".", color=colour, markersize=2.5, alpha=0.5)
    axis.axhline(1.0, color=INK, linewidth=1.8, label="SwathPack")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(min(found.rates) / 1.15, max(found.rates) * 1.15)
    axis.set_xticks(found.rates, [f"{r:g}" for r in found.rates])
    low, high = _limits(np.concatenate([_drawn(found, number) for number in range(len(found.peers))]))
    ticks = [t for t in TICKS if low <= t <= high]
    axis.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axis.set_ylim(low, high)
    axis.minorticks_off()
    axis.grid(True, color="#e6e9ed", linewidth=0.8)
    axis.set_xlabel("bits a pixel and band")
    axis.set_ylabel("RMSE over ours")
    axis.set_title(found.title, fontsize=10, loc="left")
    axis.legend(fontsize=7, ncols=2, frameon=False)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
