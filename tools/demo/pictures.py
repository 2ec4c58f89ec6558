"""Pictures of the demo's scene by several codecs at equal bytes, and how they look in figures.

    python -m swathpack.tools.demo.pictures --out docs/pictures

The cloudy scene of `make demo`, 512 x 512 in four tiles, of which a part is in the training split. The picture shows the middle, where the
tiles meet. All else is as in `swathpack.tools.bench.pictures`.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.tools.bench.peers import PeerError
from swathpack.tools.bench.pictures import common, compare
from swathpack.tools.demo import data
from swathpack.tools.demo.views import clearest
from swathpack.tools.errors import UserError

SIDE = 512


def scene() -> NDArray[np.uint16]:
    """(12, 512, 512) counts. Raises UserError where the scene is not to be had."""
    frame = data.cloudy_scene().series.frames[0]
    return clearest(frame, SIDE).without_offset().select(BANDS).data


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common(parser)
    args = parser.parse_args()
    try:
        rates = [float(r) for r in args.bppb.split(",")]
        compare([("demo", scene())], rates, args.out, (), args.force)
    except (UserError, PeerError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
