"""What the installer keeps beside the slots, for the power-cut campaign: record, keys, a bundle on its way."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.edge.install.keys import apply_changes, read_ring, trusted_key
from swathpack.edge.install.manifest import KeyChanges, Refused
from swathpack.edge.install.receive import bundle_path, bytes_here, receive
from swathpack.edge.install.record import Record, Slot
from swathpack.edge.install.slots import FALLEN, Slots
from swathpack.edge.packets.link_keys import make_link_keys, read_link_keys
from swathpack.edge.storage.durable import write_durably
from swathpack.hil_tests.promises.powercut_base import Sequence


class Received:
    """A `Part`: a bundle that comes in pieces."""

    name = "receive"
    data = np.random.default_rng(3).bytes(300_000)
    sha = hashlib.sha256(data).hexdigest()

    def prepare(self, folder: Path) -> None:
        pass

    def work(self, folder: Path) -> Iterator[None]:
        for end in (90_000, 200_001, len(self.data)):
            begin = bytes_here(folder, self.sha)
            try:
                receive(folder, self.sha, len(self.data), begin, io.BytesIO(self.data[begin:end]))
            except Refused as refused:
                assert refused.reason == "cut"
            yield

    def judge(self, folder: Path, steps: int) -> str:
        begin, known = bytes_here(folder, self.sha), (0, 90_000, 200_001, len(self.data))
        if begin < known[steps]:
            return f"{begin} of {known[steps]} bytes are left"
        for _ in range(2):  # bytes that came but not to the medium are found by the digest, and all comes again
            try:
                begin = bytes_here(folder, self.sha)
                receive(folder, self.sha, len(self.data), begin, io.BytesIO(self.data[begin:]))
            except Refused:
                continue
        whole = bundle_path(folder, self.sha)
        if not whole.exists() or whole.read_bytes() != self.data:
            return "the bundle cannot be finished"
        return "old" if begin == known[steps] and steps < 3 else "new"


class Keys:
    """A `Part`: link keys, none or a whole file, and it can be made after a cut."""

    name = "link keys"

    def prepare(self, folder: Path) -> None:
        pass

    def work(self, folder: Path) -> Iterator[None]:
        make_link_keys(folder / "link.keys")
        yield

    def judge(self, folder: Path, steps: int) -> str:
        old = not (folder / "link.keys").exists()
        if old:
            make_link_keys(folder / "link.keys")
        return "no keys" if len(read_link_keys(folder / "link.keys")) != 8 else "old" if old and not steps else "new"


class Trust:
    """A `Part`: a bundle's changes of the keys: the old ones, the new ones, or both, and never none."""

    name = "trusted keys"
    old, new = (f"swathpack-ed25519 {base64.b64encode(bytes([n]) * 32).decode()}\n" for n in (1, 2))

    def prepare(self, folder: Path) -> None:
        (folder / "old.pub").write_text(self.old)

    def work(self, folder: Path) -> Iterator[None]:
        apply_changes(folder, KeyChanges((self.new,), (trusted_key(self.old).id,)))
        yield

    def judge(self, folder: Path, steps: int) -> str:
        old, new, found = trusted_key(self.old).id, trusted_key(self.new).id, set(read_ring(folder).keys)
        apply_changes(folder, KeyChanges((self.new,), (old,)))
        if (
            set(read_ring(folder).keys) != {new}
            or found not in ({old}, {old, new}, {new})
            or (steps and found != {new})
        ):
            return f"{found}"
        return "old" if old in found else "new"


def _with_slot(name: str, slot: Slot) -> Callable[[Record], Record]:
    return lambda record: record.with_slot(name, slot)


class SlotRecord(Sequence):
    """The record of the slots through a life of both."""

    name = "slots"

    def begin(self, folder: Path) -> None:
        for name in "ab":
            (folder / "slots" / name).mkdir(parents=True)
        Slots(folder).update(lambda record: record)

    def work(self, folder: Path) -> Iterator[None]:
        slots = Slots(folder)
        for name, release in (("a", 5), ("b", 9)):
            slot = Slot(name * 64, "1.0", release, release - 1)
            slots.update(_with_slot(name, slot))
            yield
            slots.switch(name, f"to {name}")
            yield
            for _ in range(2):
                slots.begin_start()
                yield
            slots.confirm()
            yield
        for _ in range(5):
            slots.begin_start()
            yield
        write_durably(folder / FALLEN, b"b\n")
        slots.begin_start()
        yield

    def dump(self, folder: Path) -> Any:
        return replace(Slots(folder).read(), generation=0)

    def judge(self, folder: Path, steps: int) -> str:
        verdict = super().judge(folder, steps)
        if Slots(folder).trouble() not in ("", "one copy of the record is damaged or missing"):
            return Slots(folder).trouble()
        if verdict in ("old", "new") and (folder / FALLEN).exists():
            return "new" if Slots(folder).begin_start()[0].active == "b" else "the note of the fallback has no effect"
        return verdict
