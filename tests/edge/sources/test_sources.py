"""Frame sources: what goes in comes out; what is damaged, hostile or half-written is a refusal, never a
crash.
"""

import os
import socket
import time
import uuid
import zipfile

import numpy as np
import pytest

from swathpack.edge.clock import ManualClock
from swathpack.edge.frame import Frame, FrameError
from swathpack.edge.sources.acquisition import Acquisition, SourceError, offer
from swathpack.edge.sources.folder import MAX_TOLD, FolderSource, epoch_seconds, read_npz
from swathpack.edge.sources.ring import RingSource, RingWriter
from swathpack.edge.sources.sockets import MessageSplitter, PartAssembler, TcpSource, UdpSource, parts_of
from swathpack.edge.sources.synthetic import SyntheticSource

BANDS = ("B02", "B03", "B04")


def acquisition(name="frame one", seed=0, side=20):
    data = np.random.default_rng(seed).integers(0, 9000, (3, side, side + 3)).astype(np.uint16)
    data[:, :2] = 0
    return Acquisition(name, 1_700_000_000, 77, Frame(data, BANDS, level="L2A", boa_offset=True), 2.5, 1)


def same(a, b):
    heads = [
        (x.name, x.time, x.place, x.weight, x.urgency, x.frame.bands, x.frame.level, x.frame.boa_offset) for x in (a, b)
    ]
    return heads[0] == heads[1] and (a.frame.data == b.frame.data).all() and (a.frame.valid == b.frame.valid).all()


def test_message_round_trip():
    a = acquisition()
    assert same(Acquisition.unpack(a.pack(), 1 << 20), a)


def test_every_cut_and_many_flips_of_a_message_are_refused():
    data, rng = acquisition(side=4).pack(), np.random.default_rng(1)
    for cut in range(len(data)):
        with pytest.raises(FrameError):
            Acquisition.unpack(data[:cut], 1 << 20)
    for _ in range(300):
        wrong = bytearray(data)
        wrong[rng.integers(len(wrong))] ^= 1 << int(rng.integers(8))
        with pytest.raises(FrameError):
            Acquisition.unpack(bytes(wrong), 1 << 20)
    assert offer("x", data[:50], 1 << 20).refused


@pytest.mark.parametrize(
    "field, value",
    [
        ("name", ""),
        ("name", "x" * 121),
        ("name", "a\nb"),
        ("place", -1),
        ("place", 1 << 26),
        ("weight", float("nan")),
        ("urgency", 10),
        ("time", 1 << 41),
    ],
)
def test_values_out_of_range_are_refused(field, value):
    good = {"name": "a", "time": 1, "place": 1, "frame": acquisition().frame, "weight": 1.0, "urgency": 0}
    with pytest.raises(FrameError, match="expected"):
        Acquisition(**{**good, field: value})


def cube(path, **extra):
    data = np.random.default_rng(1).integers(1, 9000, (2, 3, 16, 16)).astype(np.uint16)
    np.savez(path, data=data, bands=np.array(BANDS), dates=np.array(["2024-05-01", "2024-05-06T10:00:00Z"]), **extra)
    return data


def drain(source):
    found = []
    while (one := source.poll()) is not None:
        found.append(one)
        source.done(one)
    return found


def test_folder_takes_cubes_date_by_date_and_moves_them_when_done(tmp_path):
    clock = ManualClock()
    source = FolderSource(tmp_path, clock, settle_s=1.0)
    data = cube(tmp_path / "site.npz", place=5)
    (tmp_path / "one.swf").write_bytes(acquisition().pack())
    assert source.poll() is None, "it may still be growing"
    clock.advance(2)
    found = drain(source)
    assert [o.name for o in found] == ["frame one", "site-000", "site-001"]
    assert (found[2].acquisition.frame.data == data[1]).all() and found[2].acquisition.place == 5
    assert found[2].acquisition.time == epoch_seconds("2024-05-06T10:00:00+00:00")
    assert {p.name for p in (tmp_path / "done").iterdir()} == {"one.swf", "site.npz"}
    assert source.poll() is None


@pytest.mark.parametrize("said", [None, "unknown", "", "NaT"])
def test_a_frame_without_a_date_is_of_the_time_of_its_file_and_said_to_be(tmp_path, said):
    """It was 1970, the same day for every file of a place; `unknown`, as compress takes it, was refused."""
    data = np.ones((2, 3, 16, 16), np.uint16)
    np.savez(tmp_path / "a.npz", data=data, bands=np.array(BANDS), **({} if said is None else {"dates": [said] * 2}))
    os.utime(tmp_path / "a.npz", (1_700_000_000, 1_700_000_000))
    found = drain(FolderSource(tmp_path, ManualClock(), settle_s=0))
    assert [o.acquisition.time for o in found] == [1_700_000_000, 1_700_000_001] and all(o.undated for o in found)


@pytest.mark.parametrize("said", ["2024-05-06T10:00:00Z", "2024-05-06T12:00:00.123456789+02:00", "20240506T10:00:00"])
def test_dates_in_any_form_of_iso_8601(said):
    assert epoch_seconds(said) == 1_714_989_600
    assert epoch_seconds("20240506") == epoch_seconds("2024-05-06") == 1_714_953_600


def test_dates_of_another_number_than_frames_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", data=np.ones((2, 3, 16, 16), np.uint16), bands=np.array(BANDS), dates=["2024-05-06"])
    (found,) = drain(FolderSource(tmp_path, ManualClock(), settle_s=0))
    assert found.refused == "a.npz: expected 2 dates, as data has, found 1"


def test_a_file_that_grows_is_left_alone(tmp_path):
    clock = ManualClock()
    source = FolderSource(tmp_path, clock, settle_s=1.0)
    whole = acquisition().pack()
    for part in range(1, 5):
        (tmp_path / "a.swf").write_bytes(whole[: part * len(whole) // 4])
        assert source.poll() is None
        clock.advance(0.6)
    assert source.poll() is None
    clock.advance(2)
    assert same(source.poll().acquisition, acquisition())


def test_what_is_no_cube_is_refused_once_and_stays(tmp_path):
    cube(tmp_path / "a.npz")
    for name in ("scene.tif", "notes", "b.npz.part", ".hidden", "c.tmp"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "S2A_MSIL2A_20230101T101411.SAFE" / "GRANULE").mkdir(parents=True)
    source = FolderSource(tmp_path, ManualClock(), settle_s=0)
    found = drain(source)
    refused = {o.name: o.refused for o in found if o.acquisition is None}
    assert refused == {
        "scene.tif": "expected .npz or .swf, found a file .tif: it stays where it is",
        "notes": "expected .npz or .swf, found a file without suffix: it stays where it is",
        "S2A_MSIL2A_20230101T101411.SAFE": "expected .npz or .swf, found a folder: it stays where it is",
    }
    assert len(found) > len(refused) and drain(source) == []
    assert (tmp_path / "scene.tif").is_file() and (tmp_path / "done" / "a.npz").is_file()
    for i in range(MAX_TOLD + 10):
        (tmp_path / f"{i}.txt").touch()
    assert len(drain(source)) == MAX_TOLD - len(refused)


def test_an_offer_not_done_is_offered_again_after_a_restart(tmp_path):
    clock = ManualClock()
    cube(tmp_path / "site.npz")
    first = FolderSource(tmp_path, clock, settle_s=0)
    first.poll()
    assert len(drain(FolderSource(tmp_path, clock, settle_s=0))) == 2


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nothing", b"\x93NUMPY", bytes(1000)])
def test_damaged_archives_are_refused_and_put_aside(tmp_path, content):
    source = FolderSource(tmp_path, ManualClock(), settle_s=0)
    (tmp_path / "bad.npz").write_bytes(content)
    (one,) = drain(source)
    assert one.acquisition is None and one.refused
    assert (tmp_path / "refused" / "bad.npz").exists()


def test_archives_with_wrong_content_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", other=np.ones(3))
    np.savez(tmp_path / "b.npz", data=np.ones((3, 4)), bands=BANDS)
    np.savez(tmp_path / "c.npz", data=np.full((3, 8, 8), np.inf), bands=BANDS)
    np.savez(tmp_path / "d.npz", data=np.array([{}], object), bands=BANDS)
    found = drain(FolderSource(tmp_path, ManualClock(), settle_s=0))
    assert len(found) == 4 and all(o.acquisition is None for o in found)
    np.savez_compressed(tmp_path / "bomb.npz", data=np.zeros((3, 3000, 3000), np.uint16), bands=BANDS)
    with pytest.raises(FrameError, match="at most 1000000 bytes"):
        read_npz(tmp_path / "bomb.npz", 1_000_000)


@pytest.mark.parametrize(
    "extra", [{"nodata": np.array([1, 2])}, {"boa_offset": np.zeros((2, 2))}, {"dates2": np.zeros(1)}]
)
def test_an_archive_with_odd_extras_costs_itself_at_most(tmp_path, extra):
    data = np.full((2, 3, 16, 16), 500, np.uint16)
    np.savez(tmp_path / "a.npz", data=data, bands=np.array(BANDS), **extra)
    cube(tmp_path / "b.npz")
    source = FolderSource(tmp_path, ManualClock(), settle_s=0.0)
    found = drain(source)
    assert [one.name for one in found if one.acquisition][-2:] == ["b-000", "b-001"]
    assert not list(tmp_path.glob("*.npz")), "each is put aside"


def test_a_header_that_claims_more_than_its_archive_holds_is_refused_before_memory_is_taken(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("data.npy", "w") as member:
        header = {"descr": "<u2", "fortran_order": False, "shape": (1, 3, 1 << 20, 1 << 20)}
        np.lib.format.write_array_header_1_0(member, header)
    (one,) = drain(FolderSource(tmp_path, ManualClock(), settle_s=0.0, max_bytes=1 << 20))
    assert one.acquisition is None and f"at most {1 << 20} bytes, found {6 << 40}" in one.refused


def test_a_message_file_beyond_the_limit_is_refused(tmp_path):
    (tmp_path / "large.swf").write_bytes(bytes(5000))
    source = FolderSource(tmp_path, ManualClock(), settle_s=0.0, max_bytes=4000)
    (one,) = drain(source)
    assert one.acquisition is None and "at most 4000 bytes" in one.refused
    assert (tmp_path / "refused" / "large.swf").exists()


@pytest.mark.parametrize("wrong", ["nan", "all nan", "inf", "two axes", "five axes", "one band short"])
def test_frames_of_nonsense_are_refused_or_masked(tmp_path, wrong):
    data = np.full((1, 3, 16, 16), 500.0, np.float32)
    if "nan" in wrong:
        data[:, :, : 16 if wrong == "all nan" else 4] = np.nan
    if wrong == "inf":
        data[0, 0, 0, 0] = np.inf
    data = {"two axes": data[0, 0], "five axes": data[None], "one band short": data[:, :2]}.get(wrong, data)
    np.savez(tmp_path / "a.npz", data=data, bands=np.array(BANDS))
    (one,) = drain(FolderSource(tmp_path, ManualClock(), settle_s=0.0))
    if "nan" in wrong:
        assert one.acquisition is not None and (one.acquisition.frame.valid[4:].all() == (wrong == "nan"))
        assert not one.acquisition.frame.valid[:4].any() and not one.acquisition.frame.data[:, :4].any()
    else:
        assert one.acquisition is None and one.refused


def test_ring_hands_over_in_order_and_refuses_when_full():
    name = f"swathpack-test-{uuid.uuid4().hex[:8]}"
    writer = RingWriter(name, slots=3, slot_bytes=20_000)
    try:
        source = RingSource(name)
        assert source.poll() is None
        for turn in range(4):
            pushed = [writer.push(acquisition(f"{turn}-{i}", i)) for i in range(4)]
            assert pushed == [True, True, True, False]
            first = source.poll()
            assert source.poll() is None, "not twice while it is not done"
            source.done(first)
            assert [first.name, *(o.name for o in drain(source))] == [f"{turn}-{i}" for i in range(3)]
        writer.push(acquisition("scribbled"))
        writer.view[writer.slot_offset(12) + 40] ^= 1
        assert source.poll().refused
        source.close()
        with pytest.raises(SourceError, match="at most 20000"):
            writer.push(acquisition(side=200))
    finally:
        writer.close()
    with pytest.raises(SourceError):
        RingSource(name)


def test_splitter_and_assembler_bound_what_they_hold():
    splitter = MessageSplitter(100)
    assert splitter.feed(b"\0\0\0\3ab") == [] and splitter.feed(b"c\0\0\0\0") == [b"abc", b""]
    with pytest.raises(SourceError, match="at most 100"):
        splitter.feed(b"\0\0\1\0")
    assembler, data = PartAssembler(50_000), np.random.default_rng(0).bytes(9000)
    parts = list(parts_of(7, data))
    for part in (*parts[::-1][:-1], parts[3]):
        assert assembler.feed(part) is None
    assert assembler.feed(parts[0]) == data
    for message in range(100):
        assembler.feed(next(iter(parts_of(message, data))))
        assert len(assembler.open) <= 4
    assert assembler.lost == 96
    assert assembler.feed(b"") is None and assembler.feed(b"XXXX" + bytes(20)) is None


def wait_for(source):
    for _ in range(2000):
        one = source.poll()
        if one is not None:
            return one
        time.sleep(0.005)
    raise AssertionError("nothing arrived")


def test_tcp_and_udp_carry_frames():
    tcp = TcpSource("127.0.0.1", 0)
    message = acquisition().pack()
    with socket.create_connection(tcp.address) as sender:
        sender.sendall(len(message).to_bytes(4, "big") + message)
        assert same(wait_for(tcp).acquisition, acquisition())
        sender.sendall(b"\xff\xff\xff\xff")
        assert "at most" in wait_for(tcp).refused
    tcp.close()
    udp = UdpSource("127.0.0.1", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for part in parts_of(1, message):
            sender.sendto(part, udp.address)
        assert same(wait_for(udp).acquisition, acquisition())
    with pytest.raises(SourceError):
        UdpSource("127.0.0.1", udp.address[1])
    udp.close()


def settle(source, polls=50) -> list[str]:
    """What a source refuses when it has taken in all that was sent to it on this machine."""
    refused = []
    for _ in range(polls):
        one = source.poll()
        if one is not None:
            refused.append(one.refused)
        time.sleep(0.002)
    return refused


def test_stalled_senders_are_dropped_and_do_not_block_a_fifth():
    clock = ManualClock()
    tcp = TcpSource("127.0.0.1", 0, 1 << 20, clock=clock, idle_s=30.0)
    stalled = [socket.create_connection(tcp.address) for _ in range(4)]
    for link in stalled:
        link.sendall((90_000).to_bytes(4, "big") + bytes(1000))
    assert settle(tcp) == []
    with socket.create_connection(tcp.address):
        assert settle(tcp) == ["more than 4 senders"]
    clock.advance(31)
    refused = settle(tcp)
    assert len(refused) == 4 and all("said nothing for 30 s" in r for r in refused)
    message = acquisition().pack()
    with socket.create_connection(tcp.address) as fifth:
        fifth.sendall(len(message).to_bytes(4, "big") + message)
        assert same(wait_for(tcp).acquisition, acquisition())
    for link in stalled:
        link.close()
    tcp.close()


def test_a_sender_that_drips_is_dropped():
    clock = ManualClock()
    tcp = TcpSource("127.0.0.1", 0, 1 << 20, clock=clock, idle_s=30.0, message_s=100.0)
    with socket.create_connection(tcp.address) as link:
        link.sendall((1000).to_bytes(4, "big"))
        for _ in range(8):
            assert settle(tcp, 10) == []
            clock.advance(12)
            link.sendall(b"x")
        assert settle(tcp, 10) == []
        clock.advance(12)
        assert "within 100 s" in settle(tcp)[0]
    tcp.close()


def test_a_silent_sender_between_messages_makes_room():
    clock, message = ManualClock(), acquisition().pack()
    tcp = TcpSource("127.0.0.1", 0, 1 << 20, max_senders=1, clock=clock, idle_s=30.0)
    with socket.create_connection(tcp.address) as first:
        first.sendall(len(message).to_bytes(4, "big") + message)
        assert same(wait_for(tcp).acquisition, acquisition())
        with socket.create_connection(tcp.address):
            assert settle(tcp) == ["more than 1 senders"]
        clock.advance(31)
        with socket.create_connection(tcp.address) as second:
            second.sendall(len(message).to_bytes(4, "big") + message)
            assert same(wait_for(tcp).acquisition, acquisition())
    tcp.close()


def test_messages_of_all_senders_together_stay_within_the_limit():
    """Whoever would need more waits until there is room, and then goes on."""
    clock, message = ManualClock(), acquisition(side=100).pack()
    limit = int(1.5 * len(message))
    tcp = TcpSource("127.0.0.1", 0, limit, clock=clock, idle_s=30.0)
    links = [socket.create_connection(tcp.address) for _ in range(3)]
    for link in links:
        link.sendall(len(message).to_bytes(4, "big") + message[:50])
    assert settle(tcp) == []
    assert sum(s.claimed for s in tcp.senders.values() if not s.waits) <= limit
    assert sum(s.waits for s in tcp.senders.values()) == 2
    found = []
    for link in links:
        link.sendall(message[50:])
        found.append(wait_for(tcp))
    assert all(same(one.acquisition, acquisition(side=100)) for one in found)
    for link in links:
        link.close()
    tcp.close()


def test_a_length_alone_takes_no_memory_and_pieces_of_any_size_do():
    splitter, messages = MessageSplitter(1 << 30), [b"", b"abc", bytes(5000), b"x"]
    assert splitter.claimed == -1 and splitter.feed((1 << 29).to_bytes(4, "big")) == []
    assert splitter.claimed == 1 << 29 and len(splitter.message) == 0
    stream = b"".join(len(m).to_bytes(4, "big") + m for m in messages)
    for size in (1, 3, 7, 5000, len(stream)):
        splitter, found = MessageSplitter(5000), []
        for at in range(0, len(stream), size):
            found += splitter.feed(stream[at : at + size])
        assert [bytes(f) for f in found] == messages and splitter.claimed == -1


def test_very_many_datagrams_are_cheap():
    """What is held is counted as it changes: adding it all up for each of 65,535 datagrams took minutes."""
    assembler, start = PartAssembler(1 << 30), time.process_time()
    for part in range(65_534):
        assert (
            assembler.feed(b"SWFU" + (9).to_bytes(4, "big") + part.to_bytes(2, "big") + b"\xff\xff" + b"x" * 20) is None
        )
    assert time.process_time() - start < 3 and assembler.held_bytes == 65_534 * 20
    assert assembler.feed(b"SWFU" + (9).to_bytes(4, "big") + b"\xff\xfe\xff\xff" + b"y") is not None
    assert assembler.held_bytes == 0 and not assembler.open


def test_a_ring_slot_beyond_the_limit_is_refused_unread():
    name = f"swathpack-test-{uuid.uuid4().hex[:8]}"
    writer = RingWriter(name, slots=2, slot_bytes=20_000)
    try:
        source = RingSource(name, max_bytes=100)
        writer.push(acquisition("large"))
        one = source.poll()
        assert one.acquisition is None and "at most 100" in one.refused
        source.done(one)
        assert source.poll() is None
        source.close()
    finally:
        writer.close()


def test_synthetic_frames_repeat_and_differ():
    found = drain(SyntheticSource(ManualClock(), 4, places=2, size=64))
    again = drain(SyntheticSource(ManualClock(), 4, places=2, size=64, first=2))
    assert len(found) == 4 and [o.name for o in again] == [o.name for o in found[2:]]
    assert (again[0].acquisition.frame.data == found[2].acquisition.frame.data).all()
    assert (found[0].acquisition.frame.data != found[2].acquisition.frame.data).any()
