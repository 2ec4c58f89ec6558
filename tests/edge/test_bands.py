"""Band names, statistics and the regression that fills missing bands."""

import numpy as np
import pytest

from swathpack.edge import bands
from swathpack.edge.bands import (
    BANDS,
    BandError,
    StatisticsError,
    complete_bands,
    complete_dn,
    completion_matrix,
    filled_counts,
    normalise_name,
)
from swathpack.edge.frame import Frame
from swathpack.edge.radiometry import Radiometry


@pytest.mark.parametrize(
    "raw, name",
    [
        ("b2", "B02"),
        ("B2", "B02"),
        ("B02", "B02"),
        ("B8A", "B8A"),
        ("b8a", "B8A"),
        ("B08A", "B8A"),
        ("12", "B12"),
        ("band_3", "B03"),
        (" B11 ", "B11"),
        ("B10", "B10"),
    ],
)
def test_names_are_normalised(raw, name):
    assert normalise_name(raw) == name


@pytest.mark.parametrize("raw", ["B13", "red", "", "B0", "B8B", "B88A"])
def test_unknown_names_are_refused_by_name(raw):
    with pytest.raises(BandError, match="unknown band"):
        normalise_name(raw)


def test_all_wrong_names_are_listed():
    with pytest.raises(BandError, match="red, B99"):
        bands.normalise_names(["red", "B02", "B99"])
    with pytest.raises(BandError, match="more than once: B02"):
        bands.normalise_names(["B02", "b2", "B03"])


def test_given_bands_pass_through_and_order_does_not_matter():
    gain, offset = completion_matrix(("B08", "B02"))
    given = np.array([2500.0, 400.0])
    full = gain @ given + offset
    assert full[BANDS.index("B08")] == 2500 and full[BANDS.index("B02")] == 400
    other, same_offset = completion_matrix(("B02", "B08"))
    assert np.allclose(other @ given[::-1] + same_offset, full, rtol=1e-4)


def test_filled_band_is_the_conditional_mean():
    """Least squares on samples of the shipped Gaussian finds the same coefficients."""
    statistics = bands.load_statistics("L2A")
    rng = np.random.default_rng(3)
    sample = rng.multivariate_normal(statistics.mean, statistics.covariance, 400_000)
    present = ("B02", "B04", "B08", "B11")
    index = [BANDS.index(b) for b in present]
    design = np.c_[sample[:, index], np.ones(len(sample))]
    expected = np.linalg.lstsq(design, sample, rcond=None)[0]
    gain, offset = completion_matrix(present, "L2A")
    missing = [i for i in range(12) if i not in index]
    fitted = design @ expected
    mine = sample[:, index] @ gain.T + offset
    assert np.sqrt(((fitted - mine)[:, missing] ** 2).mean()) < 3
    assert ((mine - sample)[:, missing].std(axis=0) < sample[:, missing].std(axis=0)).all()


def test_level_moves_the_water_vapour_band():
    present = tuple(b for b in BANDS if b not in ("B01", "B09"))
    typical = bands.load_statistics("L2A").mean[[BANDS.index(b) for b in present]]
    gain_1c, offset_1c = completion_matrix(present, "L1C")
    gain_2a, offset_2a = completion_matrix(present, "L2A")
    assert (gain_1c @ typical + offset_1c)[9] < 0.6 * (gain_2a @ typical + offset_2a)[9]


def test_complete_bands_keeps_what_is_there_and_drops_b10():
    rng = np.random.default_rng(0)
    data = rng.integers(200, 4000, (5, 8, 6), np.uint16)
    data[:, 0, 0] = 0
    frame = Frame(data, ("B10", "B08", "B04", "B03", "B02"), "2020-01-01", level="L2A")
    full = complete_bands(frame)
    assert full.bands == BANDS and full.data.shape == (12, 8, 6) and full.time == "2020-01-01"
    assert (full.data[BANDS.index("B08")] == data[1]).all()
    assert (full.data[BANDS.index("B02")] == data[4]).all()
    assert (full.data[:, 0, 0] == 0).all() and not full.valid[0, 0] and full.valid.sum() == 47
    assert (full.data[:, full.valid] >= 1).all()
    assert complete_bands(full) is full


def test_dn_of_a_plain_frame_are_those_of_complete_bands():
    data = np.random.default_rng(1).integers(200, 4000, (4, 8, 6), np.uint16)
    data[:, 0, 0] = 0
    frame = Frame(data, ("B08", "B04", "B03", "B02"), level="L2A")
    assert (complete_dn(frame) == complete_bands(frame).data).all()
    whole = Frame(np.random.default_rng(1).integers(1, 4000, (12, 8, 6), np.uint16))
    assert (complete_dn(whole) == whole.data).all()


def test_a_hole_is_filled_as_a_band_that_is_not_there():
    data = np.random.default_rng(2).integers(200, 4000, (3, 8, 6), np.uint16)
    holes = np.zeros(data.shape, bool)
    holes[2, :4] = True
    data[holes] = 0
    with_hole = complete_dn(Frame(data, ("B02", "B03", "B08"), holes=holes))
    without = complete_dn(Frame(data[:2], ("B02", "B03")))
    assert np.allclose(with_hole[:, :4], without[:, :4], atol=0.6)  # there they are whole numbers
    assert (with_hole[BANDS.index("B08"), 4:] == data[2, 4:]).all()


def test_filled_counts_change_holes_alone() -> None:
    data = np.random.default_rng(2).integers(200, 4000, (3, 8, 6), np.uint16)
    holes = np.zeros(data.shape, bool)
    holes[1, :4] = holes[2, :2] = True
    signed = Radiometry("int16", shift=32768, zero=32768)
    frame = Frame(
        np.where(holes, 0, data + 32768).astype(np.uint16), ("B02", "pan", "B08"), holes=holes, radiometry=signed
    )
    filled = filled_counts(frame)
    assert (filled[~holes] == frame.data[~holes]).all() and (filled[holes] > 32768).all()
    assert abs(int(filled[1, 0, 0]) - frame.data[1, 4:].mean()) < 1
    whole = Frame(data, ("B02", "B03", "B08"))
    assert filled_counts(whole) is whole.data


def test_unknown_bands_are_left_out_of_what_is_coded():
    data = np.random.default_rng(2).integers(200, 4000, (3, 8, 6), np.uint16)
    assert (complete_dn(Frame(data, ("B02", "pan", "B08"))) == complete_dn(Frame(data[::2], ("B02", "B08")))).all()
    with pytest.raises(BandError, match="at least one"):
        complete_dn(Frame(data[:1], ("pan",)))


def test_complete_bands_refuses_what_it_cannot_fill():
    data = np.ones((1, 4, 4), np.uint16)
    with pytest.raises(BandError, match="at least one"):
        complete_bands(Frame(data, ("B10",)))
    with pytest.raises(BandError, match="without_offset"):
        complete_bands(Frame(data, ("B02",), boa_offset=True))


def test_missing_or_broken_statistics_are_named(tmp_path):
    with pytest.raises(StatisticsError, match=r"absent\.npz"):
        bands.load_statistics("L2A", tmp_path / "absent.npz")
    np.savez(tmp_path / "short.npz", L2A_mean=np.zeros(3), L2A_covariance=np.zeros((3, 3)))
    with pytest.raises(StatisticsError, match=r"found \(3,\)"):
        bands.load_statistics("L2A", tmp_path / "short.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(StatisticsError, match=r"text\.npz"):
        bands.load_statistics("L2A", tmp_path / "text.npz")


@pytest.mark.parametrize("complete", [bands.complete_bands, bands.complete_dn])
def test_bands_that_none_of_the_twelve_is_among_are_named(complete):
    with pytest.raises(bands.BandError, match="expected at least one of B01, .*; found pan, vv"):
        complete(Frame(np.full((2, 4, 4), 500, np.uint16), ("pan", "vv")))
