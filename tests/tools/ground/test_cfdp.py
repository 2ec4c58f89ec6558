"""CFDP as the other way down: class 2 completes over a lossy link, class 1 does not hide that it did not."""

import random

import pytest

pytest.importorskip("cfdppy")

from swathpack.tools.ground.cfdp import CfdpError, CfdpReceiver, CfdpSender, transfer  # noqa: E402


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "pass-000001.bin"
    path.write_bytes(random.Random(1).randbytes(30_000))
    return path


def lossy(loss, seed=3):
    rng = random.Random(seed)
    return lambda pdu: rng.random() >= loss


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_class_2_completes_over_a_lossy_link(source, tmp_path, loss):
    result = transfer(source, tmp_path / "out", True, lossy(loss))
    assert result.complete
    assert result.sent_bytes > 30_000 * (1 + loss / 2)


def test_class_1_needs_no_return_link_and_leaves_gaps_when_pdus_are_lost(source, tmp_path):
    assert transfer(source, tmp_path / "whole", False, lossy(0.0)).returned_bytes == 0
    assert not transfer(source, tmp_path / "gaps", False, lossy(0.3), limit_s=1.0).complete


def test_damaged_pdus_are_counted_and_a_missing_file_is_one_error(source, tmp_path):
    receiver = CfdpReceiver()
    for data in (b"\xff" * 30, bytes(10)):
        receiver.step(data)
    assert receiver.refused == 2
    with pytest.raises(CfdpError, match="none"):
        CfdpSender().put(tmp_path / "none", tmp_path / "out")
