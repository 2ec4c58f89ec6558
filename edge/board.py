"""Everything the loop works with, opened from a mission's configuration, and repaired where that is needed.

state/boots      how often the board started (segment numbers depend on it)
state/queue      SQLite: accepted frames, work, coded tiles, passes
state/context    slot file of confirmed latents
state/link       key slot of the reports and life of the ground's store
state/spool/     accepted frames
state/lock       held by the one process that uses all of it
state/log/       events.jsonl, telemetry.jsonl
state/ballast    space let go when the disk is full
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from swathpack.edge import events
from swathpack.edge.clock import Clock
from swathpack.edge.config import Mission
from swathpack.edge.context.store import ContextStore
from swathpack.edge.downlink.ballast import Ballast, make_way
from swathpack.edge.downlink.confirm import Confirmation
from swathpack.edge.downlink.context_policy import ContextChooser
from swathpack.edge.downlink.link_record import LinkRecord
from swathpack.edge.downlink.queue import NUMBERS_PER_BOOT, DownlinkQueue
from swathpack.edge.downlink.schema import QueueCorruptError
from swathpack.edge.downlink.spool import Spool
from swathpack.edge.events import Event, EventLog
from swathpack.edge.health.boots import MAX_BOOTS, Boot, begin_store, next_boot, raise_count
from swathpack.edge.health.jsonl import JsonLines
from swathpack.edge.health.telemetry import Telemetry
from swathpack.edge.packets.link_keys import LinkKey
from swathpack.edge.packets.security import PacketSigner
from swathpack.edge.spoken import reason
from swathpack.edge.storage.blockfile import StorageError
from swathpack.edge.storage.durable import make_folder, sync_folder
from swathpack.edge.storage.lock import FileLock


@dataclass(frozen=True)
class Board:
    """The open parts. `close` gives them back."""

    mission: Mission
    clock: Clock
    log: EventLog
    telemetry: Telemetry
    boot: Boot
    spool: Spool
    queue: DownlinkQueue
    context: ContextStore
    link: LinkRecord
    chooser: ContextChooser
    confirmation: Confirmation
    samples: JsonLines | None
    ballast: Ballast
    lock: FileLock

    def signer(self, keys: Mapping[int, bytes] | None) -> PacketSigner | None:
        """What signs the packets of a pass that begins now: the slot that the ground signs with, or the next above it."""
        if not keys:
            return None
        slot = min((slot for slot in keys if slot >= self.link.slot), default=max(keys))
        return PacketSigner(LinkKey(slot, keys[slot]))

    def distrust_queue(self) -> None:
        """The queue has proved damaged while running: the next start begins it anew from the spool.

        Without this mark a damage that the check at the start does not see would end every run in the same way.
        """
        _suspect(self.queue.file.path).touch()

    def close(self) -> None:
        """Close all files; everything that matters is durable already."""
        self.queue.close()
        self.context.close()
        self.link.close()
        if self.samples is not None:
            self.samples.close()
        self.lock.close()


def open_board(
    mission: Mission, clock: Clock, model: bytes, tell: Callable[[Event], None] = lambda event: None
) -> Board:
    """Open or make the state of a mission. model: 8 bytes naming the codec's model. tell: hears every event, those of the opening too.

    A damaged queue is moved aside and begun anew: its frames are still in the spool. Raises StorageError (another process
    has the state open, too), QueueError, MemoryLimitError.
    """
    try:
        make_folder(mission.state)
    except OSError as error:
        raise StorageError(f"{mission.state}: {error.strerror}") from error
    lock = FileLock(mission.state / "lock", mission.state, "one runtime per state")
    try:
        return _open_parts(mission, clock, model, lock, tell)
    except BaseException:
        lock.close()
        raise


def _open_parts(mission: Mission, clock: Clock, model: bytes, lock: FileLock, tell: Callable[[Event], None]) -> Board:
    log, telemetry, limits = EventLog(clock), Telemetry(clock), mission.limits
    log.add_sink(tell)
    make_way(mission.state / "ballast", limits.ballast_mb << 20)
    samples = _open_logs(mission.state / "log", log)
    boot = next_boot(mission.state / "boots")
    spool = Spool(mission.state / "spool", mission.source.max_frame_mb << 20, limits.min_free_mb << 20)
    queue, boot = _open_queue(mission.state / "queue", clock, boot, log)
    context = ContextStore.open(
        mission.state / "context", mission.geometry, model, log, mission.context.memory_mb << 20
    )
    if context.fresh and boot.boots > 1:
        log.report(events.CONTEXT_RESET, reason="the file is new, the board is not")
    link = _open_link(mission.state / "link", log)
    chooser = ContextChooser(mission.context_settings, context, queue, log)
    confirmation = Confirmation(queue, context, link, log, chooser.refresh)
    ballast = Ballast(mission.state / "ballast", limits.ballast_mb << 20)
    try:
        sync_folder(mission.state)  # what was made just now must still have its name after a loss of power
    except OSError as error:
        raise StorageError(f"{mission.state}: {error.strerror}") from error
    return Board(
        mission, clock, log, telemetry, boot, spool, queue, context, link, chooser, confirmation, samples, ballast, lock
    )  # fmt: skip


def _open_link(path: Path, log: EventLog) -> LinkRecord:
    link = LinkRecord(path)
    if link.damaged:
        log.report(events.STAGE_FAILED, stage="link", error="both copies damaged: old keys are taken")
    return link


def _open_logs(folder: Path, log: EventLog) -> JsonLines | None:
    """Logs on disk; without them the loop runs all the same, and says so."""
    try:
        lines, samples = JsonLines(folder / "events.jsonl"), JsonLines(folder / "telemetry.jsonl")
    except OSError as error:
        log.report(events.SINK_FAILED, error=reason(error))
        return None
    log.add_sink(lambda event: lines.write(event.json()))
    return samples


def _open_queue(path: Path, clock: Clock, boot: Boot, log: EventLog) -> tuple[DownlinkQueue, Boot]:
    """The queue, begun anew where it is damaged or gone; then its segment numbers begin a new life too, since a report
    on the old ones would speak of passes that have come again.
    """
    boots = path.with_name("boots")
    queue = None
    if path.exists():
        try:
            queue = _queue(path, clock, boot)
        except QueueCorruptError as error:
            log.report(events.QUEUE_CORRUPT, error=str(error))
            _put_aside(path, boot)
    if queue is None:
        boot = begin_store(boots, boot) if boot.boots > 1 else boot
        queue = _queue(path, clock, boot)
        _suspect(path).unlink(missing_ok=True)
    last = queue.tiles.newest() // NUMBERS_PER_BOOT
    if boot.boots <= last < MAX_BOOTS:  # the count began anew below numbers that are still in use
        queue.close()
        boot = raise_count(boots, boot, last + 1)
        queue = _queue(path, clock, boot)
    if queue.file.meta("store", -1) != boot.store:
        # Numbers of another life mean nothing to the ground: what was sent under them goes down again.
        queue.tiles.lose_everything()
        queue.file.set_meta("store", boot.store)
    return queue, boot


def _queue(path: Path, clock: Clock, boot: Boot) -> DownlinkQueue:
    if path.exists() and _suspect(path).exists():
        raise QueueCorruptError("found damaged in the last run")
    another = partial(_another_boot, path.with_name("boots"), boot)
    return DownlinkQueue(path, clock, boot.boots, boot.store, another)


def _put_aside(path: Path, boot: Boot) -> None:
    for old in path.parent.glob(f"{path.name}.damaged-*"):
        old.unlink(missing_ok=True)  # one is enough to look into; the disk is not theirs
    for suffix in ("", "-wal", "-shm"):  # SQLite drops a log whose file is not there
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(path.with_name(f"{path.name}.damaged-{boot.boots}{suffix}"))


def _another_boot(path: Path, boot: Boot) -> int:
    """The count of a start that is none, for its segment numbers."""
    more = next_boot(path)
    if more.store != boot.store:
        raise QueueCorruptError("all segment numbers of this store are used up")
    return more.boots


def _suspect(path: Path) -> Path:
    return path.with_name(path.name + ".suspect")
