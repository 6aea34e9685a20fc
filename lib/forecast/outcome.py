"""How a forecast did, once what it spoke of has come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Outcome:
    """steps: of them so many have come. error: mean absolute, in the series' unit; naive_error: had the last value
    known been the forecast. bias: above zero where more came than was
    foreseen. within80, within95: shares of what came."""

    steps: int
    error: float
    naive_error: float
    bias: float
    within80: float
    within95: float

    @property
    def against_naive(self) -> float | None:
        """Below 1: better than if all had stayed as it was. None where nothing moved."""
        return self.error / self.naive_error if self.naive_error > 0 else None


def compare(
    actual: np.ndarray,
    last: float,
    low95: np.ndarray,
    low80: np.ndarray,
    middle: np.ndarray,
    high80: np.ndarray,
    high95: np.ndarray,
) -> Outcome | None:
    """actual: what came at each step, NaN where nothing did (yet); None where nothing did at all. All shapes (steps,).
    last: the newest value known when the forecast was made."""
    known = np.isfinite(actual)
    if not known.any():
        return None
    came, foreseen = actual[known], middle[known]
    slack = 1e-9 * float(np.abs(came).max())

    def within(low: np.ndarray, high: np.ndarray) -> float:
        return float(((came >= low[known] - slack) & (came <= high[known] + slack)).mean())

    return Outcome(
        steps=int(known.sum()),
        error=float(np.abs(came - foreseen).mean()),
        naive_error=float(np.abs(came - last).mean()),
        bias=float((came - foreseen).mean()),
        within80=within(low80, high80),
        within95=within(low95, high95),
    )
