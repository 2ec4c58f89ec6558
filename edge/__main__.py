"""The flight runtime as a process.

    python -m swathpack.edge --config mission.toml           run until SIGTERM or SIGINT
    python -m swathpack.edge --config mission.toml --once    take what the source has, code it, send one pass, end
    python -m swathpack.edge --config mission.toml --check   read the configuration and the model, say what they are,
    end

Prints one line per event of notice and above on standard error; all events are in `state/log/events.jsonl`.
Exit code 0 when asked to stop, 1 for a configuration or state that cannot be used, 3 when the process should
be restarted (damaged queue, damaged codec memory).
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from swathpack.edge import events
from swathpack.edge.board import Board, open_board
from swathpack.edge.clock import SystemClock
from swathpack.edge.codec.engines.report import report_engines
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel, ModelError
from swathpack.edge.config import ConfigError, Mission, guarantees, read_mission
from swathpack.edge.context.store import MemoryLimitError
from swathpack.edge.downlink.schedule import SingleContact
from swathpack.edge.downlink.schema import QueueError
from swathpack.edge.events import Event, Severity
from swathpack.edge.health.model_memory import Canary, watch_model
from swathpack.edge.health.scrub import Scrubber
from swathpack.edge.loop import FlightLoop, Guards
from swathpack.edge.outside import check_files, open_outside, warnings
from swathpack.edge.sources.acquisition import SourceError
from swathpack.edge.storage.blockfile import StorageError

RESTART = 3
_FAILURES = (ConfigError, ModelError, QueueError, StorageError, MemoryLimitError, SourceError)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m swathpack.edge", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, required=True, help="mission.toml (see docs/runtime.md)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="one pass over what the source has now, then end")
    how.add_argument("--check", action="store_true", help="read everything, start nothing")
    args = parser.parse_args(argv)
    began = SystemClock().monotonic()
    try:
        mission = read_mission(args.config)
        check_files(mission, args.once)
        model = open_model(mission)
        if args.check:
            _tell(f"configuration {args.config}: good; model {model.digest.hex()} from {model.directory}")
            for line in guarantees(mission.coding):
                _tell(f"guarantee: {line}")
            for line in warnings(mission):
                _tell(f"warning: {line}")
            for one in model.engine_events:
                _tell(f"engine {one.engine}, {one.reason}: {one.detail}")
            return 0
        return _fly(mission, model, args.once, began)
    except _FAILURES as error:
        _tell(f"swathpack: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def open_model(mission: Mission) -> EdgeModel:
    """The mission's model with the engines that it asks for, its files checked. Raises ModelError."""
    # Whatever is configured, a refused engine is followed by the next, and by the processor's own at the end.
    order = f"{mission.coding.engine},auto"
    model = EdgeModel(mission.model or DEFAULT_DIRECTORY, mission.coding.threads, order, mission.coding.analysis)
    model.check_files()
    return model


def _fly(mission: Mission, model: EdgeModel, once: bool, began: float) -> int:
    board = open_board(mission, SystemClock(), model.digest, _tell_event)
    loop = _assemble(board, model, once, began)
    try:
        if once:
            return _one_pass(loop)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _: loop.stop(signal.Signals(received).name))
        return 0 if loop.run().startswith("SIG") else RESTART
    finally:
        loop.close()


def _assemble(board: Board, model: EdgeModel, once: bool, began: float) -> FlightLoop:
    mission = board.mission
    if mission.uplink.insecure:
        board.log.report(events.UPLINK_OPEN, sender=f"whoever reaches the {mission.uplink.kind}")
    report_engines(board.log, model.engine_events)
    codec = FlightCodec.configured(model, mission.coding)
    scrubber = Scrubber(board.log)
    watch_model(scrubber, model, lambda: open_model(mission))
    schedule: SingleContact | None = None
    if once:
        schedule = SingleContact(max(board.queue.passes.all(), default=-1) + 1, mission.passes.bytes)
        schedule.pause()
    outside = open_outside(mission, board.clock, board.queue, schedule)
    return FlightLoop(board, codec, outside, Guards(scrubber, Canary(codec, board.log)), began)


def _one_pass(loop: FlightLoop) -> int:
    """Everything that is there now, without threads: code it all, then one contact."""
    schedule = loop.downlink.schedule
    if not isinstance(schedule, SingleContact):
        return 1
    loop.intake.adopt()
    settle_s = loop.board.mission.source.settle_s
    for _ in range(2):  # a folder gives its files up when they have not grown for a while
        loop.settle()
        loop.board.clock.sleep(settle_s)
    loop.settle()
    schedule.resume()
    loop.settle()
    schedule.pause()
    loop.settle()
    return 0


def _tell_event(event: Event) -> None:
    if event.kind.severity >= Severity.NOTICE:
        _tell(f"{event.kind.severity.name.lower()}: {event.text()}")


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
