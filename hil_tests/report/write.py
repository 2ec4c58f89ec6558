"""Runs a campaign and writes its report: page, JSON, JUnit, log."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.frame import Frame
from swathpack.hil_tests.boards.launch import launcher
from swathpack.hil_tests.campaigns.prepare import Prepared, prepare
from swathpack.hil_tests.campaigns.record import Record
from swathpack.hil_tests.campaigns.run import Campaign
from swathpack.hil_tests.campaigns.verdict import Verdict, final_psnr, verdicts
from swathpack.hil_tests.report import outputs
from swathpack.hil_tests.report.page import render
from swathpack.hil_tests.scenario.read import Scenario
from swathpack.hil_tests.simulation.sensor import CHANGES
from swathpack.tools.files.outputs import write_text
from swathpack.tools.pages.pictures import TRUE_COLOUR, Stretch, data_uri

PICTURES = 12


def run_and_report(
    scenario: Scenario, board: str, folder: Path, data: Path | None, ready: Prepared | None = None
) -> tuple[list[Verdict], str]:
    """The verdicts and the text to print; the files are in `folder`. Raises UserError.

    Ctrl-C ends the run and reports what ran; a second one ends that too.
    """
    campaign = Campaign(scenario, launcher(board, folder), folder, ready or prepare(scenario, data))
    with _stopped_by_hand(campaign):
        record = campaign.run()
    record.pictures = pictures(campaign, record)
    found = verdicts(record, scenario)
    outputs.write(record, scenario, found, folder)
    write_text(folder / "report.html", render(record, scenario, found))
    return found, outputs.table(record, found)


@contextmanager
def _stopped_by_hand(campaign: Campaign) -> Iterator[None]:
    """The first SIGINT lets the campaign end where it is, the next is the usual one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: object) -> None:
        campaign.stopping = True
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def pictures(campaign: Campaign, record: Record) -> list[dict[str, str]]:
    """Before and after of some frames: one of every disturbance that shows, then plain ones, spread over the campaign."""
    psnr = final_psnr(record)
    shots = [s for s in campaign.schedule.shots if (s.place << 16, s.time) in psnr]
    chosen = []
    for kind in CHANGES:
        chosen += [s for s in shots if [k for k, _ in s.wrongs] == [kind]][:1]
    plain = [s for s in shots if not s.wrongs]
    step = max(len(plain) // max(PICTURES - len(chosen), 1), 1)
    chosen = (chosen + plain[::step])[:PICTURES]
    made = []
    for shot in chosen:
        key = TileKey(shot.place << 16, shot.time)
        held = campaign.ground.store.latent(key)
        if held is None:
            continue
        before, after = Frame(campaign.truth.pixels(key), BANDS), Frame(campaign.ground.image(key), BANDS)
        stretch = Stretch.of(before, TRUE_COLOUR)
        day = (shot.time - campaign.start_s) / 86400
        title = ", ".join(f"{kind.replace('_', ' ')} ({strength:g})" for kind, strength in shot.wrongs) or "as it is"
        made.append(
            {
                "before": data_uri(np.ascontiguousarray(stretch.picture(before))),
                "after": data_uri(stretch.picture(after)),
                "title": title,
                "text": f"{record.places[shot.place]}, day {day:.1f}: {psnr[key]:.1f} dB, {held.layers} of 16 layers",
            }
        )
    return made
