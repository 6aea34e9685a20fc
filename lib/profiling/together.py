"""Which changes are one event: of the same host, of the same kind, at the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bottleneck as bn
import numpy as np

from lib.profiling.changes import Test

# So many series make an event. A few of a host move at one moment by chance; a few that stop do not.
LEAST = {Test.APPEARED: 2, Test.DISAPPEARED: 2, Test.FLAT: 3, Test.LEVEL: 3}
# Who a series without a host is of: the first of these labels it has.
OWNERS = ("job", "service", "app", "namespace", "cluster")

# So near, as a share of the way, a level lies to where it was before a step and to where it went after it.
_NEAR = 0.2


@dataclass(frozen=True)
class Together:
    """rows: numbers of the changes that are one event, in the order they were given in. at_ms: its moment, NaN for a
    change by itself whose moment is not known."""

    rows: tuple[int, ...]
    kind: Test
    at_ms: float


def together(
    owners: Sequence[object], tests: Sequence[Test], at_ms: np.ndarray, tolerance_ms: np.ndarray
) -> list[Together]:
    """Group changes that were given strongest first; groups come in the order of their strongest.

    owners: whose each is, None for nobody's; at_ms, tolerance_ms: shape (n,), when each happened, NaN for nobody knows,
    and how far apart the moments of one event may lie from one to the next.
    """
    alike: dict[tuple[object, Test], list[int]] = {}
    for row, (owner, test) in enumerate(zip(owners, tests, strict=True)):
        if owner is not None and test in LEAST and np.isfinite(at_ms[row]):
            alike.setdefault((owner, test), []).append(row)
    found: list[Together] = []
    taken: set[int] = set()
    for (_, test), rows in alike.items():
        ordered = sorted(rows, key=lambda row: at_ms[row])
        gaps = np.diff(at_ms[ordered]) > tolerance_ms[ordered][1:]
        for part in np.split(np.array(ordered), np.flatnonzero(gaps) + 1):
            if len(part) >= LEAST[test]:
                some = tuple(sorted(part.tolist()))
                found.append(Together(some, test, float(np.median(at_ms[list(some)]))))
                taken.update(some)
    found += [Together((row,), tests[row], float(at_ms[row])) for row in range(len(at_ms)) if row not in taken]
    return sorted(found, key=lambda one: one.rows[0])


def owner(host: str, labels: dict[str, str]) -> tuple[str, str] | None:
    """Who a series is of, as (name of the label, value); ('', host) for a host."""
    if host:
        return "", host
    return next(((name, labels[name]) for name in OWNERS if labels.get(name)), None)


def onsets(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """The slot of the window in which a level stepped from where it was to where it went: shape (n,).

    NaN where it went there little by little, or there and back. before, now: shapes (n, b) and (n, s).
    """
    n, s = now.shape
    if s < 2 or not before.shape[1]:
        return np.full(n, np.nan)
    was = bn.nanmedian(before, axis=1)[:, None]
    # Where it ends up: the newest quarter, which a step in the middle of the window leaves alone.
    is_ = bn.nanmedian(now[:, -max(2, s // 4) :], axis=1)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        way = (now - was) / (is_ - was)
        first = (way > 0.5).argmax(axis=1)
        rows, place = np.arange(n), np.arange(s)
        # A slot in which it happens is a mean of both.
        early = np.where(place < first[:, None], way, np.nan)
        late = np.where(place > first[:, None], way, np.nan)
        sharp = ~(np.abs(bn.nanmean(early, axis=1)) > _NEAR) & (np.abs(bn.nanmean(late, axis=1) - 1) < _NEAR)
        sharp &= way[rows, first] > 0.5
    # It may have begun in the last part of the slot before.
    begun = (first > 0) & (way[rows, np.maximum(first - 1, 0)] > _NEAR)
    return np.where(sharp, first - begun, np.nan)


def stills(now: np.ndarray) -> np.ndarray:
    """The slot from which on nothing moved until the end: shape (n,). now: shape (n, s), NaN where nothing was read."""
    s = now.shape[1]
    last = now[:, -1:] if s else now
    with np.errstate(invalid="ignore"):
        moved = np.isfinite(now) & (now != last)
    return np.where(moved.any(axis=1), s - moved[:, ::-1].argmax(axis=1), 0.0)
