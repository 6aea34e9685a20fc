"""Many chunks at once are what their samples were, to the bit, whatever stands in them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import SourceAnswer
from lib.frames import STALE_NAN_BITS
from lib.prometheus.chunks import decode
from tests.prometheus.xor import bits_of, encode

VALUES = st.one_of(
    st.integers(0, 2**64 - 1),
    st.floats(width=64).map(bits_of),
    st.integers(-(2**60), 2**60).map(lambda n: bits_of(float(n))),
    st.sampled_from([STALE_NAN_BITS, bits_of(math.inf), bits_of(-0.0), bits_of(2.0**53 + 2)]),
)
# Around the limits of each width a change can be written in.
STEPS = st.one_of(
    st.integers(0, 40_000),
    st.sampled_from([2**n + d for n in (12, 13, 14, 16, 17, 19, 20, 31, 40) for d in (-1, 0, 1)]),
)


@st.composite
def a_chunk(draw: st.DrawFn) -> list[tuple[int, int]]:
    size = draw(st.integers(1, 30))
    moments = np.cumsum([draw(st.integers(-(2**41), 2**41)), *(draw(STEPS) for _ in range(size - 1))])
    if draw(st.booleans()):
        moments = moments[0] + 15_000 * np.arange(size)
    return [(int(moment), draw(VALUES)) for moment in moments]


def check(chunks: list[list[tuple[int, int]]]) -> None:
    ts, value, sizes = decode([encode(chunk) for chunk in chunks])
    assert sizes.tolist() == [len(chunk) for chunk in chunks]
    assert ts.tolist() == [moment for chunk in chunks for moment, _ in chunk]
    assert value.view(np.uint64).tolist() == [bits for chunk in chunks for _, bits in chunk]


@settings(max_examples=150, deadline=None)
@given(st.lists(a_chunk(), min_size=1, max_size=12))
def test_what_was_packed_is_unpacked(chunks: list[list[tuple[int, int]]]) -> None:
    check(chunks)


@pytest.mark.parametrize("step", [1, 8191, 8192, 8193, 65_535, 65_536, 65_537, 524_287, 524_288, 524_289, 2**35])
def test_every_width_of_a_change_in_time(step: int) -> None:
    there_and_back = [0, 10, 10 + step, 10 + step, 20 + 2 * step]
    check([[(moment, bits_of(1.5)) for moment in np.cumsum(there_and_back).tolist()]])


def test_more_chunks_than_are_unpacked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib.prometheus.chunks._CELLS", 500)
    random = np.random.default_rng(5)
    chunks = []
    for size in [120, 120, 7, 120, 1, 220, 64, 120, 120, 120, 3]:
        values = np.cumsum(random.normal(0, 1, size)).round(int(random.integers(0, 9)))
        moments = 1_700_000_000_000 + np.cumsum(random.integers(1, 30_000, size))
        chunks.append([(int(t), bits_of(float(v))) for t, v in zip(moments, values, strict=True)])
    check(chunks)


def test_nothing_is_nothing() -> None:
    ts, value, sizes = decode([])
    assert ts.size == value.size == sizes.size == 0
    check([[]])
    check([[], [(5, 7)], []])


@pytest.mark.parametrize("cut", [0, 1, 2, 5, 9, 12, 40])
def test_a_chunk_cut_short_is_refused(cut: int) -> None:
    whole = encode([(15_000 * i, bits_of(math.sin(i))) for i in range(60)])
    with pytest.raises(SourceAnswer):
        decode([whole, whole[:cut], whole])


def test_a_chunk_that_claims_more_samples_than_it_can_hold_is_refused() -> None:
    with pytest.raises(SourceAnswer):
        decode([b"\xff\xff" + encode([(1, 1)])[2:]])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=80), min_size=1, max_size=6))
def test_noise_is_refused_or_read_but_never_breaks(chunks: list[bytes]) -> None:
    try:
        ts, value, sizes = decode(chunks)
    except SourceAnswer:
        return
    assert ts.size == value.size == sizes.sum()
