"""A flashing without a board: `Flash` runs as ever, and every command goes to the screen instead of to ssh.

The answers are those of a new board that fits the bundle, with a clock that is right and a disk that is large enough.
What the board does by itself behind `install` and `wait` is told by step.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import PurePosixPath
from typing import Any

from swathpack.edge.install.facts import JETPACK_OF_L4T, Facts
from swathpack.edge.install.manifest import MODELS, key_id, read_public_key
from swathpack.edge.install.record import Record, Slot
from swathpack.tools.board.flash import PROTOCOL, Cargo
from swathpack.tools.board.remote import AGENT, Remote, Say

SLOT = "a"  # a new board's first
MEANT = "plan"  # the state of a step that is only shown


class Rehearsal(Remote):
    """Stands where the connection to a board would. trust: the key's public line, or "" for a board that has it."""

    def __init__(self, target: str, cargo: Cargo, say: Say, trust: str, clock: float) -> None:
        super().__init__(target)
        self._cargo, self._say, self._clock = cargo, say, clock
        self._keys = [key_id(read_public_key(trust))] if trust else []
        self._received, self._record = 0, Record()

    def __enter__(self) -> Rehearsal:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, command: str, stdin: bytes | None = None, say: Say | None = None) -> list[str]:
        """Show it, with the size of what would be sent; a board that has the key has the installer too."""
        self._tell("command", command + (f"  < {len(stdin):,} bytes" if stdin is not None else ""))
        if command.startswith("ls ") and not self._keys:
            return [f"{AGENT}/__main__.py", "/opt/swathpack/trusted/KEY.pub"]
        return []

    def verb(self, *words: str, stdin: bytes | None = None, say: Say | None = None) -> list[str]:
        """Show the command, then the board's steps behind it."""
        self.run(f"python3 -m swathpack.edge.install {shlex.join(words)}", stdin)
        for step, text in self._steps(words[0]):
            self._tell(step, text)
        if words[0] == "receive":
            self._received = len(self._cargo.tar)
        if words[0] == "install":
            slot = replace(Slot(), bundle=self._cargo.manifest.identity)
            self._record = replace(self._record.with_slot(SLOT, slot), active=SLOT)
        return []

    def ask(self, *words: str) -> Any:
        """The answer of a board that fits."""
        self.verb(*words)
        if words[0] == "have":
            return {"bytes": self._received}
        return {
            "protocol": PROTOCOL,
            "facts": asdict(self._facts()),
            "trusted": self._keys,
            "record": asdict(self._record),
        }

    def _facts(self) -> Facts:
        manifest = self._cargo.manifest
        l4t = max((number for number, jetpack in JETPACK_OF_L4T.items() if jetpack == manifest.jetpack), default=0)
        free = 2 * (manifest.needs_bytes + len(self._cargo.tar))
        model = f"a fitting {MODELS.get(manifest.board, (manifest.board,))[0]}"
        modes = {manifest.power_mode: 0}
        return Facts(model, f"{l4t}.x", manifest.jetpack, manifest.machine, manifest.python, free, self._clock, modes)

    def _steps(self, verb: str) -> Iterator[tuple[str, str]]:
        """(step, what it does) of a verb, as `swathpack.edge.install` tells them."""
        manifest = self._cargo.manifest
        wheels = [PurePosixPath(e.path).name for e in manifest.files if e.path.startswith("wheels/")]
        if verb == "receive":
            yield (
                "receive",
                f"{len(self._cargo.tar) >> 20} MB, SHA-256 {self._cargo.sha256[:16]}...; a cut goes on where it was",
            )
        if verb == "install":
            yield "verify", f"signature, board, age, clock, and the SHA-256 of {len(manifest.files)} files"
            yield "unpack", f"{len(manifest.files)} files into slot {SLOT}"
            yield "packages", ", ".join(wheels) or "none in the bundle: the system's are used"
            if manifest.power_mode:
                yield "power mode", f"nvpmodel {manifest.power_mode}; not set where it needs a reboot"
            yield (
                "engine",
                "TensorRT is built or loaded, then ONNX Runtime tried, until one reproduces the golden vectors",
            )
            yield "self-test", "the C range coder, a tile coded and decoded, tiles per second, module power"
            yield "switch", f"slot {SLOT} flies, the service is restarted"
        if verb == "wait":
            yield "start", "until the runtime is ready; after three failed starts the other slot flies again"

    def _tell(self, step: str, text: str) -> None:
        self._say({"step": step, "state": MEANT, "text": text})
