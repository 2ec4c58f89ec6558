"""The training loop: rates that rise and fall, weights that are averaged, runs that go on from their file."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from swathpack.codec.trainer import Trainer, learning_rates  # noqa: E402


def trainer(file: Path, minutes: float, **more: object) -> Trainer:
    torch.manual_seed(0)
    model, beside = torch.nn.Linear(3, 1), torch.nn.Linear(1, 1)
    groups = [{"params": model.parameters(), "lr": 0.1}, {"params": beside.parameters(), "lr": 0.01}]
    return Trainer(model, torch.optim.Adam(groups), file, minutes, 1e9, warm=20, beside=beside, **more)


def train(run: Trainer) -> list[float]:
    x = torch.eye(3)
    seen: list[float] = []

    def loss(progress: float):
        error = (run.beside["beside"](run.model(x)) - 1).square().mean()
        seen.append(progress)
        return error, error.item()

    run.run(loss, lambda: "fine")
    return seen


def test_rates_rise_then_fall() -> None:
    assert learning_rates(0.01) == pytest.approx(0.5, rel=0.01) and learning_rates(0.02) == pytest.approx(1, rel=0.01)
    assert learning_rates(1.0) == pytest.approx(0.02)


@pytest.mark.long
def test_a_run_learns_keeps_its_file_and_goes_on_from_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = trainer(tmp_path / "deep" / "run.pt", 0.01)
    start = {key: value.clone() for key, value in first.ema.items()}
    assert not first.resumed and train(first)[0] == 0.0
    assert "fine" in capsys.readouterr().out and [p.name for p in (tmp_path / "deep").iterdir()] == ["run.pt"]
    assert any(not torch.equal(first.ema[key], start[key]) for key in start)
    again = trainer(tmp_path / "deep" / "run.pt", 0.02)
    assert again.resumed and (again.step, again.seconds) == (first.step, first.seconds)
    for mine, theirs in ((first.model, again.model), (first.beside["beside"], again.beside["beside"])):
        assert all(torch.equal(a, b) for a, b in zip(mine.state_dict().values(), theirs.state_dict().values()))
    assert all(torch.equal(first.ema[key], again.ema[key]) for key in start)
    assert train(again)[0] == pytest.approx(0.5, abs=0.1) and again.step > first.step


def test_a_line_is_about_the_averaged_weights_and_training_goes_on_with_its_own(tmp_path: Path, capsys) -> None:
    run = trainer(tmp_path / "run.pt", 1)
    live = run.model.weight.detach().clone()
    run.ema["weight"].fill_(7.0)
    run.tell("now ", lambda: str(run.model.weight[0, 0].item()))
    assert capsys.readouterr().out == "step 0  now 7.0\n" and torch.equal(run.model.weight, live)


def test_time_is_of_the_clock_that_was_given(tmp_path: Path) -> None:
    ticks = iter(range(0, 1000, 3))
    run = trainer(tmp_path / "run.pt", 1, clock=lambda: float(next(ticks)))
    train(run)
    assert (run.step, run.seconds) == (20, 60)  # three seconds a step
