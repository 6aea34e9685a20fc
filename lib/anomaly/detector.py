"""The detector of a group: an Isolation Forest on whitened features beside five residual detectors, fused.

Measured on public sets, an Isolation Forest on raw values is the weakest of the known detectors and one on whitened
features beside residuals the strongest of the cheap ones, so that is what this is. Each part's score becomes the
probability that a normal moment scores as high; the probabilities are fused, and one minus the fused one is the
confidence. `lib.anomaly.training` makes one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bottleneck as bn
import numpy as np

from lib.anomaly.autoregression import LAGS, RidgeAR
from lib.anomaly.forest import FlatForest
from lib.anomaly.options import Options
from lib.anomaly.pattern import STEPS, Pattern
from lib.anomaly.presence import ECHO, FADING, by_itself
from lib.anomaly.relations import TOGETHER, WINDOW, Company, Relations, beyond_usual, lonely
from lib.anomaly.state import State, newest
from lib.anomaly.tails import Tail
from lib.anomaly.threads import one_core
from lib.anomaly.whitening import Whitening, turned
from lib.features.baseline import Baseline
from lib.features.build import Features, Past, Spec, build
from lib.features.channels import Channels, Plan
from lib.features.kernels import missing_share, move, unchanged

VERSION = "10"  # raised when the same data would give another detector
PARTS = ("forest", "pattern", "strongest", "whitened", "autoregression", "relations", "company")
# What says how strange a moment is by itself.
OWN = ("strongest", "pattern", "relations", "company")
# The forest is the centre; the other parts share what its own weight leaves in this proportion. Relations and company
# are two looks at one thing: the stronger of them counts.
BESIDE = (2.0, 2.0, 2.0, 1.0, 1.0)
AT_ONCE = 25_600  # moments scored in one go: few enough for memory, enough for what each go costs
# What one part alone is sure of, beyond one in 10,000, is not drowned by those that see nothing: so much of it counts.
SURE, SURE_FROM, SURE_FOR = 0.3, 4.0, 8.0
CLIP = 20.0  # of features in robust spreads
TAME = 5.0  # of residuals, see `tamed`
# How much what is remembered counts beside the newest; twice that for who looks back and knows what came after.
REMEMBERED, IN_HINDSIGHT = 2.0, 4.0


@dataclass(frozen=True)
class Scored:
    """One row a moment. evidence: -log10 of the fused probability, higher is stranger; NaN where nothing was seen.

    shares: shape (c, n), each channel's part in the evidence, summing to 1. actual, expected, low, high: shape (c, n),
    in the channel's unit. parts: shape (7, n), each part's probability in the order of PARTS. alone: shape (n,), how
    strange a moment is by itself, without what rolling features remember.
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
    alone: np.ndarray

    def copy(self) -> Scored:
        """With arrays of its own, so that a few rows do not keep the history they came from."""
        return Scored(*(getattr(self, f).copy() for f in self.__dataclass_fields__))

    def rows(self, keep: slice) -> Scored:
        return Scored(*(getattr(self, f)[..., keep] for f in self.__dataclass_fields__))

    @classmethod
    def joined(cls, parts: Sequence[Scored]) -> Scored:
        """Spans that follow each other as one."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(p, f) for p in parts], axis=-1) for f in cls.__dataclass_fields__))


@dataclass(frozen=True)
class Detector:
    """Fitted state; everything numpy, so that scoring needs nothing else. Made by training or `from_arrays`.

    broad: features in the ranges they keep to, what the forest looks at. sharp: in robust spreads, to which a rare
    spike of training is no excuse. memory: steps the fused score is remembered for, and how much that counts.
    reach: shape (c, 2), what each channel can be: shares 0 to 100, switches 0 to 1, most others not below 0.
    still: shape (c,), for how many steps each may stay exactly the same; inf where that says nothing.
    """

    plan: Plan
    spec: Spec
    options: Options
    baseline: Baseline
    broad: Whitening
    sharp: Whitening
    forest: FlatForest
    pattern: Pattern
    autoregression: RidgeAR
    relations: Relations
    company: Company
    memory: tuple[int, float]
    tails: tuple[Tail, ...]  # one a part, then the fused one
    reach: np.ndarray
    still: np.ndarray

    @property
    def lookback(self) -> int:
        """Steps of history the score of one moment rests on: those of its features, of what averages them, and of the
        relations between channels."""
        averaged = max(WINDOW, STEPS, TOGETHER + self.spec.level_window)
        return self.spec.lookback + self.options.smooth + averaged + max(self.memory[0], ECHO + FADING)

    def score(self, channels: Channels, since: int = 0) -> Scored:
        """Score channels assembled by this detector's plan, from row `since` on; what is said of rows before it means
        nothing.

        The first `lookback` moments have less history behind them than training had and may look stranger
        than they are; callers score from there on.
        """
        return self.advance(channels, self.begin(), since)[0]

    def begin(self) -> State:
        """Where to advance from when nothing is known yet."""
        channels = len(self.plan.channels)
        return State.begin(Past.none(self.spec, channels), len(PARTS), channels)

    def advance(self, channels: Channels, state: State, since: int = 0) -> tuple[Scored, State]:
        """Score moments that follow those the state knows, and what to go on from after them: a history in pieces
        gives what it gives as a whole. since: as in `score`."""
        n = channels.ts_ms.size
        first = min(max(0, since - self.options.smooth - max(self.memory[0], ECHO + FADING)), n)
        edges = [*range(0, first, AT_ONCE), *range(first, n, AT_ONCE), n] if n else [0, 0]
        parts = []
        with one_core():
            for start, stop in zip(edges[:-1], edges[1:], strict=True):
                rows = channels.rows(slice(start, stop))
                features = build(rows, self.spec, self.baseline, state.features)
                raw, shares, kept = self._raw(rows, features, state, wanted=stop > first)
                scored, also = self._judged(rows, features, raw, shares, state)
                parts.append(scored)
                state = State(features.past, **kept, **also)
        return Scored.joined(parts), state

    def judged(
        self, channels: Channels, features: Features, raw: np.ndarray, shares: np.ndarray, hindsight: Tail | None = None
    ) -> Scored:
        """hindsight: of scores that looked both ways, for a span that is looked back on."""
        return self._judged(channels, features, raw, shares, self.begin(), hindsight)[0]

    def _judged(
        self,
        channels: Channels,
        features: Features,
        raw: np.ndarray,
        shares: np.ndarray,
        state: State,
        hindsight: Tail | None = None,
    ) -> tuple[Scored, dict[str, np.ndarray]]:
        """And what of it the next moments need, as parts of the state. state: before these moments."""
        probability = np.stack([t.probability(s) for t, s in zip(self.tails, raw, strict=False)])
        tail = hindsight or self.tails[len(PARTS)]
        now = self._summed(probability)
        known = np.append(state.fused, now)
        fused = tail.probability(self._remembered(known, now.size, hindsight is not None))
        # The score may run far beyond what was seen; a claim may not: n normal moments show nothing rarer than 1 in n.
        sure = np.minimum(1.0 - fused, 1.0 - 1.0 / (tail.scores.size + 1))
        seen = np.isfinite(channels.values).any(axis=0)
        if self.options.missing == "signal":
            seen = np.maximum.accumulate(seen) | state.seen.any()
        low, high = self.band(channels, features.expected)
        counted = np.append(state.counted, self._enough(channels, features, low, high))
        # What is remembered for a few steps is one event, not as many as samples.
        lasting = max(self.options.smooth, 3)
        counts = move("max", counted, lasting, last=now.size) > 0
        evidence = np.where(counts, -np.log10(fused), 0.0)
        strong, picture, together, left = -np.log10(probability[[PARTS.index(name) for name in OWN]])
        # What the week is known to do makes a picture nobody has seen; only what values show by themselves counts then.
        picture = np.where(self._jumped(channels.ts_ms), 0.0, picture)
        alone, echo = by_itself(strong, picture, together, left, state.echo, single=len(channels.values) == 1)
        scored = Scored(
            channels.ts_ms,
            np.where(seen, evidence, np.nan),
            np.where(seen, sure, np.nan),
            shares,
            probability,
            channels.values,
            features.expected,
            low,
            high,
            alone,
        )
        return scored, {
            "fused": newest(known, self.memory[0] - 1),
            "counted": newest(counted, lasting - 1),
            "echo": echo,
        }

    def fused(self, probability: np.ndarray, hindsight: bool = False) -> np.ndarray:
        """The weighted sum of the parts' evidence, and what is remembered of it, shape (n,), higher is stranger."""
        summed = self._summed(probability)
        return self._remembered(summed, summed.size, hindsight)

    def _summed(self, probability: np.ndarray) -> np.ndarray:
        beside = (1 - self.options.forest) * np.array(BESIDE) / sum(BESIDE)
        weights, evidence = np.append(self.options.forest, beside), -np.log10(probability)
        evidence = np.concatenate([evidence[:-2], evidence[-2:].max(axis=0, keepdims=True)])
        sure = np.clip(evidence.max(axis=0) - SURE_FROM, 0.0, SURE_FOR)
        return (weights[:, None] * evidence).sum(axis=0) + SURE * sure

    def _remembered(self, summed: np.ndarray, last: int, hindsight: bool) -> np.ndarray:
        """Of the last so many moments."""
        steps, weight = self.memory
        now = summed[summed.size - last :]
        if not weight:
            return now
        if not hindsight:
            return now + REMEMBERED * weight * move("mean", summed, steps, last=last)
        half = steps // 2
        # Both ends see what there is: a mean over what lies behind, moved half its length forward.
        around = move("mean", np.append(summed, np.full(half, np.nan)), 2 * half + 1)[half:]
        return now + IN_HINDSIGHT * weight * around

    def _jumped(self, ts_ms: np.ndarray) -> np.ndarray:
        """Whether the week makes a channel jump at most FADING steps before each moment, shape (n,)."""
        before = ts_ms[:1, None] - self.plan.grid.step_ms * np.arange(FADING, 0, -1)
        jumps = self.baseline.jumps(np.append(before, ts_ms))
        return move("max", jumps.astype(float), FADING + 1, last=ts_ms.size) > 0

    def _enough(self, channels: Channels, features: Features, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """1 at moments at which something deviates the way, and by as much, as was asked for, else 0; shape (n,)."""
        options = self.options
        if options.direction == "both" and not options.least:
            return np.ones(channels.ts_ms.size)
        least = np.array([options.least.get(c.metric, 0.0) for c in channels.plan.channels])
        away = channels.values - features.expected
        with np.errstate(invalid="ignore"):
            sides = {"above": channels.values > high, "below": channels.values < low}
            side = sides.get(options.direction, np.isfinite(away))
            enough = (side & (np.abs(away) >= least[:, None])) | (~np.isfinite(away) & (options.missing == "signal"))
        return enough.any(axis=0).astype(float)

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

    def raw(self, channels: Channels, features: Features) -> tuple[np.ndarray, np.ndarray]:
        """Raw scores of a whole history, shape (7, n), and the channels' shares, shape (c, n)."""
        return self._raw(channels, features, self.begin(), wanted=True)[:2]

    def _raw(
        self, channels: Channels, features: Features, state: State, wanted: bool
    ) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """And what of it the next moments need, as parts of the state. state: before these moments. wanted: whether
        anybody asks for them; not to takes a fraction of the time."""
        n, smooth = channels.ts_ms.size, self.options.smooth
        apart = np.concatenate([state.features.apart, features.apart], axis=1)
        residual, kept = strayed(channels, features, self.options, self.still, state)
        strays = np.concatenate([state.residual, residual], axis=1)
        surprise = np.clip(self.autoregression.residual(strays.T, n).T, -CLIP, CLIP)
        surprises = np.concatenate([state.surprise, surprise], axis=1)
        left = self.company.left(surprises, n)
        loneliness = np.append(state.lonely, lonely(left))
        news = beyond_usual(loneliness, self.spec.level_window, n)
        broken = np.clip(self.relations.residual(strays, n), -CLIP, CLIP)
        odd, odd_by_channel = self.pattern.residual(apart, n)
        isolated = far = np.full(n, np.nan)
        if wanted:
            broad, sharp = turned(features.values, self.broad, self.sharp)
            isolated, far = self.forest.score(broad.T), _size(sharp)
        raw = np.stack(
            [
                isolated,
                odd,
                strongest(residual),
                far,
                _size(surprise),
                _size(broken),
                news,
            ]
        )
        weight = _squares(residual)
        weight += _squares(surprise)
        weight += broken * broken
        # Who has left its company counts as far as that is news.
        gone = np.clip(left, 0.0, CLIP)
        gone *= gone
        gone *= np.clip(np.nan_to_num(news), 0.0, 1.0)
        weight += gone
        total = odd_by_channel.sum(axis=0)
        # The pattern's residuals are in ranges, the others in spreads: as large together as those.
        weight += odd_by_channel * np.divide(weight.sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
        both = np.concatenate([state.scores, np.concatenate([raw, weight])], axis=1)
        smoothed = move("mean", both, smooth, last=n)
        weight = smoothed[len(raw) :]
        total = weight.sum(axis=0)
        shares = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
        kept |= {
            "residual": newest(strays, max(WINDOW, max(LAGS))),
            "surprise": newest(surprises, TOGETHER - 1),
            "lonely": newest(loneliness, self.spec.level_window),
            "scores": newest(both, smooth - 1),
        }
        return smoothed[: len(raw)], shares, kept

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything learnt but the plan, the spec and the options, which are JSON."""
        inner: list[tuple[str, Any]] = [
            *((name, getattr(self, name)) for name in INNER),
            *((f"tail{i}", t) for i, t in enumerate(self.tails)),
        ]
        named = {"reach": self.reach, "still": self.still, "memory": np.array(self.memory)}
        return named | {f"{name}.{key}": array for name, part in inner for key, array in part.arrays().items()}

    @classmethod
    def from_arrays(cls, given: dict[str, np.ndarray], plan: Plan, spec: Spec, options: Options) -> Detector:
        def inside(name: str) -> dict[str, np.ndarray]:
            return {k.split(".", 1)[1]: v for k, v in given.items() if k.startswith(name + ".")}

        return cls(
            plan=plan,
            spec=spec,
            options=options,
            reach=given["reach"],
            still=given["still"],
            memory=(int(given["memory"][0]), float(given["memory"][1])),
            tails=tuple(Tail.from_arrays(inside(f"tail{i}")) for i in range(len(PARTS) + 1)),
            **{name: kind.from_arrays(inside(name)) for name, kind in INNER.items()},
        )


INNER: dict[str, Any] = {
    "baseline": Baseline,
    "broad": Whitening,
    "sharp": Whitening,
    "forest": FlatForest,
    "pattern": Pattern,
    "autoregression": RidgeAR,
    "relations": Relations,
    "company": Company,
}


def strayed(
    channels: Channels, features: Features, options: Options, still: np.ndarray, state: State
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Residuals that count, tamed, shape (c, n): on the side asked for, missing samples where they are a sign, and
    values that stand still where they never did. And what of it the next moments need. state: before these moments."""
    residual = tamed(features.residual)
    before = state.features.values
    if options.direction != "both":
        sign = 1.0 if options.direction == "above" else -1.0
        residual = np.where(np.isnan(residual), np.nan, sign * np.maximum(sign * residual, 0.0))
    seen = np.isfinite(channels.values)
    if options.missing == "signal":
        known = np.concatenate([before[:, -2:], channels.values], axis=1)
        ever = np.maximum.accumulate(seen, axis=1) | state.seen[:, None]
        residual = np.where((missing_share(known, 3, seen.shape[1]) >= 1) & ever, 2 * TAME, residual)
    same = unchanged(channels.values, (before[:, -1], state.same) if before.shape[1] else None)
    kept = {"same": same[:, -1] if same.shape[1] else state.same, "seen": state.seen | seen.any(axis=1)}
    return np.where(same > still[:, None], 2 * TAME, residual), kept


def tamed(residual: np.ndarray) -> np.ndarray:
    """Residuals as they are up to five spreads, beyond that by their logarithm: heavy tails are kept from drowning
    everything, yet a hundred spreads stay more than twenty."""
    size = np.abs(residual)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(size > TAME, np.sign(residual) * TAME * (1 + np.log(size / TAME)), residual)


def strongest(rows: np.ndarray, k: int = 3) -> np.ndarray:
    """Root mean square of the k furthest channels at each moment; unseen ones count as usual."""
    size = np.sort(_squares(rows), axis=0)[-min(k, len(rows)) :]
    return np.sqrt(size.mean(axis=0))


def _size(rows: np.ndarray) -> np.ndarray:
    """Root mean square over channels or axes at each moment; unseen ones count as usual."""
    return np.sqrt(_squares(rows).mean(axis=0))


def _squares(rows: np.ndarray) -> np.ndarray:
    """Of what is known, 0 elsewhere."""
    known = rows * rows
    bn.replace(known, np.nan, 0.0)
    return known
