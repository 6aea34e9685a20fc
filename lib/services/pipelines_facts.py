"""What pipelines need to know of a dataset, read once a version and target: roles, leaks, what the target asks for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lib.datasets import schema as tables
from lib.datasets.schema import ColumnType, DatasetVersion
from lib.errors import AppError, Invalid
from lib.store import table_samples
from lib.store.table_samples import Extent
from lib.training import leaks, schema
from lib.training.plan import Plan
from lib.training.review import Facts
from lib.training.schema import Role, Task

MOST_KEPT = 16
# Of a sample: a column of words is a category rather than an identifier when its values come again in the whole table.
_REPEATS = 0.9
_SAID = {
    tables.Role.IDENTIFIER: Role.IDENTIFIER,
    tables.Role.TIME: Role.TIME,
    tables.Role.IGNORE: Role.IGNORE,
    tables.Role.TARGET: Role.TARGET,
}


class TableFacts:
    """Keeps what was found, not the rows; versions never change, so nothing kept goes stale."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], Facts] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, opened: DatasetVersion, target: str, time: str | None = None) -> Facts:
        """Raises StoreError for data that cannot be read."""
        key = (opened.dataset_id, opened.hash, target, time)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = _facts(opened, target, time)
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return found


def _facts(opened: DatasetVersion, target: str, time: str | None) -> Facts:
    names = [one.name for one in opened.schema]
    frame = table_samples.sample(opened.path, opened.schema, opened.rows)
    extents = table_samples.extents(opened.path, opened.schema)
    if frame.empty:
        refusal = f"The dataset {opened.name!r} has no rows." if target in names else ""
        return Facts(opened.rows, dict.fromkeys(names, Role.IGNORE.value), refusal=refusal)
    guesses = _guesses(opened, frame, extents, target)
    if target not in names:
        return Facts(opened.rows, guesses)
    whole = len(frame) == opened.rows
    task, refusal = _task(frame, target, extents[target], whole)
    ordered = table_samples.in_order(opened.path, opened.schema, time) if time in names else None
    roles = {**guesses, **({time: Role.TIME.value} if time in names and time else {})}
    judged = ordered if ordered is not None and target in ordered.columns else None
    return Facts(opened.rows, guesses, tuple(leaks.leaks(frame, target, roles, judged)), task, refusal)


def _guesses(opened: DatasetVersion, frame: pd.DataFrame, extents: Mapping[str, Extent], target: str) -> dict[str, str]:
    """As training guesses them, corrected by what only all rows can tell."""
    found = schema.guess_roles(frame, target)
    for column in opened.schema:
        name, one, guess = column.name, extents[column.name], found[column.name]
        if guess == Role.TARGET:
            continue
        if one.low is not None and one.high is not None:
            once = one.known >= schema.LEAST_ROWS and one.distinct > _REPEATS * one.known
            if once and one.high - one.low < 1.05 * one.known:
                found[name] = Role.IDENTIFIER.value
        elif guess == Role.IDENTIFIER and column.type is ColumnType.TEXT and one.distinct < _REPEATS * one.known:
            found[name] = Role.CATEGORY.value
        if guess == Role.IGNORE and one.distinct > 1:
            # Rare values the sample has none of.
            numeric = column.type in (ColumnType.INTEGER, ColumnType.NUMBER)
            dated = column.type in (ColumnType.DATE, ColumnType.MOMENT)
            found[name] = (Role.NUMERIC if numeric else Role.DATE if dated else Role.CATEGORY).value
    return found


def _task(frame: pd.DataFrame, target: str, extent: Extent, whole: bool) -> tuple[Task | None, str]:
    """What the target asks for, or why it cannot be learnt."""
    if extent.known < schema.LEAST_ROWS:
        said = f"Only {extent.known:,} rows have a {target!r}; it takes at least {schema.LEAST_ROWS} to learn from."
        return None, said
    try:
        task = schema.detect_task(frame[target])
        if whole:
            schema.require_learnable(frame, target, task)
        elif extent.distinct <= 1:
            raise Invalid(f"The target {target!r} is the same in each row; there is nothing to learn.")
        elif task != Task.REGRESSION and frame[target].nunique() > schema.MOST_CLASSES:
            raise Invalid(
                f"The target {target!r} has about {extent.distinct:,} classes, the cap is {schema.MOST_CLASSES}."
            )
    except AppError as error:
        return None, error.message
    return task, ""


def first_plan(opened: DatasetVersion, target: str, guesses: Mapping[str, str], plan: Plan | None = None) -> Plan:
    """A plan for a dataset: what its owner said of a column first, else what its values suggest. plan: whose steps and
    settings are kept."""
    roles = {}
    for column in opened.schema:
        said = _SAID.get(column.role)
        role = said if said is not None and said != Role.TARGET else guesses.get(column.name, Role.IGNORE)
        roles[column.name] = str(Role.IGNORE if role == Role.TARGET else role)
    if target:
        roles[target] = Role.TARGET.value
    return Plan(target, roles) if plan is None else Plan(**{**plan.__dict__, "target": target, "roles": roles})


def suggested_target(columns: Sequence[tables.Column]) -> str:
    """The column a dataset names as its target, or empty."""
    return next((one.name for one in columns if one.role is tables.Role.TARGET), "")
