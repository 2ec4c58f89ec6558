"""Spool, ports, schedules and the queue's file: what they promise one by one."""

import resource
import socket
import zlib

import numpy as np
import pytest

from swathpack.edge.clock import ManualClock
from swathpack.edge.downlink.budget import Budget, Pass
from swathpack.edge.downlink.ports import FilePort, PortError, TcpPort, UdpPort
from swathpack.edge.downlink.queue import DownlinkQueue
from swathpack.edge.downlink.schedule import FixedSchedule, PlannedSchedule, SingleContact
from swathpack.edge.downlink.schema import QueueCorruptError, QueueError
from swathpack.edge.downlink.spool import Spool, SpoolFullError
from swathpack.edge.downlink.work import Work
from swathpack.edge.frame import Frame, FrameError
from swathpack.edge.packets.ranges import RangeSet
from swathpack.edge.sources.acquisition import Acquisition
from swathpack.edge.storage.blockfile import StorageError
from swathpack.hil_tests.promises.budgets import bulk_tile


def acquisition(name):
    data = np.arange(3 * 16 * 16, dtype=np.uint16).reshape(3, 16, 16)
    return Acquisition(name, 5, 1, Frame(data, ("B02", "B03", "B04")))


def test_spool_keeps_frames_of_any_name_apart(tmp_path):
    spool = Spool(tmp_path, 1 << 20, 0)
    names = ["a/b", "a_b", "../../etc/passwd", "Ä" * 100, "a b", ".", "x" * 120]
    for name in names:
        spool.put(acquisition(name))
    assert all(spool.get(name).name == name for name in names)
    assert all(path.parent == tmp_path for path in tmp_path.rglob("*"))
    spool.remove("a/b")
    spool.remove("a/b")
    with pytest.raises(StorageError):
        spool.get("a/b")


def test_names_that_share_their_first_characters_and_a_checksum_are_two_files(tmp_path):
    names = ["f" * 80 + "a02552f76dbdf5fd", "f" * 80 + "670009b22c087272"]
    assert len({(name[:80], zlib.crc32(name.encode())) for name in names}) == 1
    spool = Spool(tmp_path, 1 << 20, 0)
    for name in names:
        spool.put(acquisition(name))
    assert [spool.get(name).name for name in names] == names


def test_a_file_under_the_name_of_another_frame_is_not_taken_for_it(tmp_path):
    spool = Spool(tmp_path, 1 << 20, 0)
    spool.put(acquisition("mine"))
    next(tmp_path.glob("mine*")).write_bytes(acquisition("other").pack())
    with pytest.raises(FrameError, match="expected frame mine, found other"):
        spool.get("mine")


def test_frames_under_names_of_the_version_before_are_found(tmp_path):
    data = acquisition("old").pack()
    (tmp_path / f"old-{zlib.crc32(b'old'):08x}.swf").write_bytes(data)
    (tmp_path / "torn-01234567.swf").write_bytes(data[:-9])
    spool = Spool(tmp_path, 1 << 20, 0)
    assert spool.get("old").name == "old" and [found.name for found in spool.orphans({"old"})] == ["torn-01234567.swf"]


def test_spool_gives_orphans_back_and_deletes_what_is_half_written(tmp_path):
    spool = Spool(tmp_path, 1 << 20, 0)
    spool.put(acquisition("known"))
    spool.put(acquisition("orphan"))
    (tmp_path / "torn.swf").write_bytes(acquisition("torn").pack()[:-9])
    (tmp_path / "writing.part").write_bytes(b"abc")
    again = Spool(tmp_path, 1 << 20, 0)
    (tmp_path / "unreadable.swf").mkdir()
    found = list(again.orphans({"known"}))
    assert [a.name for a in found] == ["orphan", "torn.swf", "unreadable.swf"]
    assert "deleted" in found[1].reason and "directory" in found[2].reason, "it is said why"
    assert not list(tmp_path.glob("*.part")) and not (tmp_path / "torn.swf").exists()
    path = next(tmp_path.glob("known*"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FrameError):
        again.get("known")


def test_spool_leaves_the_space_that_it_must(tmp_path):
    with pytest.raises(SpoolFullError, match="are kept"):
        Spool(tmp_path, 1 << 20, 1 << 60).put(acquisition("a"))


def test_file_port_writes_one_file_per_pass_and_goes_on_after_a_restart(tmp_path):
    port = FilePort(tmp_path)
    port.open(3)
    port.send(b"one")
    assert (tmp_path / "pass-000003.part").read_bytes() == b"one", "visible at once"
    again = FilePort(tmp_path)
    again.open(3)
    again.send(b"two")
    again.close()
    assert (tmp_path / "pass-000003.bin").read_bytes() == b"onetwo"
    with pytest.raises(PortError):
        again.send(b"x")
    (tmp_path / "blocked").write_bytes(b"")
    with pytest.raises(PortError, match="outbox"):
        FilePort(tmp_path / "blocked").open(1)


def test_a_pass_file_left_by_a_killed_process_gets_its_name_and_none_is_overwritten(tmp_path):
    for number, data in ((3, b"one"), (4, b"two"), (3, b"three"), (5, b"")):
        port = FilePort(tmp_path)  # no close: the process is gone
        port.open(number)
        port.send(data)
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {
        "pass-000003.bin": b"one",
        "pass-000003-2.bin": b"three",
        "pass-000004.bin": b"two",
        "pass-000005.part": b"",
    }


def test_a_pass_of_which_nothing_was_sent_leaves_no_file(tmp_path):
    """Killed before its first packet, and over: `swathpack receive outbox/pass-*.bin` refused all passes because of it."""
    FilePort(tmp_path).open(3)
    port = FilePort(tmp_path)
    port.open(4)
    assert [path.name for path in tmp_path.iterdir()] == ["pass-000004.part"]
    port.close()
    assert not list(tmp_path.iterdir())
    port.open(4)
    port.send(b"one")
    port.close()
    assert [path.name for path in tmp_path.iterdir()] == ["pass-000004.bin"]


def test_a_packet_that_the_disk_takes_in_part_is_taken_back(tmp_path):
    port = FilePort(tmp_path)
    port.open(1)
    port.send(b"whole")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (7, before[1]))  # a real short write, as a full disk gives
    try:
        with pytest.raises(PortError):
            port.send(b"packet")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "pass-000001.part").read_bytes() == b"whole", "nothing that counts against the budget"
    port.send(b"packet")
    port.close()
    assert (tmp_path / "pass-000001.bin").read_bytes() == b"wholepacket"


def test_a_tcp_port_connects_again_within_a_pass(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = TcpPort(*server.getsockname())
        port.open(1)
        first, _ = server.accept()
        first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        first.close()  # a reset, as from a ground modem that was restarted
        with pytest.raises(PortError):
            for _ in range(50):
                port.send(b"lost")
        port.send(b"again")
        second, _ = server.accept()
        with second:
            second.settimeout(5)
            assert second.recv(10) == b"again"
        port.close()


def test_tcp_and_udp_ports_carry_packets_and_say_when_they_cannot():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = TcpPort(*server.getsockname())
        port.open(1)
        accepted, _ = server.accept()
        port.send(b"abc")
        port.close()
        with accepted:
            assert accepted.recv(10) == b"abc"
    with pytest.raises(PortError):
        port.open(2)
    with pytest.raises(PortError):
        port.send(b"x")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ground:
        ground.bind(("127.0.0.1", 0))
        ground.settimeout(5)
        UdpPort(*ground.getsockname()).send(b"packet")
        assert ground.recv(100) == b"packet"
        with pytest.raises(PortError):
            UdpPort(*ground.getsockname()).send(bytes(70_000))


def test_schedules_name_the_contact_of_the_moment():
    clock = ManualClock()
    fixed = FixedSchedule(1000, 60.0, clock, first=7)
    assert fixed.current() is None and fixed.coming_bytes() == 1000
    clock.advance(61)
    assert fixed.current().number == 7
    clock.jump_wall(1e9)
    assert fixed.current().number == 7, "by monotonic time"
    clock.advance(60)
    assert fixed.current().number == 8
    start = clock.wall() + 100
    one = Pass(4, "sat", "gs", start, start + 10, 10_000, (0.0,), (1000.0,))
    paced = PlannedSchedule(Budget("plan", "now", 1, (one,)), clock)
    assert paced.current() is None and paced.coming_bytes() == 10_000
    clock.advance(102.5)
    assert (paced.current().number, paced.current().due_bytes) == (4, 2500)
    assert paced.coming_bytes() == 10_000
    clock.advance(8)
    assert paced.current() is None and paced.coming_bytes() is None
    single = SingleContact(3, 700)
    single.pause()
    assert single.current() is None and single.coming_bytes() == 700


def queue(tmp_path, boot=1, store=7):
    return DownlinkQueue(tmp_path / "queue", ManualClock(), boot, store)


def test_segment_numbers_go_on_in_the_next_range_when_a_start_has_used_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("swathpack.edge.downlink.queue.NUMBERS_PER_BOOT", 4)
    boots = iter((2, 3))
    q = DownlinkQueue(tmp_path / "queue", ManualClock(), 1, 7, lambda: next(boots))
    rng, given = np.random.default_rng(1), []
    q.work.accept("f", 0, 1, [Work(0, 0, i, i) for i in range(10)])
    for work in q.work.next_work(10):
        coded = bulk_tile(rng, work.tile, 100)
        given.append(q.tiles.add(work, coded, coded.data))
        q.tiles.drop([given[-1]])  # gone from the queue, and still never given again
    assert given == list(range(4, 14))


def test_names_of_frames_long_done_with_are_forgotten(tmp_path):
    q = queue(tmp_path)
    for i in range(10):
        q.work.done_with_frame(q.work.accept(f"f{i}", i, 1, []))
    q.work.accept("live", 10, 1, [])
    q.work.forget_frames(4)
    assert [i for i in range(10) if q.work.frame_id(f"f{i}") is not None] == [6, 7, 8, 9]
    assert q.work.frame_id("live") is not None


def test_accepting_a_frame_is_all_or_nothing_and_a_name_is_taken_once(tmp_path):
    q = queue(tmp_path)
    q.work.accept("a", 1, 10, [Work(0, 0, i, i, weight=i) for i in range(3)])
    with pytest.raises(QueueError):
        q.work.accept("a", 1, 10, [Work(0, 0, 9, 9)])
    assert [w.tile for w in q.work.next_work(10)] == [2, 1, 0], "weightiest first, and no fourth"
    with pytest.raises(RuntimeError), q.file.transaction() as db:
        db.execute("DELETE FROM work")
        raise RuntimeError
    assert q.work.work_count() == 3


def test_a_coded_tile_takes_its_work_away_and_numbers_never_repeat(tmp_path):
    rng, seen = np.random.default_rng(0), []
    for boot in (1, 2, 3):
        q = queue(tmp_path, boot)
        q.work.accept(f"f{boot}", 1, 10, [Work(0, 0, i, 10 * boot + i) for i in range(2)])
        for work in q.work.next_work(10):
            coded = bulk_tile(rng, work.tile, 500)
            seen.append(q.tiles.add(work, coded, coded.data))
        assert q.work.work_count() == 0
        q.tiles.drop(seen[-1:])
        q.close()
    assert len(set(seen)) == 6 and seen == sorted(seen)


def test_a_file_that_is_no_queue_is_known_as_damaged(tmp_path):
    (tmp_path / "queue").write_bytes(b"not a database, but long enough to be looked at" * 200)
    with pytest.raises(QueueCorruptError):
        queue(tmp_path)


def test_range_sets_do_what_sets_of_numbers_do():
    rng = np.random.default_rng(3)
    for _ in range(200):
        ranges, numbers = RangeSet(), set()
        for _ in range(rng.integers(1, 12)):
            a, b = sorted(int(x) for x in rng.integers(0, 60, 2))
            if rng.random() < 0.7:
                ranges.add(a, b)
                numbers |= set(range(a, b))
            else:
                ranges.remove(a, b)
                numbers -= set(range(a, b))
        assert {n for a, b in ranges for n in range(a, b)} == numbers
        assert {n for a, b in ranges.missing(5, 50) for n in range(a, b)} == set(range(5, 50)) - numbers
        assert ranges.covered(30) == len([n for n in numbers if n < 30])
        assert ranges.prefix == next(n for n in range(100) if n not in numbers)
        assert RangeSet.unpack(ranges.pack()) == ranges
        flat = [x for r in ranges for x in r]
        assert flat == sorted(set(flat)), "sorted, apart, not empty"
