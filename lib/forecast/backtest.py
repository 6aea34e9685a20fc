"""Which forecast suits a series: each is made at moments of its past and held against what came."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from lib.errors import NotEnoughData
from lib.forecast.history import WEEKS_NEEDED, WEEKS_TO_TRY, History
from lib.forecast.models import Drift, Model, Naive, RecentLevel, SeasonalNaive
from lib.forecast.pattern import Pattern
from lib.forecast.smoothing import Smoothing, Trend

WEEKLY = Pattern("week").name
SIMPLE: tuple[Model, ...] = (
    Naive(),
    SeasonalNaive(),
    Drift(),
    RecentLevel(),
    Pattern("day"),
    Pattern("week"),
    Smoothing(),
    Trend(),
)
# Moments forecasts are made from; fewer than three say nothing about how far off a forecast is.
ORIGINS, LEAST_ORIGINS = 12, 3
# A costly model is tried at so many of them first, and at the rest only if it comes this close to the best.
FIRST_LOOK, CLOSE = 4, 1.1
# What a costly model must be better by: what it costs, and that it was one of many that were tried.
BY_MARGIN = 0.98
# Errors of the past count less the older they are, by this from origin to origin.
FADING = 0.9
# All are also tried together, two and three at a time: what errs in different ways errs less as one. With one that is
# this much worse than the best alone it must be clearly better: such a middle looks odd, as if cut off.
NEAR, FAR_MARGIN = 1.5, 0.97
# A week is tried early when it repeats by so much better than a day.
REPEATS = 0.95
# Origins stand over so many horizons at least.
LATER = 3
# A quarter of the history is the longest stretch that leaves enough to learn from before it.
TESTED_PART = 4


@dataclass(frozen=True)
class Candidate:
    """How one forecast did. error: mean absolute error, weighted to the newer origins; None when it was left out,
    `reason` says why. members: the models it is the middle of."""

    name: str
    members: tuple[str, ...]
    error: float | None
    origins: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Trial:
    """errors: what came minus the middle of the chosen one, shape (origins, tested); origins: rows known at each.
    middle: its path from the end of the history, shape (steps,). best first in `candidates`."""

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    middle: np.ndarray
    errors: np.ndarray
    origins: np.ndarray
    tested: int


@dataclass
class _Paths:
    """made[name]: shape (origins, tested), NaN where it was not made. now[name]: shape (steps,)."""

    target: np.ndarray
    made: dict[str, np.ndarray] = field(default_factory=dict)
    now: dict[str, np.ndarray] = field(default_factory=dict)

    def together(self, members: Sequence[str]) -> np.ndarray:
        return _middle([self.made[name] for name in members])


def longest_test(history: History, steps: int) -> int:
    """How far ahead forecasts of this history can be held against what came."""
    return max(1, min(steps, len(history) // TESTED_PART))


def origins_of(history: History, tested: int) -> np.ndarray:
    """Rows known at each of the moments to forecast from, oldest first, spread over the newer part."""
    n = len(history)
    first = max(int(0.4 * n), 2 * tested + (2 * history.day if history.has_day else 0), 12)
    last = n - tested
    # Later, where that lets a week take part that the end of the history carries.
    for weeks, carried in ((WEEKS_NEEDED, history.has_week), (WEEKS_TO_TRY, repeats_weekly(history))):
        seen = int(weeks * history.week)
        if carried and last - seen >= LATER * tested:
            first = max(first, seen)
            break
    found = np.unique(np.linspace(min(first, max(last - 2, 12)), last, ORIGINS).astype(int))
    # After a hole nothing was known at that very moment; and where nothing came there is nothing to compare with.
    came = [np.isfinite(history.values[o : o + tested]).mean() >= 0.2 for o in found]
    return found[np.array(came, dtype=bool)]


def repeats_weekly(history: History) -> bool:
    """Whether a week that was seen twice is worth trying: trying it moves the origins behind it, closer together, which
    makes every choice a little worse."""
    if not history.may_have_week:
        return False
    values = history.values
    week, day = (
        np.abs(values[history.week :] - values[history.week - lag : -lag]) for lag in (history.week, history.day)
    )
    both = np.isfinite(week) & np.isfinite(day)
    return bool(both.any() and week[both].mean() < REPEATS * day[both].mean())


def choose(
    history: History,
    steps: int,
    *,
    costly: Sequence[Model] = (),
    spent: Callable[[], bool] = lambda: False,
    progress: Callable[[float, str], None] = lambda _fraction, _words: None,
) -> Trial:
    """The forecast that did best, and how all did.

    costly: models that are tried only at some origins at first, and never chosen when a simple one does as well.
    spent: whether their time is up. Raises NotEnoughData when fewer than three origins can be held against what came.
    """
    tested = longest_test(history, steps)
    origins = origins_of(history, tested)
    if len(origins) < LEAST_ORIGINS:
        raise NotEnoughData(
            f"Only {len(origins)} moments of this history have enough before and after them to try a forecast at; "
            f"it takes {LEAST_ORIGINS}. Choose a longer history or a shorter horizon.",
            points=int(np.isfinite(history.values).sum()),
        )
    befores = [history.until(o) for o in origins]
    paths = _Paths(np.array([history.values[o : o + tested] for o in origins]))
    left_out: list[Candidate] = []
    for number, model in enumerate(SIMPLE):
        progress(number / len(SIMPLE), model.name)
        if not model.fits(befores[0], tested):
            left_out.append(Candidate(model.name, (model.name,), None, 0, _why_not(model, history)))
            continue
        _make(paths, model, history, befores, origins, steps, tested, range(len(origins)))
    ranked = _rank(paths, list(paths.made))
    alone = sorted(ranked, key=_error)
    far = {one.name for one in alone if _error(one) > NEAR * _error(alone[0])}
    for size in (2, 3):
        for some in itertools.combinations(alone, size):
            members = tuple(one.name for one in some)
            ranked.append(Candidate(" + ".join(members), members, _loss(paths.target - paths.together(members))))
    ranked = [Candidate(c.name, c.members, c.error, len(origins)) for c in sorted(ranked, key=_error)]
    usual = next(one for one in ranked if not far & set(one.members))
    chosen = ranked[0] if _error(ranked[0]) < FAR_MARGIN * _error(usual) else usual
    for model in costly:
        one = _costly(paths, model, history, befores, origins, (steps, tested), chosen, spent)
        (left_out if one.error is None else ranked).append(one)
        if one.error is not None and one.origins == len(origins) and one.error < BY_MARGIN * _error(chosen):
            chosen = one
    return Trial(
        chosen=chosen,
        candidates=tuple(sorted(ranked, key=_error)) + tuple(left_out),
        middle=history.within(_middle([paths.now[name] for name in chosen.members])),
        errors=paths.target - paths.together(chosen.members),
        origins=origins,
        tested=tested,
    )


def _make(
    paths: _Paths,
    model: Model,
    history: History,
    befores: Sequence[History],
    origins: np.ndarray,
    steps: int,
    tested: int,
    at: Sequence[int],
) -> None:
    """Paths from some of the origins; the one from the end of the history once."""
    made = paths.made.setdefault(model.name, np.full(paths.target.shape, np.nan))
    for i in at:
        # The last value may lie before the origin: the steps up to it are part of the path, not of what is judged.
        late = int(origins[i]) - len(befores[i])
        path = model.path(befores[i], late + tested, tested)[late:]
        made[i] = history.within(np.where(np.isfinite(path), path, befores[i].values[-1]))
    if model.name not in paths.now:
        path = model.path(history, steps, tested)
        paths.now[model.name] = np.where(np.isfinite(path), path, history.values[-1])


def _costly(
    paths: _Paths,
    model: Model,
    history: History,
    befores: Sequence[History],
    origins: np.ndarray,
    lengths: tuple[int, int],
    best: Candidate,
    spent: Callable[[], bool],
) -> Candidate:
    steps, tested = lengths
    left_out = Candidate(model.name, (model.name,), None)
    if not model.fits(befores[0], tested):
        return Candidate(model.name, (model.name,), None, 0, _why_not(model, history))
    first = np.unique(np.linspace(0, len(origins) - 1, FIRST_LOOK).astype(int)).tolist()
    looked: list[int] = []
    for at in (first, [i for i in range(len(origins)) if i not in first]):
        for i in at:
            if spent():
                reason = f"its time was up after {len(looked)} of {len(origins)} tries"
                return Candidate(model.name, (model.name,), None, len(looked), reason)
            try:
                _make(paths, model, history, befores, origins, steps, tested, [i])
            except (ValueError, RuntimeError, ArithmeticError, TimeoutError) as error:
                words = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
                return Candidate(
                    left_out.name, left_out.members, None, len(looked), f"it could not be fitted ({words})"
                )
            looked.append(i)
        rows = sorted(looked)
        own = _loss((paths.target - paths.made[model.name])[rows])
        others = _loss((paths.target - paths.together(best.members))[rows])
        if own > CLOSE * others:
            break
    # As if it had been tried at all: what it lost by, on the same origins.
    loss = _error(best) * own / others if others > 0 else own
    return Candidate(model.name, (model.name,), float(loss), len(looked))


def _rank(paths: _Paths, names: Sequence[str]) -> list[Candidate]:
    return [Candidate(name, (name,), _loss(paths.target - paths.made[name])) for name in names]


def _error(one: Candidate) -> float:
    return np.inf if one.error is None else one.error


def _loss(errors: np.ndarray) -> float:
    """Mean absolute error of each origin, the newer counting more. errors: shape (origins, tested)."""
    known = np.isfinite(errors)
    count = known.sum(axis=1)
    each = np.where(known, np.abs(errors), 0.0).sum(axis=1) / np.maximum(count, 1)
    weight = FADING ** np.arange(len(errors))[::-1] * (count > 0)
    return float((each * weight).sum() / weight.sum()) if weight.sum() else float("inf")


def _middle(paths: Sequence[np.ndarray]) -> np.ndarray:
    return paths[0] if len(paths) == 1 else np.median(np.array(paths), axis=0)


def _why_not(model: Model, history: History) -> str:
    if model.name == WEEKLY and not history.has_week:
        return "a week must have been seen three times before it is believed, or twice where it clearly repeats"
    if model.name in ("daily pattern", "seasonal naive") and not history.has_day:
        return "a day must have been seen twice before it is believed"
    return "the history is too short for it"
