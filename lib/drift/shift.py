"""How far a column has moved from what a model learnt, by four measures, and whether that is more than chance.

PSI: Siddiqi 2006, with the usual limits 0.1 and 0.25. For n and m rows without drift it is about chi-square with
bins - 1 degrees over (1/n + 1/m) (Yurdakul 2018): below that limit a difference says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.drift import reference
from lib.drift.reference import Column, Numbers, Texts

if TYPE_CHECKING:
    import pandas as pd

# Fewer rows than this say nothing about a distribution of ten bins.
LEAST_ROWS = 100


class State(StrEnum):
    FEW = "few"  # too few rows to say
    OK = "ok"
    WATCH = "watch"  # moved, as far as is worth a look
    DRIFT = "drift"  # moved far


@dataclass(frozen=True)
class Thresholds:
    """From which PSI or KS on a column is watched, and counts as drifted. chance: how often, over all columns together,
    one that did not move may seem to."""

    watch: float = 0.1
    drift: float = 0.25
    chance: float = 0.001


@dataclass(frozen=True)
class Shift:
    """ks, wasserstein: of numbers only (None for texts). wasserstein: in standard deviations of the reference.
    jensen_shannon: distance, 0 to 1. unseen: share of texts the reference does not have among its most frequent."""

    name: str
    role: str  # feature, prediction, target
    state: State
    rows: int
    psi: float
    jensen_shannon: float
    ks: float | None = None
    wasserstein: float | None = None
    missing_before: float = 0.0
    missing_now: float = 0.0
    unseen: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(
    kept: Mapping[str, Any],
    frame: pd.DataFrame,
    *,
    prediction: pd.Series | None = None,
    target: pd.Series | None = None,
    thresholds: Thresholds | None = None,
) -> list[Shift]:
    """Hold a table against what `reference.of_frame` kept. Columns either side lacks are left out."""
    columns: list[tuple[str, str, Mapping[str, Any], pd.Series]] = [
        (str(name), "feature", kept["columns"][str(name)], frame[name])
        for name in frame.columns
        if str(name) in kept["columns"]
    ]
    for role, values in (("prediction", prediction), ("target", target)):
        if values is not None and role in kept:
            columns.append((role, role, kept[role], values))
    limits = thresholds or Thresholds()
    return [
        one(name, role, reference.from_json(before), values, limits, len(columns))
        for name, role, before, values in columns
    ]


def one(name: str, role: str, before: Column, values: pd.Series, thresholds: Thresholds, beside: int = 1) -> Shift:
    """One column. beside: how many are compared at once, over which the chance of a false alarm is shared."""
    import pandas as pd

    if isinstance(before, Texts):
        now = reference.of_texts(values)
        p, q, unseen = _text_shares(before, now)
        missing, count = now.missing, now.rows
        ks = wasserstein = None
    else:
        if pd.api.types.is_datetime64_any_dtype(values):
            summary = reference.of_column(values)
            assert isinstance(summary, Numbers)
            raw = pd.to_datetime(values, utc=True).astype("datetime64[ms, UTC]").astype("int64").to_numpy(dtype=float)
            known = np.sort(raw[values.notna().to_numpy()])
            missing, count = summary.missing, summary.rows
        else:
            raw = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
            known = np.sort(raw)
            known = known[: int(np.searchsorted(known, np.inf, side="right"))]
            missing, count = (1 - len(known) / len(raw) if len(raw) else 0.0), len(raw)
        p, q = _number_shares(before, known)
        ks, wasserstein, unseen = _ks(before, known), _wasserstein(before, known), 0.0
    p = np.append(p * (1 - before.missing), before.missing)
    q = np.append(q * (1 - missing), missing)
    psi = _psi(p, q, before.rows, count)
    chance = thresholds.chance / max(beside, 1)
    state = _state(psi, ks, p, before.rows, count, thresholds, chance)
    return Shift(name, role, state, count, psi, _jensen_shannon(p, q), ks, wasserstein, before.missing, missing, unseen)


def _state(
    psi: float, ks: float | None, p: np.ndarray, before: int, now: int, limits: Thresholds, chance: float
) -> State:
    if now < LEAST_ROWS or before < LEAST_ROWS:
        return State.FEW
    beyond = 1 / before + 1 / now
    psi_noise = _chi_square(max(len(p) - 1, 1), 1 - chance) * beyond
    ks_noise = math.sqrt(math.log(2 / chance) / 2 * beyond)
    apart = ks if ks is not None else 0.0
    if psi > max(limits.drift, psi_noise) or apart > max(limits.drift, ks_noise):
        return State.DRIFT
    if psi > max(limits.watch, psi_noise) or apart > max(limits.watch, ks_noise):
        return State.WATCH
    return State.OK


def _number_shares(before: Numbers, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(before.points):
        return np.array([0.0]), np.array([1.0 if len(known) else 0.0])
    edges = before.edges()
    alone = len(before.points) == 1
    under = np.array([0.0, 1.0]) if alone else before.below[np.searchsorted(before.points, edges)]
    p = np.diff(np.concatenate(([0.0], under, [1.0])))
    if not len(known):
        return p, np.zeros(len(p))
    places = np.searchsorted(known, edges, side="left") / len(known)
    return p, np.diff(np.concatenate(([0.0], places, [1.0])))


def _text_shares(before: Texts, now: Texts) -> tuple[np.ndarray, np.ndarray, float]:
    names = list(before.shares)
    p = np.array([before.shares[name] for name in names])
    q = np.array([now.shares.get(name, 0.0) for name in names])
    rest_before, rest_now = max(1 - float(p.sum()), 0.0), max(1 - float(q.sum()), 0.0)
    if not now.shares:
        rest_now = 0.0
    if not names:
        rest_before = 0.0
    return np.append(p, rest_before), np.append(q, rest_now), max(rest_now - rest_before, 0.0)


def _psi(p: np.ndarray, q: np.ndarray, before: int, now: int) -> float:
    """Half a row is added to each bin, so that an empty one does not count as infinite."""
    bins = len(p)
    p = (p * before + 0.5) / (before + 0.5 * bins)
    q = (q * now + 0.5) / (now + 0.5 * bins)
    return float(((q - p) * np.log(q / p)).sum())


def _jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(p > 0, p * np.log2(p / middle), 0.0).sum()
        right = np.where(q > 0, q * np.log2(q / middle), 0.0).sum()
    return float(math.sqrt(max((left + right) / 2, 0.0)))


def _ks(before: Numbers, known: np.ndarray) -> float:
    """Exact at the reference's quantiles, from the left and from the right, so that ties count as they should."""
    if not len(known) or not len(before.points):
        return 0.0
    below = np.searchsorted(known, before.points, side="left") / len(known)
    upto = np.searchsorted(known, before.points, side="right") / len(known)
    return float(max(np.abs(below - before.below).max(), np.abs(upto - before.upto).max()))


def _wasserstein(before: Numbers, known: np.ndarray) -> float | None:
    """The area between the two quantile functions, over the reference's spread; None without a spread."""
    if not len(known) or not len(before.points) or before.spread <= 0:
        return None
    at = (np.arange(200) + 0.5) / 200
    # Where a value stands alone its share is a step: its points are doubled.
    shares, points = np.stack([before.below, before.upto], axis=1).ravel(), np.repeat(before.points, 2)
    mine = np.interp(at, shares, points)
    theirs = known[np.minimum((at * len(known)).astype(int), len(known) - 1)]
    return float(np.abs(mine - theirs).mean() / before.spread)


def _chi_square(degrees: int, probability: float) -> float:
    """Its quantile, after Wilson and Hilferty 1931: within a percent from three degrees on."""
    z = NormalDist().inv_cdf(probability)
    part = 2 / (9 * degrees)
    return float(degrees * max(1 - part + z * math.sqrt(part), 0.0) ** 3)
