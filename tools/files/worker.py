"""One worker process of `swathpack.tools.files.workers`: jobs from standard input, results to standard output.

python -m swathpack.tools.files.worker MODEL_FOLDER ENGINE
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

from swathpack.edge.codec.model import EdgeModel
from swathpack.tools.files.tile_jobs import perform
from swathpack.tools.files.workers import receive, send


def main() -> int:
    """Work until the input ends."""
    folder, engine = Path(sys.argv[1]), sys.argv[2]
    jobs, results = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not come between results
    model: EdgeModel | None = None
    while True:
        try:
            name, arguments = pickle.loads(receive(jobs))
        except EOFError:
            return 0
        try:
            model = model or EdgeModel(folder, 1, engine)
            answer = True, perform(model, name, arguments)
        except Exception as error:  # the parent decides what becomes of it
            answer = False, error
        send(results, _packed(answer))


def _packed(answer: object) -> bytes:
    try:
        return pickle.dumps(answer, protocol=5)
    except Exception as error:  # an error that cannot travel
        return pickle.dumps((False, RuntimeError(f"{error}")), protocol=5)


if __name__ == "__main__":
    sys.exit(main())
