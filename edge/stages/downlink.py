"""Queue to radio: when a contact is on, plan the pass, hand packets to the port, keep to the budget as it
changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from swathpack.edge import events
from swathpack.edge.board import Board
from swathpack.edge.downlink.passrun import PassRun
from swathpack.edge.downlink.ports import Port, PortError
from swathpack.edge.downlink.schedule import Contact, Schedule
from swathpack.edge.health.telemetry import pack_sample
from swathpack.edge.packets.space_packet import Apid

REFRESH_S = 1.0  # how often a pass with nothing left looks for new tiles
RETRY_S = 1.0  # after the port refused a packet


class Downlink:
    """The `Stage` of the passes. One packet per step. keys: secrets that sign packets, by slot; None to sign nothing."""

    name = "downlink"

    def __init__(self, board: Board, schedule: Schedule, port: Port, keys: Mapping[int, bytes] | None) -> None:
        self.schedule, self.clock = schedule, board.clock
        self._port, self._queue, self._confirmation = port, board.queue, board.confirmation
        self._log, self._telemetry = board.log, board.telemetry
        self._plan, self._link, self._patience = board.mission.plan, board.mission.link, board.mission.passes.patience
        self._signer = partial(board.signer, keys)
        self._run: PassRun | None = None
        self._packet: bytes | None = None  # planned, not yet taken by the port
        self._look_again = 0.0

    def step(self) -> bool:
        contact = self.schedule.current()
        if self._run is not None and (contact is None or contact.number != self._run.number):
            self._end(self._run)
        if contact is None:
            return False
        run = self._run or self._begin(contact)
        if run is None:
            return False
        if contact.budget_bytes != run.budget:
            run.set_budget(contact.budget_bytes)
            self._packet = None
        return self._send_one(run, contact)

    def close(self) -> None:
        """The loop stops: end the pass as it is; it goes on after a restart while its contact lasts."""
        if self._run is not None:
            self._run.pause()
            self._run = None

    def _begin(self, contact: Contact) -> PassRun | None:
        if self._queue.passes.ended(contact.number) or self.clock.monotonic() < self._look_again:
            return None
        try:
            self._port.open(contact.number)
        except PortError as error:
            self._trouble(error)
            return None
        self._confirmation.expire(contact.number - self._patience)
        with self._telemetry.timed("plan"):
            self._run = PassRun(
                self._queue,
                self._log,
                contact.number,
                contact.budget_bytes,
                self._plan,
                self._link,
                self._housekeeping(),
                self._signer(),
            )
        self._telemetry.gauge("pass_budget_bytes", contact.budget_bytes)
        return self._run

    def _send_one(self, run: PassRun, contact: Contact) -> bool:
        if self.clock.monotonic() < self._look_again:
            return False
        with self._telemetry.timed("packet"):
            self._packet = self._packet or run.next_packet()
        if self._packet is None:
            self._look_again = self.clock.monotonic() + REFRESH_S
            run.refresh()
            return False
        if run.used > contact.due_bytes:
            return False  # the radio is still at the packet before; waiting for room for all of this one would lose the last of a pass
        try:
            self._port.send(self._packet)
        except PortError as error:
            self._trouble(error)
            return False
        self._count(run, len(self._packet))
        return True

    def _count(self, run: PassRun, size: int) -> None:
        run.sent()
        self._packet = None
        self._telemetry.count("packets_out")
        self._telemetry.count("bytes_out", size)
        self._telemetry.gauge("pass_used_bytes", run.used)

    def _end(self, run: PassRun) -> None:
        self._run = self._packet = None
        self._look_again = 0.0  # what this pass waited for is not what the next one waits for
        run.close()
        try:
            self._port.close()
        except PortError as error:
            self._trouble(error)

    def _trouble(self, error: PortError) -> None:
        self._log.report(events.PORT_FAILED, error=str(error))
        self._look_again = self.clock.monotonic() + RETRY_S

    def _housekeeping(self) -> Callable[[int], tuple[int, bytes]]:
        """Telemetry once, then events, most severe first."""
        sample = [pack_sample(self._telemetry.sample(), self.clock.wall())]

        def payload(room: int) -> tuple[int, bytes]:
            if sample and len(sample[0]) <= room:
                return Apid.TELEMETRY, sample.pop()
            return Apid.EVENT, self._log.drain(room)

        return payload
