"""What a model looks at: permutation importance, partial dependence, and each feature's share in one prediction (SHAP).

On rows as people have them, whatever the models inside; a child's work, for each asks for many predictions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lib.errors import Invalid
from lib.training import metrics
from lib.training.model import Model
from lib.training.preparation import DATE, NUMERIC, Table
from lib.training.results import plain
from lib.training.schema import Task

_MOST_ROWS = 1000
_BACKGROUND = 30
# Of importance: copies of the rows asked about at once, and numbers in them.
_MOST_AT_ONCE, _AT_ONCE_CELLS = 64, 4_000_000
# SHAP asks for thousands of predictions a column: beyond this many it would take hours.
MOST_EXPLAINED = 300
# So many orders in which columns take their own value; each costs two predictions a column of the whole background.
_ORDERS = 5


def importance(
    model: Model, frame: pd.DataFrame, repeats: int = 5, seed: int = 0, left_s: Callable[[], float] = lambda: 1.0
) -> list[dict[str, Any]]:
    """How much worse the score gets when a column is shuffled, with the spread over repeats; most important first.

    frame: rows with known targets, best ones the model has not seen; at most 1,000 are used. left_s: once it is no more
    than 0, columns that were not looked at yet are left out: those that go least with the target.
    """
    rng = np.random.default_rng(seed)
    held = _sample(frame, rng)
    target = model.targets(held)
    known = np.isfinite(target) if model.task == Task.REGRESSION else target >= 0
    table, target = model.table(held[known].reset_index(drop=True)), target[known]
    name, rows = model.plan.metric, table.rows

    def score(out: np.ndarray) -> float:
        return metrics.score(name, target, out, model.threshold)

    base, columns = score(model.of_table(table)), _promising(model, table, target)
    # Many shuffled columns are asked about at once, each in a copy of the rows: a question costs more than its rows.
    at_once = max(1, min(_MOST_AT_ONCE, _AT_ONCE_CELLS // max(1, rows * len(columns))) // repeats)
    found = []
    for start in range(0, len(columns), at_once):
        if start and left_s() <= 0:
            break
        asked = columns[start : start + at_once]
        mixed = _copies(table, len(asked) * repeats)
        for place, column in enumerate(column for column in asked for _ in range(repeats)):
            _shuffle(mixed, column, slice(place * rows, (place + 1) * rows), rng)
        outs = model.of_table(mixed).reshape(len(asked), repeats, rows, -1)
        for column, out in zip(asked, outs, strict=True):
            drops = [base - score(one) for one in out]
            spread = float(np.std(drops, ddof=1)) if repeats > 1 else 0.0
            found.append({"column": column, "drop": plain(float(np.mean(drops))), "spread": plain(spread)})
    return sorted(found, key=lambda one: -(one["drop"] or 0.0))


def _promising(model: Model, table: Table, target: np.ndarray) -> list[str]:
    """The columns, those that go most with the target first; of what is no number nothing is known beforehand."""
    wanted = target.astype(float) - target.mean()
    values = np.nan_to_num(table.values - np.nanmean(table.values, axis=0)) if table.names else table.values
    with np.errstate(invalid="ignore", divide="ignore"):
        going = np.abs(wanted @ values) / (np.linalg.norm(values, axis=0) * np.linalg.norm(wanted))
    known = dict(zip(table.names, np.nan_to_num(going).tolist(), strict=True))
    return sorted((column.name for column in model.schema.columns), key=lambda one: -known.get(one, 2.0))


def _copies(table: Table, count: int) -> Table:
    kinds = [{name: np.tile(one, count) for name, one in d.items()} for d in (table.words, table.texts, table.moments)]
    return Table(table.rows * count, table.names, np.tile(table.values, (count, 1)), *kinds)


def _shuffle(table: Table, column: str, rows: slice, rng: np.random.Generator) -> None:
    """Mix a column's values among these rows."""
    if column in table.names:
        held = table.values[rows, table.names.index(column)]
    else:
        held = next(kind[column] for kind in (table.words, table.texts, table.moments) if column in kind)[rows]
    held[:] = held[rng.permutation(len(held))]


def dependence(model: Model, frame: pd.DataFrame, column: str, points: int = 20, seed: int = 0) -> dict[str, Any]:
    """The mean prediction when a column is set to one value after the other, and the middle half over rows.

    Of several classes: the mean probability of each.
    """
    about = next((one for one in model.schema.columns if one.name == column), None)
    if about is None:
        return {"column": column, "values": [], "mean": {}}
    held = _sample(frame, np.random.default_rng(seed), 300)
    grid: list[Any]
    if about.role == NUMERIC:
        numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        numbers = numbers[np.isfinite(numbers)]
        grid = np.unique(np.quantile(numbers, np.linspace(0.02, 0.98, points))).tolist() if numbers.size else []
    elif about.role == DATE:
        moments = pd.to_datetime(frame[column], errors="coerce").dropna().sort_values()
        grid = list(moments.iloc[np.linspace(0, len(moments) - 1, min(points, len(moments))).astype(int)])
    else:
        grid = frame[column].dropna().value_counts().head(points).index.tolist()
    names = _outputs(model)
    mean: dict[str, list[Any]] = {name: [] for name in names}
    low, high = [], []
    for value in grid:
        out = model.raw(held.assign(**{column: value}))
        for number, name in enumerate(names):
            mean[name].append(plain(out[:, number].mean()))
        low.append(plain(np.quantile(out[:, 0], 0.25)))
        high.append(plain(np.quantile(out[:, 0], 0.75)))
    values = [one if isinstance(one, int | float | str) else str(one) for one in grid]
    found: dict[str, Any] = {"column": column, "role": about.role, "values": values, "mean": mean}
    return {**found, "low": low, "high": high} if len(names) == 1 else found


def shap_values(
    model: Model, frame: pd.DataFrame, rows: pd.DataFrame, seed: int = 0, background: int = _BACKGROUND
) -> list[dict[str, Any]]:
    """For each row what each column added to the mean prediction; base and shares sum to what was said.

    frame: what is usual (a sample of it is what columns are replaced by). Of several classes: of the one said.
    Source: Lundberg and Lee 2017, by permutations.
    """
    import shap

    names = [column.name for column in model.schema.columns]
    if len(names) > MOST_EXPLAINED:
        raise Invalid(
            f"The shares of {len(names):,} columns would take hours; at most {MOST_EXPLAINED} are explained. Look at "
            "their importance, and train with those that matter."
        )
    usual = _sample(frame, np.random.default_rng(seed), background)[names].reset_index(drop=True)
    made = []
    for place in range(len(rows)):
        row = rows[names].iloc[[place]].reset_index(drop=True)
        said = model.raw(row)[0]
        column = int(said.argmax()) if said.size > 1 else 0

        # 1 stands for the row's own value, 0 for that of a usual row: any type of column can be masked so.
        def mixed(masks: np.ndarray, row: pd.DataFrame = row, column: int = column) -> np.ndarray:
            own = np.asarray(masks, dtype=bool)
            count = len(usual)
            parts = {}
            for number, name in enumerate(names):
                base = np.tile(usual[name].astype(object).to_numpy(), len(own))
                base[np.repeat(own[:, number], count)] = row[name].iloc[0]
                parts[name] = base
            together = pd.DataFrame(parts)
            together = together.astype({n: usual[n].dtype for n in names if usual[n].dtype.kind in "fM"})
            return model.raw(together)[:, column].reshape(len(own), count).mean(axis=1)

        explainer = shap.explainers.Permutation(mixed, np.zeros((1, len(names))), seed=seed)
        found = explainer(np.ones((1, len(names))), max_evals=_ORDERS * (2 * len(names) + 1), silent=True)
        shares = np.asarray(found.values)[0]
        base = float(np.asarray(found.base_values).ravel()[0])
        order = np.argsort(-np.abs(shares))
        made.append(
            {
                "said": plain(said[column]),
                "of": _outputs(model)[column],
                "base": plain(base),
                "shares": [
                    {"column": names[n], "value": _word(row[names[n]].iloc[0]), "share": plain(shares[n])}
                    for n in order
                ],
            }
        )
    return made


def shap_summary(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean absolute share of each column over explained rows, largest first."""
    total: dict[str, list[float]] = {}
    for one in values:
        for share in one["shares"]:
            total.setdefault(share["column"], []).append(abs(share["share"] or 0.0))
    rows = [{"column": name, "mean": plain(float(np.mean(held)))} for name, held in total.items()]
    return sorted(rows, key=lambda row: -(row["mean"] or 0.0))


def _outputs(model: Model) -> list[str]:
    if model.task == Task.REGRESSION:
        return [model.schema.target]
    return [model.schema.classes[1]] if len(model.schema.classes) == 2 else list(model.schema.classes)


def _word(value: Any) -> Any:
    if value is None or value != value:
        return None
    return value if isinstance(value, int | float | str) else str(value)


def _sample(frame: pd.DataFrame, rng: np.random.Generator, most: int = _MOST_ROWS) -> pd.DataFrame:
    if len(frame) <= most:
        return frame.reset_index(drop=True)
    return frame.iloc[np.sort(rng.choice(len(frame), most, replace=False))].reset_index(drop=True)
