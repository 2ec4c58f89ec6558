"""Joint training: it learns, trains what it was told to, goes on where it was stopped, and says what is wrong in a line."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from swathpack.codec import train_joint  # noqa: E402
from swathpack.codec.analysis_branch import branch_of  # noqa: E402
from swathpack.codec.data import CropSampler, load_cubes  # noqa: E402
from swathpack.codec.entropy import EntropyModel  # noqa: E402
from swathpack.codec.joint import Joint, read_joint  # noqa: E402
from swathpack.codec.joint_val import Curve  # noqa: E402
from swathpack.codec.train_entropy import load_transform  # noqa: E402
from swathpack.codec.transform import EdgeTransform  # noqa: E402
from swathpack.edge.codec.model import DEFAULT_DIRECTORY  # noqa: E402
from swathpack.export.edge_model import load_entropy  # noqa: E402
from tests.codec.joint_data import words, write_places  # noqa: E402


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_places(tmp_path_factory.mktemp("data"))


def weights(file: Path) -> dict[str, torch.Tensor]:
    return torch.load(file, weights_only=True)["model"]


STATIC = pytest.param(("--rate", "static", "--parts", "analysis,synthesis"), marks=pytest.mark.long)


@pytest.mark.parametrize("more", [("--weights", "visible"), STATIC])
def test_the_cost_of_a_fixed_batch_falls(root: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    args = train_joint.parser_of().parse_args(words(root, tmp_path, "--learning-rate", "1e-3", *more))
    torch.manual_seed(3)
    joint = read_joint(DEFAULT_DIRECTORY, "small")
    joint.entropy.set_quantised(False)
    lesson = train_joint.Lesson(joint, CropSampler(load_cubes(root, "train"), 1), args, torch.device("cpu"))
    groups = train_joint.groups_of(joint, args.parts, args.learning_rate)
    optimiser = torch.optim.Adam(groups + ([{"params": list(lesson.prior.parameters())}] if lesson.prior else []))
    costs = []
    for _ in range(5):
        lesson.sampler.rng = np.random.default_rng(5)
        torch.manual_seed(5)
        cost = lesson.cost()
        costs.append(float(cost.detach()))
        optimiser.zero_grad()
        cost.backward()
        optimiser.step()
    assert costs[-1] < costs[0] - 0.02


@pytest.mark.parametrize("more", [(), STATIC])
def test_on_another_device_every_tensor_is_there(
    root: Path, tmp_path: Path, monkeypatch, more: tuple[str, ...]
) -> None:
    """Without a GPU: of torch's devices without memory, which refuse an operation over two devices as a GPU does."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it knows devices with memory only
    args = train_joint.parser_of().parse_args(words(root, tmp_path, *more))
    device = torch.device("meta")
    with device:
        joint = Joint(EdgeTransform(), EntropyModel(), branch_of("small")).requires_grad_(False)
        train_joint.groups_of(joint, args.parts, args.learning_rate)
        lesson = train_joint.Lesson(joint, CropSampler(load_cubes(root, "train"), 1), args, device)
        costs = [lesson.cost() for _ in range(6)]  # with contexts and without, plain and in two stages
    costs[-1].backward()
    assert {cost.device.type for cost in costs} == {"meta"} and joint.branch.leave.weight.grad.device.type == "meta"


def test_a_run_trains_its_parts_alone_and_goes_on_from_its_files(root: Path, tmp_path: Path, capsys) -> None:
    given = words(root, tmp_path / "run", "--parts", "analysis", "--branch", "small")
    train_joint.main(given)
    first, start = weights(tmp_path / "run" / "joint.pt"), read_joint(DEFAULT_DIRECTORY, "small").state_dict()
    changed = {name for name in first if not torch.equal(first[name], start[name]) and "branch" not in name}
    assert changed == {"transform.analysis_kernel"} and first["branch.leave.weight"].any()
    assert not (tmp_path / "run" / "transform.pt").exists()  # it would lack the branch
    train_joint.main([*given, "--steps", "4"])
    assert not torch.equal(weights(tmp_path / "run" / "joint.pt")["branch.leave.weight"], first["branch.leave.weight"])
    curve = Curve.read(tmp_path / "run" / "curve.json")
    assert [p["step"] for p in curve.points] == [0, 2, 4] and curve.settings["gmac"] == pytest.approx(1.14, abs=0.01)
    assert list(curve.points[0]["places"]) == ["place3", "place5"]
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("step")] == [
        "0",
        "2",
        "4",
    ]


def test_without_a_branch_the_export_takes_what_was_trained(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train_joint.main(words(root, out, "--branch", "none", "--steps", "1"))
    ema = torch.load(out / "joint.pt", weights_only=True)["ema"]
    assert torch.equal(load_transform(out / "transform.pt").analysis_kernel, ema["transform.analysis_kernel"])
    assert torch.equal(load_entropy(out / "entropy.pt").base_index, ema["entropy.base_index"])


def test_a_run_of_other_settings_is_not_gone_on_with(root: Path, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    Curve(run / "curve.json", {}).add(0, 0.0, {})
    with pytest.raises(SystemExit):
        train_joint.main(words(root, run, "--branch", "none"))
    error = capsys.readouterr().err.splitlines()[-1]
    assert "was begun with" in error and "branch none" in error


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--parts", "analysis,nose"), "expected some of analysis,entropy,synthesis, found 'analysis,nose'"),
        (("--branch", "huge"), "invalid choice: 'huge'"),
        (("--parts", "synthesis"), "name analysis in --parts"),
        (("--rate", "static"), "leave entropy out of --parts"),
        (("--minutes", "-1"), "expected a number above 0, found '-1'"),
        (("--size", "100"), "expected a multiple of 64, found '100'"),
        (("--places", "1.5"), "expected a share of at most 1"),
        (("--quantised-share", "2"), "expected a share from 0 to 1, found '2'"),
        (("--batch", "0"), "expected at least 1"),
        (("--device", "moon"), "--device moon"),
        (("--start", "nowhere"), "nowhere/analysis.onnx"),
        (("--data", "nowhere"), "nowhere/catalog.json"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    root: Path, tmp_path: Path, capsys, more: tuple[str, ...], said: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        train_joint.main(words(root, tmp_path / "run", *more))
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and said in error.splitlines()[-1] and not (tmp_path / "run").exists()


def test_a_smaller_share_of_places_is_part_of_a_larger_one(root: Path) -> None:
    cubes = load_cubes(root, "train")
    names = [[c.name for c in train_joint.share_of(cubes, share, 1)] for share in (0.01, 0.67, 1)]
    assert [len(n) for n in names] == [1, 2, 3] and names[2][:2] == names[1] and names[1][:1] == names[0]
