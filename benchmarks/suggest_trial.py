"""Try on a table what would be suggested for it: each family of models, and each step against going without."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.suggest_tables import TARGET, Made
from lib.errors import AppError
from lib.profiling.tables import TableProfile
from lib.store import tables
from lib.training import learners, metrics, portfolio
from lib.training import rows as rows_of
from lib.training import schema as schemas
from lib.training.learners import OutOfTime, Setting
from lib.training.model import Shift
from lib.training.plan import Plan, Step, completed
from lib.training.preparation import Preparation, read
from lib.training.proposals import Proposal, proposals
from lib.training.schema import Role, Task
from lib.training.suggestions import Reference, Tried, suggest
from lib.training.traits import traits

# A step helped when the linear or the boosted model got better by this share of what was left to be told, and the
# better one of the two not worse.
NOTABLE = 0.01
FIT_S = 25.0
# How many of its first settings each family is tried with.
SETTINGS = {"linear": 3, "forest": 2, "histogram": 2, "xgboost": 2, "network": 1, "kernel": 2}
_ONE = dict.fromkeys(SETTINGS, 1)
_QUICK = ("linear", "histogram")


def profiled(frame: pd.DataFrame, name: str) -> TableProfile:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        frame.to_parquet(path)
        return tables.profile(path, name, Path(folder))


class Trial:
    """A table split once or twice; scores of families after given steps, on rows they have not seen."""

    def __init__(self, table: Made, rows: int, splits: int = 1) -> None:
        self.table, self.task = table, Task(table.task)
        frame = table.frame
        if len(frame) > rows:
            frame = frame.iloc[np.random.default_rng(3).permutation(len(frame))[:rows]].reset_index(drop=True)
        self.frame = frame
        self.roles = schemas.guess_roles(frame, TARGET)
        self.profile = profiled(frame, table.base)
        self.proposals = proposals(self.profile, frame, TARGET, self.roles, self.task)
        self.traits = traits(frame, TARGET, self.roles, self.task, len(frame))
        self.splits = [self._split(number) for number in range(splits)]

    def _split(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

        made = ShuffleSplit if self.task == Task.REGRESSION else StratifiedShuffleSplit
        parts = list(made(n_splits=number + 1, test_size=0.25, random_state=7).split(self.frame, self.frame[TARGET]))
        return parts[number]

    def suggested(self, reference: Reference) -> Any:
        return suggest(self.profile, self.frame, TARGET, reference)

    def score(
        self,
        families: Sequence[str],
        steps: Sequence[Mapping[str, Any]],
        roles: Mapping[str, str],
        balance: str = "",
        metric: str = "",
        cpu_s: float = FIT_S,
        settings: Mapping[str, int] = SETTINGS,
    ) -> dict[str, float]:
        """Mean over the splits; a family that does not come to an end has none. The best of a family's first settings
        counts, for a suggested family is searched, too."""
        found: dict[str, list[float]] = {family: [] for family in families}
        schema = schemas.describe(self.frame, TARGET, roles, self.task)
        for train, test in self.splits:
            views: dict[str, tuple[np.ndarray, np.ndarray]] = {}
            unseen = self.frame.iloc[test].copy()
            for name in self.table.hidden:
                unseen[name] = None
            sides = [(self.frame.iloc[train], *schemas.encode_target(self.frame.iloc[train], schema))]
            sides.append((unseen, *schemas.encode_target(unseen, schema)))
            (_, kept, y), (_, seen, wanted) = sides
            held = [rows_of.picked(read(one, schema.roles), places) for one, places, _ in sides]
            if self.task == Task.REGRESSION:
                columns = ((y - y.mean()) / (y.std() or 1.0))[:, None]
            else:
                columns = np.eye(len(schema.classes))[y]
            weight = rows_of.balance(y, balance, 0) if balance else None
            listed = portfolio.first(self.task, len(y), len(schema.columns), False, tuple(families))
            for family in families:
                best = -np.inf
                for candidate in [one for one in listed if one.family == family][: settings[family]]:
                    if candidate.view not in views:
                        preparation = Preparation(steps, candidate.view)
                        pair = (preparation.fit_transform(held[0], columns), preparation.transform(held[1]))
                        if candidate.view != "trees":
                            pair = (np.nan_to_num(pair[0]), np.nan_to_num(pair[1]))
                        views[candidate.view] = (pair[0].astype(np.float32), pair[1].astype(np.float32))
                    values, others = views[candidate.view]
                    if not values.shape[1]:
                        continue
                    # Of CPU, so that a busy machine finds what an idle one does.
                    until = time.process_time() + cpu_s
                    setting = Setting(
                        self.task, len(schema.classes), 0, lambda until=until: until - time.process_time()
                    )
                    shift = Shift.of(y, False) if self.task == Task.REGRESSION else None
                    aim = y if shift is None else shift.onto(y)
                    try:
                        fitted, _rounds = learners.fit(family, values, aim, weight, candidate.params, setting)
                    except OutOfTime:
                        continue
                    out = fitted.predict(others)
                    out = out if shift is None else shift.back(out)
                    best = max(best, metrics.score(metric or self.table.metric, wanted, out))
                if np.isfinite(best):
                    found[family].append(best)
        return {family: float(np.mean(held)) for family, held in found.items() if len(held) == len(self.splits)}

    # --- steps ------------------------------------------------------------------------------------

    def with_all(self, without: Proposal | None = None) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """Raw steps and roles with everything proposed but one; what that one would have done is left undone."""
        roles = dict(self.roles)
        listed: list[Step] = []
        for one in self.proposals:
            if one is not without:
                listed.append(one.step)
                continue
            for name in one.step.columns:
                if one.key in ("dates", "text"):
                    roles[name] = Role.IGNORE
                elif one.key.startswith("drop"):
                    number = self.frame[name].dtype.kind in "iuf"
                    roles[name] = (
                        roles[name] if roles[name] in schemas.FEATURES else "numeric" if number else "category"
                    )
            if one.key == "encode":
                roles = {name: Role.IGNORE if role == Role.CATEGORY else role for name, role in roles.items()}
        gone = {name for step in listed if step.kind == "drop" for name in step.columns}
        roles = {name: (Role.IGNORE if name in gone else role) for name, role in roles.items()}
        kept = completed([step for step in listed if step.kind != "drop"])
        steps = Plan(TARGET, roles, self.task, kept).preparation
        key = without.key if without else ""
        if key == "impute":
            steps = [{**s, "method": "zero", "mark": False} if s["kind"] == "impute" else s for s in steps]
        if key == "scale":
            steps = [{**s, "method": "none"} if s["kind"] == "scale" else s for s in steps]
        # A step that names columns none of which is left would otherwise take all.
        there = [{**s, "columns": [c for c in s["columns"] if roles.get(c) in schemas.FEATURES]} for s in steps]
        return [now for now, before in zip(there, steps, strict=True) if now["columns"] or not before["columns"]], roles

    def of_plan(self, plan: Plan) -> tuple[list[dict[str, Any]], dict[str, str], str]:
        """What a plan does, as `score` takes it."""
        gone = {name for step in plan.steps if step.kind == "drop" for name in step.columns}
        roles = {name: (str(Role.IGNORE) if name in gone else role) for name, role in plan.roles.items()}
        steps = tuple(step for step in plan.steps if step.kind != "drop")
        return Plan(plan.target, roles, plan.task, steps).preparation, roles, plan.balance

    def helped(self, one: Proposal, cpu_s: float = FIT_S) -> float | None:
        """1 when the step helped, 0 when it did not; None where neither model came to an end. A column left out has
        helped when nothing got worse by it."""
        metric = ""
        if one.key == "balance":
            # Ranks of the rare class: weights must bring more than another threshold would.
            metric = "average_precision" if self.task == Task.BINARY else "balanced_accuracy"
        try:
            steps, roles = self.with_all()
            have = self.score(_QUICK, steps, roles, "weights" if one.key == "balance" else "", metric, cpu_s, _ONE)
            steps, roles = self.with_all(one)
            lack = self.score(_QUICK, steps, roles, "", metric, cpu_s, _ONE)
        except (AppError, ValueError, ArithmeticError):
            return None
        if not have or have.keys() != lack.keys():
            return None
        if one.key.startswith("drop"):
            return float(max(have.values()) >= max(lack.values()) - _notable(max(lack.values())))
        kept = max(have.values()) >= max(lack.values()) - _notable(max(lack.values()))
        return float(kept and any(have[name] > lack[name] + _notable(lack[name]) for name in have))

    def tried(self, cpu_s: float = FIT_S) -> Tried:
        """Everything about this table that the reference keeps."""
        steps, roles = self.with_all()
        scores = self.score(learners.FAMILIES, steps, roles, cpu_s=cpu_s)
        found = {}
        for one in self.proposals:
            helped = self.helped(one, cpu_s)
            if helped is not None:
                found[one.key] = (one.cause, helped)
        return Tried(self.table.base, self.table.variant, self.traits, self.comparable(scores), found)

    def comparable(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Scores of which a share can be taken: a log loss as the (geometric) mean chance given to what came true."""
        if self.table.metric != "neg_log_loss":
            return dict(scores)
        return {name: float(np.exp(score)) for name, score in scores.items()}


def _notable(score: float) -> float:
    """Of scores that end at 1, a share of what is left; of losses, of the loss."""
    return NOTABLE * max(0.02, 1 - score if score >= 0 else -score)
