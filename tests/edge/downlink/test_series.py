"""Board and ground over a series of dates: budgets, losses, late and lost reports, restarts, a new ground."""

import random

import pytest

from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.downlink.passrun import LinkSettings, PassRun
from swathpack.edge.downlink.plan import PlanSettings
from swathpack.edge.packets.pieces import unpack_pieces
from swathpack.edge.packets.report import Report
from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.hil_tests.simulation.two_ends import KEY, KEYS, LINK, STORE, Board, Ground, acquire, scene
from swathpack.tools.ground.reports import ReportWriter

TILES = 6


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path)


@pytest.fixture
def ground(tmp_path):
    return Ground(tmp_path)


def date(board: Board, tiles, number: int) -> list[int]:
    return board.take(f"frame {number}", 1000 * number, [acquire(t, number) for t in tiles])


def test_only_what_the_ground_confirmed_becomes_context(board, ground):
    tiles = scene(TILES)
    date(board, tiles, 1)
    stream = board.downlink(1, 6000)
    assert len(board.context) == 0
    ground.hear(1, stream)
    date(board, tiles, 2)
    assert len(board.context) == 0, "sent and received, but not confirmed"
    board.uplink(ground.reports.packets(1, 0))
    assert board.context.tiles().tolist() == list(range(TILES))
    for tile in range(TILES):
        (context,) = board.context.get(tile)
        assert context.layers == ground.store.layers(TileKey(tile, 1000)) > 0
    numbers = date(board, tiles, 3)
    assert all(board.queue.tiles.row(n).digests for n in numbers)
    ground.hear(3, board.downlink(3, 30_000))
    assert ground.wrong(board.truth) == []
    assert all(ground.store.layers(TileKey(tile, 3000)) > 0 for tile in range(TILES))


@pytest.mark.parametrize("erasure", ["none", "cauchy"])
@pytest.mark.parametrize("budget", [2000, 5000, 20_000, 100_000])
def test_every_pass_is_filled_and_never_exceeded(board, budget, erasure):
    link = LinkSettings(packet_bytes=512, erasure=erasure, block_packets=10, parity_packets=2)
    tiles = scene(TILES)
    for number in range(3):
        date(board, tiles, number)
        used = sum(map(len, board.downlink(number, budget, link)))
        left = board.queue.tiles.table()
        missing = sum(int(p[-1]) - have.covered(1 << 30) for p, have in zip(left.prefix, left.have))
        assert used <= budget
        assert used >= 0.98 * budget or missing == 0
        assert board.queue.passes.all()[number] == (budget, used)


def test_first_layers_of_all_tiles_come_first_so_that_a_cut_pass_is_a_map(board, ground):
    date(board, scene(TILES), 1)
    stream = board.downlink(1, 8000)
    thumbnails = int(board.queue.tiles.table().prefix[:, 1].sum())
    needed = thumbnails // 450 + 2
    assert needed < len(stream) - 3
    ground.hear(1, stream[:needed])
    assert set(ground.layers()) == {TileKey(t, 1000) for t in range(TILES)}
    assert ground.wrong(board.truth) == []


def test_what_a_pass_left_over_goes_down_in_the_next_and_no_byte_twice(board, ground):
    date(board, scene(TILES), 1)
    whole = sum(int(p[-1]) for p in board.queue.tiles.table().prefix)
    total = 0
    for number in range(1, 30):
        stream = board.downlink(number, 3000)
        total += sum(map(len, stream))
        ground.hear(number, stream)
        if not stream:
            break
    assert set(ground.layers().values()) == {16}
    assert whole < total < 1.12 * whole


def test_losses_are_asked_for_and_sent_again(board, ground):
    date(board, scene(TILES), 1)
    stream = board.downlink(1, 100_000)
    ground.hear(1, stream, keep=lambda i: i % 4 != 1)
    before = ground.layers()
    board.uplink(ground.reports.packets(1, 0))
    again = board.downlink(2, 100_000)
    assert 0 < sum(map(len, again)) < 0.4 * sum(map(len, stream))
    ground.hear(2, again)
    assert set(ground.layers().values()) == {16} and before != ground.layers()
    assert ground.wrong(board.truth) == []


def test_a_pass_lost_whole_is_sent_again(board, ground):
    date(board, scene(TILES), 1)
    stream = board.downlink(1, 100_000)
    ground.hear(1, [])
    board.uplink(ground.reports.packets(1, 0, repeat=0))
    assert sum(map(len, board.downlink(2, 100_000))) == pytest.approx(sum(map(len, stream)), rel=0.02)


def test_without_any_report_bytes_are_sent_again_after_patience(board):
    date(board, scene(TILES), 1)
    board.downlink(1, 100_000)
    assert board.downlink(2, 100_000) == []
    assert board.confirmation.expire(0) == 0
    assert board.confirmation.expire(1) == TILES
    assert board.downlink(3, 100_000) != []


def test_reports_repeated_late_and_out_of_order_change_nothing_more(board, ground):
    tiles = scene(TILES)
    uplinks = []
    for number in (1, 2, 3):
        date(board, tiles, number)
        ground.hear(number, board.downlink(number, 9000), keep=lambda i: i % 7)
        uplinks.append(ground.reports.packets(number, 0, repeat=0))
    for uplink in (uplinks[2], uplinks[0], uplinks[1]):
        board.uplink(uplink)
    table = board.queue.tiles.table()
    held = [list(h) for h in table.have]
    context = {t: [(c.key, c.layers) for c in board.context.get(t)] for t in range(TILES)}
    for uplink in (uplinks[0], uplinks[2], uplinks[2], uplinks[1]):
        board.uplink(uplink)
    assert [list(h) for h in board.queue.tiles.table().have] == held
    assert {t: [(c.key, c.layers) for c in board.context.get(t)] for t in range(TILES)} == context


def test_forged_foreign_and_stale_reports_are_refused(board, ground):
    date(board, scene(TILES), 1)
    ground.hear(1, board.downlink(1, 9000))
    board.confirmation.receive(ground.reports.reports(1, 0)[0], {0: bytes(32)})
    board.confirmation.receive(ReportWriter(ground.store, KEY, STORE + 1).reports(1, 0)[0], KEYS)
    assert len(board.context) == 0 and board.log.counts["report_rejected"] == 2
    board.context.reset(5, "a newer ground")
    board.uplink(ground.reports.packets(1, 0))
    assert len(board.context) == 0 and board.log.counts["report_rejected"] >= 3


def test_losses_are_repaired_when_the_clock_has_jumped_and_passes_come_with_lower_numbers(board, ground):
    date(board, scene(TILES), 1)
    ground.hear(50, board.downlink(50, 4000))
    board.uplink(ground.reports.packets(50, 0))
    late = ground.reports.packets(50, 0)
    stream = board.downlink(42, 9000)
    ground.hear(42, stream, keep=lambda i: i % 3 == 0)
    board.uplink(ground.reports.packets(42, 0))
    board.uplink(late)  # an older report, on a pass of a higher number: it must not undo what is known
    ground.hear(43, board.downlink(43, 1_000_000))
    assert set(ground.layers().values()) == {16} and ground.wrong(board.truth) == []


def test_a_ground_that_holds_another_latent_never_becomes_context(board, ground):
    date(board, scene(TILES), 1)
    ground.hear(1, board.downlink(1, 9000))
    report = Report.unpack(ground.reports.reports(1, 0)[0], KEYS)
    liar = report.entries[2].__class__(**{**vars(report.entries[2]), "digest": b"\0" * 8})
    entries = (*report.entries[:2], liar, *report.entries[3:])
    board.confirmation.receive(Report(**{**vars(report), "entries": entries}).pack(KEY), KEYS)
    assert board.log.counts["report_mismatch"] == 1 and board.refreshed == [2]
    assert board.context.tiles().tolist() == [0, 1, 3, 4, 5]
    (work,) = board.queue.work.next_work(10)
    assert (work.tile, work.intra) == (2, True), "it is coded again, without context"


def test_a_new_ground_starts_from_nothing_and_catches_up(board, ground, tmp_path):
    tiles = scene(TILES)
    date(board, tiles, 1)
    ground.hear(1, board.downlink(1, 9000))
    board.uplink(ground.reports.packets(1, 0))
    assert len(board.context) == TILES
    fresh = Ground(tmp_path, epoch=2)
    date(board, tiles, 2)
    fresh.hear(2, board.downlink(2, 9000))
    assert all(key.time == 1000 for key in fresh.layers()) or fresh.layers() == {}
    board.uplink(fresh.reports.packets(2, 0))
    assert len(board.context) == 0 and board.context.ground_epoch == 2
    fresh.hear(3, board.downlink(3, 200_000))
    assert fresh.wrong(board.truth) == []
    assert {k for k in fresh.layers() if k.time == 2000} == {TileKey(t, 2000) for t in range(TILES)}, (
        "date 1 came down again, so date 2, coded against it, decodes"
    )


def test_a_segment_that_waits_for_context_is_reported_and_then_decoded(board, ground):
    tiles = scene(1)
    date(board, tiles, 1)
    first = board.downlink(1, 3000)
    shadow = dict(enumerate(first))
    ground.hear(1, first)
    board.uplink(ground.reports.packets(1, 0))
    date(board, tiles, 2)
    second = board.downlink(2, 3000)
    other = Ground(board.folder, epoch=9)
    other.hear(2, second)
    assert other.layers().get(TileKey(0, 2000), 0) == 0
    entries = [e for r in other.reports.reports(2, 0) for e in Report.unpack(r, KEYS).entries]
    assert [e.waiting for e in entries if e.key.time == 2000] == [True]
    other.hear(3, shadow.values())
    assert other.layers()[TileKey(0, 2000)] > 0 and other.wrong(board.truth) == []


def test_restart_in_the_middle_of_a_pass_keeps_the_budget_and_loses_nothing(board, ground):
    date(board, scene(TILES), 1)
    heard, used = [], 0
    for _ in range(8):
        run = board.run(1, 12_000)
        for _ in range(3):
            packet = run.next_packet()
            if packet is None:
                break
            heard.append(packet)
            used += len(packet)
            run.sent()
        board.queue.close()
        board.context.close()
        board.reboot()
    assert used <= 12_000
    ground.hear(1, heard)
    board.uplink(ground.reports.packets(1, 0))
    ground.hear(2, board.downlink(2, 200_000))
    assert set(ground.layers().values()) == {16} and ground.wrong(board.truth) == []


def test_a_budget_that_changes_midway_is_kept(board):
    rng = random.Random(3)
    date(board, scene(TILES), 1)
    for number in range(1, 12):
        budget = rng.randrange(1500, 6000)
        run, used = board.run(number, budget), 0
        while (packet := run.next_packet()) is not None:
            run.sent()
            used += len(packet)
            if rng.random() < 0.3:
                budget = max(used, budget + rng.randrange(-2000, 2000))
                run.set_budget(budget)
            assert used <= budget
        run.close()
        left = board.queue.tiles.table()
        done = all(int(p[-1]) == have.covered(1 << 30) for p, have in zip(left.prefix, left.have))
        assert done or used >= 0.98 * budget - 40
        board.confirmation.expire(number)


def test_a_damaged_segment_in_the_queue_is_coded_again_not_sent(board, ground):
    numbers = date(board, scene(TILES), 1)
    with board.queue.file.transaction() as db:
        db.execute("UPDATE large SET segment = zeroblob(length(segment)) WHERE number = ?", (numbers[0],))
    ground.hear(1, board.downlink(1, 200_000))
    assert board.log.counts["queue_corrupt"] == 1
    assert set(ground.layers()) == {TileKey(t, 1000) for t in range(1, TILES)}
    assert [w.tile for w in board.queue.work.next_work(10)] == [0]


def test_weights_and_urgency_decide_what_goes_first(board, ground):
    tiles = scene(TILES)
    date(board, tiles, 1)
    with board.queue.file.transaction() as db:
        db.execute("UPDATE tiles SET urgency = 1 WHERE tile = 4")
        db.execute("UPDATE tiles SET weight = 0.01 WHERE tile = 0")
    stream = board.downlink(1, 4000)
    ground.hear(1, stream)
    assert ground.layers()[TileKey(0, 1000)] == 1, "a thumbnail and no more"
    urgent = board.queue.tiles.table().number[4]
    assert unpack_pieces(SpacePacket.unpack(stream[0]).payload)[0].number == urgent


def test_housekeeping_goes_first_and_within_its_share(board):
    date(board, scene(TILES), 1)
    run = PassRun(
        board.queue, board.log, 1, 20_000, PlanSettings(), LINK, lambda room: (Apid.EVENT, board.log.drain(room))
    )
    stream = []
    while (packet := run.next_packet()) is not None:
        stream.append(SpacePacket.unpack(packet))
        run.sent()
    kinds = [p.apid for p in stream]
    assert kinds[0] == Apid.EVENT and kinds.count(Apid.EVENT) == 1
    assert len(stream[0].pack()) <= 0.02 * 20_000
