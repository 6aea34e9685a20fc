"""Checksums folded block by block are those of the textbook's byte by byte."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.prometheus.crc import crc32c


def by_the_book(string: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in string:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_known_answers() -> None:
    # RFC 3720, appendix B.4, and the check value of every catalogue.
    known = {bytes(32): 0x8A9136AA, b"\xff" * 32: 0x62A8AB43, bytes(range(32)): 0x46DD794E, b"123456789": 0xE3069283}
    assert crc32c(list(known)).tolist() == list(known.values())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=700), max_size=8))
def test_short_strings(strings: list[bytes]) -> None:
    assert crc32c(strings).tolist() == [by_the_book(string) for string in strings]


def test_lengths_around_every_limit_and_one_flipped_bit() -> None:
    random = np.random.default_rng(3)
    sizes = [0, 1, 3, 4, 255, 256, 257, 511, 512, 513, 1023, 1024, 4097, 12_345, 70_001]
    strings = [random.bytes(size) for size in sizes]
    expected = [by_the_book(string) for string in strings]
    assert crc32c(strings).tolist() == expected
    assert crc32c([memoryview(string) for string in reversed(strings)]).tolist() == expected[::-1]
    for string, checksum in zip(strings, expected, strict=True):
        if string:
            flipped = bytearray(string)
            flipped[int(random.integers(len(flipped)))] ^= 1 << int(random.integers(8))
            assert crc32c([bytes(flipped)])[0] != checksum
