"""A trained model: from rows as people have them to predictions, with numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lib.errors import Invalid
from lib.training import ensemble, metrics
from lib.training.plan import Plan
from lib.training.portable import Grove, Predictor, Trees
from lib.training.preparation import CATEGORY, DATE, NUMERIC, Preparation, Table, read
from lib.training.schema import Schema, Task, class_names

# Up to so many rows all trees are walked at once.
_FEW_ROWS = 16


@dataclass(frozen=True)
class Shift:
    """How a number was brought to the scale it was learnt on."""

    middle: float = 0.0
    spread: float = 1.0
    log: bool = False
    low: float = -np.inf
    high: float = np.inf

    def onto(self, target: np.ndarray) -> np.ndarray:
        held = np.log1p(target) if self.log else target
        return (held - self.middle) / self.spread

    def back(self, out: np.ndarray) -> np.ndarray:
        # A little beyond what was seen: a logarithm's straight line must not explode.
        held = np.clip(out * self.spread + self.middle, self.low, self.high)
        return np.expm1(held) if self.log else held

    @classmethod
    def of(cls, target: np.ndarray, log: bool) -> Shift:
        held = np.log1p(target) if log else target
        beyond = 0.5 * float(np.ptp(held))
        spread = float(held.std()) or 1.0
        return cls(float(held.mean()), spread, log, float(held.min()) - beyond, float(held.max()) + beyond)


@dataclass(frozen=True)
class Part:
    """What one fold's rows taught."""

    preparation: Preparation
    predictor: Predictor
    shift: Shift | None = None

    def predict(self, prepared: np.ndarray) -> np.ndarray:
        out = self.predictor.predict(prepared)
        return self.shift.back(out) if self.shift else out


class Fitted(NamedTuple):
    """How far a fit went. rounds: trees or epochs, 0 where there are none; aside: rows were held back from it, which
    said when to stop."""

    rounds: int = 0
    aside: bool = False


@dataclass(frozen=True)
class Member:
    """A candidate in the ensemble: the mean of its parts, weighed. fits: of each fold in their order, then of all rows
    where it was fitted on them, too; the parts are those of the last fits."""

    name: str
    family: str
    params: Mapping[str, Any]
    weight: float
    parts: tuple[Part, ...]
    log: bool = False
    rounds: int = 0  # trees or epochs, the middle of its folds
    fits: tuple[Fitted, ...] = ()


@dataclass(frozen=True)
class Fault:
    """A field of a row that cannot be taken, or is unlike what was learnt from."""

    row: int
    column: str
    message: str
    fatal: bool


@dataclass(frozen=True)
class Model:
    """slope, shift: calibration of the probabilities; threshold: from which probability the second class is said;
    scores: what it reached on rows it had not seen."""

    plan: Plan
    schema: Schema
    members: tuple[Member, ...]
    slope: float = 1.0
    shift: float = 0.0
    threshold: float = 0.5
    scores: Mapping[str, float] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        return self.schema.task

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """A number a row, or a class's name. Raises Invalid when a column is missing."""
        out = self.raw(frame)
        if self.task == Task.REGRESSION:
            return out[:, 0]
        return np.array(self.schema.classes, dtype=object)[metrics.labels(out, self.threshold)]

    def probabilities(self, frame: pd.DataFrame) -> np.ndarray:
        """A probability a class in the order of `schema.classes`, shape (n, classes)."""
        if self.task == Task.REGRESSION:
            raise Invalid("A number has no probabilities; use predict.")
        return metrics.chances(self.raw(frame))

    def raw(self, frame: pd.DataFrame) -> np.ndarray:
        """Shape (n, m): a number, the second class's probability, or a probability a class; calibrated."""
        return self.of_table(self.table(frame))

    def table(self, frame: pd.DataFrame) -> Table:
        """The columns the model takes, in their types. Raises Invalid when one is missing."""
        lost = [name for name in self.schema.roles if name not in frame.columns]
        if lost:
            raise Invalid(f"Missing columns: {', '.join(lost[:10])}.", columns=lost)
        return read(frame, self.schema.roles)

    def of_table(self, table: Table) -> np.ndarray:
        total: np.ndarray | None = None
        distinct = {id(part.preparation): part.preparation for member in self.members for part in member.parts}
        prepared = {key: preparation.transform(table) for key, preparation in distinct.items()}
        together = self._together(prepared) if 0 < table.rows <= _FEW_ROWS else {}
        for member in self.members:
            said: np.ndarray | None = None
            for part in member.parts:
                out = together.get(id(part))
                if out is None:
                    out = part.predictor.predict(prepared[id(part.preparation)])
                out = part.shift.back(out) if part.shift else out
                said = out if said is None else said + out
            if said is None:
                continue
            share = said * (member.weight / len(member.parts))
            total = share if total is None else total + share
        if total is None:
            raise Invalid("This model has no members; train it again.")
        if self.task == Task.REGRESSION:
            return total
        return ensemble.apply_calibration(total, self.slope, self.shift)

    def _together(self, prepared: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
        """What the tree parts say of few rows, walked at once: part's id -> its output."""
        parts, grove, order = self._grove
        if grove is None:
            return {}
        values = np.hstack([prepared[key] for key in order])
        return {id(part): out for part, out in zip(parts, grove.predict(values), strict=True)}

    @cached_property
    def _grove(self) -> tuple[list[Part], Grove | None, list[int]]:
        parts = [part for member in self.members for part in member.parts if isinstance(part.predictor, Trees)]
        first: dict[int, int] = {}
        width = 0
        for part in parts:
            if id(part.preparation) not in first:
                first[id(part.preparation)] = width
                width += len(part.preparation.names)
        pairs = [(p.predictor, first[id(p.preparation)]) for p in parts if isinstance(p.predictor, Trees)]
        return parts, Grove(pairs) if pairs else None, list(first)

    def targets(self, frame: pd.DataFrame) -> np.ndarray:
        """The true targets of a frame in the model's terms: class numbers or numbers, -1 or NaN where unknown."""
        column = frame[self.schema.target]
        if self.task == Task.REGRESSION:
            return pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        places = {name: number for number, name in enumerate(self.schema.classes)}
        return np.array([places.get(name, -1) for name in class_names(column).tolist()])

    def faults(self, frame: pd.DataFrame, most: int = 100) -> list[Fault]:
        """What is wrong with rows to be predicted, field by field: fatal when a value is not of its column's type, else
        unlike anything that was learnt from."""
        found = []
        for column in self.schema.columns:
            if column.name not in frame.columns:
                found.append(Fault(-1, column.name, "is missing", True))
                continue
            given = frame[column.name]
            table = read(given.to_frame(column.name), {column.name: column.role})
            known = given.notna().to_numpy()
            if column.role == NUMERIC:
                value = table.values[:, 0]
                found += _faults(known & np.isnan(value), column.name, "is no finite number", True, given)
                if column.low is not None and column.high is not None:
                    with np.errstate(invalid="ignore"):
                        outside = (value < column.low) | (value > column.high)
                    said = f"lies outside {column.low:g} to {column.high:g}, the range learnt from"
                    found += _faults(outside, column.name, said, False, given)
            elif column.role == DATE:
                found += _faults(known & np.isnat(table.moments[column.name]), column.name, "is no date", True, given)
            elif column.role == CATEGORY and column.distinct == len(column.categories):
                seen = set(column.categories)
                new = np.array([word is not None and word[:200] not in seen for word in table.words[column.name]])
                found += _faults(new, column.name, "was not among the categories learnt from", False, given)
            if len(found) >= most:
                break
        return found[:most]


def _faults(where: np.ndarray, name: str, said: str, fatal: bool, given: pd.Series) -> list[Fault]:
    values = given.to_numpy()
    return [Fault(int(row), name, f"{str(values[row])[:40]!r} {said}", fatal) for row in np.nonzero(where)[0][:20]]
