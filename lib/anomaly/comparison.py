"""Who found which faults, how surely one may say so, and the outcome in words; losses are said like wins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from lib.anomaly import measures

OURS = "AutoOps"
RESAMPLES = 1000
SURE = 0.95  # of intervals
# Fewer cases of a kind than this say nothing about who is better at it.
TELLING = 4


@dataclass(frozen=True)
class Fault:
    """Something put into the test on purpose: rows [first, last], inclusive. strength: None for kinds without one."""

    kind: str
    strength: float | None
    first: int
    last: int


@dataclass(frozen=True)
class Called:
    """What a detector says of a test. scores: from row `first_row` on. spans: of rows, ends included, each called
    `late` rows after it began."""

    scores: np.ndarray
    first_row: int
    spans: Sequence[tuple[int, int]]
    late: int


@dataclass(frozen=True)
class Figures:
    """One detector. f1: of alerts, with the interval that resampled faults give. ahead: the same interval of how far
    ours is ahead of it; None for ours. alerts_untouched_per_day: on the history as it was, where nobody knows which
    are right. delay: the median of what was found. by_kind, by_strength: name -> cases, found, recall."""

    name: str
    control: bool
    f1: float
    f1_low: float
    f1_high: float
    precision: float
    recall: float
    false_alerts_per_day: float
    alerts_untouched_per_day: float
    vus_pr: float
    auc_pr: float
    delay_steps: float
    delay_s: float
    ahead: tuple[float, float] | None
    by_kind: Mapping[str, Mapping[str, float]]
    by_strength: Mapping[str, Mapping[str, float]]

    def to_json(self) -> dict[str, Any]:
        """With None for what could not be told."""
        plain = asdict(self) | {"ahead": list(self.ahead) if self.ahead else None}
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in plain.items()}


@dataclass(frozen=True)
class Tally:
    """Of each fault, shape (f,): whether it was found, after how many steps (NaN: not), by how many alerts, and how
    many alerts in the time around it met nothing."""

    met: np.ndarray
    delay: np.ndarray
    hits: np.ndarray
    false: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Tally]) -> Tally:
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in cls.__dataclass_fields__))

    def f1(self, which: np.ndarray | None = None) -> np.ndarray:
        """Of alerts, as `measures.alert_f1` has it where none began too early.

        which: shape (resamples, f), faults drawn again.
        """
        met, hits, false = (a if which is None else a[which] for a in (self.met, self.hits, self.false))
        recall, right, wrong = met.mean(axis=-1), hits.sum(axis=-1), false.sum(axis=-1)
        precision = right / np.maximum(right + wrong, 1)
        return 2 * precision * recall / np.maximum(precision + recall, 1e-12)


def tally(faults: Sequence[Fault], called: Called, free: np.ndarray, tolerance: int) -> Tally:
    """Alerts against faults. An alert that was on before a fault began has not found it: otherwise one that never ends
    would find them all.

    free: rows that count; an alert that reaches into others and meets no fault counts for nothing. tolerance: rows an
    alert may come late.
    """
    n = len(faults)
    out = Tally(np.zeros(n), np.full(n, np.nan), np.zeros(n), np.zeros(n))
    middle = np.array([(fault.first + fault.last) / 2 for fault in faults])
    for first, last in called.spans:
        met = [i for i, f in enumerate(faults) if f.first <= first <= f.last + tolerance]
        for i in met:
            steps = min(first + called.late, last) - faults[i].first
            out.met[i], out.delay[i] = 1, np.fmin(out.delay[i], steps)
        if met:
            out.hits[met[0]] += 1
        elif free[first : last + 1].all():
            out.false[int(np.abs(middle - (first + last) / 2).argmin())] += 1
    return out


@dataclass
class Record:
    """What happened in each round, by detector; ours is named OURS."""

    names: tuple[str, ...]
    step_ms: int
    rounds: int = 0
    faults: list[tuple[int, Fault]] = field(default_factory=list)
    tallies: dict[str, list[Tally]] = field(default_factory=dict)
    ranked: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    @property
    def cases(self) -> int:
        return len(self.faults)

    def add(
        self,
        number: int,
        faults: Sequence[Fault],
        free: np.ndarray,
        said: Mapping[str, Called],
        tolerance: int,
        buffer: int,
    ) -> None:
        """One round. free: shape (n,), rows that count. buffer: of VUS-PR."""
        self.rounds += 1
        self.faults += [(number, fault) for fault in faults]
        labels = np.zeros(len(free), dtype=int)
        for fault in faults:
            labels[fault.first : fault.last + 1] = 1
        for name, called in said.items():
            self.tallies.setdefault(name, []).append(tally(faults, called, free, tolerance))
            rows = free[called.first_row :]
            truth, scores = labels[called.first_row :][rows], called.scores[rows]
            scores = np.where(np.isfinite(scores), scores, _lowest(scores))
            ranks = measures.vus_pr(truth, scores, buffer), measures.auc_pr(truth, scores)
            self.ranked.setdefault(name, []).append(ranks)

    def figures(self, days: float, quiet: Mapping[str, float], control: str, seed: int = 0) -> tuple[Figures, ...]:
        """One a detector, in the order of `names`. days: of one round. quiet: alerts a day on the untouched history."""
        whole = {name: Tally.joined(self.tallies[name]) for name in self.names}
        drawn = {name: resampled(one, seed) for name, one in whole.items()}
        out = []
        for name, one in whole.items():
            vus, auc = (float(np.mean(column)) for column in zip(*self.ranked[name], strict=True))
            low, high = interval(drawn[name])
            alerts, delays = float(one.hits.sum() + one.false.sum()), one.delay[np.isfinite(one.delay)]
            delay = float(np.median(delays)) if delays.size else float("nan")
            out.append(
                Figures(
                    name=name,
                    control=name == control,
                    f1=float(one.f1()),
                    f1_low=low,
                    f1_high=high,
                    precision=float(one.hits.sum()) / alerts if alerts else float("nan"),
                    recall=float(one.met.mean()),
                    false_alerts_per_day=float(one.false.sum()) / (days * self.rounds),
                    alerts_untouched_per_day=float(quiet[name]),
                    vus_pr=vus,
                    auc_pr=auc,
                    delay_steps=delay,
                    delay_s=delay * self.step_ms / 1000,
                    ahead=None if name == OURS else interval(drawn[OURS] - drawn[name]),
                    by_kind=_shares([f.kind for _, f in self.faults], one.met),
                    by_strength=_shares(
                        [None if f.strength is None else f"{f.strength:g}" for _, f in self.faults], one.met
                    ),
                )
            )
        return tuple(out)

    def by_kind(self) -> Counter[str]:
        return Counter(fault.kind for _, fault in self.faults)

    def found(self, ts_ms: np.ndarray) -> tuple[dict[str, Any], ...]:
        """A row a fault, JSON-able: kind, strength, round, start_ms, end_ms, found (detector -> seconds or None)."""
        delays = {name: Tally.joined(parts).delay * self.step_ms / 1000 for name, parts in self.tallies.items()}
        return tuple(
            {
                "kind": fault.kind,
                "strength": fault.strength,
                "round": number,
                "start_ms": int(ts_ms[fault.first]),
                "end_ms": int(ts_ms[fault.last]),
                "found": {name: float(d[i]) if np.isfinite(d[i]) else None for name, d in delays.items()},
            }
            for i, (number, fault) in enumerate(self.faults)
        )


def winner(figures: Sequence[Figures]) -> str:
    """The one with the highest F1 of alerts; of equals the first."""
    return max(figures, key=lambda one: one.f1).name


def verdict(figures: Sequence[Figures]) -> tuple[str, ...]:
    """The outcome first, then every figure in which a simple detector is better than ours."""
    ours = next(one for one in figures if one.name == OURS)
    peers = [one for one in figures if one.name != OURS and not one.control]
    control = next((one for one in figures if one.control), None)
    best = max(peers, key=lambda one: one.f1)
    if control and max(ours.f1_low, best.f1_low) <= control.f1_high:
        said = [
            f"Nothing here is clearly better than chance: F1 of alerts {ours.f1:.2f} of {OURS}, {best.f1:.2f} of "
            f"{_a(best.name)}, {control.f1:.2f} of random scores. Choose a longer window or stronger faults."
        ]
    else:
        said = [_outcome(ours, best)]
        if control and control.ahead and control.ahead[0] <= 0:
            said.append(f"{OURS} is not clearly better than random scores, which reach {control.f1:.2f}.")
    return (*said, *_losses(ours, peers))


def _outcome(ours: Figures, best: Figures) -> str:
    sure = f"{SURE:.0%} sure to be between"
    reached = f"F1 of alerts {ours.f1:.2f} against {best.f1:.2f}"
    assert best.ahead is not None
    between = f"the difference is {sure} {best.ahead[0]:+.2f} and {best.ahead[1]:+.2f}"
    if best.ahead[0] > 0:
        return f"{OURS} wins: {reached} of {_a(best.name)}, the best simple detector; {between}."
    if best.ahead[1] < 0:
        return (
            f"{OURS} loses: {reached} of {_a(best.name)}; {between}. {_a(best.name, True)} is the better choice here."
        )
    return f"{_a(best.name, True)} suffices here: {reached}, which {_cases(ours)} faults cannot tell apart ({between})."


def _losses(ours: Figures, peers: Sequence[Figures]) -> list[str]:
    """Where the best of the simple ones is better than ours, and what that costs it."""
    said = []
    for kind, own in ours.by_kind.items():
        best = max(peers, key=lambda one: one.by_kind[kind]["recall"])
        if best.by_kind[kind]["recall"] > own["recall"] and own["cases"] >= TELLING:
            said.append(
                f"{OURS} finds fewer of kind {kind}: {own['found']:.0f} of {own['cases']:.0f}, {_a(best.name)} "
                f"{best.by_kind[kind]['found']:.0f} (with {best.false_alerts_per_day:.1f} false alerts a day against "
                f"{ours.false_alerts_per_day:.1f})."
            )
    quiet = min(peers, key=lambda one: (not one.recall, one.false_alerts_per_day))  # who finds nothing is easily quiet
    if quiet.recall and quiet.false_alerts_per_day < ours.false_alerts_per_day:
        said.append(
            f"{_a(quiet.name, True)} raises fewer false alerts: {quiet.false_alerts_per_day:.2f} a day against "
            f"{ours.false_alerts_per_day:.2f} (and finds {quiet.recall:.0%} of the faults against {ours.recall:.0%})."
        )
    quick = min(peers, key=lambda one: np.nan_to_num(one.delay_s, nan=np.inf))
    if np.isfinite(quick.delay_s) and quick.delay_s < np.nan_to_num(ours.delay_s, nan=np.inf):
        own_s = f"{ours.delay_s:g} s" if np.isfinite(ours.delay_s) else "never"
        said.append(
            f"{_a(quick.name, True)} is quicker with what it finds: {quick.delay_s:g} s in the median against {own_s}."
        )
    ranks = max(peers, key=lambda one: np.nan_to_num(one.vus_pr))
    if ranks.vus_pr > ours.vus_pr:
        said.append(
            f"{_a(ranks.name, True)} ranks moments better: VUS-PR {ranks.vus_pr:.2f} against {ours.vus_pr:.2f}."
        )
    return said


def _cases(one: Figures) -> int:
    return int(sum(row["cases"] for row in one.by_kind.values()))


def _a(name: str, first: bool = False) -> str:
    article = ("An" if name[0] in "aeiou" else "A") if first else ("an" if name[0] in "aeiou" else "a")
    return f"{article} {name}"


def resampled(one: Tally, seed: int = 0) -> np.ndarray:
    """F1 of alerts, had other faults been drawn from these, shape (resamples,). The same seed draws the same."""
    cases = len(one.met)
    return one.f1(np.random.default_rng(seed).integers(0, cases, (RESAMPLES, cases)))


def interval(drawn: np.ndarray) -> tuple[float, float]:
    """What `SURE` of the resampled lie between."""
    low, high = np.quantile(drawn, ((1 - SURE) / 2, (1 + SURE) / 2))
    return float(low), float(high)


def _shares(names: Sequence[str | None], met: np.ndarray) -> dict[str, dict[str, float]]:
    """cases, found and recall by name, numbers by size; None belongs nowhere."""
    out = {}
    for name in sorted({n for n in names if n}, key=lambda n: (float(n), "") if n[0].isdigit() else (0.0, n)):
        mine = met[np.array([n == name for n in names])]
        out[name] = {"cases": float(mine.size), "found": float(mine.sum()), "recall": float(mine.mean())}
    return out


def _lowest(scores: np.ndarray) -> float:
    known = scores[np.isfinite(scores)]
    return float(known.min()) if known.size else 0.0
