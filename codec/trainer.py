"""The loop in which every part of the codec is trained: for so many minutes, resumed from its file, weights averaged."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from swathpack.codec.atomic import replaced

AVERAGING = 0.005  # share of the new weights in the averaged ones, once it has warmed up


def learning_rates(progress: float) -> float:
    """Warm-up over 2 %, then cosine to 2 %."""
    return min(progress / 0.02, 1.0) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


def averaged(model: nn.Module) -> dict[str, Tensor]:
    """The weights as they are, to average from."""
    return {key: value.clone() for key, value in model.state_dict().items()}


class Trainer:
    """file: where the run is kept, and resumed from if it exists; seconds only count what training takes.

    warm, early: for the first `warm` steps the average takes `early` of the new weights. beside: modules trained along
    that are no part of the model. steps: how many it runs for, in the place of minutes. clock: what seconds are of.
    """

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        file: Path,
        minutes: float,
        report_s: float,
        warm: int = 200,
        early: float = 0.1,
        steps: int = 0,
        clock: Callable[[], float] = time.monotonic,
        **beside: nn.Module,
    ) -> None:
        self.model, self.optimiser, self.file, self.beside = model, optimiser, file, beside
        self.total_s, self.report_s, self.warm, self.early = 60 * minutes, report_s, warm, early
        self.steps, self.clock = steps, clock
        self.rates = [group["lr"] for group in optimiser.param_groups]
        self.ema, self.step, self.seconds = averaged(model), 0, 0.0
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():
            self._resume()

    @property
    def resumed(self) -> bool:
        """Whether there was a file."""
        return self.step > 0

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        return self.step / self.steps if self.steps else self.seconds / self.total_s

    def run(self, loss: Callable[[float], tuple[Tensor, float]], evaluate: Callable[[], str]) -> None:
        """loss: progress 0..1 -> what is minimised, and what is told. evaluate: a text about the averaged weights."""
        average, reported = None, self.seconds
        while (progress := self.progress) < 1:
            tick = self.clock()
            told = self._step(loss, progress)
            self.seconds += self.clock() - tick
            average = told if average is None else 0.98 * average + 0.02 * told
            if self.seconds - reported > self.report_s or self.progress >= 1:
                reported = self.seconds
                self.tell(f"{self.seconds / 60:.1f} min  loss {average:.4f}  ", evaluate)
                self._save()

    def tell(self, words: str, evaluate: Callable[[], str]) -> None:
        """A line with what the averaged weights do."""
        live = averaged(self.model)
        self.model.load_state_dict(self.ema)
        print(f"step {self.step}  {words}{evaluate()}", flush=True)
        self.model.load_state_dict(live)

    def _step(self, loss: Callable[[float], tuple[Tensor, float]], progress: float) -> float:
        for group, rate in zip(self.optimiser.param_groups, self.rates):
            group["lr"] = rate * learning_rates(max(progress, 1e-3))
        minimised, told = loss(progress)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(minimised)
        nn.utils.clip_grad_norm_([p for g in self.optimiser.param_groups for p in g["params"]], 1.0)
        self.optimiser.step()
        with torch.no_grad():
            for key, value in self.model.state_dict().items():
                self.ema[key].lerp_(value, AVERAGING if self.step > self.warm else self.early)
        self.step += 1
        return told

    def _save(self) -> None:
        content: dict[str, Any] = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        content |= {name: module.state_dict() for name, module in self.beside.items()}
        content |= {"ema": self.ema, "state": {"step": self.step, "seconds": self.seconds}}
        with replaced(self.file) as part:
            torch.save(content, part)

    def _resume(self) -> None:
        saved = torch.load(self.file, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.optimiser.load_state_dict(saved["optimiser"])
        for name, module in self.beside.items():
            module.load_state_dict(saved[name])
        self.ema, self.step, self.seconds = saved["ema"], saved["state"]["step"], saved["state"]["seconds"]
