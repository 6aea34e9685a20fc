"""Numbers as small exact integers where they are such: 12.34 becomes 1234 over 100, and comes back bit by bit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Beyond nine decimals a double seldom is what a person wrote, and the integers grow past what packing saves.
_MOST_DECIMALS = 9
# Integers up to here are doubles without rounding, so that `scaled / divisor` is the one nearest double.
_EXACT = float(2**53)
# Of a series' finite values, how many may stay doubles before all of them do: a marker here and there, not noise.
_MOST_ODD = 0.1


@dataclass(frozen=True)
class Encoded:
    """value is scaled / divisor where `exact`, else raw. All shape (n,); divisor is constant within a series."""

    scaled: np.ndarray
    exact: np.ndarray
    divisor: np.ndarray
    raw: np.ndarray


def encode(value: np.ndarray, starts: np.ndarray) -> Encoded:
    """Find each series' scale. value: shape (n,), float64, series after series; starts: where each begins.

    Whatever does not come back with the same 64 bits (NaN, Inf, -0.0, long fractions) is left as it is.
    """
    value = np.ascontiguousarray(value, dtype=np.float64)
    bits = value.view(np.int64)
    sizes = np.diff(np.append(starts, value.size))
    finite = np.isfinite(value)
    most_odd = _MOST_ODD * np.add.reduceat(finite, starts, dtype=np.int64) if value.size else np.empty(0)
    scaled, exact = np.zeros(value.size, np.int64), np.zeros(value.size, bool)
    divisor = np.ones(value.size)
    open_series = np.ones(starts.size, bool)
    for decimals in range(_MOST_DECIMALS + 1):
        rows = np.flatnonzero(np.repeat(open_series, sizes) & finite)
        if not rows.size:
            break
        power = 10.0**decimals
        with np.errstate(over="ignore", invalid="ignore"):
            whole = np.rint(value[rows] * power) + 0.0  # an integer knows no -0.0
            fits = (np.abs(whole) < _EXACT) & ((whole / power).view(np.int64) == bits[rows])
        hits = np.zeros(value.size, bool)
        hits[rows[fits]] = True
        odd = np.add.reduceat(finite & ~hits, starts, dtype=np.int64)
        settled = open_series & (odd <= most_odd)
        taken = np.repeat(settled, sizes)
        chosen = taken[rows] & fits
        scaled[rows[chosen]] = whole[chosen].astype(np.int64)
        exact |= taken & hits
        divisor[taken] = power
        open_series &= ~settled
    if value.size:
        _halve(scaled, divisor, starts, sizes)
    return Encoded(scaled, exact, divisor, value)


def _halve(scaled: np.ndarray, divisor: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> None:
    """Take out the powers of two that all integers of a series share: bytes come in pages. Divisors stay exact."""
    union = np.bitwise_or.reduceat(scaled, starts)
    lowest = (union & -union).astype(np.float64)
    # 2**20 at most: the divisor then stays far from where doubles lose bits.
    shift = np.minimum(np.log2(np.maximum(lowest, 1.0)), 20).astype(np.int64)
    scaled >>= np.repeat(shift, sizes)
    divisor /= np.exp2(np.repeat(shift, sizes))


def decode(scaled: np.ndarray, exact: np.ndarray, divisor: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """The values again, bit by bit."""
    return np.where(exact, scaled / divisor, raw)


def decoded(name: str) -> str:
    """The same as an SQL expression over the columns `name`, `name_divisor` and `name_raw`."""
    return f"coalesce({name} / {name}_divisor, {name}_raw)"


def digest(series_id: np.ndarray, ts_ms: np.ndarray, value: np.ndarray) -> int:
    """A number that tells two sets of samples apart: order does not matter, each bit of each sample does.

    Parts' digests add up (modulo 2**64). Mixing: Steele et al. 2014 (SplitMix64).
    """
    with np.errstate(over="ignore"):
        mixed = _mix(series_id.astype(np.uint64) ^ np.uint64(0x9E3779B97F4A7C15))
        mixed = _mix(mixed + ts_ms.astype(np.int64).view(np.uint64))
        mixed = _mix(mixed + np.ascontiguousarray(value, dtype=np.float64).view(np.uint64))
        return int(mixed.sum(dtype=np.uint64))


def _mix(number: np.ndarray) -> np.ndarray:
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))
