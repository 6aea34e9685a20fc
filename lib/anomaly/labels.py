"""What people said of past anomalies as a measure: how many a threshold gets right, and which one does best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Evidence an event may be asked to reach: from one in 30 to one in ten million.
LEVELS = np.round(np.arange(1.5, 7.01, 0.1), 2)
# Labels of either kind it takes before any advice is given, and parts they are held back in.
ENOUGH, FOLDS = 2, 5


@dataclass(frozen=True)
class Judgement:
    """Of labelled spans: how many real ones were found, and how many false ones were called."""

    real: int
    false: int
    found: int
    called: int

    @property
    def precision(self) -> float:
        """Of what was called, the part that was real; NaN when nothing was called."""
        return self.found / (self.found + self.called) if self.found + self.called else float("nan")

    @property
    def recall(self) -> float:
        """Of what was real, the part that was called; NaN when nothing was real."""
        return self.found / self.real if self.real else float("nan")

    @property
    def f1(self) -> float:
        return 2 * self.found / (self.found + self.called + self.real) if self.real + self.called else 0.0

    def __add__(self, other: Judgement) -> Judgement:
        return Judgement(
            self.real + other.real, self.false + other.false, self.found + other.found, self.called + other.called
        )


@dataclass(frozen=True)
class Advice:
    """A threshold labels speak for. before, after: on labels that had no part in choosing it."""

    level: float
    before: Judgement
    after: Judgement


def judge(fired: np.ndarray, real: np.ndarray) -> Judgement:
    """fired, real: shape (n,), of each label whether an event met it, and whether it was called real."""
    return Judgement(int(real.sum()), int((~real).sum()), int((fired & real).sum()), int((fired & ~real).sum()))


def touched(spans: Sequence[tuple[int, int]], starts_ms: np.ndarray, ends_ms: np.ndarray) -> np.ndarray:
    """Which labels any of the spans (first and last moment, Unix ms) meets, shape (n,)."""
    met = np.zeros(len(starts_ms), dtype=bool)
    for first, last in spans:
        met |= (starts_ms <= last) & (ends_ms >= first)
    return met


def advise(fired: np.ndarray, real: np.ndarray, now: float, levels: np.ndarray = LEVELS) -> Advice | None:
    """The level that does best on what people said; None while they have said too little.

    fired: shape (levels, n), whether an event of that level met the label. real: shape (n,). now: the level in force.
    Each label is judged at a level chosen without it, so that what is promised is what would have been seen.
    """
    if min(int(real.sum()), int((~real).sum())) < ENOUGH:
        return None
    current = int(np.abs(levels - now).argmin())
    fold = np.empty(len(real), dtype=int)
    for kind in (True, False):
        fold[real == kind] = np.arange(int((real == kind).sum())) % FOLDS
    before, after = Judgement(0, 0, 0, 0), Judgement(0, 0, 0, 0)
    for number in np.unique(fold):
        held = fold == number
        chosen = _best(fired[:, ~held], real[~held], current)
        before += judge(fired[current, held], real[held])
        after += judge(fired[chosen, held], real[held])
    return Advice(float(levels[_best(fired, real, current)]), before, after)


def _best(fired: np.ndarray, real: np.ndarray, current: int) -> int:
    """The level of the highest F1, in the middle of those that reach it; the one in force if that is among them."""
    scores = np.array([judge(row, real).f1 for row in fired])
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    if current in best:
        return current
    # The run of equally good levels next to the one in force, and of it the middle: an edge is only just good.
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    nearest = min(runs, key=lambda run: int(np.abs(run - current).min()))
    return int(nearest[len(nearest) // 2])
