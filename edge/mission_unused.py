"""Keys of a mission that say something that nothing hears, because of what another key says.

Nothing is wrong with such a mission, and one of a kind of source may carry another's keys along; so both checks warn of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swathpack.edge.config import Mission

# By table and key: the kinds that take it.
_KINDS: dict[str, dict[str, tuple[str, ...]]] = {
    "source": {
        "path": ("folder",),
        "name": ("ring",),
        "host": ("tcp", "udp"),
        "port": ("tcp", "udp"),
        "max_frame_mb": ("folder", "ring", "tcp", "udp"),
        "max_senders": ("tcp",),
        "idle_s": ("tcp",),
        "message_s": ("tcp",),
        "count": ("synthetic",),
        "places": ("synthetic",),
        "size": ("synthetic",),
        "every_s": ("synthetic",),
    },
    "port": {"path": ("file",), "host": ("tcp", "udp"), "port": ("tcp", "udp")},
    "uplink": {"path": ("folder",), "host": ("udp",), "port": ("udp",)},
}
# Whatever the mode, frames of other bands are coded by the transform coder.
_OF_OTHERS = 'with coding.mode = "learned", but for frames with bands that the learned codec does not know'


def unused_keys(mission: Mission) -> Iterator[str]:
    """Each key that is set to another value than its default and not taken, with the reason, for people."""
    for table, keys in _KINDS.items():
        part = getattr(mission, table)
        for name, kinds in keys.items():
            if part.kind not in kinds and _is_set(part, name):
                yield f'{table}.{name}: not used with {table}.kind = "{part.kind}"'
    for name in ("satellite", "paced"):
        if mission.passes.budget is None and getattr(mission.passes, name):
            yield f"passes.{name}: not used without passes.budget"
    for name in ("block_packets", "parity_packets"):
        if mission.link.erasure == "none" and _is_set(mission.link, name):
            yield f'link.{name}: not used with link.erasure = "none"'
    yield from _unused_coding(mission)


def _unused_coding(mission: Mission) -> Iterator[str]:
    coding, names, why = mission.coding, tuple[str, ...](), ""
    if coding.max_error is not None:
        names, why = (
            ("q", "base", "slope", "mode", "finest_dn", "weights"),
            "with coding.max_error, which all tiles keep",
        )
    elif coding.mode == "transform":
        names, why = ("base", "slope"), 'with coding.mode = "transform"'
    elif coding.mode == "learned":
        names, why = ("finest_dn",), _OF_OTHERS
    yield from (f"coding.{name}: not used {why}" for name in names if _is_set(coding, name))
    for number, region in enumerate(coding.regions, 1):
        if coding.mode == "learned" and region.finest_dn is not None:
            yield f"coding.regions {number} finest_dn: not used {_OF_OTHERS}"


def _is_set(part: Any, name: str) -> bool:
    """Whether a key has another value than its default; a path also where it only moved with the mission's folder."""
    default = next(field.default for field in dataclasses.fields(part) if field.name == name)
    value = getattr(part, name)
    return (
        value.name != default.name if isinstance(value, Path) and isinstance(default, Path) else bool(value != default)
    )
