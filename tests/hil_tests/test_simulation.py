"""The simulated world obeys its physics: energy, heat, bytes, loss by elevation, frames with what is wrong with them."""

import random
from dataclasses import replace

import numpy as np
import pytest

from swathpack.edge.downlink.budget import parse_budget, parse_time
from swathpack.edge.sources.folder import FolderSource
from swathpack.hil_tests.campaigns.prepare import describe, prepare
from swathpack.hil_tests.scenario.catalogue import REFUSED, SCENE
from swathpack.hil_tests.scenario.read import BoardModel, Link, Scenario, Sensor, parse_scenario
from swathpack.hil_tests.simulation import memory
from swathpack.hil_tests.simulation.ground_segment import pieces_of
from swathpack.hil_tests.simulation.link import RadioLink, Trouble, by_elevation
from swathpack.hil_tests.simulation.orbit import LEAST_BYTES, find_passes
from swathpack.hil_tests.simulation.physics import BoardPhysics
from swathpack.hil_tests.simulation.scenes import load_places
from swathpack.hil_tests.simulation.sensor import Shot, SimulatedSensor
from swathpack.tools.errors import UserError

DAY = 20_000 * 86400


def test_energy_and_heat_balance_whatever_happens():
    rng, physics = random.Random(1), BoardPhysics(BoardModel())
    for _ in range(3000):
        seconds = rng.uniform(0, 3000)
        coding, radio, warmer = rng.uniform(0, seconds), rng.uniform(0, seconds), rng.uniform(-9, 60)
        physics.step(seconds, rng.random() < 0.5, coding, radio, warmer, seconds)
        assert 0 <= physics.charge <= 1
    assert physics.check() == []
    physics.energy_wh += 1.0
    assert "energy" in physics.check()[0]


def test_temperature_settles_where_power_and_conductance_say():
    model = BoardModel()
    one, many = BoardPhysics(model), BoardPhysics(model)
    one.step(3e4, True, 0, 0, 5.0, 3e4)
    for _ in range(100):
        many.step(300, True, 0, 0, 5.0, 300)
    settled = 25 + model.idle_w / model.conductance_w_k
    assert one.temperature_c == pytest.approx(many.temperature_c) == pytest.approx(settled, abs=0.1)


def test_link_loses_and_damages_by_elevation():
    scenario = parse_scenario("days = 2\n[passes]\nmin_elevation_deg = 30")
    one = find_passes(scenario, parse_time(scenario.start)).passes[0]
    settings = Link(loss_low=0.5, loss_high=0.01, bit_errors_low=1e-4, bit_errors_high=0.0)
    link = RadioLink(settings, np.random.default_rng(1))
    packet = bytes(range(256)) * 2
    assert by_elevation(0.5, 0.01, 10) == 0.5 and by_elevation(0.5, 0.01, 90) == pytest.approx(0.01, abs=0.002)
    low, top = one.budget.start_s + 1, (one.budget.start_s + one.budget.end_s) / 2
    got = {time: [link.carry(packet, time, one, Trouble()) for _ in range(600)] for time in (low, top)}
    lost = {time: sum(p is None for p in found) for time, found in got.items()}
    assert lost[low] > 2 * lost[top] > 0
    assert any(p not in (None, packet) for p in got[low])
    assert link.carry(packet, one.budget.end_s + 1, one, Trouble()) is None, "nobody listens after the pass"
    dead = Trouble(dead_from_s=top - 1, dead_to_s=top + 1)
    assert all(link.carry(packet, top, one, dead) is None for _ in range(50))
    c = link.counts
    assert c["bytes sent"] == c["bytes arrived"] + c["bytes lost"] == 512 * c["packets sent"]
    assert pieces_of(packet) == []


def test_passes_are_a_budget_that_the_board_reads():
    scenario = parse_scenario("days = 3\n[passes]\nper_day = 2\nshare = 0.001\nstation = 'tromso'")
    orbit = find_passes(scenario, parse_time(scenario.start))
    budget = parse_budget(orbit.budget("x", 1))
    assert len(budget.passes) == len(orbit.passes) == 6 and orbit.check() == []
    assert {p.station for p in budget.passes} == {"tromso"}
    lit = orbit.sunlit(np.arange(0, 86400, 120) + parse_time(scenario.start))
    assert 0.55 < lit.mean() < 0.75, "a 510 km dawn-less orbit is in shadow for about a third of the time"
    with pytest.raises(UserError, match=r"^scenario: passes.station: expected one of .*tromso"):
        find_passes(parse_scenario("[passes]\nstation = 'mars'"), 0.0)
    with pytest.raises(UserError, match=r"^scenario: passes.plan: no plan file 'mars'"):
        find_passes(parse_scenario("[passes]\nplan = 'mars'"), 0.0)


def test_a_share_that_leaves_passes_without_a_packet_is_said():
    """All of them: an error; some: a warning of the check."""
    start = parse_time(Scenario.start)
    scenario = parse_scenario("days = 3\n[passes]\nshare = 1\n[sensor]\ndata = 'synthetic'")
    sizes = sorted(one.budget.bytes for one in find_passes(scenario, start).passes)
    share = LEAST_BYTES / ((sizes[0] + sizes[-1]) / 2)  # as a plan with a slow radio would ask for it
    scenario = replace(scenario, passes=replace(scenario.passes, share=share))
    ready = prepare(scenario, None)
    small = sum(one.budget.bytes < LEAST_BYTES for one in ready.orbit.passes)
    assert 0 < small < len(sizes)
    said = f"warning: passes.share: {small} of {len(sizes)} passes carry nothing"
    assert said in describe(scenario, ready)
    with pytest.raises(UserError, match=f"passes.share: expected .* at least {LEAST_BYTES} bytes"):
        find_passes(replace(scenario, passes=replace(scenario.passes, share=share / 9)), start)


@pytest.fixture(scope="module")
def sensor():
    return SimulatedSensor(load_places(Sensor(data="synthetic", places=2, height=64), None, 3), 3)


@pytest.mark.parametrize("kind", ["none", *SCENE, "hot_pixels", "saturation", "dead_lines"])
def test_frames_that_the_real_source_takes(sensor, kind, tmp_path):
    strength = {"clouds": 0.5, "haze": 1.0, "misregistration": 1.5, "exposure_jump": 1.6, "saturation": 0.1}.get(
        kind, 20.0
    )
    plain, shot = Shot(4, 1, DAY), Shot(4, 1, DAY, ((kind, strength),) if kind != "none" else ())
    assert np.array_equal(sensor.pixels(shot), sensor.pixels(shot)), "the judge makes it again"
    assert np.array_equal(sensor.pixels(plain), sensor.pixels(shot)) == (kind == "none")
    offer = take(sensor, shot, tmp_path)
    assert offer.acquisition is not None and offer.name == shot.name
    assert np.array_equal(offer.acquisition.frame.data, sensor.pixels(shot))
    assert (offer.acquisition.time, offer.acquisition.place) == (DAY, 1)


@pytest.mark.parametrize("kind", REFUSED)
def test_frames_that_the_real_source_refuses(sensor, kind, tmp_path):
    shot = Shot(4, 1, DAY, ((kind, 0.0),))
    offer = take(sensor, shot, tmp_path)
    assert offer.acquisition is None and offer.refused and offer.name in (shot.name, shot.file)


def take(sensor, shot, folder):
    from swathpack.edge.clock import ManualClock

    source = FolderSource(folder, ManualClock(), 0.0)
    (folder / shot.file).write_bytes(sensor.delivery(shot))
    return source.poll()


def test_seasons_change_vegetation_only():
    water = np.full((12, 8, 8), 300, np.float32)
    green = np.full((12, 8, 8), 500, np.float32)
    green[6:10] = 4000
    from swathpack.hil_tests.simulation.sensor import season

    june, december = 172 * 86400, 355 * 86400
    assert np.allclose(season(water, june), season(water, december))
    assert (season(green, june)[7] > 1.1 * season(green, december)[7]).all()


def test_flips_change_one_bit_and_nothing_else():
    rng, array = random.Random(1), np.zeros((4, 8), np.float32)
    array.setflags(write=False)
    for count in range(1, 6):
        memory.flip_array(array, rng)
        assert np.unpackbits(array.view(np.uint8)).sum() in (count, count - 2)
    data = bytes(100)
    assert sum(a != b for a, b in zip(data, memory.flip_bytes(data, rng))) == 1
    assert all(start < stop for start, stop in memory.writable())
