"""Watches a campaign's events and decides of every injection whether it was told of and when it was over."""

from __future__ import annotations

from typing import Any

from swathpack.hil_tests.campaigns.injections import Injection
from swathpack.hil_tests.scenario.catalogue import REFUSED
from swathpack.hil_tests.simulation.sensor import Shot

SLOW_MS = 1000.0
FRAME_EVENTS = {"frame_defect", "frame_rejected"}


class Observer:
    """Told of what happens; writes into the injections."""

    def __init__(self, injections: list[Injection], shots: list[Shot]) -> None:
        self._injections, self._shots = injections, shots

    def open(self, *kinds: str) -> list[Injection]:
        """Injections of these kinds that were put in and are not over."""
        return [i for i in self._injections if i.kind in kinds and i.injected and not i.recovered_at]

    def event(self, time: float, name: str, values: dict[str, Any]) -> None:
        """An event of the board."""
        if name in FRAME_EVENTS:
            self._frame(time, name, str(values["frame"]))
        handler = getattr(self, "_on_" + name, None)
        if handler is not None:
            handler(time, values)

    def _frame(self, time: float, name: str, frame: str) -> None:
        for injection in self.open(*(k for k in {i.kind for i in self._injections if i.group == "frame"})):
            shot = self._shots[injection.target]
            if frame in (shot.name, shot.file):
                injection.tell(time, name)
                if injection.kind in REFUSED and name == "frame_rejected":
                    injection.recover(time, "refused; the loop went on")

    def _on_tile_empty(self, time: float, values: dict[str, Any]) -> None:
        for injection in self.open("nan_frame"):
            if self._shots[injection.target].time == values["time"]:
                injection.tell(time, "tile_empty")
                injection.recover(time, "nothing to code; the loop went on")

    def _on_throttled(self, time: float, values: dict[str, Any]) -> None:
        for injection in self.open("heat"):
            if values["share"] < 1:
                injection.tell(time, f"throttled: {values['reason']}")
            elif injection.told_at and time >= injection.until:
                injection.recover(time, "full load again")

    def _on_disk_full(self, time: float, values: dict[str, Any]) -> None:
        for injection in self.open("disk_full"):
            injection.tell(time, f"disk_full: {values['what']}")

    def _on_frame_accepted(self, time: float, values: dict[str, Any]) -> None:
        for injection in self.open("disk_full"):
            if time >= injection.until:
                injection.recover(time, "frames are accepted again")
            elif not injection.told_at:
                injection.harmless = "what the ground had confirmed made room in time"

    def _on_tile_coded(self, time: float, values: dict[str, Any]) -> None:
        for injection in self.open("slow_disk"):
            if time >= injection.until:
                injection.recover(time, "tiles are stored at once again")
        for injection in self.open("flip_context", "flip_code"):
            if injection.told_at and injection.what == f"of tile {values['tile']}" and time >= injection.told_at:
                injection.recover(time, "the tile was coded again")

    def _on_clock_jump(self, time: float, values: dict[str, Any]) -> None:
        for injection in self.open("clock_jump"):
            if time >= injection.until:
                injection.recover(time, "the clock is right again")
            else:
                injection.tell(time, f"clock_jump: {values['seconds']:.0f} s")

    def _on_memory_flipped(self, time: float, values: dict[str, Any]) -> None:
        for injection in self.open("flip_weights", "flip_tables"):
            injection.tell(time, f"memory_flipped: {values['region']}")

    def _on_memory_repaired(self, time: float, values: dict[str, Any]) -> None:
        for injection in self.open("flip_weights", "flip_tables"):
            if injection.told_at:
                injection.recover(time, f"{values['region']} reloaded")

    def _on_coding_stopped(self, time: float, values: dict[str, Any]) -> None:
        for injection in self.open("flip_engine", "flip_tables"):
            injection.tell(time, f"coding_stopped: {values['reason']}")

    def _on_tile_failed(self, time: float, values: dict[str, Any]) -> None:
        for injection in self.open("flip_context", "flip_code"):
            if injection.what == f"of tile {values['tile']}":
                injection.tell(time, f"tile_failed: {values['error']}")

    def _on_report_mismatch(self, time: float, values: dict[str, Any]) -> None:
        for injection in self.open("flip_context", "flip_code"):
            if injection.what == f"of tile {values['tile']}":
                injection.tell(time, "report_mismatch: the ground's digest differs")

    def _on_report_rejected(self, time: float, values: dict[str, Any]) -> None:
        for injection in self.open("report_forged"):
            injection.tell(time, f"report_rejected: {values['reason']}")

    def _on_report_repeated(self, time: float, values: dict[str, Any]) -> None:
        for injection in self.open("report_duplicated"):
            injection.tell(time, f"report_repeated: {values['number']}")

    def _on_report_applied(self, time: float, values: dict[str, Any]) -> None:
        number = int(values["number"])
        for injection in self.open("fade", "outage") if values["lost"] else []:
            injection.tell(time, f"report {number}: {values['lost']} segments have losses")
        for injection in self.open("report_lost", "report_delayed", "report_forged", "report_duplicated"):
            if injection.told_at and time > injection.told_at:
                injection.recover(time, "a true report was applied")

    def slow_store(self, time: float, milliseconds: float) -> None:
        """Telemetry of the board: the longest store of a tile lately."""
        for injection in self.open("slow_disk"):
            if milliseconds >= SLOW_MS:
                injection.tell(time, f"telemetry: a tile took {milliseconds:.0f} ms to store")

    def ended(self, time: float, status: int) -> None:
        """The board's process has ended."""
        for injection in self.open("kill", "power_cut", "brownout"):
            if status == -9:
                injection.tell(time, "the process ended with signal 9")
        for injection in self.open("flip_engine"):
            if status not in (3, -9):
                injection.tell(time, f"the process ended with signal {-status}")

    def running(self, time: float) -> None:
        """The board has come through a stretch of time alive."""
        for injection in self.open("kill", "power_cut", "brownout"):
            if injection.told_at:
                injection.recover(time, "started again")
        for injection in self.open("flip_engine", "flip_tables"):
            if injection.told_at:
                injection.recover(time, "started anew, model loaded from its files")
