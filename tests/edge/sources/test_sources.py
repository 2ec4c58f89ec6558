"""Frame sources: what goes in comes out; what is damaged, hostile or half-written is a refusal, never a
crash.
"""

import os
import uuid
import zipfile

import numpy as np
import pytest

from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.lone import lone_head
from swathpack.edge.frame import Frame, FrameError
from swathpack.edge.sources.acquisition import Acquisition, SourceError, offer, samples_of
from swathpack.edge.sources.folder import MAX_TOLD, FolderSource, epoch_seconds, read_npz
from swathpack.edge.sources.ring import RingSource, RingWriter
from swathpack.edge.sources.synthetic import SyntheticSource
from tests.edge.sources.offers import BANDS, acquisition, drain, same


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
    (tmp_path / "gone.npz").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.swf")
    source = FolderSource(tmp_path, ManualClock(), settle_s=0)
    found = drain(source)
    refused = {o.name: o.refused for o in found if o.acquisition is None}
    assert refused == {
        "scene.tif": "expected .npz or .swf, found a file .tif: it stays where it is",
        "notes": "expected .npz or .swf, found a file without suffix: it stays where it is",
        "S2A_MSIL2A_20230101T101411.SAFE": "expected .npz or .swf, found a folder: it stays where it is",
    } | dict.fromkeys(
        ("gone.npz", "pipe.swf"),
        "expected .npz or .swf, found no plain file (a pipe, a link to nothing): it stays where it is",
    )
    assert len(found) > len(refused) and drain(source) == []
    assert (tmp_path / "scene.tif").is_file() and (tmp_path / "done" / "a.npz").is_file()
    for i in range(MAX_TOLD + 10):
        (tmp_path / f"{i}.txt").touch()
    assert len(drain(source)) == MAX_TOLD - len(refused)


@pytest.mark.parametrize("when", ["before it is read", "before it is put away"])
def test_a_file_that_vanishes_costs_itself_and_its_name_is_free_again(tmp_path, monkeypatch, when):
    path, source = tmp_path / "a.npz", FolderSource(tmp_path, ManualClock(), settle_s=0)
    cube(path)
    with monkeypatch.context() as patch:
        if when == "before it is read":
            path.unlink()
            patch.setattr(FolderSource, "_settled", lambda self: path)
        offer = source.poll()
        assert (offer.acquisition is None) == (when == "before it is read")
        path.unlink(missing_ok=True)
        while offer is not None:
            source.done(offer)
            offer = source.poll() if when == "before it is put away" else None
    cube(path)
    assert any(found.acquisition is not None for found in drain(source)), "a new file of that name"


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


def test_bands_of_any_names_fly_as_far_as_a_segment_can_say_them():
    names = tuple(f"{i:02d}" + "n" * 30 for i in range(16))
    frame = Frame(np.full((16, 2, 3), 7, np.uint16), names)
    sent = Acquisition("a", 0, 1, frame)
    assert Acquisition.unpack(sent.pack(), 1 << 20).frame.bands == names
    assert len(lone_head(names, 512, 512, samples_of("int16", -9999))) < 700, (
        "within what the ground reads of a segment's beginning"
    )
    many = Frame(np.full((17, 2, 3), 7, np.uint16), tuple(f"x{i}" for i in range(17)))
    with pytest.raises(
        FrameError, match="at most 16 bands with names of at most 32 bytes, found 17, the longest of 3 bytes"
    ):
        Acquisition("a", 0, 1, many)
    with pytest.raises(FrameError, match="found 1, the longest of 34 bytes"):
        Acquisition("a", 0, 1, Frame(np.full((1, 2, 3), 7, np.uint16), ("é" * 17,)))
