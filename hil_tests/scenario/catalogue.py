"""Every fault and disturbance that a scenario may ask for: what it does, and how the system is to notice it.

group: frame (one acquisition), link (one pass), report (the reports of one pass), board (a moment or some hours).
told: how it is noticed; empty for what is no fault of the system but of the scene and must simply be carried.
strength, hours: defaults; what they mean is in `what`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One row. See the module."""

    group: str
    what: str
    told: str = ""
    strength: float = 0.0
    hours: float = 0.0


CATALOGUE: dict[str, Kind] = {
    # The scene: to be coded and to arrive like any other.
    "clouds": Kind("frame", "clouds over a share (strength) of the frame", strength=0.5),
    "haze": Kind("frame", "haze, strength times a thick one", strength=1.0),
    "noise": Kind("frame", "white noise of strength DN", strength=60.0),
    "striping": Kind("frame", "columns differ by strength DN", strength=60.0),
    "misregistration": Kind("frame", "the frame is moved by strength pixels", strength=1.5),
    "exposure_jump": Kind("frame", "all values times strength", strength=1.6),
    "dead_pixels": Kind("frame", "strength pixels give 1 DN in one band", strength=12.0),
    "nan_pixels": Kind("frame", "strength pixels are NaN: no data there", strength=40.0),
    # The sensor: to be told of, and carried or refused.
    "hot_pixels": Kind("frame", "strength pixels are full in one band", "event frame_defect", 12.0),
    "saturation": Kind("frame", "a share (strength) of the frame is full in all bands", "event frame_defect", 0.1),
    "dead_lines": Kind("frame", "strength rows of one band hold one value", "event frame_defect", 4.0),
    "nan_frame": Kind("frame", "every pixel is NaN", "event tile_empty"),
    "infinite": Kind("frame", "a pixel is infinite", "event frame_rejected"),
    "wrong_shape": Kind("frame", "a band axis that does not fit its names", "event frame_rejected"),
    "torn_file": Kind("frame", "the file ends in the middle", "event frame_rejected"),
    # The link.
    "fade": Kind(
        "link", "a share (strength) of all packets of a pass is lost", "the ground, or the board by its report", 0.3
    ),
    "bit_errors": Kind("link", "bit error rate of a pass (strength)", "packets damaged at the ground", 2e-4),
    "outage": Kind(
        "link", "nothing arrives for a share (strength) of a pass", "the ground, or the board by its report", 0.4
    ),
    "packets_forged": Kind(
        "link",
        "strength packets of every forgery (unsigned, of another key, changed, moved, replayed) among those of a pass",
        "every one counted by the ground, none taken for true",
        5.0,
    ),
    "report_lost": Kind(
        "report", "the reports of a pass never reach the board", "no report on the board by the next pass"
    ),
    "report_delayed": Kind("report", "they come strength passes late", "no report on the board by the next pass", 2.0),
    "report_duplicated": Kind("report", "they come strength times", "event report_repeated", 3.0),
    "report_forged": Kind(
        "report", "strength reports with a wrong key, and the true ones", "event report_rejected", 2.0
    ),
    # The board.
    "kill": Kind(
        "board", "SIGKILL at an operation of the disk, the radio or the codec", "the supervisor sees the process end"
    ),
    "power_cut": Kind("board", "the same, and unsynced writes are lost", "the supervisor sees the process end"),
    "brownout": Kind("board", "strength times killed while starting", "the supervisor sees the process end", 4.0),
    "heat": Kind("board", "strength degrees more around the board for some hours", "event throttled", 45.0, 5.0),
    "slow_disk": Kind("board", "a sync takes strength seconds for some hours", "telemetry: store latency", 1.5, 3.0),
    "disk_full": Kind("board", "strength bytes left for some hours", "event disk_full", 20_000.0, 6.0),
    "clock_jump": Kind(
        "board", "the wall clock is wrong by strength seconds for some hours", "event clock_jump", 5400.0, 3.0
    ),
    "flip_weights": Kind("board", "a bit of the network's parameters", "event memory_flipped"),
    "flip_tables": Kind("board", "a bit of the probability tables", "event memory_flipped"),
    "flip_engine": Kind("board", "a bit of what ONNX Runtime holds", "event coding_stopped, or the process ends"),
    "flip_context": Kind("board", "a bit of a context on its way to the codec", "event tile_failed"),
    "flip_code": Kind("board", "a bit of a coded segment on its way to the queue", "event tile_failed"),
}

SCENE = tuple(name for name, kind in CATALOGUE.items() if kind.group == "frame" and not kind.told)
REFUSED = ("infinite", "wrong_shape", "torn_file")
EMPTY = (*REFUSED, "nan_frame")  # nothing of these comes down
