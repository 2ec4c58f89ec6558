"""Results of jobs come back from their bytes; nothing else is made of bytes."""

from __future__ import annotations

import os
import pickle
import zlib

import numpy as np
import pytest

from swathpack.edge.codec.model import EdgeModel
from swathpack.hil_tests.simulation.made_frames import series
from swathpack.tools.errors import UserError
from swathpack.tools.files.api import model
from swathpack.tools.files.inherited import Asked
from swathpack.tools.files.packed import pack, unpack
from swathpack.tools.files.pool import Failure
from swathpack.tools.files.tile_jobs import perform


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo made > /tmp/never",)


def test_every_job_of_coding_can_be_kept() -> None:
    shipped: EdgeModel = model()
    (tile,) = series(64, 64, 1)
    from swathpack.tools.files.coding_jobs import How, Weighing

    weighing = Weighing("auto", 0.1)
    coded = perform(shipped, "transform", (tile, 4000, 500, weighing, None))
    image = perform(shipped, "image", (coded.payload, (12, 64, 64), tile.bands, None))
    coefficients = perform(shipped, "analyse", (tile,))
    learned = perform(shipped, "learned", (tile, coefficients, [], How(24, 16, 0.1, 0.0, False, weighing)))
    against = perform(shipped, "dated", (tile, coded, 500, [image]))
    cost = perform(shipped, "plain cost", (tile, coded.payload, None, weighing))
    worth = perform(shipped, "worth", (tile, coded, [tile], Asked(100.0, 500, weighing, 1)))
    refined = perform(shipped, "refined", (tile, coded.payload[:500], None, weighing))
    for thing in (coded, image, coefficients, learned, against, cost, worth, refined, Failure("no"), None):
        again = unpack(pack(thing))
        assert type(again) is type(thing) and pickle.dumps(again) == pickle.dumps(unpack(pack(again)))
    assert unpack(pack(coded)).payload == coded.payload
    assert (unpack(pack(coded)).curve.sizes == coded.curve.sizes).all()
    np.testing.assert_array_equal(unpack(pack(learned)).latent, learned.latent)


@pytest.mark.parametrize("data", [b"", b"no pickle", zlib.compress(pickle.dumps(Evil()))])
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(UserError, match="not the result of a job"):
        unpack(data)
