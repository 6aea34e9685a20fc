"""Options and threshold that suit one group, by trying: each trial is held against the same faults as the default.

What is chosen by the first four fifths of a history is judged once by the last fifth, beside the default, so that
nobody is told a figure that the choice itself has made. Trials are values: whoever keeps them can go on later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from lib.anomaly import training
from lib.anomaly.backtest import Design, Progress, Round, Stage, called, decided, edges, prepare, rounds, silent
from lib.anomaly.comparison import SURE, Tally, interval, resampled, tally
from lib.anomaly.events import Rule
from lib.anomaly.options import Options
from lib.anomaly.training import Fitted, Span
from lib.errors import NotEnoughData
from lib.frames import Series

# What may be chosen, each in order, so that a neighbour is a small change.
SPACE: dict[str, tuple[Any, ...]] = {
    "trees": (50, 100, 200, 300),
    "tree_rows": (256, 512, 1024, 2048, 4096),
    "components": (5, 10, 20, 30, 40, 60),
    "smooth": (1, 2, 3, 4, 6, 9),
    "forest": (0.1, 0.2, 0.3, 0.45, 0.6),
}
# Thresholds are tried all at once: deciding anew takes a hundredth of learning anew.
OPEN_AT = (2.0, 2.3, 2.7, 3.2, 3.8)
# What is learnt from and, up to the next, judged by: two splits that expand, and one that nothing is chosen by.
SHARES = (0.4, 0.6, 0.8, 1.0)
# So many trials at random before the estimator is asked, and how often it is asked for something that is new.
AT_RANDOM, ASKED = 8, 20
MOST_TRIALS = 60


@dataclass(frozen=True)
class Trial:
    """Options that were tried. scores: threshold -> F1 of alerts over both splits."""

    options: Mapping[str, Any]
    scores: Mapping[float, float]

    @property
    def score(self) -> float:
        return max(self.scores.values())

    @property
    def choice(self) -> dict[str, Any]:
        """What of the options may be chosen."""
        return {name: self.options[name] for name in SPACE}

    def to_json(self) -> dict[str, Any]:
        return {"options": dict(self.options), "scores": [[at, score] for at, score in self.scores.items()]}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Trial:
        return cls(dict(given["options"]), {float(at): float(score) for at, score in given["scores"]})


@dataclass(frozen=True)
class Choice:
    """Options and a rule, as dictionaries. score: F1 of alerts on what was chosen by; held_out: on the last part, with
    the interval that resampled faults give."""

    options: dict[str, Any]
    rule: dict[str, Any]
    score: float
    held_out: float
    held_out_low: float
    held_out_high: float
    recall: float
    false_alerts_per_day: float


@dataclass(frozen=True)
class Tuning:
    """options, rule: what to use: the best where it is better on the last part too, else the default. ahead: interval
    of how far the best is ahead of the default there."""

    options: dict[str, Any]
    rule: dict[str, Any]
    better: bool
    default: Choice
    best: Choice
    ahead: tuple[float, float]
    verdict: tuple[str, ...]
    trials: tuple[Trial, ...]
    resumed: int
    faults: int
    held_out_faults: int
    step_s: float
    chosen_by_ms: tuple[int, int]
    judged_by_ms: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        plain = asdict(self)
        return plain | {"trials": [one.to_json() for one in self.trials]}


@dataclass(frozen=True)
class Fold:
    """One split: where it was learnt from, and the same faults for everyone."""

    frame: pd.DataFrame
    stage: Stage
    rounds: tuple[Round, ...]


def tune(
    series: Sequence[Series],
    frame: pd.DataFrame,
    design: Design = Design(cases=2),  # noqa: B008 (frozen)
    busy: Sequence[Span] = (),
    leave_out: Sequence[Span] = (),
    keep: Sequence[Span] = (),
    options: Options = Options(),  # noqa: B008 (frozen)
    rule: Rule = Rule(),  # noqa: B008 (frozen)
    seed: int = 0,
    trials: int = MOST_TRIALS,
    spent: Callable[[], float] = lambda: 0.0,
    known: Sequence[Trial] = (),
    made: Callable[[Trial], None] = lambda _trial: None,
    progress: Progress = silent,
    least: int = training.MIN_POINTS,
) -> Tuning:
    """Search until there are so many trials or `spent`, the share of the budget that is used up, reaches 1.

    options: those in use; what cannot be chosen is taken from them, and they are tried after the default. known: trials
    of an earlier run on the same data, with the same design, options and seed; made: told of each new one. busy,
    leave_out, keep, least: as `backtest.run` takes them. Raises NotEnoughData.
    """
    at = edges(frame, SHARES, least)
    ts = frame["ts"].to_numpy(dtype="datetime64[ms]").astype(np.int64)
    default = replace(options, **{name: getattr(Options(), name) for name in SPACE})

    def fold(number: int, faults: Design) -> Fold:
        stage = prepare(series, frame, at[number], at[number + 1], busy, leave_out, keep, default, seed, least=least)
        return Fold(frame[ts < at[number]], stage, tuple(rounds(stage, faults, seed + number)))

    def fitted(one: Fold, chosen: Options) -> Fitted:
        if chosen == one.stage.fitted.detector.options:
            return one.stage.fitted
        return training.fit(series, one.frame, seed, leave_out=leave_out, keep=keep, options=chosen, least=least)

    levels = tuple(sorted({*OPEN_AT, rule.open_at}))
    folds = [fold(number, design) for number in range(len(SHARES) - 2)]
    count = sum(len(r.faults) for f in folds for r in f.rounds)
    if not all(one.rounds for one in folds):
        raise NotEnoughData("There is no room for a fault in one of the splits; choose a longer window.", faults=count)
    progress(0.05, f"{count} faults in {len(folds)} splits")
    done = list(known) if known and Options.from_json(known[0].options) == default else []
    resumed = len(done)
    waiting = ([default] if options == default else [default, options])[len(done) :]
    while not done or (len(done) < trials and spent() < 1):
        chosen = waiting.pop(0) if waiting else propose(done, default, seed)
        if chosen is None:
            break
        per_fold = [_judged(one, fitted(one, chosen), levels, rule) for one in folds]
        found = {at: float(Tally.joined([judged[at] for judged in per_fold]).f1()) for at in levels}
        trial = Trial(chosen.to_json(), found)
        done.append(trial)
        made(trial)
        best = max(one.score for one in done)
        share = max(len(done) / trials, min(spent(), 1.0))
        progress(0.05 + 0.85 * share, f"trial {len(done)}: {trial.score:.3f}, best {best:.3f}")
    best_trial = max(done, key=lambda one: one.score)  # of equals the first
    # Of thresholds that are as good, the one that is nearest to the usual.
    best_at = max(levels, key=lambda at: (best_trial.scores[at], -abs(at - rule.open_at)))
    if best_trial.score <= done[0].scores[rule.open_at]:
        best_trial, best_at = done[0], rule.open_at
    progress(0.92, "judging by the last part")
    last = fold(len(SHARES) - 2, replace(design, cases=2 * design.cases))
    if not last.rounds:
        raise NotEnoughData("There is no room for a fault in the last part; choose a longer window.", faults=0)
    picks = [(done[0], rule.open_at), (best_trial, best_at)]
    tallies = [
        _judged(last, fitted(last, Options.from_json(one.options)), (level,), rule)[level] for one, level in picks
    ]
    base, best_choice = (
        _choice(one, level, rule, judged, last, seed) for (one, level), judged in zip(picks, tallies, strict=True)
    )
    drawn = [resampled(judged, seed) for judged in tallies]
    ahead = interval(drawn[1] - drawn[0])
    better = picks[0] != picks[1] and best_choice.held_out > base.held_out
    use = best_choice if better else base
    judged_faults = sum(len(r.faults) for r in last.rounds)
    progress(1.0, "done")
    return Tuning(
        options=use.options,
        rule=use.rule,
        better=better,
        default=base,
        best=best_choice,
        ahead=ahead,
        verdict=verdict(base, best_choice, picks[0] == picks[1], ahead, len(done), judged_faults),
        trials=tuple(done),
        resumed=resumed,
        faults=count,
        held_out_faults=judged_faults,
        step_s=last.stage.step_ms / 1000,
        chosen_by_ms=(int(last.stage.table.ts_ms[0]), at[-2]),
        judged_by_ms=(at[-2], at[-1]),
    )


def propose(done: Sequence[Trial], base: Options, seed: int = 0) -> Options | None:
    """What to try next, by Optuna's tree-structured Parzen estimator over all trials so far; never what was tried
    before. The same trials and seed give the same answer. None when everything was tried."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tried = {tuple(one.choice.values()) for one in done}
    every = int(np.prod([len(values) for values in SPACE.values()]))
    if len(tried) >= every:
        return None
    # Places in the lists of values, so that the estimator knows which of them are near each other.
    places = {name: optuna.distributions.IntDistribution(0, len(values) - 1) for name, values in SPACE.items()}
    sampler = optuna.samplers.TPESampler(seed=seed + len(done), n_startup_trials=AT_RANDOM, multivariate=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for one in done:
        at = {name: _place(values, one.choice[name]) for name, values in SPACE.items()}
        study.add_trial(optuna.trial.create_trial(params=at, distributions=dict(places), value=one.score))
    for _ in range(ASKED):
        asked = study.ask(dict(places))
        choice = {name: values[asked.params[name]] for name, values in SPACE.items()}
        if tuple(choice.values()) not in tried:
            return replace(base, **choice)
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
    rng = np.random.default_rng((seed, len(done)))
    while True:
        choice = {name: values[int(rng.integers(len(values)))] for name, values in SPACE.items()}
        if tuple(choice.values()) not in tried:
            return replace(base, **choice)


def _place(values: Sequence[float], value: float) -> int:
    """Where in a list a value is, or would be: options in use need not be among those that may be chosen."""
    return min(range(len(values)), key=lambda n: abs(values[n] - value))


def _judged(fold: Fold, fitted: Fitted, levels: Sequence[float], rule: Rule) -> dict[float, Tally]:
    """Each threshold against the faults of a split."""
    stage = fold.stage
    begin = stage.since - stage.context
    parts: dict[float, list[Tally]] = {level: [] for level in levels}
    for one in fold.rounds:
        scored = fitted.detector.score(one.channels)
        for level in levels:
            own = replace(rule, open_at=level, keep_at=min(rule.keep_at, level))
            said = called(*decided(fitted, scored, begin, own), stage.context, own)
            parts[level].append(tally(one.faults, said, stage.free, own.merge))
    return {level: Tally.joined(tallies) for level, tallies in parts.items()}


def _choice(trial: Trial, level: float, rule: Rule, judged: Tally, fold: Fold, seed: int) -> Choice:
    low, high = interval(resampled(judged, seed))
    return Choice(
        options=dict(trial.options),
        rule=asdict(replace(rule, open_at=level, keep_at=min(rule.keep_at, level))),
        score=trial.scores[level],
        held_out=float(judged.f1()),
        held_out_low=low,
        held_out_high=high,
        recall=float(judged.met.mean()),
        false_alerts_per_day=float(judged.false.sum()) / (fold.stage.days * len(fold.rounds)),
    )


def verdict(
    base: Choice, best: Choice, same: bool, ahead: tuple[float, float], trials: int, faults: int
) -> tuple[str, ...]:
    """The outcome first. same: the best is the default. ahead: of the best over the default, on the last part."""
    held = f"F1 of alerts {best.held_out:.2f} against {base.held_out:.2f} of the default"
    if same:
        return (
            f"Nothing better than the default was found in {trials} trials; keep it. On the last part, which nothing "
            f"was chosen by, it reaches an F1 of alerts of {base.held_out:.2f}.",
        )
    chosen = f"On what it was chosen by, the best of {trials} trials reaches {best.score:.2f} against {base.score:.2f}."
    if best.held_out <= base.held_out:
        return f"Keep the default: on the last part, the best options reach an {held}.", chosen
    if ahead[0] > 0:
        return f"The best options are better on the last part too: {held}.", chosen
    return (
        f"The best options look better on the last part too, not surely: {held}; {faults} faults leave the difference "
        f"between {ahead[0]:+.2f} and {ahead[1]:+.2f} ({SURE:.0%} sure).",
        chosen,
    )
