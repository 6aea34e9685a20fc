"""Learning what is normal for a group: what to learn from, what to learn, and how sure to be of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import bottleneck as bn
import numpy as np
import pandas as pd

from lib.anomaly.autoregression import RidgeAR
from lib.anomaly.detector import CLIP, PARTS, Detector, Scored, strayed, strongest, tamed
from lib.anomaly.forest import FlatForest
from lib.anomaly.options import Options
from lib.anomaly.pattern import Pattern
from lib.anomaly.relations import Company, Relations
from lib.anomaly.state import State
from lib.anomaly.tails import Tail
from lib.anomaly.threads import one_core
from lib.anomaly.whitening import Whitening
from lib.errors import NotEnoughData
from lib.features import baseline as baselines
from lib.features import channels as channel_plans
from lib.features.baseline import Baseline
from lib.features.build import Features, Past, Spec, build
from lib.features.channels import Channels
from lib.features.grid import choose_grid, tabulate
from lib.features.kernels import move, unchanged
from lib.frames import Series

MIN_POINTS = 300
REACH = 4.0  # of features in ranges
RANGE = (0.001, 0.999)  # the range a feature usually keeps to
A_LITTLE = 1e-3  # of the largest movement seen
_MOVEMENT = re.compile(r"\|(std|slope|difference|ewma_residual)_\d+$")
# The last part of training calibrates what the first part taught; the same rows for both would flatter.
HELD_OUT, SHORT, BLOCKS = 0.3, 2000, 24
# Rows this strange before anything was learnt are left out of learning, at most this share of them; see `_usable`.
TRIM_SCORE, TRIM_BEYOND, TRIM_USUAL, TRIM_SHARE, APART = 6.0, 2.0, 3.0, 0.35, 4.0
# A single series is watched by what adds up over time, as a group is by what adds up over its channels: up to so many
# steps are remembered, as long as training fills them a dozen times, and by so much less the more channels there are.
MEMORY, MEMORY_TURNS, ENOUGH_CHANNELS = 144, 12, 8

# A span of time, [start, end) in Unix milliseconds.
Span = tuple[int, int]


@dataclass(frozen=True)
class Fitted:
    """channels, scored: the training span, and how it looks looked back on. models: the scikit-learn parts, for the
    registry. metrics: what fitting saw, for people."""

    detector: Detector
    channels: Channels
    scored: Scored
    feature_names: tuple[str, ...]
    models: dict[str, Any]
    metrics: dict[str, Any]


def fit(
    series: Sequence[Series],
    frame: pd.DataFrame,
    seed: int = 0,
    progress: Callable[[float, str], None] = lambda _fraction, _message: None,
    leave_out: Sequence[Span] = (),
    keep: Sequence[Span] = (),
    options: Options = Options(),  # noqa: B008 (frozen)
    least: int = MIN_POINTS,
) -> Fitted:
    """Learn what is normal for a group. frame: series_id, ts, value. leave_out: spans that are known not to be normal.
    keep: spans that are known to be, however strange they look. least: points it takes at least.

    Incidents inside the training span are left out as far as they stand out. Raises NotEnoughData.
    """
    with one_core(with_sklearn=True):
        return _fit(series, frame, seed, progress, leave_out, keep, options, least)


def _fit(
    series: Sequence[Series],
    frame: pd.DataFrame,
    seed: int,
    progress: Callable[[float, str], None],
    leave_out: Sequence[Span],
    keep: Sequence[Span],
    options: Options,
    least: int,
) -> Fitted:
    grid = choose_grid(frame)
    table = tabulate(series, frame, grid)
    known = np.isfinite(table.values).any(axis=0) & ~within(table.ts_ms, leave_out)
    seen = int(known.sum())
    if seen < least:
        raise NotEnoughData(
            f"{seen} usable points at a step of {grid.step_s:g} s; training takes at least {least}, which is "
            f"{least * grid.step_s / 60:.0f} minutes. Collect for longer or choose a longer window.",
            points=seen,
            needed=least,
        )
    plan = channel_plans.plan(series, table)
    channels = channel_plans.assemble(plan, table)
    present = known & np.isfinite(channels.values).any(axis=0)
    spec = Spec.for_rows(int(present.sum()), grid.step_ms, len(plan.channels))
    progress(0.2, f"{len(plan.channels)} channels from {len(series)} series")
    usable, base = _usable(channels, present, within(channels.ts_ms, keep), spec)
    features = build(channels, spec, base)
    progress(0.4, f"{len(features.names)} features")
    return _learn(channels, features, usable, spec, options, base, seed, len(series), progress)


def within(ts_ms: np.ndarray, spans: Sequence[Span]) -> np.ndarray:
    """Which moments lie in any of the spans, shape (n,)."""
    inside = np.zeros(ts_ms.size, dtype=bool)
    for start, end in spans:
        inside |= (ts_ms >= start) & (ts_ms < end)
    return inside


def _usable(channels: Channels, present: np.ndarray, normal: np.ndarray, spec: Spec) -> tuple[np.ndarray, Baseline]:
    """Rows to learn from, and the baseline learnt from them: what stands far out at first sight is left out,
    with its neighbours, and the baseline is learnt again without it. normal: rows that stay in whatever they look
    like, shape (n,)."""
    grid = channels.plan.grid
    base = baselines.fit(channels.ts_ms, channels.values, present, grid.step_ms, spec.level_window)
    with np.errstate(invalid="ignore"):
        residual = (channels.values - base.expected(channels.ts_ms, channels.values)) / base.spread_at(channels.ts_ms)
    near = 3  # steps
    strange = move("mean", strongest(tamed(residual)), near)
    strange = np.where(present, np.nan_to_num(strange), 0.0)
    usual, common, high = (float(q) for q in np.quantile(strange[present], (0.4, 1 - TRIM_SHARE, 0.95)))
    # Spikes that come all the time belong to what is normal for this group; where the strangest twentieth is a world of
    # its own, the quieter part of the rows says what usual is, however many incidents the others hold.
    limit = max(TRIM_SCORE, TRIM_BEYOND * high if high < APART * usual else max(TRIM_USUAL * usual, common))
    beside = move("max", (strange > limit).astype(float), 2 * near + 1)
    out = np.append(beside[near:], np.zeros(near)) > 0
    usable = present & (normal | ~out)
    return usable, baselines.fit(channels.ts_ms, channels.values, usable, grid.step_ms, spec.level_window)


def _learn(
    channels: Channels,
    features: Features,
    usable: np.ndarray,
    spec: Spec,
    options: Options,
    base: Baseline,
    seed: int,
    series_count: int,
    progress: Callable[[float, str], None],
) -> Fitted:
    from sklearn.ensemble import IsolationForest

    # The first rows have too little behind them for rolling features to mean what they will mean later.
    warm = usable.copy()
    warm[: min(spec.windows[-1], usable.size // 4)] = False
    rows = np.flatnonzero(warm)
    teach, check = warm.copy(), warm.copy()
    teach[_held_out(rows)] = False
    check[teach] = False

    spread, span = _feature_sizes(features, channels, teach)
    broad, reducer = Whitening.fit(features.values[:, teach], span, REACH, options.components)
    sharp, _ = Whitening.fit(features.values[:, teach], spread, CLIP, options.components)
    white = broad(features.values[:, teach])
    progress(0.55, "whitened")
    trees = IsolationForest(
        n_estimators=options.trees,
        max_samples=min(options.tree_rows, len(white)),
        contamination="auto",
        random_state=seed,
        n_jobs=1,
    ).fit(white)
    progress(0.75, f"Isolation Forest of {options.trees} trees")
    still = _still(channels, warm, spec)
    before = State.begin(Past.none(spec, len(still)), len(PARTS), len(still))
    residual, _ = strayed(channels, features, options, still, before)
    autoregression = RidgeAR.fit(residual.T, teach)
    surprise = np.clip(autoregression.residual(residual.T).T, -CLIP, CLIP)
    draft = Detector(
        plan=channels.plan,
        spec=spec,
        options=options,
        baseline=base,
        broad=broad,
        sharp=sharp,
        forest=FlatForest.from_sklearn(trees),
        pattern=Pattern.fit(features.apart, teach, warm),
        autoregression=autoregression,
        relations=Relations.fit(residual, teach),
        company=Company.fit(surprise, warm),
        memory=_memory(len(channels.plan.channels), int(warm.sum())),
        tails=(),
        reach=_reach(channels),
        still=still,
    )
    raw, shares = draft.raw(channels, features)
    tails = [Tail.fit(part[check]) for part in raw]
    probability = np.stack([t.probability(s) for t, s in zip(tails, raw, strict=True)])
    tails.append(Tail.fit(draft.fused(probability)[check]))
    hindsight = Tail.fit(draft.fused(probability, hindsight=True)[check])
    detector = replace(draft, tails=tuple(tails))
    progress(0.9, "calibrated")
    points = int(np.isfinite(channels.values).any(axis=0).sum())
    metrics = {
        "points": points,
        "left_out_as_strange": points - int(usable.sum()),
        "taught_on": int(teach.sum()),
        "calibrated_on": int(check.sum()),
        "series": series_count,
        "channels": len(channels.plan.channels),
        "features": len(features.names),
        "components": int(reducer.n_components_),
        "variance_kept": float(reducer.explained_variance_ratio_.sum()),
    }
    scored = detector.judged(channels, features, raw, shares, hindsight)
    return Fitted(detector, channels, scored, features.names, {"whitening": reducer, "forest": trees}, metrics)


def _memory(channels: int, rows: int) -> tuple[int, float]:
    """Steps to remember and how much that counts."""
    weight = max(0.0, 1 - (channels - 1) / (ENOUGH_CHANNELS - 1))
    steps = min(MEMORY, rows // MEMORY_TURNS)
    return (steps, weight) if steps > 1 and weight else (1, 0.0)


def _held_out(rows: np.ndarray) -> np.ndarray:
    """The rows that calibrate: the end of a long history, as what is scored later comes after it; blocks spread over a
    short one, whose end has seen too little to stand for the rest."""
    if len(rows) >= SHORT:
        return rows[int(len(rows) * (1 - HELD_OUT)) :]
    block = np.arange(len(rows)) * BLOCKS // max(len(rows), 1)
    return rows[block % 3 == 2]


def _feature_sizes(features: Features, channels: Channels, teach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The usual spread of each feature, and the range it keeps to, each shape (d,); one that never moved is measured
    by its channel's."""
    taught = features.values[:, teach]
    own = baselines.robust_scale(taught)
    by_channel = baselines.robust_scale(channels.values[:, teach])
    with np.errstate(invalid="ignore"):
        moved = bn.nanmax(taught, axis=1) > bn.nanmin(taught, axis=1)
    fallback = np.where(features.channel >= 0, by_channel[np.maximum(features.channel, 0)], 1.0)
    # Where next to nothing ever moves, that anything does is news, however little it was.
    moves = np.array([bool(_MOVEMENT.search(n)) for n in features.names])
    inner, outer = (baselines.quantile(taught, q) for q in (0.1, 0.9))
    with np.errstate(invalid="ignore"):
        largest = np.nan_to_num(bn.nanmax(np.abs(taught), axis=1))
    own = np.where(moves & (outer <= inner) & (largest > 0), A_LITTLE * largest, own)
    flags = np.array([n.endswith(("|flat", "|missing", "|reset")) or n.startswith("group|") for n in features.names])
    spread = np.where(flags, np.maximum(own, 0.25), np.where(moved, own, fallback))
    low, high = (baselines.quantile(taught, q) for q in RANGE)
    # What never moved tells the forest nothing, and would only add noise to its axes.
    return spread, np.where(high > low, high - low, np.inf)


def _reach(channels: Channels) -> np.ndarray:
    """shape (c, 2): the least and most each channel can be, as far as its kind and its past tell."""
    reach = np.array([c.bounds for c in channels.plan.channels], dtype=float)
    for row, values in zip(reach, channels.values, strict=True):
        seen = values[np.isfinite(values)]
        if seen.min() >= 0:
            row[0] = max(row[0], 0.0)
        if np.isin(seen, (0.0, 1.0)).mean() > 0.99:
            row[:] = 0.0, 1.0
    return reach


def _still(channels: Channels, usable: np.ndarray, spec: Spec) -> np.ndarray:
    """shape (c,): half as long again as each channel ever stayed the same, and a window more; inf beyond what scoring
    looks back."""
    longest = unchanged(channels.values)[:, usable].max(axis=1)
    allowed = 1.5 * longest + spec.windows[0]
    return np.where(allowed < spec.lookback / 2, allowed, np.inf)
