"""From evidence a moment to events: a causal threshold that follows drift, hysteresis, merged gaps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from lib.anomaly.detector import Scored
from lib.anomaly.presence import ALONE, TO_OPEN
from lib.features.kernels import move

# Evidence of normal moments as calibration has it: a fifth of them lie below the first, half below the second, four of
# five below the third.
_LOW, _MIDDLE, _HIGH = -np.log10(1 - 0.2), -np.log10(0.5), -np.log10(1 - 0.8)
# Nothing normal is as strange as this, however far normal has moved; an incident is not to become what is usual.
_BEYOND = 8.0
# Steps for which one threshold holds, counted from 1970 so that a range scored anew gets the thresholds it had; and
# how many moments it takes to say that normal has moved.
_CHUNK, _ENOUGH = 60, 300


class Severity(StrEnum):
    """How much an anomaly matters, mildest first."""

    WARNING = "warning"  # unusual, barely so
    MINOR = "minor"  # clearly unusual, or barely so for hours
    MAJOR = "major"  # far out, or clearly unusual for hours
    CRITICAL = "critical"  # further out than anything training could show


@dataclass(frozen=True)
class Rule:
    """How evidence (-log10 of the chance that normal looks like this) becomes events.

    open_at: an event opens when `open_for` moments in a row reach it; keep_at: and goes on while evidence stays above
    it. merge: events fewer steps apart are one. drift_days: how far back to look for what is usual by now; where that
    is more than calibration saw, both thresholds rise with it. sure_days: the same for confidence.
    """

    open_at: float = 2.7
    keep_at: float = 1.5
    open_for: int = 2
    merge: int = 6
    drift_days: float = 30.0
    sure_days: float = 2.0


@dataclass(frozen=True)
class Past:
    """Evidence of earlier moments, as it was stored."""

    ts_ms: np.ndarray
    evidence: np.ndarray


NOTHING = Past(np.empty(0, dtype=np.int64), np.empty(0))


def usual(ts_ms: np.ndarray, evidence: np.ndarray, past: Past, days: float, step_ms: int) -> np.ndarray:
    """20% quantile, middle and 80% quantile of the evidence known before each moment, over so many days, shape (3, n).

    Calibration's own until enough is known.
    """
    ts, known = np.concatenate([past.ts_ms, ts_ms]), np.concatenate([past.evidence, evidence])
    ts, known = ts[known < _BEYOND], known[known < _BEYOND]
    out = np.repeat(np.array([[_LOW], [_MIDDLE], [_HIGH]]), len(ts_ms), axis=1)
    chunk_ms = _CHUNK * step_ms
    chunks = ts_ms // chunk_ms
    for chunk in np.unique(chunks):
        before = slice(
            np.searchsorted(ts, chunk * chunk_ms - int(days * 86_400_000)),
            np.searchsorted(ts, chunk * chunk_ms),
        )
        if before.stop - before.start >= _ENOUGH:
            low, middle, high = np.quantile(known[before], (0.2, 0.5, 0.8))
            out[:, chunks == chunk] = np.array([[low], [middle], [max(high, middle + 0.05)]])
    return out


def thresholds(level: float, seen: np.ndarray) -> np.ndarray:
    """shape (n,): the evidence it takes at each moment to be as far out as `level` was at calibration; never less than
    that: quiet times do not make a detector nervous."""
    _, middle, high = seen
    far = (level - _MIDDLE) / (_HIGH - _MIDDLE)
    return np.maximum(level, middle + far * (high - middle))


@dataclass(frozen=True)
class Event:
    """first, last: row numbers, inclusive. open: it reaches the newest row that was seen. contributors:
    (channel number, share), most first. peak: row where the first of them strayed furthest."""

    first: int
    last: int
    peak: int
    evidence: float
    confidence: float
    severity: Severity
    contributors: tuple[tuple[int, float], ...]
    open: bool

    @property
    def channel(self) -> int:
        return self.contributors[0][0]


def settled(scored: Scored, rule: Rule, step_s: float, since: int = 0, past: Past = NOTHING) -> Scored:
    """With the confidence that the last days bear out: where normal moments have come to look stranger than they did at
    calibration, the same evidence is worth less. The rest is left as it is."""
    evidence = scored.evidence[since:]
    low, middle, high = usual(scored.ts_ms[since:], evidence, past, rule.sure_days, round(step_s * 1000))
    worth = _MIDDLE + (_HIGH - _MIDDLE) * (evidence - middle) / (high - middle)
    below = _LOW + (_MIDDLE - _LOW) * (evidence - low) / np.maximum(middle - low, 1e-9)
    quiet = _LOW * evidence / np.maximum(low, 1e-9)
    worth = np.where(evidence < low, quiet, np.where(evidence < middle, below, worth))
    confidence = scored.confidence.copy()
    confidence[since:] = np.minimum(confidence[since:], 1 - 10**-worth)
    return replace(scored, confidence=confidence)


def decide(
    scored: Scored, rule: Rule, step_s: float, since: int = 0, past: Past = NOTHING
) -> tuple[list[Event], np.ndarray]:
    """Events that open at row `since` or later, and the threshold in force at each row.

    past: what was stored of moments before row `since`. Causal: what is decided about a row uses that row and earlier
    ones only; later rows only lengthen or merge.
    """
    found, threshold = spans(trace(scored), rule, step_s, since, past)
    return [event_of(scored, first, last, rule, step_s) for first, last in found], threshold


@dataclass(frozen=True)
class Trace:
    """What is kept of scored moments, and enough to decide about them again. evidence: shape (n,), NaN where nothing
    was seen. alone: shape (n,), how strange a moment is by itself, without what rolling features remember."""

    ts_ms: np.ndarray
    evidence: np.ndarray
    alone: np.ndarray


def trace(scored: Scored) -> Trace:
    return Trace(scored.ts_ms, scored.evidence, scored.alone)


def spans(
    given: Trace, rule: Rule, step_s: float, since: int = 0, past: Past = NOTHING, seen: np.ndarray | None = None
) -> tuple[list[tuple[int, int]], np.ndarray]:
    """First and last row of each event, and the threshold at each row. seen: of `usual`, when it is known already."""
    evidence = given.evidence
    threshold, keep = np.full(len(evidence), rule.open_at), np.full(len(evidence), rule.keep_at)
    if seen is None:
        seen = usual(given.ts_ms[since:], evidence[since:], past, rule.drift_days, round(step_s * 1000))
    threshold[since:], keep[since:] = thresholds(rule.open_at, seen), thresholds(rule.keep_at, seen)
    with np.errstate(invalid="ignore"):
        high = np.nan_to_num(evidence, nan=-1.0) >= threshold
        low = np.nan_to_num(evidence, nan=-1.0) >= keep
    present, enough = given.alone >= ALONE, given.alone >= TO_OPEN
    low &= move("max", present.astype(float), rule.merge + 1) == 1.0
    opens = (move("min", high.astype(float), rule.open_for, rule.open_for) == 1.0) & (
        move("max", enough.astype(float), rule.open_for) == 1.0
    )
    found: list[tuple[int, int]] = []
    row = since
    starts, quiet, strange = np.flatnonzero(opens), np.flatnonzero(~low), np.flatnonzero(present)
    while (at := int(np.searchsorted(starts, row))) < starts.size:
        opened = int(starts[at])
        first = max(opened - rule.open_for + 1, since)
        end_at = int(np.searchsorted(quiet, opened))
        row = int(quiet[end_at]) if end_at < quiet.size else len(evidence)
        last = max(int(strange[np.searchsorted(strange, row) - 1]), opened)
        if found and first - found[-1][1] <= rule.merge:
            found[-1] = found[-1][0], last
        else:
            found.append((first, last))
        row = max(row, opened + 1)
    return found, threshold


def attributed(scored: Scored, rows: slice) -> np.ndarray:
    """Each channel's part in what happened in these rows, shape (c,), summing to 1."""
    shares = scored.shares[:, rows] @ np.nan_to_num(scored.evidence[rows])
    # What left its band is easier to see and to act on than what only took part in a broken pattern.
    shares = shares * (0.25 + np.minimum(np.nan_to_num(excess(scored, rows)).max(axis=1), 1.0))
    return shares / max(float(shares.sum()), 1e-12)


def event_of(scored: Scored, first: int, last: int, rule: Rule, step_s: float) -> Event:
    """What these rows were: how strange, how grave, and what led to it."""
    known = np.flatnonzero(np.isfinite(scored.evidence))
    still = last + rule.merge >= (int(known[-1]) if known.size else -1)
    rows = slice(first, last + 1)
    evidence = scored.evidence[rows]
    shares, outside = attributed(scored, rows), excess(scored, rows)
    order = np.argsort(-shares)[:5]
    contributors = tuple((int(c), float(shares[c])) for c in order if shares[c] > 0.02) or ((int(order[0]), 1.0),)
    far = np.where(np.isfinite(outside[order[0]]), outside[order[0]], -1.0)
    peak = first + int(far.argmax() if far.max() > 0 else np.nanargmax(evidence))
    level = severity(float(np.sort(evidence[np.isfinite(evidence)])[-3:].mean()), (last - first + 1) * step_s)
    return Event(
        first,
        last,
        peak,
        float(np.nanmax(evidence)),
        float(np.nanmax(scored.confidence[rows])),
        level,
        contributors,
        still,
    )


def excess(scored: Scored, rows: slice) -> np.ndarray:
    """shape (c, rows): how far outside its band each channel is, in band widths; 0 inside, NaN where unseen."""
    actual, low, high = scored.actual[:, rows], scored.low[:, rows], scored.high[:, rows]
    with np.errstate(invalid="ignore"):
        return np.maximum(np.maximum(low - actual, actual - high), 0.0) / np.maximum(high - low, 1e-12)


def severity(evidence: float, lasted_s: float) -> Severity:
    """By how unlikely it is and how long it lasted: a far outlier of a moment matters less than one of an hour."""
    grade = sum(evidence >= limit for limit in (5.0, 8.0, 11.0))
    if lasted_s >= 7200 and grade < 2:
        grade += 1
    if lasted_s < 60 and grade > 0:
        grade -= 1
    return list(Severity)[grade]
