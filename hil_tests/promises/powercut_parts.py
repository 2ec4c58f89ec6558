"""All that the power-cut campaign cuts, and two parts that it must find wanting."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swathpack.hil_tests.promises.powercut_base import Part, Sequence
from swathpack.hil_tests.promises.powercut_ground import GroundPasses
from swathpack.hil_tests.promises.powercut_install import FirstInstallation, Rollback, Upgrade
from swathpack.hil_tests.promises.powercut_record import Keys, Received, SlotRecord, Trust
from swathpack.hil_tests.promises.powercut_runtime import Boots, Context, Ends, Frames, Link, Queue, Start


class Renamed(Sequence):
    """What many programs do: write, rename, and sync nothing."""

    name = "careless rename"

    def begin(self, folder: Path) -> None:
        (folder / "file").write_bytes(b"0" * 5000)

    def work(self, folder: Path) -> Iterator[None]:
        for turn in b"123":
            part = folder / "file.part"
            part.write_bytes(bytes([turn]) * 5000)
            part.replace(folder / "file")
            yield

    def dump(self, folder: Path) -> Any:
        return (folder / "file").read_bytes()


class Overwritten(Renamed):
    """A file that is written over."""

    name = "careless overwrite"

    def work(self, folder: Path) -> Iterator[None]:
        for turn in b"123":
            with (folder / "file").open("r+b") as out:
                out.write(bytes([turn]) * 5000)
                out.flush()
                os.fsync(out.fileno())
            yield


CARELESS: tuple[Part, ...] = (Renamed(), Overwritten())  # what the campaign must find
PARTS: tuple[Part, ...] = (
    Boots(), Link(), Queue(), Context(), Frames(), Ends(), Start(), Trust(), Keys(), Received(), SlotRecord(),
    FirstInstallation(), Upgrade(), Rollback(), GroundPasses(),
)  # fmt: skip
