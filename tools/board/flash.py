"""The steps of flashing, each safe to repeat: reach the board, check it, send, install, wait until it is ready.

A connection that is lost at any place is made again, and the steps go on where they were: the board keeps what
it has received and what it has done (`swathpack.edge.install`).
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from swathpack.edge.install.archive import check_all
from swathpack.edge.install.facts import Facts, check_age, check_board, check_clock, check_space
from swathpack.edge.install.keys import KeyRing, check_authority, check_signer, trusted_key
from swathpack.edge.install.manifest import MANIFEST, Manifest, Refused, key_id, parse_manifest, read_public_key
from swathpack.export.bundle.archive import ZSTD_MAGIC, ArchiveError, read_tar, tar_bytes
from swathpack.tools.board.remote import ConnectionLost, Remote, RemoteError, agent_files
from swathpack.tools.files.what_is import instead

PROTOCOL = 1
Say = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Cargo:
    """A bundle as it is sent: the tar archive, its digest, and what it says about itself."""

    tar: bytes
    sha256: str
    manifest: Manifest


def load(path: Path) -> Cargo:
    """Read a bundle; raises ArchiveError, Refused. Its signature is checked later, against the board's keys."""
    with path.open("rb") as file:
        if file.read(len(ZSTD_MAGIC)) != ZSTD_MAGIC:
            raise ArchiveError(instead(path, "a flight bundle (.tar.zst)"))
    tar = read_tar(path)
    try:
        with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
            member = archive.next()
            source = archive.extractfile(member) if member and member.name == MANIFEST else None
            data = source.read() if source else b""
    except tarfile.TarError as error:
        raise ArchiveError(f"{path}: {error}") from error
    if not data:
        raise ArchiveError(f"{path}: not a flight bundle")
    return Cargo(tar, hashlib.sha256(tar).hexdigest(), parse_manifest(data))


@dataclass
class Flash:
    """One flashing. retries: of a lost connection, in a row without any progress. trust: the key's public line that
    a new board is given. host_checks: False lets the board alone judge the bundle.
    """

    remote: Remote
    cargo: Cargo
    say: Say
    trust: str = ""
    host_checks: bool = True
    retries: int = 5
    pause_s: float = 2.0
    ready_s: float = 900.0
    clock: Callable[[], float] = time.time

    def run(self) -> int:
        """-> 0 when the new slot is ready. Raises Refused, RemoteError, ConnectionLost after too many losses."""
        if self.host_checks:
            self._check_cargo()
        self._stubborn(self._prepare)
        facts = self._stubborn(lambda: self.remote.ask("facts"))
        self._check(facts)
        if not self._installed(facts):
            self._stubborn(self._send)
        self._stubborn(self._install)
        self._stubborn(self._wait)
        return 0

    def _stubborn(self, step: Callable[[], Any]) -> Any:
        """Repeat a step whose connection is lost."""
        for left in range(self.retries, -1, -1):
            try:
                return step()
            except ConnectionLost as lost:
                if not left:
                    raise
                self._tell("connection", "note", f"lost ({_last(str(lost))}): again, {left} more")
                time.sleep(self.pause_s)

    def _check_cargo(self) -> None:
        """The bundle by itself, before anything is given to a board: every file, and what the key tells of it."""
        trusted = trusted_key(self.trust) if self.trust else None
        manifest = check_all(io.BytesIO(self.cargo.tar), {trusted.id: trusted.key} if trusted else None)
        if trusted:
            check_signer(manifest, trusted, self.clock())

    def _prepare(self) -> None:
        """Give a new board the installer and the key; one that has them keeps its own."""
        wanted = "/opt/swathpack/agent/swathpack/edge/install/__main__.py /opt/swathpack/trusted/*.pub"
        there = self.remote.run(f"ls {wanted} 2>/dev/null; true")
        if not any(line.endswith("__main__.py") for line in there):
            self._send_agent()
        if not any(line.endswith(".pub") for line in there):
            if not self.trust:
                raise Refused("unknown-key", "the board trusts no key yet: give --trust KEY.pub the first time")
            name = key_id(read_public_key(self.trust))
            place = f"/opt/swathpack/trusted/{name}.pub"
            self.remote.run(
                f"mkdir -p /opt/swathpack/trusted && cat > {place}.part && sync && mv {place}.part {place} && sync",
                stdin=self.trust.encode(),
            )
            self._tell("trust", "done", f"the board trusts key {name} from now on")

    def _send_agent(self) -> None:
        files = agent_files()
        tar = tar_bytes(files.items(), 0)
        name = hashlib.sha256(tar).hexdigest()[:16]
        place = f"/opt/swathpack/agents/{name}"
        self.remote.run(
            f"set -e; rm -rf {place}.part; mkdir -p {place}.part; tar -x -C {place}.part; "
            f"rm -rf {place}; mv {place}.part {place}; sync; ln -sfn agents/{name} /opt/swathpack/agent.part; "
            "mv -T /opt/swathpack/agent.part /opt/swathpack/agent; sync",
            stdin=tar,
        )
        self._tell("installer", "done", f"{len(files)} files")

    def _check(self, answer: dict[str, Any]) -> None:
        """What can be refused before 60 MB are sent; the board checks everything again by itself."""
        if answer.get("protocol") != PROTOCOL:
            raise RemoteError(f"the board's installer speaks protocol {answer.get('protocol')}, this one {PROTOCOL}")
        facts, manifest = Facts(**answer["facts"]), self.cargo.manifest
        self._tell(
            "board",
            "done",
            f"{facts.model or 'unknown model'}, JetPack {facts.jetpack} (L4T {facts.l4t or '?'}), "
            f"Python {facts.python}, {facts.free_bytes >> 20} MB free",
        )
        if not self.host_checks:
            return
        if self.trust:
            trusted = trusted_key(self.trust)
            if trusted.id not in answer["trusted"]:
                raise Refused("unknown-key", f"the board trusts {', '.join(answer['trusted'])}, not {trusted.id}")
            if answer["trusted"] == [trusted.id]:
                signed = replace(manifest, signer=trusted.id)
                check_authority(signed, KeyRing({trusted.id: trusted}), max(self.clock(), facts.clock))
        check_board(manifest, facts)
        check_age(manifest, answer["record"]["floor"])
        check_clock(manifest, facts, self.clock())
        if not self._installed(answer):
            check_space(manifest.needs_bytes + len(self.cargo.tar), facts, Path("/opt/swathpack"))

    def _installed(self, answer: dict[str, Any]) -> bool:
        """Whether the bundle flies already."""
        record = answer["record"]
        return bool(record["active"]) and record["slots"][record["active"]]["bundle"] == self.cargo.manifest.identity

    def _send(self) -> None:
        sha, size = self.cargo.sha256, len(self.cargo.tar)
        have = self.remote.ask("have", "--sha256", sha)["bytes"]
        if have < size:
            self._tell("send", "begin", f"{size >> 20} MB" + (f", {have >> 20} MB are there already" if have else ""))
            words = ("receive", "--sha256", sha, "--bytes", str(size), "--from", str(have))
            self._verb(*words, stdin=self.cargo.tar[have:])

    def _install(self) -> None:
        record = self.remote.ask("facts")
        if self._installed(record):
            self._tell("install", "done", f"flies in slot {record['record']['active']}")
            return
        if self.remote.ask("have", "--sha256", self.cargo.sha256)["bytes"] < len(self.cargo.tar):
            self._send()
        self._verb("install", "--sha256", self.cargo.sha256, "--clock", str(self.clock()))

    def _wait(self) -> None:
        answer = self.remote.ask("facts")["record"]
        mine = (
            answer["slots"][answer["active"]]["bundle"] == self.cargo.manifest.identity if answer["active"] else False
        )
        if not mine:
            raise RemoteError(answer["last"] or "the board does not fly this bundle")
        self._verb("wait", "--seconds", str(self.ready_s))

    def _verb(self, *words: str, stdin: bytes | None = None) -> None:
        """A verb whose refusal or failure is told by the board in its own words."""
        last: dict[str, Any] = {}

        def listen(told: dict[str, Any]) -> None:
            last.clear()
            last.update(told)
            self.say(told)

        try:
            self.remote.verb(*words, stdin=stdin, say=listen)
        except RemoteError as error:
            if last.get("reason") == "cut":
                raise ConnectionLost(last["text"]) from error
            if last.get("state") == "refused":
                raise Refused(last.get("reason", ""), f"the board refused: {last['text']}") from error
            if last.get("state") == "failed":
                raise RemoteError(f"{last['step']}: {last['text']}") from error
            raise

    def _tell(self, step: str, state: str, text: str) -> None:
        self.say({"step": step, "state": state, "text": text})


def told_line(told: dict[str, Any]) -> str:
    """A step as a person reads it."""
    marks = {"done": "ok", "begin": "..", "progress": "..", "note": "--", "refused": "NO", "failed": "NO", "plan": "  "}
    return f"{marks.get(told['state'], '--')}  {told['step']:<11} {told['text']}"


def from_log(line: str) -> str:
    """A line of the board's log as a person reads it."""
    try:
        told = json.loads(line)
        return f"{told['time']}  {told_line(told)}"
    except (ValueError, KeyError, TypeError):
        return line


def _last(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:100]
