"""Commands in a process of their own with a limit on its address space: what they say, and what they took."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT_MB = 1024

_RUN = """
import resource, sys
limit = int(sys.argv[1]) << 20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from swathpack.tools.cli import main
code = main(sys.argv[2:])
for line in open("/proc/self/status"):
    if line.startswith("VmPeak"):
        print("peak", int(line.split()[1]) // 1024, file=sys.stderr)
sys.exit(code)
"""


@dataclass(frozen=True)
class Ran:
    """code: exit code. peak_mb: most address space, 0 if the process did not live to tell."""

    code: int
    out: str
    err: str
    peak_mb: int

    @property
    def refusal(self) -> str:
        """The one line that a refused command says; fails for anything else."""
        lines = [line for line in self.err.splitlines() if not line.startswith("peak ")]
        assert self.code == 1 and len(lines) == 1, f"expected one line and exit code 1, found {self.code}: {self.err}"
        return lines[0]


def swathpack(*words: Any, limit_mb: int = LIMIT_MB, timeout_s: float = 120.0) -> Ran:
    """Run a command of `swathpack` under the limit; a traceback fails."""
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(limit_mb), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=Path(__file__).resolve().parents[1],
        env=os.environ | one,
    )
    assert "Traceback" not in done.stderr and "MemoryError" not in done.stderr, done.stderr[-2000:]
    peak = re.search(r"^peak (\d+)$", done.stderr, re.M)
    return Ran(done.returncode, done.stdout, done.stderr, int(peak[1]) if peak else 0)
