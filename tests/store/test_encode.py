"""Numbers packed as integers come back bit by bit, whatever they are."""

from __future__ import annotations

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lib.frames import STALE_NAN_BITS
from lib.store import encode

ANY_BITS = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", bits.to_bytes(8, "little"))[0])
DECIMALS = st.builds(
    lambda whole, places: round(whole / 10**places, places), st.integers(-(10**9), 10**9), st.integers(0, 9)
)
ODD = st.sampled_from([0.0, -0.0, float("inf"), float("-inf"), float("nan"), 2.0**53, 2.0**53 + 2, -(2.0**62), 5e-324])
SERIES = st.lists(
    st.one_of(
        st.lists(ANY_BITS, min_size=1, max_size=20),
        st.lists(DECIMALS, min_size=1, max_size=20),
        st.lists(st.integers(-(2**40), 2**40).map(lambda n: n * 4096.0), min_size=1, max_size=20),
        st.lists(st.one_of(ODD, DECIMALS), min_size=1, max_size=40),
    ),
    max_size=6,
)


def there_and_back(series: list[list[float]]) -> tuple[np.ndarray, np.ndarray, encode.Encoded]:
    value = np.array([one for values in series for one in values])
    starts = np.cumsum([0, *(len(values) for values in series)])[:-1].astype(np.int64)
    packed = encode.encode(value, starts)
    return value, encode.decode(packed.scaled, packed.exact, packed.divisor, packed.raw), packed


@given(SERIES)
def test_every_value_keeps_its_bits(series: list[list[float]]) -> None:
    value, again, packed = there_and_back(series)
    assert (value.view(np.int64) == again.view(np.int64)).all()
    assert (np.abs(packed.scaled) < 2**53).all()


def test_what_people_and_counters_write_becomes_integers() -> None:
    pages = [4096.0 * n for n in (7, 8, 9)]
    _, _, packed = there_and_back([[12.34, 0.5, 3.0], [1e9, 1e9 + 1], pages, [0.1 + 0.2] * 3])
    assert packed.exact.tolist() == [True] * 8 + [False] * 3
    assert packed.scaled[:3].tolist() == [617, 25, 150] and packed.divisor[0] == 50.0
    assert packed.scaled[5:8].tolist() == [7, 8, 9]


def test_a_marker_here_and_there_leaves_the_other_values_integers() -> None:
    stale = struct.unpack("<d", STALE_NAN_BITS.to_bytes(8, "little"))[0]
    value, again, packed = there_and_back([[1.5] * 30 + [stale, float("inf"), -0.0] + [2.5] * 30])
    assert packed.exact.sum() == 60
    assert (value.view(np.int64) == again.view(np.int64)).all()


def test_the_digest_sees_each_bit_and_no_order() -> None:
    ids, ts, value = np.array([1, 1, 2]), np.array([5, 6, 5]), np.array([1.0, 2.0, -0.0])
    whole = encode.digest(ids, ts, value)
    assert encode.digest(ids[::-1], ts[::-1], value[::-1]) == whole
    assert encode.digest(ids, ts, np.array([1.0, 2.0, 0.0])) != whole
    assert encode.digest(ids, ts[[0, 1, 1]], value) != whole
    assert encode.digest(ids[[0, 1, 1]], ts, value) != whole
    halves = encode.digest(ids[:1], ts[:1], value[:1]) + encode.digest(ids[1:], ts[1:], value[1:])
    assert halves % 2**64 == whole
