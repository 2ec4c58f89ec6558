"""A pass file over CFDP (CCSDS 727.0-B-5) by the package cfdp-py: both ends without sockets, for any link of PDUs.

An alternative to packets one by one where a link already speaks CFDP. Class 1 has no acknowledgement: a lost PDU
leaves the file incomplete. Class 2 asks for what is missing until the file is whole. The timers of cfdp-py read the
wall clock, so a simulated link has to run in real time.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

SENDER, RECEIVER = 1, 2
RETRIES = 60
WAIT_S = 0.002


class CfdpError(Exception):
    """The packages are missing, or a transfer failed."""


@dataclass(frozen=True)
class Transfer:
    """What a transfer took. pdus, sent_bytes: of the sender, lost ones too; returned_bytes: of the receiver."""

    complete: bool
    pdus: int
    sent_bytes: int
    returned_bytes: int


class _Part:
    """One end: PDUs in, PDUs out."""

    def __init__(self, kind: str, me: int, other: int, acknowledged: bool, pdu_bytes: int, timer_s: float) -> None:
        mib, cfdp = _module("cfdppy.mib"), _module("spacepackets.cfdp")
        util, handler = _module("spacepackets.util"), _module("cfdppy.handler")
        mode = cfdp.TransmissionMode.ACKNOWLEDGED if acknowledged else cfdp.TransmissionMode.UNACKNOWLEDGED
        local = mib.LocalEntityConfig(util.ByteFieldU16(me), mib.IndicationConfig(), _quiet_faults(mib)())
        remote = mib.RemoteEntityConfig(
            util.ByteFieldU16(other),
            None,
            pdu_bytes,
            acknowledged,
            True,
            mode,
            cfdp.ChecksumType.CRC_32,
            positive_ack_timer_interval_seconds=timer_s,
            positive_ack_timer_expiration_limit=RETRIES,
            nak_timer_interval_seconds=timer_s,
            nak_timer_expiration_limit=RETRIES,
            check_limit=RETRIES,
        )
        table = mib.RemoteEntityConfigTable([remote])
        user, timers = _user()(), _timers(mib, timer_s)()
        if kind == "sender":
            count = _module("spacepackets.seqcount").SeqCountProvider(16)
            self.handler = handler.SourceHandler(local, user, table, timers, count)
        else:
            self.handler = handler.DestHandler(local, user, table, timers)
        self._factory = _module("spacepackets.cfdp.pdu").PduFactory
        self.mode, self.refused = mode, 0

    def step(self, pdu: bytes | None = None) -> list[bytes]:
        """Take one PDU in, or only let time go by; returns the PDUs to send. Raises CfdpError.

        A PDU that the library refuses (damaged, or late for a transfer that has ended) is counted and dropped.
        """
        try:
            self._insert(pdu)
            out = []
            while self.handler.packets_ready:
                out.append(bytes(self.handler.get_next_packet().pack()))
            return out
        except Exception as error:  # the library has a class of its own for every state and field
            raise CfdpError(f"{type(error).__name__}: {error}") from error

    def _insert(self, pdu: bytes | None) -> None:
        if pdu is not None:
            try:
                self.handler.state_machine(self._factory.from_raw(pdu))
                return
            except Exception:  # as above; what follows shows whether the transfer itself is in trouble
                self.refused += 1
        if not self.handler.packets_ready:
            self.handler.state_machine(None)

    @property
    def idle(self) -> bool:
        """No transfer is under way."""
        return bool(self.handler.state == _module("cfdppy").CfdpState.IDLE)


class CfdpSender(_Part):
    """The board's end."""

    def __init__(self, acknowledged: bool = True, pdu_bytes: int = 1024, timer_s: float = 10.0) -> None:
        super().__init__("sender", SENDER, RECEIVER, acknowledged, pdu_bytes, timer_s)

    def put(self, source: Path, target: Path) -> None:
        """Begin to send a file. Raises CfdpError."""
        request = _module("cfdppy.request").PutRequest(
            _module("spacepackets.util").ByteFieldU16(RECEIVER), source, target, self.mode, self.mode.value == 0
        )
        try:
            self.handler.put_request(request)
        except Exception as error:
            raise CfdpError(f"{source}: {error}") from error


class CfdpReceiver(_Part):
    """The ground's end; writes the file where the sender's request says."""

    def __init__(self, acknowledged: bool = True, pdu_bytes: int = 1024, timer_s: float = 10.0) -> None:
        super().__init__("receiver", RECEIVER, SENDER, acknowledged, pdu_bytes, timer_s)


def transfer(
    source: Path,
    target: Path,
    acknowledged: bool,
    keep: Callable[[bytes], bool],
    pdu_bytes: int = 1024,
    limit_s: float = 60.0,
) -> Transfer:
    """Send a file over a link in memory that loses the PDUs for which `keep` says no. Raises CfdpError."""
    sender, receiver = CfdpSender(acknowledged, pdu_bytes, 0.05), CfdpReceiver(acknowledged, pdu_bytes, 0.05)
    sender.put(source, target)
    pdus = sent = returned = 0
    back: list[bytes] = []
    end = time.monotonic() + limit_s
    while not (sender.idle and receiver.idle and pdus) and time.monotonic() < end:
        out = [pdu for answer in back or [None] for pdu in sender.step(answer)]  # type: ignore[list-item]
        pdus, sent = pdus + len(out), sent + sum(map(len, out))
        answers = [a for pdu in [p for p in out if keep(p)] or [None] for a in receiver.step(pdu)]  # type: ignore[list-item]
        returned += sum(map(len, answers))
        back = [answer for answer in answers if keep(answer)]
        if not out and not answers:
            time.sleep(WAIT_S)
    complete = target.exists() and target.read_bytes() == source.read_bytes()
    return Transfer(complete, pdus, sent, returned)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise CfdpError("CFDP needs the packages cfdp-py and spacepackets (extra `hil`)") from error


def _user() -> Any:
    """A CFDP user that only listens: files speak for themselves."""
    base = _module("cfdppy.user").CfdpUserBase
    names = [name for name in dir(base) if name.endswith("_indication")]
    return type("Listener", (base,), {name: lambda self, *args, **kwargs: None for name in names})


def _quiet_faults(mib: Any) -> Any:
    base = mib.DefaultFaultHandlerBase
    names = [name for name in dir(base) if name.endswith("_cb")]
    return type("Faults", (base,), {name: lambda self, *args, **kwargs: None for name in names})


def _timers(mib: Any, seconds: float) -> Any:
    countdown = _module("spacepackets.countdown").Countdown
    return type(
        "Timers",
        (mib.CheckTimerProvider,),
        {"provide_check_timer": lambda self, *args, **kwargs: countdown(timedelta(seconds=seconds))},
    )
