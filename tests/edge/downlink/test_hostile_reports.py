"""Reports that lie: what never was sent is not withheld, no number locks the true ones out, nothing is dropped on a word."""

from __future__ import annotations

import pytest

from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.downlink.report_guard import WINDOW
from swathpack.edge.packets.link_keys import UNSIGNED, LinkKey
from swathpack.edge.packets.report import Report, ReportEntry
from swathpack.hil_tests.simulation.two_ends import KEY, KEYS, STORE, Board, Ground, acquire, scene
from swathpack.tools.ground.reports import ReportWriter

TILES = 6


@pytest.fixture
def board(tmp_path):
    made = Board(tmp_path)
    made.take("frame 1", 1000, [acquire(t, 1) for t in scene(TILES)])
    return made


def tell(board: Board, *entries: ReportEntry, epoch: int = 1, number: int = 0, passed: int = 1, **more) -> bool:
    """A report signed with the right key; True when it was applied."""
    report = Report(STORE, epoch, number, passed, 0, 0xFFFFFFFF, 0, entries, **more)
    return board.confirmation.receive(report.pack(KEY), KEYS) is not None


def everything(board: Board, **more) -> tuple[ReportEntry, ...]:
    """The claim that all of every segment is there."""
    numbers = board.queue.tiles.table().number.tolist()
    return tuple(ReportEntry(n, TileKey(0, 0), 0, 1 << 23, headless=True, **more) for n in numbers)


def test_bytes_never_sent_are_not_taken_for_delivered(board, tmp_path):
    ground = Ground(tmp_path)
    ground.hear(1, board.downlink(1, 2000))
    assert tell(board, *everything(board))
    ground.hear(2, board.downlink(2, 200_000))
    assert set(ground.layers().values()) == {16}


def test_an_epoch_far_ahead_locks_nobody_out(board, tmp_path):
    ground = Ground(tmp_path)
    ground.hear(1, board.downlink(1, 9000))
    assert not tell(board, epoch=0xFFFFFFFF)
    board.uplink(ground.reports.packets(1, 0))
    assert len(board.context) == TILES and board.context.ground_epoch == 1


def test_a_number_far_ahead_does_not_make_the_true_reports_old(board, tmp_path):
    ground = Ground(tmp_path)
    ground.hear(1, board.downlink(1, 9000), keep=lambda i: i % 3 == 0)
    board.uplink(ground.reports.packets(1, 0))
    stream = board.downlink(2, 200_000)
    assert not tell(board, *everything(board), number=0xFFFFFFFF, passed=2)
    ground.hear(2, stream, keep=lambda i: i % 2 == 0)
    board.uplink(ground.reports.packets(2, 0))
    ground.hear(3, board.downlink(3, 200_000))
    assert set(ground.layers().values()) == {16}


def test_a_report_on_a_pass_that_never_was_loses_nothing(board):
    board.downlink(1, 200_000)
    assert not tell(board, passed=999, full=True)
    assert board.downlink(2, 200_000) == []


def test_layers_whose_bytes_never_went_down_are_not_context(board):
    board.downlink(1, 2000)
    row = board.queue.tiles.row(board.queue.tiles.newest())
    entry = ReportEntry(row.number, row.key, 16, 1 << 20, row.digests[16 * 8 :])
    assert tell(board, entry)
    (held,) = board.context.get(row.key.tile)
    assert held.layers == board.queue.tiles.row(row.number).confirmed < 16


def test_layers_that_were_proven_stay_held_whatever_is_said_later(board, tmp_path):
    ground = Ground(tmp_path)
    ground.hear(1, board.downlink(1, 9000))
    board.uplink(ground.reports.packets(1, 0))
    proven = {row.number: int(row.prefix[row.confirmed]) for row in rows(board)}
    assert all(proven.values())
    nothing = tuple(ReportEntry(n, TileKey(0, 0), 0, 0, headless=True) for n in sorted(proven))
    board.downlink(2, 1000)
    assert tell(board, *nothing, number=900, passed=2) and tell(board, number=901, passed=2, full=True)
    assert {row.number: row.have.prefix for row in rows(board)}.items() >= proven.items()


@pytest.mark.parametrize("lie", ["intra", "digest"])
def test_no_word_takes_a_tile_out_whose_frame_is_gone(board, tmp_path, lie):
    ground = Ground(tmp_path)
    ground.hear(1, board.downlink(1, 9000))
    board.uplink(ground.reports.packets(1, 0))
    board.queue.work.done_with_frame(1)
    entries = tuple(
        ReportEntry(
            row.number, row.key, 3 * (lie == "digest"), 0, b"digest  " if lie == "digest" else b"", intra=lie == "intra"
        )
        for row in rows(board)
    )
    assert tell(board, *entries, number=900)
    ground.hear(2, board.downlink(2, 200_000))
    assert set(ground.layers().values()) == {16} and len(ground.layers()) == TILES


def test_a_report_counts_once_also_after_a_restart(board, tmp_path):
    ground = Ground(tmp_path)
    ground.hear(1, board.downlink(1, 9000), keep=lambda i: i % 3)
    replayed = ground.reports.packets(1, 0)
    board.uplink(replayed)
    ground.hear(2, board.downlink(2, 4000))
    board.uplink(ground.reports.packets(2, 0))
    before = states(board)
    for _ in range(2):
        board.queue.close()
        board.reboot()
        board.uplink(replayed)
        assert states(board) == before
        assert board.log.counts["report_applied"] == 0 and board.log.counts["report_repeated"] == 1


def test_a_late_report_within_the_window_is_heard_and_an_older_one_is_not(board):
    board.downlink(1, 200_000)
    assert tell(board, number=20_000) and tell(board, number=19_000)
    assert not tell(board, number=20_000 - WINDOW)
    assert board.log.counts["report_repeated"] == 0
    assert not tell(board, number=19_000) and board.log.counts["report_repeated"] == 1


def test_a_key_is_changed_over_the_link_and_the_old_one_is_dead_for_good(board):
    board.downlink(1, 200_000)
    old, new = KEY, LinkKey(1, bytes(range(1, 33)))
    keys = dict([old, new])

    def hear(key: LinkKey, number: int) -> bool:
        payload = Report(STORE, 1, number, 1, 0, 0xFFFFFFFF, 0, ()).pack(key)
        return board.confirmation.receive(payload, keys) is not None

    assert hear(old, 1) and hear(new, 2) and not hear(old, 3) and hear(new, 4)
    board.queue.close()
    for lost in ("queue", "queue-wal", "context"):
        (board.folder / lost).unlink(missing_ok=True)
    board.reboot()
    board.downlink(1, 200_000)
    assert not hear(old, 5) and hear(new, 6)


def test_an_epoch_survives_the_loss_of_the_context_file(board, tmp_path):
    board.downlink(1, 9000)
    assert tell(board, epoch=2, number=5)
    board.context.close()
    (board.folder / "context").unlink()
    board.reboot()
    assert board.context.ground_epoch == 0 and not tell(board, epoch=1, number=9) and tell(board, epoch=2, number=9)


def test_without_keys_nobody_can_move_a_window_and_the_true_reports_are_heard(board, tmp_path):
    ground = Ground(tmp_path)
    ground.reports = ReportWriter(ground.store, UNSIGNED, STORE)
    ground.hear(1, board.downlink(1, 9000), keep=lambda i: i % 2 == 0)
    lie = Report(STORE, 1, 0xFFFFFFFF, 1, 0, 0xFFFFFFFF, 0, everything(board)).pack(UNSIGNED)
    assert board.confirmation.receive(lie, dict([UNSIGNED])) is not None
    board.uplink(ground.reports.packets(1, 0), dict([UNSIGNED]))
    ground.hear(2, board.downlink(2, 200_000))
    assert set(ground.layers().values()) == {16}


def test_a_queue_of_the_version_before_flies_on(board, tmp_path):
    ground = Ground(tmp_path)
    ground.hear(1, board.downlink(1, 9000))
    with board.queue.file.transaction() as db:
        for column in ("layers", "ever"):
            db.execute(f"ALTER TABLE tiles DROP COLUMN {column}")
        db.execute("DROP TABLE reports")
        db.execute("PRAGMA user_version=2")
    board.queue.close()
    board.reboot()
    board.uplink(ground.reports.packets(1, 0))
    assert board.context.tiles().tolist() == list(range(TILES))
    assert all(row.ever == row.have for row in rows(board))


def rows(board: Board):
    return [board.queue.tiles.row(n) for n in board.queue.tiles.table().number.tolist()]


def states(board: Board):
    return [(row.number, list(row.have), row.confirmed) for row in rows(board)]


def test_what_the_ground_has_dropped_goes_down_again_also_when_its_frame_is_gone(board, tmp_path):
    ground = Ground(tmp_path)
    ground.hear(1, board.downlink(1, 9000))
    board.uplink(ground.reports.packets(1, 0))
    board.queue.work.done_with_frame(1)
    key = TileKey(2, 1000)
    assert ground.layers()[key] > 0 and ground.store.drop([key]) == 1 and key not in ground.layers()
    for number in (2, 3):
        board.uplink(ground.reports.packets(number - 1, 0))
        ground.hear(number, board.downlink(number, 200_000))
    assert set(ground.layers().values()) == {16} and len(ground.layers()) == TILES
    assert board.downlink(4, 200_000) == [], "once is enough"
