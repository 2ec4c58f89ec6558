"""Two-line element sets: every column checked before SGP4 reads it, and the sets of a file with their names.

Columns as in Hoots and Roehrich, Spacetrack Report No. 3, and Vallado et al., AIAA 2006-6753, appendix B; catalogue
numbers above 99999 in Alpha-5.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from swathpack.tools.plan.candidates import Candidate

if TYPE_CHECKING:
    from sgp4.api import Satrec

# (first column, pattern, what stands there), columns from 1. SGP4's own reader looks at few of them.
_NUMBER, _BLANK, _SIGN = r"[0-9A-HJ-NP-Z ][0-9 ]{4}", " ", "[ +-]"
_LINE_1 = (
    (1, "1", "the line's number 1"),
    (2, _BLANK, "blank"),
    (3, _NUMBER, "a catalogue number"),
    (8, "[A-Z ]", "a letter"),
    (9, _BLANK, "blank"),
    (18, _BLANK, "blank"),
    (19, r"[0-9]{2}[0-9 ]{2}[0-9]\.[0-9]{8}", "an epoch YYDDD.DDDDDDDD"),
    (33, _BLANK, "blank"),
    (34, _SIGN, "a sign"),
    (35, r"\.[0-9]{8}", "a decimal fraction"),
    (44, _BLANK, "blank"),
    (45, _SIGN, "a sign"),
    (46, r"[0-9]{5}", "five digits"),
    (51, r"[ +-][0-9]", "a signed exponent"),
    (53, _BLANK, "blank"),
    (54, _SIGN, "a sign"),
    (55, r"[0-9]{5}", "five digits"),
    (60, r"[ +-][0-9]", "a signed exponent"),
    (62, _BLANK, "blank"),
    (63, "[02 ]", "ephemeris type 0 (SGP4)"),
    (64, _BLANK, "blank"),
    (65, r"[0-9 ]{4}", "an element set number"),
)
_ANGLE = r"[0-9 ]{2}[0-9]\.[0-9]{4}"
_LINE_2 = (
    (1, "2", "the line's number 2"),
    (2, _BLANK, "blank"),
    (3, _NUMBER, "a catalogue number"),
    (8, _BLANK, "blank"),
    (9, _ANGLE, "an angle DDD.DDDD"),
    (17, _BLANK, "blank"),
    (18, _ANGLE, "an angle DDD.DDDD"),
    (26, _BLANK, "blank"),
    (27, r"[0-9]{7}", "seven digits"),
    (34, _BLANK, "blank"),
    (35, _ANGLE, "an angle DDD.DDDD"),
    (43, _BLANK, "blank"),
    (44, _ANGLE, "an angle DDD.DDDD"),
    (52, _BLANK, "blank"),
    (53, r"[0-9 ][0-9]\.[0-9]{8}", "revolutions a day"),
    (64, r"[0-9 ]{5}", "a revolution number"),
)


def read_tle(lines: list[str]) -> Satrec:
    """SGP4's record of two lines. Raises ValueError that names the line and the column."""
    from sgp4.api import Satrec

    lines = [line.rstrip() for line in lines]
    if len(lines) != 2 or any(len(line) not in (68, 69) for line in lines):
        raise ValueError("expected two lines of 69 characters that begin with 1 and 2")
    for number, (line, columns) in enumerate(zip(lines, (_LINE_1, _LINE_2)), 1):
        _check_columns(line, number, columns)
        _check_sum(line, number)
    one, two = (catalogue_number(line) for line in lines)
    if one != two:
        raise ValueError(f"line 1 is of satellite {one}, line 2 of {two}")
    return Satrec.twoline2rv(*lines)


def _check_columns(line: str, number: int, columns: tuple[tuple[int, str, str], ...]) -> None:
    for first, pattern, what in columns:
        if re.compile(pattern, re.ASCII).match(line, first - 1) is None:
            raise ValueError(f"line {number}, column {first}: expected {what}, found {line[first - 1 : first + 7]!r}")


def _check_sum(line: str, number: int) -> None:
    total = sum(int(c) if c.isdigit() else c == "-" for c in line[:68]) % 10
    if len(line) > 68 and line[68] != str(total):
        raise ValueError(f"line {number} has checksum {line[68]}, expected {total}")


def catalogue_number(line: str) -> int:
    """Of either line. Raises ValueError."""
    from sgp4.alpha5 import from_alpha5

    return int(from_alpha5(line[2:7].strip() or "0"))


def tle_epoch_s(line: str) -> float:
    """Epoch of line 1 in seconds since 1970 UTC; years 57 to 99 are of the last century."""
    year = int(line[18:20])
    begin = datetime(year + (1900 if year >= 57 else 2000), 1, 1, tzinfo=timezone.utc)
    return (begin + timedelta(days=float(line[20:32]) - 1)).timestamp()


def candidates(text: str) -> list[Candidate]:
    """Every set of a file, with the name on the line above where there is one. Raises ValueError."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    found = []
    for at, line in enumerate(lines):
        if not (line.startswith("1 ") and len(line) > 60):
            continue
        above = lines[at - 1] if at and not re.match(r"[12] .{60}", lines[at - 1]) else ""
        pair = lines[at : at + 2]
        try:
            number, epoch_s = catalogue_number(line), tle_epoch_s(line)
        except ValueError:
            raise ValueError(f"no element set: {line[:40]!r}") from None
        found.append(Candidate(above.removeprefix("0 ").strip(), number, epoch_s, lambda pair=pair: read_tle(pair)))  # type: ignore[misc]
    return found
