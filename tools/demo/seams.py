"""Steps over the seams between the four tiles of the demo's scene, as they are decoded and as they are drawn.

    python -m swathpack.tools.demo.seams

As `swathpack.tools.bench.seams`; a part of the scene is in the training split.
"""

from __future__ import annotations

import argparse

from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import TILE
from swathpack.tools.bench.seams import RATES, compare
from swathpack.tools.demo.pictures import scene
from swathpack.tools.errors import UserError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bppb", type=float, nargs="+", default=RATES, help="bits a sample (default %(default)s)")
    args = parser.parse_args()
    try:
        compare(EdgeModel(), [("demo", scene(), TILE)], args.bppb)
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
