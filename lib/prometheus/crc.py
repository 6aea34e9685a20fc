"""CRC-32C of many byte strings at once in numpy, to trust what a streamed answer carries without a C extension.

Strings are cut into pieces of one length, all pieces are divided at once, and each string's remainders are put
together. The checksum is the rest of a division by a polynomial P over GF(2), in which P(x)**2**k = P(x**2**k): the
same few taps as P, any power of two apart. So the front half of a piece of 64 equal blocks is folded into its back
half by XORs of whole blocks, whatever their length, until 32 blocks of 8 bytes are left for a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

_POLYNOMIAL = 0x1EDC6F41  # Castagnoli: x**32 and a tap for every bit set here
_REFLECTED = 0x82F63B78  # the same with its bits turned round, as the table wants it
_TAPS = [e for e in range(31, -1, -1) if _POLYNOMIAL >> e & 1]
_BLOCKS = 64
_AT_ONCE = 32 - _TAPS[0]  # so many blocks fold without touching each other
_PIECE = 4096  # bytes: 64 blocks of a power of two
_ROWS = 1024  # pieces folded at a time: 4 MB


def crc32c(strings: Sequence[bytes | memoryview]) -> np.ndarray:
    """The checksum of each, as uint32."""
    sizes = np.fromiter(map(len, strings), np.int64, len(strings))
    # The first piece of a string has zeros in front, which change no remainder.
    counts = -(-sizes // _PIECE)
    ends = np.cumsum(counts)
    joined = np.zeros(int(ends[-1]) * _PIECE if len(strings) else 0, np.uint8)
    for string, end in zip(strings, (ends * _PIECE).tolist(), strict=True):
        joined[end - len(string) : end] = np.frombuffer(string, np.uint8)
        joined[end - len(string) : end][:4] ^= 0xFF  # the start value
    pieces = joined.reshape(-1, _PIECE)
    rests = np.empty(len(pieces), np.uint32)
    for at in range(0, len(pieces), _ROWS):
        rests[at : at + _ROWS] = _rest(_folded(pieces[at : at + _ROWS]))
    found = np.zeros(len(strings), np.uint32)
    for place in range(int(counts.max(initial=0))):
        going = np.flatnonzero(counts > place)
        found[going] = _applied(_past_a_piece(), found[going]) ^ rests[(ends - counts)[going] + place]
    # A start value longer than its string reaches into the result.
    found ^= np.array([0xFFFFFFFF >> 8 * min(4, size) for size in range(5)], np.uint32)[np.minimum(sizes, 4)]
    return ~found


def _folded(pieces: np.ndarray) -> np.ndarray:
    """What has the same remainders, in 32 words a piece. Shape (32, pieces): neighbours are worked on at once."""
    words = np.ascontiguousarray(pieces.view("<u8").T)
    while len(words) > _BLOCKS // 2:
        blocks = words.reshape(_BLOCKS, -1)
        for front in range(0, _BLOCKS // 2, _AT_ONCE):
            head = blocks[front : front + _AT_ONCE]
            for tap in _TAPS:
                at = front + 32 - tap
                blocks[at : at + _AT_ONCE] ^= head
        words = blocks[_BLOCKS // 2 :].reshape(-1, len(pieces))
    return words


def _rest(words: np.ndarray) -> np.ndarray:
    table, crc = _past_a_byte()[0], np.zeros(words.shape[1], np.uint32)
    for word in words:
        for byte in word.view(np.uint8).reshape(-1, 8).T:
            crc = table.take((crc ^ byte) & 0xFF) ^ (crc >> 8)
    return crc


def _applied(tables: np.ndarray, crc: np.ndarray) -> np.ndarray:
    """A remainder with zeros behind it; tables: what each of its four bytes turns into."""
    result: np.ndarray = tables[0][crc & 0xFF]
    for place in (1, 2, 3):
        result = result ^ tables[place][crc >> np.uint32(8 * place) & 0xFF]
    return result


@cache
def _past_a_byte() -> np.ndarray:
    entries = np.arange(256, dtype=np.uint32)
    shifted = np.stack([entries << np.uint32(8 * place) for place in range(4)])
    for _ in range(8):
        shifted = np.where(shifted & 1, shifted >> 1 ^ np.uint32(_REFLECTED), shifted >> 1)
    return shifted


@cache
def _past_a_piece() -> np.ndarray:
    tables = _past_a_byte()
    for _ in range(_PIECE.bit_length() - 1):
        tables = _applied(tables, tables)  # twice as far
    return tables
