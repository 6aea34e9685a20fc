"""XOR chunks written one sample at a time, by the letter of Prometheus' format: what the decoder is held against."""

from __future__ import annotations

import struct
from collections.abc import Sequence


def bits_of(value: float) -> int:
    return int(struct.unpack(">Q", struct.pack(">d", value))[0])


def uvarint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def zigzag(number: int) -> int:
    return (number << 1) ^ (number >> 63)


class _Bits:
    def __init__(self) -> None:
        self.number, self.size = 0, 0

    def add(self, number: int, size: int) -> None:
        self.number, self.size = self.number << size | number & ((1 << size) - 1), self.size + size

    def done(self) -> bytes:
        spare = -self.size % 8
        return (self.number << spare).to_bytes((self.size + spare) // 8)


def encode(samples: Sequence[tuple[int, int]]) -> bytes:
    """A chunk of (milliseconds, the value's bits)."""
    out = _Bits()
    out.add(len(samples), 16)
    lead, trail, delta = None, 0, 0
    for position, (ts, value) in enumerate(samples):
        if position == 0:
            for byte in uvarint(zigzag(ts)):
                out.add(byte, 8)
            out.add(value, 64)
            continue
        before_ts, before = samples[position - 1]
        change, delta = (ts - before_ts) - delta, ts - before_ts
        if position == 1:
            for byte in uvarint(delta):
                out.add(byte, 8)
        else:
            _add_change(out, change)
        xor = value ^ before
        if not xor:
            out.add(0, 1)
            continue
        out.add(1, 1)
        new_lead, new_trail = min(64 - xor.bit_length(), 31), (xor & -xor).bit_length() - 1
        if lead is not None and new_lead >= lead and new_trail >= trail:
            out.add(0, 1)
        else:
            lead, trail = new_lead, new_trail
            out.add(1, 1)
            out.add(lead, 5)
            out.add(64 - lead - trail, 6)  # 64 becomes 0
        out.add(xor >> trail, 64 - lead - trail)
    return out.done()


def _add_change(out: _Bits, change: int) -> None:
    if change == 0:
        out.add(0, 1)
        return
    for prefix, prefix_size, size in ((0b10, 2, 14), (0b110, 3, 17), (0b1110, 4, 20)):
        if -((1 << size - 1) - 1) <= change <= 1 << size - 1:
            out.add(prefix, prefix_size)
            out.add(change, size)
            return
    out.add(0b1111, 4)
    out.add(change, 64)
