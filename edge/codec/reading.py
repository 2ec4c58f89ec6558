"""Layers out of a payload: as many as are there and are what was written."""

from __future__ import annotations

from typing import Protocol

from swathpack.edge.codec.latents import GROUP, Latent
from swathpack.edge.codec.rangecoder import Decoder, PayloadEnded, RangeCoderError, RunChecks, new_decoder
from swathpack.edge.codec.rangecoder.adaptive import Adaptation, new_adaptation
from swathpack.edge.codec.tables import ProbabilityTables


class CodingError(ValueError):
    """A latent or context that cannot be coded; names what was expected and found."""


class LayerReader(Protocol):
    """What takes layers one by one: `TileDecoder`, and `swathpack.edge.codec.layers.EmbeddedDecoder`."""

    tables: ProbabilityTables
    size: tuple[int, int]
    layers: int
    confirmed: int

    def read_layer(self, decoder: Decoder, adaptation: Adaptation | None = None) -> Latent: ...

    def forget(self, layers: int) -> None: ...


def read_layers(reader: LayerReader, payload: bytes, count: int, coder: str | None = None, checked: bool = True) -> int:
    """See `TileDecoder.decode`."""
    run, checks, first = new_decoder(reader.tables, payload, coder), RunChecks(), reader.layers
    adaptation = new_adaptation(reader.tables, reader.size, GROUP)
    try:
        for _ in range(count):
            if checked:
                checks.read(run)
            checks.cover(reader.read_layer(run, adaptation))
    except PayloadEnded:
        reader.forget(reader.layers)  # the step of the layer that did not come is spent
    except (RangeCoderError, CodingError) as error:
        layer = reader.layers
        reader.forget(first + checks.confirmed)
        raise CodingError(f"layer {layer}: {error}") from error
    finally:
        reader.confirmed = first + checks.confirmed
    return reader.layers - first
