"""Fuzzing of every parser that takes bytes from outside: no crash, no hang, no growth; inputs counted.

    python -m swathpack.hil_tests.promises fuzz --size 600        seconds; ends early after ten million inputs

Guided twice. By coverage: lines of the parsers' modules that an input reaches first put it into the corpus,
from which later inputs are made (traced for one input in sixteen; the rest run at full speed). By structure:
half of the mutants get right checksums, and for the wire formats one input in four is built field by field
with values from the ends of their ranges (`fuzz_targets.py`). Only the declared error of a parser is
accepted; anything else, more than a second of CPU time, or memory that grows, fails.
"""

from __future__ import annotations

import ctypes
import gc
import random
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from swathpack.edge.health.telemetry import resident_mb
from swathpack.hil_tests.promises.fuzz_targets import Target, targets

TRACE_ONE_IN = 16
MADE_SHARE = 0.25
SLOW_S = 1.0
ENOUGH = 10_000_000
GROWTH_MB = 10
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)


def mutate(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """One to eight random changes."""
    out = bytearray(data)
    for _ in range(1 << rng.randrange(4)):
        at = rng.randrange(len(out) + 1)
        what = rng.randrange(7)
        if what == 0 and out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        elif what == 1 and out:
            out[at % len(out)] = rng.choice(INTERESTING)
        elif what == 2 and out:
            out[at % len(out)] = rng.randrange(256)
        elif what == 3:
            del out[at : at + rng.randrange(1, 9)]
        elif what == 4:
            out[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif what == 5:
            out[at:at] = out[max(at - 16, 0) : at]
        else:
            cut = rng.randrange(len(other) + 1)
            out[at:] = other[cut:]
    return bytes(out[:8192])


def next_input(target: Target, rng: random.Random) -> bytes:
    """Made from the fields up, or mutated from the corpus with or without right checksums."""
    if target.make is not None and rng.random() < MADE_SHARE:
        target.made += 1
        return target.make(rng)
    data = mutate(rng.choice(target.corpus), rng.choice(target.corpus), rng)
    return target.fix(data) if rng.random() < 0.5 else data


def traced(target: Target, data: bytes) -> bool:
    """Run with line tracing of the target's files; True when a line was reached that never was before."""
    new: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        name = frame.f_code.co_filename.rsplit("/", 1)[-1]
        if name not in target.files:
            return None
        if event == "line":
            new.add((name, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        run_one(target, data)
    finally:
        sys.settrace(None)
    before = len(target.lines)
    target.lines |= new
    return len(target.lines) > before


def run_one(target: Target, data: bytes) -> None:
    """One input to the parser: counted, timed in CPU seconds, and kept as a failure when it fails or takes too long."""
    start = time.process_time()
    try:
        target.call(data)
    except target.errors:
        target.refused += 1
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        target.failures.append(f"{type(error).__name__}: {error} for {data[:80].hex()}")
    took = time.process_time() - start
    target.runs += 1
    target.slowest_s = max(target.slowest_s, took)
    if took > SLOW_S:
        target.failures.append(f"{took:.1f} s of CPU for {data[:80].hex()}")


def fuzz(target: Target, seconds: float, rng: random.Random, most: int | None, grow: bool) -> None:
    """Fuzz for a while; with `grow` inputs that reach new lines join the corpus."""
    for seed in target.seeds if not target.corpus else ():
        target.corpus.append(seed)
        traced(target, seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(target.failures) <= 20 and (most is None or target.runs < most):
        for i in range(256):
            data = next_input(target, rng)
            if i % TRACE_ONE_IN or not grow:
                run_one(target, data)
            elif traced(target, data):
                target.corpus.append(data)


def rested_mb(found: list[Target]) -> float:
    """Memory when no target holds anything on purpose, and the C library nothing that is free."""
    for target in found:
        target.rest()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)
    return resident_mb()


def campaign(seconds: float, seed: int = 1, most: int | None = None) -> tuple[list[Target], float, float]:
    """All targets, equal time for each: a third with a growing corpus, the rest with a fixed one.

    Returns the targets and the memory at the start and at the end of the part in which only parsers could
    grow. most: inputs per target in each part.
    """
    rng, found = random.Random(seed), targets()
    for target in found:
        fuzz(target, seconds / len(found) / 3, rng, most, grow=True)
    for target in found:
        fuzz(target, seconds / len(found) / 30, rng, None, grow=False)
    before, end = rested_mb(found), time.monotonic() + seconds * 2 / 3
    while time.monotonic() < end and sum(t.runs for t in found) < ENOUGH:
        for target in found:
            fuzz(target, seconds / len(found) / 30, rng, None if most is None else 2 * most, grow=False)
        if most is not None:
            break
    return found, before, rested_mb(found)


def main(folder: Path, size: int | None, codec: str) -> tuple[str, bool]:
    start = time.process_time()
    found, before, end = campaign(size or 600)
    lines = ["parser             inputs      built    refused   lines  slowest ms (CPU)  failures"]
    for t in found:
        counts = f"{t.runs:10} {t.made:10} {t.refused:10}   {len(t.lines):5}"
        lines.append(f"{t.name:14} {counts}  {t.slowest_s * 1000:16.1f}  {len(t.failures)}")
        lines += [f"    {failure}" for failure in t.failures[:5]]
    total = sum(t.runs for t in found)
    lines.append(
        f"{total} inputs in {time.process_time() - start:.0f} s of CPU; memory {before:.1f} MB when the "
        f"corpus was fixed, {end:.1f} MB at the end"
    )
    return "\n".join(lines), not any(t.failures for t in found) and end < before + GROWTH_MB
