"""A/B tests that may be looked at any time: the chance of ever calling a difference that is not there stays below
alpha, however often one looks.

Mixture sequential probability ratio test with a normal mixture (Robbins 1970; Johari, Pekelis, Walsh 2015) on the
difference of two means; the interval is the confidence sequence of the same test. Variances are estimated, so the
guarantee is asymptotic: before LEAST outcomes a version nothing is called.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

LEAST = 50
# The difference the test is best at, in standard deviations of one outcome; others are found as well, later.
EXPECTED_DIFFERENCE = 0.1


class Call(StrEnum):
    FEW = "few"  # too few outcomes
    OPEN = "open"  # no difference shown yet
    A = "a"
    B = "b"


@dataclass(frozen=True)
class Arm:
    """Outcomes of one version, higher is better. mean, low, high: with an interval for one look at it."""

    count: int
    mean: float
    low: float
    high: float
    variance: float


@dataclass(frozen=True)
class Result:
    """difference: of b to a, with an interval that holds at every look. p_value: as well."""

    a: Arm
    b: Arm
    call: Call
    difference: float
    low: float
    high: float
    p_value: float


def arm_of(key: str, salt: str, share_b: float) -> str:
    """a or b, always the same for a key: a stable hash, so that no state is needed and none can be lost."""
    digest = hashlib.sha256(f"{salt}\0{key}".encode("utf-8", "replace")).digest()
    return "b" if int.from_bytes(digest[:8], "big") / 2**64 < share_b else "a"


def arm(values_sum: float, squares: float, count: int, *, level: float = 0.95, binary: bool = False) -> Arm:
    """From sums. binary: outcomes are 0 or 1, for which Wilson's interval is right at the edges too."""
    if count == 0:
        return Arm(0, math.nan, math.nan, math.nan, math.nan)
    mean = values_sum / count
    # One outcome of each kind is imagined: nine right out of nine are not certain.
    variance = (mean * count + 1) / (count + 2) * (1 - (mean * count + 1) / (count + 2)) if binary else (
        max(squares / count - mean * mean, 0.0) * count / max(count - 1, 1)
    )  # fmt: skip
    z = NormalDist().inv_cdf((1 + level) / 2)
    if binary:
        centre = (mean + z * z / (2 * count)) / (1 + z * z / count)
        half = z / (1 + z * z / count) * math.sqrt(mean * (1 - mean) / count + z * z / (4 * count * count))
        return Arm(count, mean, max(centre - half, 0.0), min(centre + half, 1.0), variance)
    half = z * math.sqrt(variance / count)
    return Arm(count, mean, mean - half, mean + half, variance)


def test(a: Arm, b: Arm, alpha: float) -> Result:
    """Whether one is better, as of now. May be asked after each outcome."""
    if min(a.count, b.count) < LEAST:
        return Result(a, b, Call.FEW, b.mean - a.mean, -math.inf, math.inf, 1.0)
    difference, v = b.mean - a.mean, a.variance / a.count + b.variance / b.count
    pooled = (a.variance * a.count + b.variance * b.count) / (a.count + b.count)
    if v <= 0:
        # Without any spread every outcome of a version was the same: nothing can be said of chance.
        return Result(a, b, Call.OPEN, difference, -math.inf, math.inf, 1.0)
    tau = EXPECTED_DIFFERENCE**2 * pooled
    exponent = tau * difference**2 / (2 * v * (v + tau))
    ratio = math.sqrt(v / (v + tau)) * math.exp(min(exponent, 700.0))
    half = math.sqrt(2 * v * (v + tau) / tau * math.log(math.sqrt((v + tau) / v) / alpha))
    call = Call.OPEN if ratio < 1 / alpha else Call.B if difference > 0 else Call.A
    return Result(a, b, call, difference, difference - half, difference + half, min(1.0, 1 / ratio))


def words(result: Result, names: Sequence[str], metric: str, alpha: float) -> str:
    """The verdict as a sentence. names: of a and b. metric: accuracy, error or reward."""
    a, b = names
    unit = {"accuracy": "points of accuracy", "error": "of error", "reward": "of reward"}.get(metric, metric)
    if result.call is Call.FEW:
        return (
            f"Too early: {result.a.count:,} outcomes for {a} and {result.b.count:,} for {b}; "
            f"nothing is called before {LEAST} each."
        )
    scale = 100 if metric == "accuracy" else 1
    size, low, high = (abs(one) * scale for one in (result.difference, *_sorted(result)))
    if result.call is Call.OPEN:
        return (
            f"No difference shown yet between {a} and {b}: it lies between {result.low * scale:+.3g} and "
            f"{result.high * scale:+.3g} {unit}. Looking again does no harm."
        )
    better, worse = (a, b) if result.call is Call.A else (b, a)
    less = {"accuracy": "", "error": " less"}.get(metric, " more")
    return (
        f"{better} is better than {worse} by {size:.3g} {unit}{less} (between {low:.3g} and {high:.3g}), with a "
        f"confidence of {1 - alpha:.0%} that holds however often one looks."
    )


def _sorted(result: Result) -> tuple[float, float]:
    low, high = sorted((abs(result.low), abs(result.high)))
    return low, high
