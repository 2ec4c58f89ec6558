"""Radio to context: commands from the uplink, reception reports among them."""

from __future__ import annotations

from collections.abc import Mapping

from swathpack.edge import events
from swathpack.edge.board import Board
from swathpack.edge.packets.deframer import Deframer
from swathpack.edge.packets.space_packet import Apid
from swathpack.edge.sources.commands import MAX_COMMAND_BYTES, CommandSource


class Uplink:
    """The `Stage` of the reports. keys: secrets shared with the ground, by slot."""

    name = "uplink"

    def __init__(self, board: Board, source: CommandSource, keys: Mapping[int, bytes]) -> None:
        self._source, self._confirmation, self._keys = source, board.confirmation, keys
        self._log, self._telemetry = board.log, board.telemetry

    def step(self) -> bool:
        data = self._source.poll()
        if data is None:
            return False
        # One deframer per delivery: a torn file or datagram must not eat into the next.
        deframer = Deframer(MAX_COMMAND_BYTES)
        for packet in deframer.feed(data) + deframer.flush():
            if packet.apid == Apid.REPORT and packet.command:
                self._report(packet.payload)
            else:
                self._log.report(events.REPORT_REJECTED, reason=f"unexpected packet of APID {packet.apid}")
        self._source.done()
        return True

    def _report(self, payload: bytes) -> None:
        with self._telemetry.timed("confirm"):
            outcome = self._confirmation.receive(payload, self._keys)
        self._telemetry.count("reports_in" if outcome else "reports_rejected")
