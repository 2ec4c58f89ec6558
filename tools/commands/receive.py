"""Receive passes: packets to latents in a ground store, and reception reports for the uplink.

    swathpack receive outbox/pass-*.bin --store ground.db --reports uplink/

Prints one line per pass: packets, what was lost or damaged, tile-frames that grew; and how many reports were
written.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from swathpack.edge.codec.model import EdgeModel, ModelError
from swathpack.edge.packets.deframer import Deframer
from swathpack.tools.errors import UserError
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.images import write_images
from swathpack.tools.ground.receiver import GroundReceiver
from swathpack.tools.ground.reports import ReportWriter
from swathpack.tools.ground.store import GroundStore, GroundStoreError

_CHUNK = 1 << 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `swathpack receive`."""
    parser.add_argument("passes", nargs="+", type=Path, help="pass files of the board, in order")
    parser.add_argument("--store", type=Path, required=True, help="ground store (made when it is not there)")
    parser.add_argument("--reports", type=Path, help="folder for the reports (the board's uplink folder)")
    parser.add_argument("--images", type=Path, help="folder for an .npz of every place: all that the store holds")
    parser.add_argument("--key-file", type=Path, help="secret shared with the board")
    parser.add_argument("--model", type=Path, help="model directory (default: the shipped one)")
    parser.add_argument("--max-packet", type=int, default=65542, help="largest packet in bytes")


def run(args: argparse.Namespace) -> int:
    """Receive every pass in turn."""
    try:
        model = EdgeModel(args.model) if args.model else EdgeModel()
        key = args.key_file.read_bytes().strip() if args.key_file else b""
        store = GroundStore(args.store)
        for path in args.passes:
            _receive(path, store, model, key, args)
        if args.images is not None:
            for written in write_images(store, model, args.images):
                print(f"images: {written}")
    except (ModelError, GroundStoreError, OSError) as error:
        raise UserError(str(error)) from error
    return 0


def _receive(path: Path, store: GroundStore, model: EdgeModel, key: bytes, args: argparse.Namespace) -> None:
    receiver = GroundReceiver(store, EdgeSegmentDecoder(model), args.max_packet)
    number, board = _identity(path, args.max_packet)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            receiver.feed(chunk)
    updates = receiver.settle(number)
    counts = ", ".join(f"{value} {name}" for name, value in receiver.counts.items() if value)
    print(f"{path.name}: pass {number}: {counts}; {len(updates)} tile-frames grew")
    for event in receiver.events:
        print(f"  board: {event.text()}")
    if args.reports is not None and board is not None:
        commands = ReportWriter(store, key, board).packets(number, 0)
        args.reports.mkdir(parents=True, exist_ok=True)
        target = args.reports / f"reports-{number:06d}.bin"
        part = target.with_suffix(".part")
        part.write_bytes(b"".join(commands))
        part.replace(target)
        print(f"  {len(commands)} reports in {target}")


def _identity(path: Path, max_packet: int) -> tuple[int, int | None]:
    """(pass number, life of the board's queue), from the first packet, else from the file's name."""
    deframer = Deframer(max_packet)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            for packet in deframer.feed(chunk):
                return packet.pass_number, packet.store
    found = re.search(r"(\d+)", path.stem)
    return (int(found[1]) if found else 0), None
