"""Receive passes: packets to latents in a ground store, and reception reports for the uplink.

    swathpack receive outbox/pass-*.bin --store ground.db --reports uplink/ --key-file link.keys
    swathpack receive --store ground.db --list
    swathpack receive --store ground.db --drop 17/255/255

Prints one line per pass: packets, what was lost or damaged, tile-frames that grew; and how many reports were
written. Exit code 3 when packets were lost, damaged or forged and could not be restored, and with --images when pixels of a date
lack, which are nodata then, or a place is too large; a file without any packet, whole or damaged, is refused.
"""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel, ModelError
from swathpack.edge.codec.pixels import MAX_FLIGHT_TILE
from swathpack.edge.packets.deframer import Deframer
from swathpack.edge.packets.link_keys import UNSIGNED, LinkKey, LinkKeyError, choose_key, read_link_keys
from swathpack.edge.packets.pieces import SMALLEST_PACKET
from swathpack.edge.packets.security import ForgedPacketError, opened
from swathpack.edge.packets.space_packet import MAX_PACKET_BYTES, SpacePacket
from swathpack.edge.spoken import reason
from swathpack.edge.stream.header import TILE_STEP
from swathpack.tools.errors import DONE, PARTLY, UsageError, UserError
from swathpack.tools.files.limits import MAX_PIXELS
from swathpack.tools.files.models import add_synthesis, open_model, open_restorer
from swathpack.tools.files.outputs import check_output, write_bytes
from swathpack.tools.files.synthesis import SYNTHESES
from swathpack.tools.files.what_is import instead
from swathpack.tools.files.workers import all_cores
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.guarantees import promised_in
from swathpack.tools.ground.images import write_images
from swathpack.tools.ground.keeping import DROP_FORMS, drop, listing
from swathpack.tools.ground.names import spoken_event
from swathpack.tools.ground.receiver import GroundReceiver
from swathpack.tools.ground.reports import ReportWriter
from swathpack.tools.ground.store import GroundStore, GroundStoreError
from swathpack.tools.options import expect, positive
from swathpack.tools.words import plural

_CHUNK = 1 << 16
_SQLITE = b"SQLite format 3\0"
Keys = Mapping[int, bytes] | None
LOSSES = ("forged packets", "malformed packets", "contradicting pieces", "damaged segments", "contradicting latents")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("passes", nargs="*", type=Path, help="pass files of the board, in order")
    parser.add_argument("--store", type=Path, required=True, help="ground store (made when it is not there)")
    parser.add_argument("--reports", type=Path, help="folder for the reports (the board's uplink folder)")
    parser.add_argument("--images", type=Path, help="folder for an .npz of every place: all that the store holds")
    add_synthesis(parser)
    parser.add_argument(
        "--max-pixels",
        type=positive,
        default=MAX_PIXELS,
        metavar="N",
        help=f"leave out a place with more pixels than this in all its images (default {MAX_PIXELS:,})",
    )
    parser.add_argument(
        "--tile",
        type=int,
        choices=range(TILE_STEP, MAX_FLIGHT_TILE + 1, TILE_STEP),
        metavar="N",
        help="pixels a side of the mission's tiles (coding.tile); without it the tiles that came tell",
    )
    parser.add_argument("--list", action="store_true", help="show what the store holds of every tile and date")
    parser.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="WHAT",
        help=f"take out of the store: {DROP_FORMS}; the board is told to code it again",
    )
    parser.add_argument(
        "--epoch", type=int, default=1, metavar="N",
        help="life of this store, remembered by it: one more than before where a store was lost or put back from a copy",
    )  # fmt: skip
    parser.add_argument(
        "--key-file",
        type=Path,
        help="link keys shared with the board (swathpack keys): sign reports, check signed packets",
    )
    parser.add_argument(
        "--signed",
        action="store_true",
        help="refuse packets that no key of --key-file signed, for a mission with [downlink] key_file",
    )
    parser.add_argument(
        "--key-slot",
        type=int,
        metavar="N",
        help="sign with this key, not the lowest: from then on the board refuses lower ones",
    )
    parser.add_argument(
        "--insecure", action="store_true", help="reports that nobody signs, for a mission with insecure = true"
    )
    parser.add_argument("--model", type=Path, help="model directory (default: the shipped one)")
    parser.add_argument("--max-packet", type=int, default=MAX_PACKET_BYTES, help="largest packet in bytes")


def run(args: argparse.Namespace) -> int:
    """Drop, receive every pass in turn, write images, list: what is asked for, in this order."""
    if not (args.passes or args.images or args.list or args.drop):
        raise UsageError("nothing to do: expected pass files, --images, --list or --drop")
    if args.images is None:
        expect(args, "with --images only", "tile", synthesis=SYNTHESES[0], max_pixels=MAX_PIXELS)
    if args.key_file is None:
        expect(args, "with --key-file only", "key_slot")
    if not SMALLEST_PACKET <= args.max_packet <= MAX_PACKET_BYTES:
        found = args.max_packet
        raise UsageError(f"--max-packet: expected {SMALLEST_PACKET} to {MAX_PACKET_BYTES}, found {found}")
    if not 1 <= args.epoch < 1 << 32:
        raise UsageError(f"--epoch: expected 1 to {(1 << 32) - 1}, found {args.epoch}")
    try:
        key = _key(args)
        _check_files(args)
        store = GroundStore(args.store, args.epoch, write=bool(args.passes or args.drop))
        try:
            return _run(args, store, key)
        finally:
            store.close()
    except (ModelError, GroundStoreError, LinkKeyError, OSError) as error:
        raise UserError(reason(error)) from error


def _run(args: argparse.Namespace, store: GroundStore, key: LinkKey) -> int:
    refused, partial = list[str](), 0
    whole: list[bool] = []
    for what in args.drop:
        print(f"dropped {what}: {drop(store, what)} segments")
    if args.passes or args.images:
        model = open_model(args.model or DEFAULT_DIRECTORY)
        whole = [_receive(path, store, model, key, args) for path in args.passes]
        if args.images is not None:
            restorer = open_restorer(args.synthesis, all_cores())
            made, refused, partial = write_images(
                store, model, args.images, args.max_pixels, print, args.tile, restorer
            )
            if not made and not refused:
                print("images: none: no tile's beginning has come yet, and nothing is drawn without it")
    if args.list:
        decoder = lru_cache(maxsize=1)(lambda: EdgeSegmentDecoder(EdgeModel(args.model) if args.model else EdgeModel()))
        for line in listing(store, lambda key: promised_in(store, decoder(), key)):
            print(line)
    for line in refused:
        print(f"images: left out: {line}")
    if partial:
        print(
            f"images: of {plural(partial, 'date')} pixels lack: not sent yet, lost, without data on board, or not drawn"
        )
    return PARTLY if refused or partial or not all(whole) else DONE


def _check_files(args: argparse.Namespace) -> None:
    """Refuse what is no pass, and outputs over inputs, before the store is touched. Raises UserError, RefusedError."""
    keys = _packet_keys(args)
    inputs = [*args.passes, *filter(None, (args.key_file, args.model))]
    check_output(args.store, inputs, force=True)
    if (args.passes or args.drop) and not args.store.parent.is_dir():
        raise UserError(f"cannot write {args.store}: no such folder: {args.store.parent}")
    if args.store.is_file() and args.store.stat().st_size:
        with open(args.store, "rb") as file:
            if file.read(len(_SQLITE)) != _SQLITE:
                raise UserError(instead(args.store, "a ground store (an SQLite database)"))
    for folder in filter(None, (args.images, args.reports)):
        check_output(folder, inputs, force=True)
    for path in args.passes:
        if path.is_dir() or path.stat().st_size == 0:
            raise UserError(instead(path, "packets of a pass"))
        if _first_packet(path, args.max_packet) is None:
            if not _damaged(path, args.max_packet):
                raise UserError(instead(path, "packets of a pass"))
        elif _first_packet(path, args.max_packet, keys, args.signed) is None:
            raise UserError(f"{path}: expected packets signed by a key of {args.key_file}, found none")


def _key(args: argparse.Namespace) -> LinkKey:
    """What signs the reports. Raises UserError, LinkKeyError."""
    if args.signed and args.key_file is None:
        raise UsageError("--signed: expected a --key-file with it")
    if args.key_file is not None and args.insecure:
        raise UsageError("--insecure: expected no --key-file with it")
    if args.key_file is not None:
        return choose_key(read_link_keys(args.key_file), args.key_slot)
    if args.reports is not None and not args.insecure:
        raise UsageError(
            "--reports: the board takes signed reports: give --key-file, or --insecure for a mission that says so"
        )
    return UNSIGNED


def _receive(path: Path, store: GroundStore, model: EdgeModel, key: LinkKey, args: argparse.Namespace) -> bool:
    """Whether nothing was lost or damaged."""
    keys = _packet_keys(args)
    receiver = GroundReceiver(store, EdgeSegmentDecoder(model), args.max_packet, keys, args.signed)
    for chunk in _chunks(path):
        receiver.feed(chunk)
    number, board = _identity(path, receiver)
    updates = receiver.settle(number)
    counts = ", ".join(f"{value} {name}" for name, value in receiver.counts.items() if value)
    print(f"{path.name}: pass {number}: {counts}; {len(updates)} tile-frames grew")
    for event in receiver.events:
        print(f"  board: {spoken_event(event)}")
    if args.reports is not None and board is not None:
        commands = ReportWriter(store, key, board).packets(number, 0)
        args.reports.mkdir(parents=True, exist_ok=True)
        target = args.reports / f"reports-{number:06d}.bin"
        write_bytes(target, b"".join(commands), args.passes)
        print(f"  {plural(len(commands), 'report')} in {target}")
    lost = receiver.counts["lost image packets"] + receiver.counts["damaged packets"]
    return lost <= receiver.counts["restored packets"] and not any(receiver.counts[name] for name in LOSSES)


def _packet_keys(args: argparse.Namespace) -> dict[int, bytes] | None:
    """What packets may be signed with. Raises LinkKeyError."""
    return read_link_keys(args.key_file) if args.key_file is not None else None


def _identity(path: Path, receiver: GroundReceiver) -> tuple[int, int | None]:
    """(pass number, life of the board's queue), from what was heard, else from the file's name."""
    if receiver.identity is not None:
        return receiver.identity
    found = re.search(r"(\d+)", path.stem)
    return (int(found[1]) if found else 0), None


def _damaged(path: Path, max_packet: int) -> bool:
    """Whether damaged packets are in a file that has none that is whole: a pass all the same, which holds up no other."""
    deframer = Deframer(max_packet)
    for chunk in _chunks(path):
        deframer.feed(chunk)
    deframer.flush()
    return deframer.counts.damaged > 0


def _first_packet(path: Path, max_packet: int, keys: Keys = None, signed: bool = False) -> SpacePacket | None:
    """The first one that is not forged."""
    deframer = Deframer(max_packet)
    for chunk in _chunks(path):
        for packet in deframer.feed(chunk):
            with contextlib.suppress(ForgedPacketError):
                return opened(packet, keys, signed)
    return None


def _chunks(path: Path) -> Iterator[bytes]:
    """What a file holds, a part at a time."""
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
