"""The radio: what it sends, how it is coded, and what framing leaves of the bit rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from swathpack.edge.schema import did_you_mean
from swathpack.tools.plan.schema import Section

# Downlink allocations to Earth exploration-satellite service (ITU Radio Regulations, article 5), GHz.
BANDS: dict[str, tuple[float, float]] = {
    "UHF": (0.400, 0.470),
    "S": (2.200, 2.290),
    "X": (8.025, 8.400),
    "Ka": (25.500, 27.000),
}

# Required Eb/N0 (dB, information bits) for CCSDS 131.0-B codes at a frame error rate near 1e-5, as plotted in
# the green book CCSDS 130.1-G; uncoded is the theory of QPSK at a bit error rate of 1e-6.
CODINGS: dict[str, float] = {
    "uncoded": 10.5,
    "convolutional-1/2": 5.0,
    "convolutional-1/2+rs": 2.6,
    "turbo-1/2": 1.2,
    "ldpc-1/2": 1.3,
    "ldpc-2/3": 2.0,
    "ldpc-4/5": 3.0,
    "ldpc-7/8": 4.0,
}


@dataclass(frozen=True)
class Modcod:
    """A modulation and code: needed Es/N0 (dB) and information bits per symbol."""

    name: str
    es_n0_db: float
    bit_per_symbol: float


# ETSI EN 302 307-1 table 13: ideal Es/N0 at a packet error rate of 1e-7, normal frames, no pilots.
# CCSDS 131.3-B carries telemetry frames over it.
DVB_S2: tuple[Modcod, ...] = tuple(
    Modcod(*row)
    for row in (
        ("QPSK 1/4", -2.35, 0.490243),
        ("QPSK 1/3", -1.24, 0.656448),
        ("QPSK 2/5", -0.30, 0.789412),
        ("QPSK 1/2", 1.00, 0.988858),
        ("QPSK 3/5", 2.23, 1.188304),
        ("QPSK 2/3", 3.10, 1.322253),
        ("QPSK 3/4", 4.03, 1.487473),
        ("QPSK 4/5", 4.68, 1.587196),
        ("QPSK 5/6", 5.18, 1.654663),
        ("8PSK 3/5", 5.50, 1.779991),
        ("QPSK 8/9", 6.20, 1.766451),
        ("QPSK 9/10", 6.42, 1.788612),
        ("8PSK 2/3", 6.62, 1.980636),
        ("8PSK 3/4", 7.91, 2.228124),
        ("16APSK 2/3", 8.97, 2.637201),
        ("8PSK 5/6", 9.35, 2.478562),
        ("16APSK 3/4", 10.21, 2.966728),
        ("8PSK 8/9", 10.69, 2.646012),
        ("8PSK 9/10", 10.98, 2.679207),
        ("16APSK 4/5", 11.03, 3.165623),
        ("16APSK 5/6", 11.61, 3.300184),
        ("32APSK 3/4", 12.73, 3.703295),
        ("16APSK 8/9", 12.89, 3.523143),
        ("16APSK 9/10", 13.13, 3.567342),
        ("32APSK 4/5", 13.64, 3.951571),
        ("32APSK 5/6", 14.28, 4.119540),
        ("32APSK 8/9", 15.69, 4.397854),
        ("32APSK 9/10", 16.05, 4.453027),
    )
)


@dataclass(frozen=True)
class Radio:
    """One transmitter and its link parameters.

    `modcods` rise in Es/N0 and in bits per symbol (dominated ones are left out). With one fixed rate there is
    one modcod of 1 bit per "symbol", its Es/N0 the required Eb/N0 and `symbol_rate_hz` the bit rate, so both
    kinds of radio go through the same code.
    """

    band: str
    frequency_ghz: float
    eirp_dbw: float
    beamwidth_deg: float
    g_over_t_dbk: float | None
    system_noise_k: float
    symbol_rate_hz: float
    modcods: tuple[Modcod, ...]
    adaptive: bool
    margin_db: float
    losses_db: float
    frame_bytes: int
    frame_overhead_bytes: int
    sync_bytes: int
    packet_bytes: int
    packet_overhead_bytes: int
    repair_fraction: float
    arq_fraction: float
    acquisition_s: float
    min_pass_s: float
    power_w: float

    @property
    def frame_efficiency(self) -> float:
        """Share of the frame bits that is Space Packets (CCSDS 132.0-B: header, trailer, sync marker)."""
        return (self.frame_bytes - self.frame_overhead_bytes) / (self.frame_bytes + self.sync_bytes)

    @property
    def net_efficiency(self) -> float:
        """Share of the information bits that is Space Packets sent for the first time."""
        return self.frame_efficiency * (1 - self.repair_fraction) * (1 - self.arq_fraction)

    @property
    def packet_efficiency(self) -> float:
        """Share of the Space Packet bytes that is coded image."""
        return (self.packet_bytes - self.packet_overhead_bytes) / self.packet_bytes


def read_radio(section: Section) -> Radio:
    """The [radio] table. Raises UserError."""
    band, frequency = _band(section)
    symbol_rate, modcods, adaptive = _rate(section, band)
    radio = Radio(
        band=band,
        frequency_ghz=frequency,
        eirp_dbw=_eirp(section),
        symbol_rate_hz=symbol_rate,
        modcods=modcods,
        adaptive=adaptive,
        beamwidth_deg=section.number("antenna_beamwidth_deg", 0, 180, 0.0),
        g_over_t_dbk=section.number("g_over_t_dbk", -60, 60) if section.has("g_over_t_dbk") else None,
        system_noise_k=section.number("system_noise_k", 10, 5000, 150.0),
        margin_db=section.number("margin_db", 0, 20, 3.0),
        losses_db=sum(
            section.number(key, 0, 20, default)
            for key, default in (
                ("pointing_loss_db", 0.5),
                ("polarisation_loss_db", 0.3),
                ("implementation_loss_db", 1.0),
            )
        ),
        frame_bytes=section.integer("frame_bytes", 64, 65536, 1115),
        frame_overhead_bytes=section.integer("frame_overhead_bytes", 0, 1024, 12),
        sync_bytes=section.integer("sync_bytes", 0, 64, 4),
        packet_bytes=section.integer("packet_bytes", 64, 65542, 1024),
        packet_overhead_bytes=section.integer("packet_overhead_bytes", 6, 256, 24),
        repair_fraction=section.number("repair_fraction", 0, 0.9, 0.0),
        arq_fraction=section.number("arq_fraction", 0, 0.9, 0.0),
        acquisition_s=section.number("acquisition_s", 0, 300, 10.0),
        min_pass_s=section.number("min_pass_s", 1, 3600, 60.0),
        power_w=section.number("power_consumed_w", 0, 5000, 0.0),
    )
    section.done()
    if radio.frame_overhead_bytes >= radio.frame_bytes or radio.packet_overhead_bytes >= radio.packet_bytes:
        raise section.error("expected frames and packets larger than their overhead")
    return radio


def _band(section: Section) -> tuple[str, float]:
    """Band name and frequency, which must agree; without a name the allocation that holds the frequency."""
    frequency = section.number("frequency_ghz", 0.1, 50.0)
    if section.has("band"):
        band = section.text("band")
        if band not in BANDS:
            raise section.error(
                f"band: unknown band {band!r}, expected one of {', '.join(BANDS)}{did_you_mean(band, list(BANDS))}"
            )
        low, high = BANDS[band]
        return band, section.number("frequency_ghz", low, high)
    holding = [band for band, (low, high) in BANDS.items() if low <= frequency <= high]
    if not holding:
        listed = ", ".join(f"{band} {low:g}-{high:g}" for band, (low, high) in BANDS.items())
        raise section.error(f"frequency_ghz: {frequency:g} GHz is in no downlink band ({listed})")
    return holding[0], frequency


def _eirp(section: Section) -> float:
    """EIRP in dBW, given or from power, antenna gain and line loss."""
    if section.exactly_one("eirp_dbw", "power_w", "power_dbw") == "eirp_dbw":
        return section.number("eirp_dbw", -40, 60)
    power = (
        section.number("power_dbw", -40, 30)
        if section.has("power_dbw")
        else 10 * math.log10(section.number("power_w", 1e-3, 1000))
    )
    return power + section.number("antenna_gain_dbi", -10, 50) - section.number("line_loss_db", 0, 10, 1.0)


def _rate(section: Section, band: str) -> tuple[float, tuple[Modcod, ...], bool]:
    """Symbol rate (Hz), modcods and whether they adapt; a rate that the band cannot hold is refused."""
    width_mhz = round((BANDS[band][1] - BANDS[band][0]) * 1000, 3)
    if section.exactly_one("bitrate_mbit_s", "symbol_rate_mbaud") == "bitrate_mbit_s":
        # 6 bit/s/Hz is beyond every code in the tables: more than that is a slip of the unit.
        rate = section.number("bitrate_mbit_s", 1e-4, 6 * width_mhz)
        coding = section.choice("coding", [*CODINGS, "custom"], "convolutional-1/2+rs")
        needed = section.number("required_eb_n0_db", -2, 30) if coding == "custom" else CODINGS[coding]
        return rate * 1e6, (Modcod(coding, needed, 1.0),), False
    rate = section.number("symbol_rate_mbaud", 1e-4, width_mhz)
    return rate * 1e6, useful(_modcods(section)), True


def _modcods(section: Section) -> list[Modcod]:
    """The table `modcods = [["name", es_n0_db, bit_per_symbol], ...]`, or DVB-S2 names, or all of it."""
    rows = section.raw("modcods", "dvb-s2")
    by_name = {modcod.name: modcod for modcod in DVB_S2}
    if rows == "dvb-s2":
        return list(DVB_S2)
    if not isinstance(rows, list) or not rows:
        raise section.error(
            f'modcods: expected "dvb-s2", a list of its names, or rows of '
            f'["name", es_n0_db, bit_per_symbol], found {rows!r}'
        )
    found = []
    for row in rows:
        if isinstance(row, str) and row in by_name:
            found.append(by_name[row])
        elif (
            isinstance(row, list)
            and len(row) == 3
            and isinstance(row[0], str)
            and all(isinstance(v, (int, float)) for v in row[1:])
            and 0 < row[2] <= 12
        ):
            found.append(Modcod(row[0], float(row[1]), float(row[2])))
        else:
            raise section.error(f"modcods: no modulation and coding {row!r}{did_you_mean(str(row), list(by_name))}")
    return found


def useful(modcods: list[Modcod]) -> tuple[Modcod, ...]:
    """Only those that carry more than every one that needs less Es/N0."""
    kept: list[Modcod] = []
    for modcod in sorted(modcods, key=lambda m: (m.es_n0_db, -m.bit_per_symbol)):
        if not kept or modcod.bit_per_symbol > kept[-1].bit_per_symbol:
            kept.append(modcod)
    return tuple(kept)
