"""What is not ours: sensor, radio, uplink, passes and keys of a mission, behind the protocols that the loop uses."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from swathpack.edge.clock import Clock
from swathpack.edge.config import ConfigError, Mission
from swathpack.edge.downlink.budget import Budget, BudgetError, read_budget
from swathpack.edge.downlink.ports import FilePort, Port, TcpPort, UdpPort
from swathpack.edge.downlink.queue import DownlinkQueue
from swathpack.edge.downlink.schedule import FixedSchedule, PlannedSchedule, Schedule
from swathpack.edge.mission_unused import unused_keys
from swathpack.edge.packets.erasure import CODES
from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.link_keys import UNSIGNED, LinkKeyError, read_link_keys
from swathpack.edge.sources.acquisition import FrameSource
from swathpack.edge.sources.commands import CommandFolder, CommandSocket, CommandSource
from swathpack.edge.sources.folder import FolderSource
from swathpack.edge.sources.ring import RingSource
from swathpack.edge.sources.sockets import TcpSource, UdpSource
from swathpack.edge.sources.synthetic import SyntheticSource


@dataclass(frozen=True)
class Outside:
    """What the loop meets. keys: secrets of the reports by slot; downlink_keys: those that sign packets, None to sign nothing."""

    source: FrameSource
    port: Port
    commands: CommandSource
    schedule: Schedule
    keys: Mapping[int, bytes]
    downlink_keys: Mapping[int, bytes] | None = None


def open_outside(mission: Mission, clock: Clock, queue: DownlinkQueue, schedule: Schedule | None = None) -> Outside:
    """As the configuration says; schedule: in place of the configured one. Raises SourceError, ConfigError."""
    return Outside(
        make_source(mission, clock),
        make_port(mission),
        make_commands(mission),
        schedule or make_schedule(mission, clock, queue),
        uplink_keys(mission),
        downlink_keys(mission),
    )


def make_source(mission: Mission, clock: Clock) -> FrameSource:
    """The frame source of the configuration. Raises SourceError."""
    source, most = mission.source, mission.source.max_frame_mb << 20
    if source.kind == "ring":
        return RingSource(source.name, most)
    if source.kind == "tcp":
        return TcpSource(source.host, source.port, most, source.max_senders, clock, source.idle_s, source.message_s)
    if source.kind == "udp":
        return UdpSource(source.host, source.port, most)
    if source.kind == "synthetic":
        return SyntheticSource(clock, source.count, source.places, source.size, source.every_s)
    return FolderSource(source.path, clock, source.settle_s, most)


def make_port(mission: Mission) -> Port:
    """The port of the configuration."""
    port = mission.port
    if port.kind == "tcp":
        return TcpPort(port.host, port.port)
    return UdpPort(port.host, port.port) if port.kind == "udp" else FilePort(port.path)


def make_commands(mission: Mission) -> CommandSource:
    """The uplink of the configuration. Raises SourceError."""
    uplink = mission.uplink
    return CommandSocket(uplink.host, uplink.port) if uplink.kind == "udp" else CommandFolder(uplink.path)


def make_schedule(mission: Mission, clock: Clock, queue: DownlinkQueue) -> Schedule:
    """The passes of the configuration. Raises ConfigError."""
    passes = mission.passes
    if passes.budget is None:
        first = max(queue.passes.all(), default=-1) + 1
        return FixedSchedule(passes.bytes, passes.every_s, clock, first)
    return PlannedSchedule(_numbered(planned_passes(mission), queue), clock, passes.paced)


def _numbered(budget: Budget, queue: DownlinkQueue) -> Budget:
    """The plan's passes under numbers that no earlier plan has used: every plan counts from 1 again.

    A plan that was loaded before keeps its numbers, so a pass goes on after a restart and is never run twice.
    """
    plan = zlib.crc32(repr([(one.id, one.start_s) for one in budget.passes]).encode())
    if budget.passes and queue.file.meta("plan", -1) != plan:
        last, first = max(queue.passes.all(), default=-1), min(one.id for one in budget.passes)
        queue.file.set_meta("plan shift", 0 if first > last else last + 1 - first)
        queue.file.set_meta("plan", plan)
    shift = queue.file.meta("plan shift")
    return replace(budget, passes=tuple(replace(one, id=one.id + shift) for one in budget.passes))


def planned_passes(mission: Mission) -> Budget:
    """This satellite's passes of the planner's budget. Raises ConfigError."""
    passes = mission.passes
    if passes.budget is None:
        raise ConfigError("passes.budget: expected the name of a file, found none")
    try:
        budget = read_budget(passes.budget, passes.satellite or None)
    except BudgetError as error:
        raise ConfigError(f"passes.budget: {error}") from error
    if len(budget.satellites()) > 1:
        raise ConfigError(f"passes.satellite: expected one of {', '.join(budget.satellites())}, found none")
    most, least = max((one.bytes for one in budget.passes), default=None), mission.least_pass_bytes
    if most is not None and most < least:
        raise ConfigError(
            f"passes.budget: expected a pass of at least {least} bytes, which the smallest packet has, found none of more "
            f"than {most} in plan {budget.plan}"
        )
    return budget


def warnings(mission: Mission) -> list[str]:
    """What of a configuration that may fly will surprise whoever wrote it. Raises ConfigError."""
    return [*unused_keys(mission), *(_small_passes(mission) if mission.passes.budget is not None else ())]


def _small_passes(mission: Mission) -> list[str]:
    """Of a plan: those too small for a packet."""
    passes, least = planned_passes(mission).passes, mission.least_pass_bytes
    small = [one.id for one in passes if one.bytes < least]
    if not small:
        return []
    which = f"{', '.join(map(str, small[:8]))}{' ...' if len(small) > 8 else ''}"
    said = f"{len(small)} of {len(passes)} passes (id {which}) carry nothing: of fewer bytes than the smallest packet"
    return [f"passes.budget: {said}, {least}"]


def check_files(mission: Mission, once: bool = False) -> None:
    """What the configuration names beside itself, before anything is made or loaded. Raises ConfigError."""
    uplink_keys(mission)
    downlink_keys(mission)
    if once and mission.passes.budget is not None:
        raise ConfigError(
            "passes.budget: --once sends one pass of passes.bytes: expected bytes and every_s in its place"
        )
    if mission.passes.budget is not None:
        planned_passes(mission)
    if mission.link.erasure != "none":
        try:
            CODES[mission.link.erasure]()
        except PacketError as error:
            raise ConfigError(f"link.erasure: {error}") from error


def uplink_keys(mission: Mission) -> dict[int, bytes]:
    """The secrets shared with the ground, by slot. Raises ConfigError."""
    return _keys(mission.uplink.key_file, "uplink.key_file") or dict([UNSIGNED])


def downlink_keys(mission: Mission) -> dict[int, bytes] | None:
    """The secrets that sign packets, by slot; None where nobody signs. Raises ConfigError."""
    return _keys(mission.downlink.key_file, "downlink.key_file")


def _keys(path: Path | None, name: str) -> dict[int, bytes] | None:
    if path is None:
        return None
    try:
        return read_link_keys(path)
    except LinkKeyError as error:
        raise ConfigError(f"{name}: {error}") from error
