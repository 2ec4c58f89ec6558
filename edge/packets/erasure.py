"""Erasure coding across packets: parity packets from which lost ones of the same block are rebuilt.

A block is up to 128 consecutive packets of one APID. Every packet becomes a symbol: its length (u16), its
bytes, zeros up to the longest. Parity payload (big-endian):

    first     u16   sequence count of the block's first packet
    packets   u8    K, packets in the block
    parities  u8    R, parity packets made
    index     u8    of this one, 0..R-1
    code      u8    0 Cauchy Reed-Solomon, 1 RaptorQ
    symbol    n bytes

Cauchy Reed-Solomon over GF(256) (Bloemer et al., "An XOR-based erasure-resilient coding scheme", ICSI
TR-95-048, 1995) is optimal: any K of the K + R packets give the block. RaptorQ (RFC 6330) needs the package
`raptorq`; it is almost optimal and has no limit of 255 symbols.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.space_packet import SEQUENCE_MODULUS, SpacePacket

_HEAD = struct.Struct(">HBBBB")
MAX_BLOCK = 128
MAX_PARITY = 127
KEEP_BYTES = 1 << 25  # of packets, and of parity
MAX_FAILURES = 4  # of a block to give packets that check, before it is given up
Symbols = NDArray[np.uint8]
Received = Mapping[int, bytes]  # symbol by its index


class ErasureCode(Protocol):
    """K symbols of one length to R more, and back from any sufficient part of them."""

    number: int

    def encode(self, symbols: Symbols, parities: int) -> list[bytes]:
        """R parity symbols of symbols (K, L) uint8."""

    def decode(self, count: int, have: Received, parity: Received) -> list[bytes] | None:
        """All K symbols from those had (by index) and parity symbols (by index); None when it is too little."""


def _tables() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Powers and logarithms of the generator 2 in GF(256) with polynomial 0x11D."""
    power, log = np.zeros(510, np.uint8), np.zeros(256, np.int64)
    value = 1
    for i in range(255):
        power[i] = power[i + 255] = value
        log[value] = i
        value = value << 1 ^ (0x11D if value & 0x80 else 0)
    return power, log


_POWER, _LOG = _tables()
_A, _B = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
# PRODUCT[a, b] in GF(256): 64 kB, so that a symbol times a constant is one table look-up.
PRODUCT: NDArray[np.uint8] = np.where((_A > 0) & (_B > 0), _POWER[_LOG[_A] + _LOG[_B]], 0).astype(np.uint8)


def inverse(value: int) -> int:
    """1 / value in GF(256), value 1..255."""
    return int(_POWER[255 - _LOG[value]])


class CauchyCode:
    """An `ErasureCode`: Reed-Solomon with the Cauchy matrix 1 / (x_r + y_k), x_r = 128 + r, y_k = k: every square part
    inverts.
    """

    number = 0

    def encode(self, symbols: Symbols, parities: int) -> list[bytes]:
        return [self._combine(_cauchy_row(r, len(symbols)), symbols).tobytes() for r in range(parities)]

    def decode(self, count: int, have: Received, parity: Received) -> list[bytes] | None:
        lost = [k for k in range(count) if k not in have]
        rows = sorted(parity)[: len(lost)]
        if len(rows) < len(lost):
            return None
        kept = sorted(have)
        known = np.array([np.frombuffer(have[k], np.uint8) for k in kept]) if kept else None
        right = []
        for r in rows:
            rest = np.frombuffer(parity[r], np.uint8).copy()
            if known is not None:
                rest ^= self._combine(_cauchy_row(r, count)[kept], known)
            right.append(rest)
        found = _solve(np.array([_cauchy_row(r, count)[lost] for r in rows]), right) if lost else []
        rebuilt = dict(zip(lost, found))
        return [have[k] if k in have else rebuilt[k].tobytes() for k in range(count)]

    @staticmethod
    def _combine(factors: NDArray[np.uint8], symbols: Symbols) -> Symbols:
        total = np.zeros(symbols.shape[1], np.uint8)
        for factor, symbol in zip(factors, symbols):
            total ^= PRODUCT[factor][symbol]
        return total


def _cauchy_row(r: int, count: int) -> NDArray[np.uint8]:
    return np.array([inverse((128 + r) ^ k) for k in range(count)], np.uint8)


def _solve(matrix: NDArray[np.uint8], right: list[Symbols]) -> list[Symbols]:
    """Gauss-Jordan elimination over GF(256); a Cauchy matrix never lacks a pivot on its diagonal."""
    size = len(matrix)
    for i in range(size):
        scale = inverse(int(matrix[i, i]))
        matrix[i], right[i] = PRODUCT[scale][matrix[i]], PRODUCT[scale][right[i]]
        for j in range(size):
            factor = int(matrix[j, i])
            if j != i and factor:
                matrix[j] ^= PRODUCT[factor][matrix[i]]
                right[j] = right[j] ^ PRODUCT[factor][right[i]]
    return right


class RaptorQCode:
    """An `ErasureCode`: RFC 6330 by the package `raptorq`. Raises PacketError when the package is not there."""

    number = 1

    def __init__(self) -> None:
        try:
            import raptorq
        except ImportError as error:
            raise PacketError("erasure code raptorq needs the package raptorq-wheel") from error
        self._library: Any = raptorq

    def encode(self, symbols: Symbols, parities: int) -> list[bytes]:
        data, size = self._aligned(symbols)
        encoder = self._library.Encoder.with_defaults(data, size)
        packets = encoder.get_encoded_packets(parities)
        return [bytes(packet) for packet in packets[len(symbols) :][:parities]]

    def decode(self, count: int, have: Received, parity: Received) -> list[bytes] | None:
        if len(have) + len(parity) < count:
            return None
        length = len(next(iter(have.values()))) if have else len(next(iter(parity.values()))) - 4
        size = -(-length // 8) * 8
        # The library panics for symbols of no bytes, and a panic writes to standard error whatever we catch.
        if size < 8 or any(len(p) != size + 4 or not _repair_symbol(p, count) for p in parity.values()):
            return None
        sources = [struct.pack(">I", k) + symbol.ljust(size, b"\0") for k, symbol in have.items()]
        data = self._run(count * size, size, [*sources, *parity.values()])
        return [data[k * size : k * size + length] for k in range(count)] if data is not None else None

    def _run(self, total: int, size: int, packets: list[bytes]) -> bytes | None:
        try:
            decoder = self._library.Decoder.with_defaults(total, size)
            for packet in packets:
                data = decoder.decode(packet)
                if data is not None:
                    return bytes(data)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a Rust panic arrives as a BaseException of its own
            raise PacketError(f"raptorq: {error}") from error
        return None

    @staticmethod
    def _aligned(symbols: Symbols) -> tuple[bytes, int]:
        """RaptorQ wants symbols of a multiple of 8 bytes."""
        size = -(-symbols.shape[1] // 8) * 8
        padded = np.zeros((len(symbols), size), np.uint8)
        padded[:, : symbols.shape[1]] = symbols
        return padded.tobytes(), size


def _repair_symbol(packet: bytes, count: int) -> bool:
    """RFC 6330 section 3.2: block 0, and a symbol behind the `count` source symbols."""
    return packet[0] == 0 and int.from_bytes(packet[1:4], "big") >= count


CODES: dict[str, type[CauchyCode] | type[RaptorQCode]] = {"cauchy": CauchyCode, "raptorq": RaptorQCode}


def parity_payloads(packets: Sequence[bytes], first: int, parities: int, code: ErasureCode) -> list[bytes]:
    """Payloads of the parity packets of one block.

    packets: the packed packets, consecutive from sequence count `first`. parities: R.
    Raises PacketError for a block that is empty or too long.
    """
    if not (1 <= len(packets) <= MAX_BLOCK and 0 <= parities <= MAX_PARITY):
        raise PacketError(
            f"expected 1 to {MAX_BLOCK} packets and at most {MAX_PARITY} parities, found {len(packets)} and {parities}"
        )
    length = 2 + max(map(len, packets))
    symbols = np.zeros((len(packets), length), np.uint8)
    for row, packet in zip(symbols, packets):
        row[: 2 + len(packet)] = np.frombuffer(struct.pack(">H", len(packet)) + packet, np.uint8)
    made = code.encode(symbols, parities)
    head = (first % SEQUENCE_MODULUS, len(packets), parities)
    return [_HEAD.pack(*head, i, code.number) + symbol for i, symbol in enumerate(made)]


def parity_packet_bytes(packet_bytes: int, overhead: int) -> int:
    """Most bytes of a parity packet when source packets have at most `packet_bytes`."""
    return overhead + _HEAD.size + 4 + -(-(2 + packet_bytes) // 8) * 8


@dataclass
class _Block:
    count: int
    code: int
    parity: dict[int, bytes] = field(default_factory=dict)
    failures: int = 0


class ErasureDecoder:
    """Ground side: takes packets as they come, gives back those that parity restores. Memory is bounded.

    Args:
        apid: of the packets that are protected.
        keep: newest packets remembered for blocks to come.
    """

    def __init__(self, apid: int, keep: int = 4096) -> None:
        self.restored = 0
        self._apid, self._keep = apid, min(keep, SEQUENCE_MODULUS // 2)
        self.packet_bytes = self.parity_bytes = 0
        self.packets: dict[int, bytes] = {}
        self.blocks: dict[tuple[int, int], _Block] = {}
        self._codes: dict[int, ErasureCode] = {0: CauchyCode()}

    def source(self, packet: SpacePacket) -> list[SpacePacket]:
        """A protected packet has arrived: returns what it completes."""
        if packet.apid != self._apid:
            return []
        self._remember(packet)
        sequence = packet.sequence
        mine = [key for key, b in self.blocks.items() if (sequence - key[0]) % SEQUENCE_MODULUS < b.count]
        return [found for key in mine for found in self._try(key)]

    def parity(self, packet: SpacePacket) -> list[SpacePacket]:
        """A parity packet has arrived: returns what it restores. Raises PacketError for a malformed one."""
        payload = packet.payload
        if len(payload) <= _HEAD.size + 2:
            raise PacketError(f"expected a parity payload, found {len(payload)} bytes")
        first, count, parities, index, code = _HEAD.unpack_from(payload)
        if not (first < SEQUENCE_MODULUS and 1 <= count <= MAX_BLOCK and index < parities <= MAX_PARITY):
            raise PacketError(f"expected a block of 1 to {MAX_BLOCK} packets, found {count}, parity {index}")
        if code == 1 and code not in self._codes:
            self._codes[code] = RaptorQCode()
        if code not in self._codes:
            raise PacketError(f"expected a known erasure code, found {code}")
        block = self.blocks.setdefault((first, packet.pass_number), _Block(count, code))
        if (block.count, block.code) == (count, code):
            self.parity_bytes += len(payload) - _HEAD.size - len(block.parity.get(index, b""))
            block.parity[index] = payload[_HEAD.size :]
        while len(self.blocks) > 64 or self.parity_bytes > KEEP_BYTES:
            self._forget(next(iter(self.blocks)))
        return self._try((first, packet.pass_number))

    def _remember(self, packet: SpacePacket) -> None:
        """Keep a packet for the blocks to come; the oldest give way."""
        self.packet_bytes -= len(self.packets.pop(packet.sequence, b""))
        self.packets[packet.sequence] = packet.pack()
        self.packet_bytes += len(self.packets[packet.sequence])
        while len(self.packets) > self._keep or self.packet_bytes > KEEP_BYTES:
            self.packet_bytes -= len(self.packets.pop(next(iter(self.packets))))

    def _forget(self, key: tuple[int, int]) -> None:
        block = self.blocks.pop(key, None)
        self.parity_bytes -= sum(map(len, block.parity.values())) if block else 0

    def _try(self, key: tuple[int, int]) -> list[SpacePacket]:
        """Rebuild a block when enough is here; every rebuilt packet must pass its own checksums."""
        block = self.blocks.get(key)
        if block is None:
            return []
        sequences = [(key[0] + k) % SEQUENCE_MODULUS for k in range(block.count)]
        lost = [k for k, sequence in enumerate(sequences) if sequence not in self.packets]
        if len(lost) > len(block.parity):
            return []
        found = self._rebuild(block, sequences, lost) if lost else []
        block.failures += not found
        if not lost or found or block.failures >= MAX_FAILURES:
            self._forget(key)
        return found

    def _rebuild(self, block: _Block, sequences: list[int], lost: list[int]) -> list[SpacePacket]:
        length = max(map(len, block.parity.values())) - (4 if block.code == 1 else 0)
        have = {k: self._symbol(self.packets[s], length) for k, s in enumerate(sequences) if k not in lost}
        same = {i: p for i, p in block.parity.items() if len(p) == max(map(len, block.parity.values()))}
        if any(len(symbol) > length for symbol in have.values()):
            return []
        try:
            symbols = self._codes[block.code].decode(block.count, have, same)
            packets = [self._packet(symbols[k]) for k in lost] if symbols is not None else []
        except (PacketError, ValueError):
            return []  # stale packets of an earlier turn of the sequence count: the checksums say so
        self.restored += len(packets)
        for packet in packets:
            self._remember(packet)
        return packets

    @staticmethod
    def _symbol(packet: bytes, length: int) -> bytes:
        return (struct.pack(">H", len(packet)) + packet).ljust(length, b"\0")

    @staticmethod
    def _packet(symbol: bytes) -> SpacePacket:
        size = struct.unpack_from(">H", symbol)[0]
        return SpacePacket.unpack(symbol[2 : 2 + size])
