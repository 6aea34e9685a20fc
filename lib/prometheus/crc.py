"""CRC-32C of many byte strings at once in numpy, to trust what a streamed answer carries without a C extension.

The checksum is the rest of a division by a polynomial P over GF(2), in which P(x)**2**k = P(x**2**k): the same few
taps as P, any power of two apart. So the front half of a string of 64 equal blocks is folded into its back half by
XORs of whole blocks, whatever their length, until 32 blocks of 8 bytes are left for a table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_POLYNOMIAL = 0x1EDC6F41  # Castagnoli: x**32 and a tap for every bit set here
_REFLECTED = 0x82F63B78  # the same with its bits turned round, as the table wants it
_TAPS = [e for e in range(31, -1, -1) if _POLYNOMIAL >> e & 1]
_BLOCKS = 64
_AT_ONCE = 32 - _TAPS[0]  # so many blocks fold without touching each other
_PADDED_TO = 8  # blocks: strings of nearly one length are folded together


def crc32c(strings: Sequence[bytes | memoryview]) -> np.ndarray:
    """The checksum of each, as uint32."""
    found = np.empty(len(strings), np.uint32)
    groups: dict[tuple[int, int], list[int]] = {}
    for position, string in enumerate(strings):
        groups.setdefault(_shape(len(string)), []).append(position)
    for (blocks, block), members in groups.items():
        rows = np.zeros((len(members), blocks * block), np.uint8)
        for row, position in zip(rows, members, strict=True):
            string = strings[position]
            if len(string):
                # Zeros in front change no remainder.
                row[-len(string) :] = np.frombuffer(string, np.uint8)
                first = row[-len(string) :][:4]
                first ^= 0xFF  # the start value
        found[members] = _rest(_folded(rows, blocks, block))
    for position, string in enumerate(strings):
        if len(string) < 4:
            found[position] = _plain(bytes(string))
    return found


def _shape(size: int) -> tuple[int, int]:
    """(blocks, bytes in each): the room for a string, a power of two for the bytes."""
    block = 8
    while block * _BLOCKS < size:
        block *= 2
    blocks = -(-size // block)
    return max(_PADDED_TO, -(-blocks // _PADDED_TO) * _PADDED_TO), block


def _folded(rows: np.ndarray, blocks: int, block: int) -> np.ndarray:
    """Strings of at most 32 blocks of 8 bytes with the same remainders."""
    words = rows.view(np.uint64).reshape(len(rows), blocks, block // 8)
    while True:
        for front in range(0, words.shape[1] - 32, _AT_ONCE):
            head = words[:, front : front + _AT_ONCE]
            for tap in _TAPS:
                at = front + 32 - tap
                words[:, at : at + _AT_ONCE] ^= head
        words = words[:, -32:]
        if words.shape[2] == 1:
            return np.ascontiguousarray(words).reshape(len(rows), -1).view(np.uint8)
        words = np.ascontiguousarray(words).reshape(len(rows), -1, words.shape[2] // 2)


def _table() -> np.ndarray:
    entries = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        entries = np.where(entries & 1, entries >> 1 ^ np.uint32(_REFLECTED), entries >> 1)
    return entries


_TABLE = _table()


def _rest(rows: np.ndarray) -> np.ndarray:
    crc = np.zeros(len(rows), np.uint32)
    for column in rows.T:
        crc = _TABLE[(crc ^ column) & 0xFF] ^ (crc >> 8)
    return ~crc


def _plain(string: bytes) -> int:
    """Byte by byte: what is shorter than its start value."""
    crc = 0xFFFFFFFF
    for byte in string:
        crc = int(_TABLE[(crc ^ byte) & 0xFF]) ^ crc >> 8
    return crc ^ 0xFFFFFFFF
