"""Faults put into history that was clean, to see what a detector would catch of them and what it would miss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bottleneck as bn
import numpy as np

from lib.features.baseline import robust_scale

# Kind -> fewest and most steps it lasts.
KINDS = {
    "spike": (1, 3),
    "level shift": (12, 48),
    "drift": (48, 96),
    "variance burst": (12, 48),
    "drop to zero": (6, 36),
    "flat line": (24, 72),
    "correlation break": (24, 72),
}
# In deviations of a series from its own slow course.
STRENGTHS = (3.0, 5.0, 8.0)
# Steps between two faults, so that what one leaves behind is not taken for the next.
APART = 288
_LEVEL = 25  # steps whose median is taken for the slow part of a series


@dataclass(frozen=True)
class Injection:
    """rows [first, last], inclusive."""

    kind: str
    first: int
    last: int


def noise(values: np.ndarray) -> np.ndarray:
    """Of each series, shape (s,), the robust deviation from its own slow course. values: shape (s, n)."""
    half = _LEVEL // 2
    padded = np.concatenate([values, np.repeat(values[:, -1:], half, axis=1)], axis=1)
    slow = bn.move_median(padded, min(_LEVEL, padded.shape[1]), min_count=1, axis=1)[:, half:]
    return robust_scale(values - slow)


def plan(
    clean: np.ndarray, kinds: Sequence[str], count: int, rng: np.random.Generator, apart: int = APART
) -> list[Injection]:
    """Up to `count` faults at random places of clean rows, kinds in turn, none near another, in order of time.

    clean: shape (n,), False where nothing may be put.
    """
    chosen: list[Injection] = []
    taken = ~clean
    for number in range(count):
        kind = kinds[number % len(kinds)]
        least, most = KINDS[kind]
        length = int(rng.integers(least, most + 1))
        free = np.convolve(taken, np.ones(length + 2 * apart), "valid") == 0 if len(taken) > length + 2 * apart else []
        places = np.flatnonzero(free)
        if not len(places):
            break
        first = int(rng.choice(places)) + apart
        chosen.append(Injection(kind, first, first + length - 1))
        taken[first : first + length] = True
    return sorted(chosen, key=lambda one: one.first)


def inject(
    values: np.ndarray, one: Injection, which: np.ndarray, strength: float, size: np.ndarray, rng: np.random.Generator
) -> None:
    """Put one fault into some series, in place. values: shape (s, n), counters as rates. which: numbers of the series.
    strength: in deviations of `size`, shape (s,), from `noise`; drop, flat line and broken correlation have none."""
    rows = slice(one.first, one.last + 1)
    n = one.last + 1 - one.first
    part = values[np.ix_(which, np.arange(one.first, one.last + 1))]
    amount = strength * size[which][:, None]
    sign = rng.choice([-1.0, 1.0], size=(len(which), 1))
    # Most of what is measured cannot fall below nothing; there a fault goes up.
    sign = np.where((part.min(axis=1, keepdims=True) >= 0) & (part.mean(axis=1, keepdims=True) < amount), 1.0, sign)
    if one.kind in ("spike", "level shift"):
        part = part + sign * amount
    elif one.kind == "drift":
        part = part + sign * amount * 2 * np.linspace(0, 1, n)
    elif one.kind == "variance burst":
        part = part + amount * rng.normal(0, 1, part.shape)
    elif one.kind == "drop to zero":
        part = np.zeros_like(part)
    elif one.kind == "flat line":
        part = np.repeat(part[:, :1], n, axis=1)
    else:
        # Its own course from half a day or more away, on today's level: alone it looks right.
        away = int(rng.integers(n, max(one.first - n, n + 1)))
        other = values[which, max(one.first - away, 0) : max(one.first - away, 0) + n]
        part = other - other.mean(axis=1, keepdims=True) + part.mean(axis=1, keepdims=True)
    values[which, rows] = part
