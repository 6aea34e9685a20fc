"""A rehearsal on somebody's own data: learn from the first part, put faults into the rest, see who finds them.

Nothing is known of the rest but what was stored as an anomaly or muted; those spans are kept free of faults and count
for nobody. Everything else in it is taken for normal, so false alerts are an upper bound for every detector alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import numpy as np
import pandas as pd

from lib.anomaly import comparison, inject, peers, training
from lib.anomaly.comparison import OURS, Called, Fault, Figures, Record
from lib.anomaly.detector import Scored
from lib.anomaly.events import Event, Past, Rule, decide, settled
from lib.anomaly.options import Options
from lib.anomaly.training import Fitted, Span, within
from lib.errors import Invalid, NotEnoughData
from lib.features import channels as channel_plans
from lib.features.baseline import DAY_MS
from lib.features.channels import Channels
from lib.features.grid import Table, choose_grid, tabulate
from lib.frames import Series

# Kinds that come in strengths; the others take a value away altogether.
GRADED = ("spike", "level shift", "drift", "variance burst")
# At most this share of the rows belongs to faults: with more, what is usual by now would be the faults themselves.
DENSITY = 0.03
# Steps between faults, less where there is little room.
APART, LEAST_APART = 60, 12
LEAST_TESTED = 200  # rows, about what the longest fault takes with what is around it
LEAST_FAULTS = 7
TRIES = 3
MARGIN = 60
BUFFER = 12  # steps, of VUS-PR

Progress = Callable[[float, str], None]


def silent(_fraction: float, _message: str) -> None:
    """Progress nobody looks at."""


@dataclass(frozen=True)
class Design:
    """kinds, strengths (in deviations of a series from its own slow course): what is put in, `cases` of each kind and
    strength as far as `rounds` have room for them. share: of the history that is learnt from."""

    kinds: tuple[str, ...] = tuple(inject.KINDS)
    strengths: tuple[float, ...] = inject.STRENGTHS
    cases: int = 6
    rounds: int = 40
    share: float = 0.6

    def __post_init__(self) -> None:
        if unknown := [kind for kind in self.kinds if kind not in inject.KINDS]:
            raise Invalid(f"There is no fault called {unknown[0]!r}; choose from {', '.join(inject.KINDS)}.")
        if not self.kinds or not self.strengths:
            raise Invalid("A backtest takes at least one kind of fault and one strength.")
        if any(not 0 < strength <= 1000 for strength in self.strengths):
            raise Invalid(f"Strengths are {list(self.strengths)}; each is a number above 0 and at most 1,000.")
        if not (1 <= self.cases <= 100 and 1 <= self.rounds <= 1000):
            raise Invalid(f"{self.cases} cases in {self.rounds} rounds; choose 1 to 100 cases, 1 to 1,000 rounds.")
        if not 0.3 <= self.share <= 0.9:
            raise Invalid(f"The share to learn from is {self.share}; choose 0.3 to 0.9.")

    @property
    def wanted(self) -> list[tuple[str, float | None]]:
        """Every fault to put in, kinds in turn."""
        once = [(k, s) for s in self.strengths for k in self.kinds if k in GRADED]
        plain = [(k, None) for k in self.kinds if k not in GRADED]
        return [one for _ in range(self.cases) for one in (*once, *plain)]


@dataclass(frozen=True)
class Stage:
    """Where faults are put: what was learnt before row `since`, and the history as it was.

    table: all rows up to the end of the test. free: rows that count, shape (n,). watched: numbers of the series in
    table that may be changed. size: shape (s,), their noise.
    """

    fitted: Fitted
    table: Table
    since: int
    free: np.ndarray
    watched: np.ndarray
    size: np.ndarray

    @property
    def step_ms(self) -> int:
        return self.table.grid.step_ms

    @property
    def days(self) -> float:
        return float(self.free.sum()) * self.step_ms / DAY_MS

    @property
    def context(self) -> int:
        """The first row that anybody needs to look back at."""
        back = max(self.fitted.detector.lookback + MARGIN, round(DAY_MS / self.step_ms) + 1)
        return max(0, self.since - back)

    def channels(self, values: np.ndarray | None = None) -> Channels:
        """From row `context` on; values: shape (s, n), with faults."""
        table = self.table if values is None else replace(self.table, values=values)
        return channel_plans.assemble(self.fitted.detector.plan, table.rows(slice(self.context, None)))


@dataclass(frozen=True)
class Round:
    """The test with some faults in it. channels: from row `Stage.context` on. faults: in rows of the stage."""

    channels: Channels
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class Backtest:
    """figures: ours first, the control last. verdict: in words, the outcome first. notes: what to bear in mind.
    found: of each fault, which detector found it after how many seconds (None: not at all)."""

    step_s: float
    trained_from_ms: int
    trained_until_ms: int
    tested_until_ms: int
    channels: int
    rounds: int
    days: float
    figures: tuple[Figures, ...]
    winner: str
    verdict: tuple[str, ...]
    notes: tuple[str, ...]
    found: tuple[dict[str, Any], ...]
    options: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain["figures"] = [one.to_json() for one in self.figures]
        return plain | {name: list(plain[name]) for name in ("verdict", "notes", "found")}


def run(
    series: Sequence[Series],
    frame: pd.DataFrame,
    design: Design = Design(),  # noqa: B008 (frozen)
    busy: Sequence[Span] = (),
    leave_out: Sequence[Span] = (),
    keep: Sequence[Span] = (),
    options: Options = Options(),  # noqa: B008 (frozen)
    rule: Rule = Rule(),  # noqa: B008 (frozen)
    seed: int = 0,
    progress: Progress = silent,
    least: int = training.MIN_POINTS,
) -> Backtest:
    """Hold ours against simple detectors on this group's own history. frame: series_id, ts, value.

    busy: spans that are kept free of faults and count for nobody, such as stored anomalies and muted times. leave_out,
    keep, options, least: as `training.fit` takes them. Raises NotEnoughData.
    """
    edge, until = edges(frame, (design.share, 1.0), least)
    progress(0.02, f"learning from the first {design.share:.0%}")
    stage = prepare(series, frame, edge, until, busy, leave_out, keep, options, seed, least)
    # Peers learn from the same rows: what is known not to be normal is a gap to them.
    whole = channel_plans.assemble(stage.fitted.detector.plan, stage.table)
    first_part = np.where(within(whole.ts_ms, leave_out), np.nan, whole.values)[:, : stage.since]
    learnt = peers.taught(first_part, stage.step_ms, seed)
    progress(0.2, f"{1 + len(learnt)} detectors have learnt")
    names = (OURS, *(one.peer.name for one in learnt))
    control = next(one.peer.name for one in learnt if one.peer.control)
    untouched = stage.channels()
    quiet = {name: len(called.spans) for name, called in _everybody(stage, untouched, learnt, rule).items()}
    record = Record(names, stage.step_ms)
    wanted = len(design.wanted)
    for number, one in enumerate(rounds(stage, design, seed)):
        record.add(number, one.faults, stage.free, _everybody(stage, one.channels, learnt, rule), rule.merge, BUFFER)
        progress(0.2 + 0.75 * min(record.cases / wanted, 1.0), f"{record.cases} of {wanted} faults put in")
    if record.cases < min(LEAST_FAULTS, wanted):
        raise NotEnoughData(
            f"There is room for {record.cases} faults only in the {stage.days:.1f} days that are not learnt from; "
            f"a backtest takes at least {LEAST_FAULTS}. Choose a longer window.",
            faults=record.cases,
        )
    figures = record.figures(stage.days, {name: n / _days(stage) for name, n in quiet.items()}, control, seed)
    ts = stage.table.ts_ms
    progress(1.0, "compared")
    return Backtest(
        step_s=stage.step_ms / 1000,
        trained_from_ms=int(ts[0]),
        trained_until_ms=int(ts[stage.since - 1]),
        tested_until_ms=int(ts[-1]),
        channels=len(stage.fitted.detector.plan.channels),
        rounds=record.rounds,
        days=stage.days * record.rounds,
        figures=figures,
        winner=comparison.winner(figures),
        verdict=comparison.verdict(figures),
        notes=(*_learnt_of(busy, (*leave_out, *keep), int(ts[0]), edge), *_notes(stage, design, record)),
        found=record.found(ts),
        options=options.to_json(),
    )


def edges(frame: pd.DataFrame, shares: Sequence[float], least: int = training.MIN_POINTS) -> list[int]:
    """Moments, in Unix milliseconds, before which such shares of what was seen lie; gaps do not count. Raises
    NotEnoughData when the first part is too short to learn from, or a later one to be judged by."""
    grid = choose_grid(frame)
    ts = _ts_ms(frame)[np.isfinite(frame["value"].to_numpy(dtype=float))]
    bins = np.unique(grid.bin_of(ts))
    parts = np.diff(np.array(shares), prepend=0.0).round(9)
    needed = ceil(max(least / parts[0], *(LEAST_TESTED / part for part in parts[1:])))
    if bins.size < needed:
        raise NotEnoughData(
            f"{bins.size} usable points at a step of {grid.step_s:g} s; to learn from a first part and be judged by "
            f"the rest takes at least {needed}, which is {needed * grid.step_s / 3600:.1f} hours. "
            "Collect for longer or choose a longer window.",
            points=int(bins.size),
            needed=needed,
        )
    at = [min(round(share * bins.size), bins.size) for share in shares]
    return [int(bins[n - 1] + 1) * grid.step_ms + grid.phase_ms for n in at]


def prepare(
    series: Sequence[Series],
    frame: pd.DataFrame,
    edge_ms: int,
    until_ms: int,
    busy: Sequence[Span] = (),
    leave_out: Sequence[Span] = (),
    keep: Sequence[Span] = (),
    options: Options = Options(),  # noqa: B008 (frozen)
    seed: int = 0,
    least: int = training.MIN_POINTS,
) -> Stage:
    """Learn from what lies before `edge_ms` and set up what lies between it and `until_ms`. Raises NotEnoughData."""
    ts = _ts_ms(frame)
    fitted = training.fit(
        series, frame[ts < edge_ms], seed, leave_out=leave_out, keep=keep, options=options, least=least
    )
    wanted = set(fitted.detector.plan.series_ids)
    table = tabulate([s for s in series if s.id in wanted], frame[ts < until_ms], fitted.detector.plan.grid)
    since = int(np.searchsorted(table.ts_ms, edge_ms))
    free = np.isfinite(table.values).any(axis=0) & ~within(table.ts_ms, (*busy, *leave_out))
    free[:since] = False
    if (room := int(free.sum())) < LEAST_TESTED // 2:
        raise NotEnoughData(
            f"Beside gaps, known anomalies and muted times, {room} points are left to be judged by; it takes at least "
            f"{LEAST_TESTED // 2}. Choose a longer window.",
            points=room,
            needed=LEAST_TESTED // 2,
        )
    size = inject.noise(table.values[:, :since])
    return Stage(fitted, table, since, free, np.arange(len(table.ids)), size)


def rounds(stage: Stage, design: Design, seed: int = 0) -> Iterator[Round]:
    """The same test again and again, each time with other faults in it, until each was there often enough. The same
    seed gives the same faults, whatever was learnt with."""
    rng = np.random.default_rng(seed)
    queue = [(one, 0) for one in design.wanted]
    room = int(stage.free.sum())
    apart = int(np.clip(room // 10, LEAST_APART, APART))
    for _ in range(design.rounds):
        lengths = np.cumsum([np.mean(inject.KINDS[kind]) for (kind, _), _ in queue])
        batch = queue[: max(1, int((lengths <= DENSITY * room).sum()))]
        queue = queue[len(batch) :]
        if not batch:
            return
        values, placed = stage.table.values.copy(), []
        for place in inject.plan(stage.free, [kind for (kind, _), _ in batch], len(batch), rng, apart):
            at = next(n for n, ((kind, _), _) in enumerate(batch) if kind == place.kind)
            (kind, strength), tries = batch.pop(at)
            if _put(stage, values, place, strength, rng):
                placed.append(Fault(kind, strength, place.first, place.last))
            elif tries + 1 < TRIES:
                queue.append(((kind, strength), tries + 1))
        queue += [(one, tries + 1) for one, tries in batch if tries + 1 < TRIES]
        if placed:
            yield Round(stage.channels(values), tuple(placed))


def _put(stage: Stage, values: np.ndarray, place: inject.Injection, strength: float | None, rng: Any) -> bool:
    """Whether there is a fault now: one that no watched quantity shows is taken back."""
    rows = slice(place.first, place.last + 1)
    before = values[:, rows].copy()
    if not spoil(values, place, stage.watched, strength or 0.0, stage.size, rng):
        return False
    plan, part = stage.fitted.detector.plan, stage.table.rows(rows)
    was = channel_plans.assemble(plan, replace(part, values=before)).values
    now = channel_plans.assemble(plan, replace(part, values=values[:, rows])).values
    base = stage.fitted.detector.baseline.spread_at(part.ts_ms)
    with np.errstate(invalid="ignore"):
        shown = (np.abs(now - was) > base).any()
    if shown and (np.isfinite(now) == np.isfinite(was)).all():
        return True
    values[:, rows] = before
    return False


def spoil(
    values: np.ndarray, place: inject.Injection, watched: np.ndarray, strength: float, size: np.ndarray, rng: Any
) -> bool:
    """Put a fault into a third of the watched series, at least two, in place; False when none is seen there."""
    seen = watched[np.isfinite(values[watched, place.first : place.last + 1]).all(axis=1)]
    if not len(seen):
        return False
    which = rng.choice(seen, min(max(2, len(watched) // 3), len(seen)), replace=False)
    inject.inject(values, place, which, strength, size, rng)
    return True


def watch(fitted: Fitted, channels: Channels, since: int, rule: Rule = Rule()) -> tuple[Scored, list[Event]]:  # noqa: B008
    """Channels as the app would see them after training: scored, and decided from row `since` on."""
    return decided(fitted, fitted.detector.score(channels), since, rule)


def decided(fitted: Fitted, scored: Scored, since: int, rule: Rule = Rule()) -> tuple[Scored, list[Event]]:  # noqa: B008
    """The app's last step: with settled confidence, and events. What it knows of before is the training span."""
    step_s, past = fitted.detector.plan.grid.step_s, past_of(fitted.scored)
    scored = settled(scored, rule, step_s, since, past)
    return scored, decide(scored, rule, step_s, since, past)[0]


def past_of(taught: Scored) -> Past:
    """Of the training span, what the app knows when it begins to score: the part that calibrated."""
    calibrated = int(len(taught.ts_ms) * (1 - training.HELD_OUT))
    return Past(taught.ts_ms[calibrated:], taught.evidence[calibrated:])


def called(scored: Scored, events: Sequence[Event], first_row: int, rule: Rule) -> Called:
    """Ours as it is compared. first_row: of the stage, where `scored` begins."""
    spans = [(event.first + first_row, event.last + first_row) for event in events]
    return Called(scored.evidence, first_row, spans, rule.open_for - 1)


def flags_of(events: Sequence[Event], rows: int) -> np.ndarray:
    """Which of so many rows belong to an event, shape (rows,)."""
    flags = np.zeros(rows, dtype=bool)
    for event in events:
        flags[event.first : event.last + 1] = True
    return flags


def _everybody(stage: Stage, channels: Channels, learnt: Sequence[peers.Learnt], rule: Rule) -> dict[str, Called]:
    """What each detector says of the test."""
    begin = stage.since - stage.context
    out = {OURS: called(*watch(stage.fitted, channels, begin, rule), stage.context, rule)}
    for one in learnt:
        scores, spans = one.called(channels.values)
        after = [(max(a, begin) + stage.context, b + stage.context) for a, b in spans if b >= begin]
        out[one.peer.name] = Called(scores, stage.context, after, 0)
    return out


def _days(stage: Stage) -> float:
    return (len(stage.table.ts_ms) - stage.since) * stage.step_ms / DAY_MS


def _learnt_of(busy: Sequence[Span], told: Sequence[Span], start: int, edge: int) -> tuple[str, ...]:
    """What was found strange in the part that is learnt from, and nobody has said what it was: it teaches, too."""
    inside = [(a, b) for a, b in busy if a < edge and b > start]
    unsaid = sum(1 for a, b in inside if not any(a < d and c < b for c, d in told))
    if not unsaid:
        return ()
    lie, call, they = ("anomaly lies", "it", "it") if unsaid == 1 else ("anomalies lie", "them", "they")
    return (
        f"{unsaid} known {lie} in the part that is learnt from. What was really wrong there makes the detector blind "
        f"to its like: call {call} real on the Anomalies page, and {they} will be left out.",
    )


def _notes(stage: Stage, design: Design, record: Record) -> tuple[str, ...]:
    notes = []
    tested = len(stage.table.ts_ms) - stage.since
    kept_free = tested - int(stage.free.sum())
    if kept_free:
        notes.append(
            f"{kept_free / tested:.0%} of the test was kept free: gaps, known anomalies and muted times. It counts for "
            "nobody, which is kind to the detector that had found those anomalies; alerts a day on the untouched "
            "history count them."
        )
    cases = record.by_kind()
    if few := [kind for kind in design.kinds if cases.get(kind, 0) < 4]:
        notes.append(f"Fewer than 4 cases of {', '.join(few)}: what is said of them may be chance.")
    notes.append("Faults are simulated; what is not one is taken for normal, so false alerts may be real incidents.")
    notes.append("Each round is the same stretch of time with other faults: intervals say what other faults may give.")
    return tuple(notes)


def _ts_ms(frame: pd.DataFrame) -> np.ndarray:
    return frame["ts"].to_numpy(dtype="datetime64[ms]").astype(np.int64)
