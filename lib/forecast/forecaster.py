"""A forecast of one series, with how sure it is, why it is this one, and what it cannot know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lib.errors import Invalid
from lib.forecast import backtest, intervals
from lib.forecast.backtest import Candidate, Trial
from lib.forecast.history import DAY_S, WEEK_S, WEEKS_TO_TRY, History
from lib.forecast.models import Model
from lib.profiling.words import duration

# Further than this beyond what is known nothing here would be more than a guess.
MOST_HORIZON = 2.0
# Two candidates closer than this are told as doing alike.
ALIKE = 0.03
SHOWN_TOGETHER = 3


@dataclass(frozen=True)
class Card:
    """How good the forecast is. mase: mean absolute error against the mean change of the history from
    day to day (from step to step where it carries no days); vs_naive, vs_seasonal:
    its error against those forecasts on the same origins (below 1: better), None where they made no error or none can
    be made. coverage80, coverage95: of what came, judged by the errors of other origins."""

    model: str
    mase: float | None
    vs_naive: float | None
    vs_seasonal: float | None
    coverage80: float | None
    coverage95: float | None
    origins: int
    steps: int
    tested: int
    step_s: int
    candidates: tuple[dict[str, Any], ...]
    reasons: tuple[str, ...]
    cautions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Card:
        return cls(**{**given, **{name: tuple(given[name]) for name in ("candidates", "reasons", "cautions")}})


@dataclass(frozen=True)
class Forecast:
    """ts_ms: the middle of each step. All shapes (steps,), low95 <= low80 <= middle <= high80 <= high95."""

    ts_ms: np.ndarray
    low95: np.ndarray
    low80: np.ndarray
    middle: np.ndarray
    high80: np.ndarray
    high95: np.ndarray
    card: Card


def forecast(
    history: History,
    steps: int,
    *,
    costly: Sequence[Model] = (),
    spent: Callable[[], bool] = lambda: False,
    progress: Callable[[float, str], None] = lambda _fraction, _words: None,
) -> Forecast:
    """The next `steps` of a series by the model that did best on its past.

    costly: see `backtest.choose`. Raises Invalid for a horizon beyond twice the history, NotEnoughData.
    """
    if steps < 1 or steps > MOST_HORIZON * len(history):
        raise Invalid(
            f"A history of {duration(len(history) * history.step_s)} carries a forecast of at most "
            f"{duration(MOST_HORIZON * len(history) * history.step_s)}, not {duration(steps * history.step_s)}; choose "
            "a shorter horizon or a longer history."
        )
    # Of what never changes nothing more is to be learnt.
    tried = () if history.constant else costly
    trial = backtest.choose(history, steps, costly=tried, spent=spent, progress=progress)
    low80, high80 = intervals.widths(trial.errors, steps, 0.80)
    low95, high95 = intervals.widths(trial.errors, steps, 0.95)
    middle = trial.middle
    bound = [history.within(middle + side) for side in (np.minimum(low95, low80), low80, high80)]
    return Forecast(
        ts_ms=history.ts_ms(steps),
        low95=bound[0],
        low80=bound[1],
        middle=middle,
        high80=bound[2],
        high95=history.within(middle + np.maximum(high95, high80)),
        card=_card(history, steps, trial),
    )


def _card(history: History, steps: int, trial: Trial) -> Card:
    own = trial.chosen.error or 0.0
    lag = history.day if history.has_day else 1
    step = np.abs(history.filled[lag:] - history.filled[:-lag]).mean()
    covered = intervals.coverage(trial.errors)
    alone = {one.name: one.error for one in trial.candidates if len(one.members) == 1}
    return Card(
        model=trial.chosen.name,
        mase=_ratio(own, float(step)),
        vs_naive=_ratio(own, alone.get("naive")),
        vs_seasonal=_ratio(own, alone.get("seasonal naive")),
        coverage80=_number(covered[0]),
        coverage95=_number(covered[1]),
        origins=len(trial.origins),
        steps=steps,
        tested=trial.tested,
        step_s=history.step_s,
        candidates=tuple(_told(one, trial, own) for one in _foremost(trial)),
        reasons=("It has always been the same, so it is taken to stay so.",)
        if history.constant
        else tuple(_reasons(trial, alone)),
        cautions=tuple(_cautions(history, steps, trial, covered)),
    )


def _foremost(trial: Trial) -> list[Candidate]:
    """Every model by itself, and the best of what was tried together."""
    together = [one for one in trial.candidates if len(one.members) > 1][:SHOWN_TOGETHER]
    return [one for one in trial.candidates if len(one.members) == 1 or one in together or one == trial.chosen]


def _told(one: Candidate, trial: Trial, own: float) -> dict[str, Any]:
    """What the table of candidates says of one: loss against the chosen one."""
    return {
        "name": one.name,
        "error": _number(one.error) if one.error is not None else None,
        "against": _ratio(one.error, own) if one.error is not None else None,
        "origins": one.origins,
        "chosen": one == trial.chosen,
        "reason": one.reason,
    }


def _reasons(trial: Trial, alone: dict[str, float | None]) -> list[str]:
    """Why this model."""
    own, name = trial.chosen.error or 0.0, trial.chosen.name
    n = len(trial.origins)
    if len(trial.chosen.members) > 1:
        said = [f"The middle of {' and '.join(trial.chosen.members)} was least off in {n} forecasts of the past."]
    else:
        said = [f"{name[:1].upper()}{name[1:]} was least off in {n} forecasts of the past."]
    for other in ("seasonal naive", "naive"):
        error = alone.get(other)
        if error and other not in trial.chosen.members:
            gain = 1 - own / error
            said.append(
                f"Its error is {gain:.0%} smaller than that of {other}."
                if gain > ALIKE
                else f"It does little better than {other}: there is hardly anything to be foreseen here."
            )
    prophet = next((one for one in trial.candidates if one.name == "Prophet"), None)
    if prophet is not None and prophet != trial.chosen:
        if prophet.error is None:
            said.append(f"Prophet is left out: {prophet.reason}.")
        elif own > 0:
            said.append(f"Prophet was {prophet.error / own - 1:.0%} further off, so it is not used.")
    return said


def _cautions(history: History, steps: int, trial: Trial, covered: tuple[float, float]) -> list[str]:
    """What it cannot know."""
    said = []
    span = len(history) * history.step_s
    if history.constant:
        return ["The series has never changed, so nothing is known of how it would; the intervals have no width."]
    if trial.tested < steps:
        said.append(
            f"Of {duration(steps * history.step_s)} ahead, {duration(trial.tested * history.step_s)} could be tried on "
            f"a history of {duration(span)}; beyond that the intervals are extrapolated."
        )
    if len(trial.origins) < 8:
        said.append(f"Only {len(trial.origins)} forecasts of the past stand behind the intervals.")
    if not history.has_day:
        said.append("Too short a history for the pattern of a day." if span < 2 * DAY_S else "No pattern of a day: the "
                    "steps are too long for one.")  # fmt: skip
    elif backtest.WEEKLY in trial.chosen.members and not history.has_week:
        said.append(f"The pattern of a week was seen {span / WEEK_S:.1f} times only; some of it may be chance.")
    elif not history.has_week:
        said.append(
            f"Weekends are not told from weekdays: that takes {3 * WEEK_S // DAY_S} days of history, there are "
            f"{span / DAY_S:.1f}; {WEEKS_TO_TRY * WEEK_S / DAY_S:.0f} where each week is clearly like the one before."
        )
    holes = float(np.isnan(history.values).mean())
    if holes > 0.1:
        said.append(f"{holes:.0%} of the history is missing.")
    if covered[0] < 0.7:
        said.append(
            f"The 80% interval held only {covered[0]:.0%} of what came: the series changes more than its past shows."
        )
    said.append("It knows the past of this series alone: deployments, new customers and faults are not foreseen.")
    return said


def _ratio(value: float | None, other: float | None) -> float | None:
    return None if value is None or not other or not np.isfinite(value / other) else float(value / other)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
