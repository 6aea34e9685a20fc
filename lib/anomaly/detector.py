"""The detector of a group: an Isolation Forest on whitened features beside four residual detectors, fused.

Measured on public sets, an Isolation Forest on raw values is the weakest of the known detectors and one on whitened
features beside residuals the strongest of the cheap ones, so that is what this is. Each part's score becomes the
probability that a normal moment scores as high; the five probabilities are fused, and one minus the fused one is
the confidence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import bottleneck as bn
import numpy as np
import pandas as pd

from lib.anomaly.autoregression import RidgeAR
from lib.anomaly.forest import FlatForest
from lib.anomaly.relations import WINDOW, Relations
from lib.anomaly.tails import Tail
from lib.anomaly.threads import one_core
from lib.errors import NotEnoughData
from lib.features import baseline as baselines
from lib.features import channels as channel_plans
from lib.features.baseline import Baseline
from lib.features.build import Features, Spec, build
from lib.features.channels import Channels, Plan
from lib.features.grid import choose_grid, tabulate
from lib.features.kernels import move
from lib.frames import Series

VERSION = "2"  # raised when the same data would give another detector
MIN_POINTS = 300
PARTS = ("forest", "pca_residual", "autoregression", "relations", "strongest")
# The forest is the centre: it alone weighs as much as two of the others.
WEIGHTS = (0.3, 0.2, 0.1, 0.2, 0.2)
CLIP = 20.0  # of scaled features
TAME = 5.0  # of residuals, see `tamed`
COMPONENTS = 40
TREES, TREE_ROWS = 100, 2048
# The last part of training calibrates what the first part taught; the same rows for both would flatter.
HELD_OUT, SHORT, BLOCKS = 0.3, 2000, 24
# Rows this strange before anything was learnt are left out of learning, at most this share of them.
TRIM_SCORE, TRIM_USUAL, TRIM_SHARE = 6.0, 3.0, 0.35
SMOOTH = 3  # steps the parts' scores are averaged over: one odd sample is not an event


@dataclass(frozen=True)
class Scored:
    """One row a moment. evidence: -log10 of the fused probability, higher is stranger; NaN where nothing was seen.

    shares: shape (c, n), each channel's part in the evidence, summing to 1. actual, expected, low, high: shape (c, n),
    in the channel's unit. parts: shape (5, n), each part's probability in the order of PARTS.
    """

    ts_ms: np.ndarray
    evidence: np.ndarray
    confidence: np.ndarray
    shares: np.ndarray
    parts: np.ndarray
    actual: np.ndarray
    expected: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def rows(self, keep: slice) -> Scored:
        return Scored(*(getattr(self, f)[..., keep] for f in self.__dataclass_fields__))


@dataclass(frozen=True)
class Detector:
    """Fitted state; everything numpy, so that scoring needs nothing else. Made by `fit` or `from_arrays`."""

    plan: Plan
    spec: Spec
    baseline: Baseline
    centre: np.ndarray  # (d,) of each feature
    scale: np.ndarray  # (d,)
    mean: np.ndarray  # (d,) of the scaled features
    axes: np.ndarray  # (k, d) principal axes
    lengths: np.ndarray  # (k,) deviation along each
    forest: FlatForest
    autoregression: RidgeAR
    relations: Relations
    tails: tuple[Tail, ...]  # one a part, then the fused one
    reach: np.ndarray  # (c, 2) what each channel can be: shares 0 to 100, switches 0 to 1, most others not below 0

    @property
    def lookback(self) -> int:
        """Steps of history the score of one moment rests on: those of its features, of what averages them, and of the
        relations between channels."""
        return self.spec.lookback + SMOOTH + WINDOW

    def score(self, channels: Channels) -> Scored:
        """Score every moment of channels assembled by this detector's plan.

        The first `lookback` moments have less history behind them than training had and may look stranger
        than they are; callers score from there on.
        """
        with one_core():
            features = build(channels, self.spec, self.baseline)
            return self._scored(channels, features, *self._parts(features))

    def _scored(self, channels: Channels, features: Features, raw: np.ndarray, shares: np.ndarray) -> Scored:
        probability = np.stack([t.probability(s) for t, s in zip(self.tails, raw, strict=False)])
        tail = self.tails[len(PARTS)]
        fused = tail.probability(fuse(probability))
        # The score may run far beyond what was seen; a claim may not: n normal moments show nothing rarer than 1 in n.
        sure = np.minimum(1.0 - fused, 1.0 - 1.0 / (tail.scores.size + 1))
        seen = np.isfinite(channels.values).any(axis=0)
        low, high = self.band(channels, features.expected)
        return Scored(
            channels.ts_ms,
            np.where(seen, -np.log10(fused), np.nan),
            np.where(seen, sure, np.nan),
            shares,
            probability,
            channels.values,
            features.expected,
            low,
            high,
        )

    def band(self, channels: Channels, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) of every channel, each shape (c, n), within what the quantity can be."""
        low, high = self.baseline.band(channels.ts_ms, expected)
        return np.clip(low, self.reach[:, :1], self.reach[:, 1:]), np.clip(high, self.reach[:, :1], self.reach[:, 1:])

    def expect(self, number: int, channels: Channels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(low, expected, high) of one channel, each shape (n,). channels: of `plan.only(number)`."""
        baseline = self.baseline.only(number)
        expected = baseline.expected(channels.ts_ms, channels.values)
        low, high = baseline.band(channels.ts_ms, expected)
        least, most = self.reach[number]
        return np.clip(low[0], least, most), expected[0], np.clip(high[0], least, most)

    def _parts(self, features: Features) -> tuple[np.ndarray, np.ndarray]:
        """Raw scores, shape (5, n), and the channels' shares, shape (c, n)."""
        scaled = scale(features.values, self.centre, self.scale)
        centred = scaled - self.mean
        white = centred @ self.axes.T
        left = centred - white @ self.axes
        forest = self.forest.score(white / self.lengths)
        residual = tamed(features.residual)
        surprise = np.clip(self.autoregression.residual(residual.T).T, -CLIP, CLIP)
        broken = np.clip(self.relations.residual(residual), -CLIP, CLIP)
        raw = np.stack(
            [
                forest,
                np.sqrt((left**2).mean(axis=1)),
                _strongest(surprise),
                _strongest(broken),
                _strongest(residual),
            ]
        )
        smooth = move("mean", raw, SMOOTH)
        weight = np.nan_to_num(residual) ** 2 + np.nan_to_num(surprise) ** 2 + broken**2
        weight += _by_channel(left**2, features, len(residual))
        weight = move("mean", weight, SMOOTH)
        total = weight.sum(axis=0)
        return smooth, np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything learnt but the plan and the spec, which are JSON."""
        named = {n: getattr(self, n) for n in ("centre", "scale", "mean", "axes", "lengths", "reach")}
        inner: list[tuple[str, Any]] = [
            ("baseline", self.baseline),
            ("forest", self.forest),
            ("autoregression", self.autoregression),
            ("relations", self.relations),
            *((f"tail{i}", t) for i, t in enumerate(self.tails)),
        ]
        return named | {f"{name}.{key}": array for name, part in inner for key, array in part.arrays().items()}

    @classmethod
    def from_arrays(cls, given: dict[str, np.ndarray], plan: Plan, spec: Spec) -> Detector:
        def inside(name: str) -> dict[str, np.ndarray]:
            return {k.split(".", 1)[1]: v for k, v in given.items() if k.startswith(name + ".")}

        return cls(
            plan=plan,
            spec=spec,
            baseline=Baseline.from_arrays(inside("baseline")),
            forest=FlatForest.from_arrays(inside("forest")),
            autoregression=RidgeAR.from_arrays(inside("autoregression")),
            relations=Relations.from_arrays(inside("relations")),
            tails=tuple(Tail.from_arrays(inside(f"tail{i}")) for i in range(len(PARTS) + 1)),
            **{n: given[n] for n in ("centre", "scale", "mean", "axes", "lengths", "reach")},
        )


@dataclass(frozen=True)
class Fitted:
    """scored: the training span, as `detector.score` gives it. models: the scikit-learn parts, for the registry.
    metrics: what fitting saw, for people."""

    detector: Detector
    scored: Scored
    feature_names: tuple[str, ...]
    models: dict[str, Any]
    metrics: dict[str, Any]


def fit(
    series: Sequence[Series],
    frame: pd.DataFrame,
    seed: int = 0,
    progress: Callable[[float, str], None] = lambda _fraction, _message: None,
    leave_out: Sequence[tuple[int, int]] = (),
) -> Fitted:
    """Learn what is normal for a group. frame: series_id, ts, value. leave_out: spans [start, end) in Unix milliseconds
    that are known not to be normal.

    Incidents inside the training span are left out as far as they stand out. Raises NotEnoughData.
    """
    with one_core(with_sklearn=True):
        return _fit(series, frame, seed, progress, leave_out)


def _fit(
    series: Sequence[Series],
    frame: pd.DataFrame,
    seed: int,
    progress: Callable[[float, str], None],
    leave_out: Sequence[tuple[int, int]],
) -> Fitted:
    grid = choose_grid(frame)
    table = tabulate(series, frame, grid)
    seen = int(np.isfinite(table.values).any(axis=0).sum())
    if seen < MIN_POINTS:
        raise NotEnoughData(
            f"{seen} usable points at a step of {grid.step_s:g} s; training takes at least {MIN_POINTS}, which is "
            f"{MIN_POINTS * grid.step_s / 60:.0f} minutes. Collect for longer or choose a longer window.",
            points=seen,
            needed=MIN_POINTS,
        )
    plan = channel_plans.plan(series, table)
    channels = channel_plans.assemble(plan, table)
    present = np.isfinite(channels.values).any(axis=0)
    for start, end in leave_out:
        present &= (channels.ts_ms < start) | (channels.ts_ms >= end)
    spec = Spec.for_rows(int(present.sum()), grid.step_ms)
    progress(0.2, f"{len(plan.channels)} channels from {len(series)} series")
    usable, base = _usable(channels, present, spec)
    features = build(channels, spec, base)
    progress(0.4, f"{len(features.names)} features")
    return _learn(channels, features, usable, spec, base, seed, len(series), progress)


def _usable(channels: Channels, present: np.ndarray, spec: Spec) -> tuple[np.ndarray, Baseline]:
    """Rows to learn from, and the baseline learnt from them: what stands far out at first sight is left out,
    with its neighbours, and the baseline is learnt again without it."""
    grid = channels.plan.grid
    base = baselines.fit(channels.ts_ms, channels.values, present, grid.step_ms, spec.level_window)
    with np.errstate(invalid="ignore"):
        residual = (channels.values - base.expected(channels.ts_ms, channels.values)) / base.spread_at(channels.ts_ms)
    strange = move("mean", _strongest(tamed(residual)), SMOOTH)
    strange = np.where(present, np.nan_to_num(strange), 0.0)
    # The quieter part of the rows says what usual is, however many incidents the others hold.
    usual, most = np.quantile(strange[present], (0.4, 1 - TRIM_SHARE))
    limit = max(TRIM_SCORE, TRIM_USUAL * float(usual), float(most))
    near = move("max", (strange > limit).astype(float), 2 * SMOOTH + 1)
    out = np.append(near[SMOOTH:], np.zeros(SMOOTH)) > 0
    usable = present & ~out
    return usable, baselines.fit(channels.ts_ms, channels.values, usable, grid.step_ms, spec.level_window)


def _learn(
    channels: Channels,
    features: Features,
    usable: np.ndarray,
    spec: Spec,
    base: Baseline,
    seed: int,
    series_count: int,
    progress: Callable[[float, str], None],
) -> Fitted:
    from sklearn.decomposition import PCA
    from sklearn.ensemble import IsolationForest

    # The first rows have too little behind them for rolling features to mean what they will mean later.
    warm = usable.copy()
    warm[: min(spec.windows[-1], usable.size // 4)] = False
    rows = np.flatnonzero(warm)
    teach, check = warm.copy(), warm.copy()
    teach[_held_out(rows)] = False
    check[teach] = False

    centre = baselines.quantile(features.values[:, teach], 0.5)
    centre = np.where(np.isfinite(centre), centre, 0.0)
    spread = _feature_scale(features, channels, teach)
    scaled = scale(features.values, centre, spread)
    reducer = PCA(
        n_components=min(COMPONENTS, scaled.shape[1] // 2, int(teach.sum()) // 4), svd_solver="covariance_eigh"
    )
    reducer.fit(scaled[teach])
    lengths = np.sqrt(np.maximum(reducer.explained_variance_, 1e-9))
    white = (scaled[teach] - reducer.mean_) @ reducer.components_.T / lengths
    progress(0.55, "whitened")
    trees = IsolationForest(
        n_estimators=TREES, max_samples=min(TREE_ROWS, len(white)), contamination="auto", random_state=seed, n_jobs=1
    ).fit(white)
    progress(0.75, f"Isolation Forest of {TREES} trees")
    residual = tamed(features.residual)
    draft = Detector(
        channels.plan,
        spec,
        base,
        centre,
        spread,
        reducer.mean_,
        reducer.components_,
        lengths,
        FlatForest.from_sklearn(trees),
        RidgeAR.fit(residual.T, teach),
        Relations.fit(residual, teach),
        (),
        _reach(channels),
    )
    raw, shares = draft._parts(features)
    tails = [Tail.fit(part[check]) for part in raw]
    probability = np.stack([t.probability(s) for t, s in zip(tails, raw, strict=True)])
    tails.append(Tail.fit(fuse(probability)[check]))
    detector = Detector(**{**draft.__dict__, "tails": tuple(tails)})
    progress(0.9, "calibrated")
    metrics = {
        "points": int(np.isfinite(channels.values).any(axis=0).sum()),
        "left_out_as_strange": int(np.isfinite(channels.values).any(axis=0).sum() - usable.sum()),
        "taught_on": int(teach.sum()),
        "calibrated_on": int(check.sum()),
        "series": series_count,
        "channels": len(channels.plan.channels),
        "features": len(features.names),
        "components": int(reducer.n_components_),
        "variance_kept": float(reducer.explained_variance_ratio_.sum()),
    }
    scored = detector._scored(channels, features, raw, shares)
    return Fitted(detector, scored, features.names, {"whitening": reducer, "forest": trees}, metrics)


def _held_out(rows: np.ndarray) -> np.ndarray:
    """The rows that calibrate: the end of a long history, as what is scored later comes after it; blocks spread over a
    short one, whose end has seen too little to stand for the rest."""
    if len(rows) >= SHORT:
        return rows[int(len(rows) * (1 - HELD_OUT)) :]
    block = np.arange(len(rows)) * BLOCKS // max(len(rows), 1)
    return rows[block % 3 == 2]


def fuse(probability: np.ndarray) -> np.ndarray:
    """probability: shape (5, n). The weighted sum of the parts' evidence, shape (n,), higher is stranger."""
    return -(np.array(WEIGHTS)[:, None] * np.log10(probability)).sum(axis=0)


def scale(values: np.ndarray, centre: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Features as rows for learning, shape (n, d): scaled robustly, clipped, the unknown in the middle."""
    with np.errstate(invalid="ignore"):
        return np.ascontiguousarray(np.nan_to_num(np.clip((values - centre[:, None]) / spread[:, None], -CLIP, CLIP)).T)


def _feature_scale(features: Features, channels: Channels, teach: np.ndarray) -> np.ndarray:
    """The usual size of each feature; one that never moved is measured by its channel's."""
    own = baselines.robust_scale(features.values[:, teach])
    by_channel = baselines.robust_scale(channels.values[:, teach])
    with np.errstate(invalid="ignore"):
        moved = bn.nanmax(features.values[:, teach], axis=1) > bn.nanmin(features.values[:, teach], axis=1)
    fallback = np.where(features.channel >= 0, by_channel[np.maximum(features.channel, 0)], 1.0)
    flags = np.array([n.endswith(("|flat", "|missing", "|reset")) or n.startswith("group|") for n in features.names])
    return np.where(flags, np.maximum(own, 0.25), np.where(moved, own, fallback))


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


def tamed(residual: np.ndarray) -> np.ndarray:
    """Residuals as they are up to five spreads, beyond that by their logarithm: heavy tails are kept from drowning
    everything, yet a hundred spreads stay more than twenty."""
    size = np.abs(residual)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(size > TAME, np.sign(residual) * TAME * (1 + np.log(size / TAME)), residual)


def _strongest(rows: np.ndarray, k: int = 3) -> np.ndarray:
    """Root mean square of the k furthest channels at each moment; unseen ones count as usual."""
    size = np.sort(np.nan_to_num(rows) ** 2, axis=0)[-min(k, len(rows)) :]
    return np.sqrt(size.mean(axis=0))


def _by_channel(rows: np.ndarray, features: Features, c: int) -> np.ndarray:
    """Sum features, shape (n, d), by the channel they describe: shape (c, n). `build` lays them out channel by channel
    within each kind, the group's own last."""
    owned = int((features.channel >= 0).sum())
    return rows[:, :owned].reshape(len(rows), -1, c).sum(axis=1).T
