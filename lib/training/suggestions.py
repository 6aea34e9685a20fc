"""What to try with a table: steps and models, each with its reason and how often it helped on tables like this one.

The shares come from reference tables on which each suggestion was tried (`reference_outcomes.json`); with none at hand
nothing is known, and every share is a half.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from lib.errors import Invalid
from lib.profiling.tables import TableProfile
from lib.training import plan as plans
from lib.training import portfolio
from lib.training import proposals as proposing
from lib.training import schema as schemas
from lib.training.learners import FAMILIES
from lib.training.plan import Plan, Step
from lib.training.schema import FEATURES, Role, Task
from lib.training.traits import TRAITS, traits

# Of the best score found: a family this close to it helped.
CLOSE = 0.01
# Suggestions that helped more often than not are in the plan, and those no model can do without.
ACCEPTED = 0.5
_ALWAYS = ("dates", "text", "impute", "encode", "scale")
# How many tables of no opinion stand against those that are like this one; how like a table must be to be counted.
DOUBT, _LIKE = 0.5, 0.1
# A family a percent behind the best comes as far down the list as one of a tenth less confidence.
_BEHIND, _MOST_BEHIND = 10.0, 0.1


@dataclass(frozen=True)
class SuggestedStep:
    """confidence: share of reference tables like this one on which it helped, 0 to 1; tables: how many those are."""

    step: Step
    reason: str
    confidence: float
    tables: int


@dataclass(frozen=True)
class SuggestedModel:
    """confidence: share of reference tables like this one on which the family came within 1% of the best found."""

    family: str
    reason: str
    confidence: float
    tables: int


@dataclass(frozen=True)
class Suggested:
    """plan: ready to be run or changed; it holds the steps that helped more often than not, models best first."""

    plan: Plan
    steps: list[SuggestedStep]
    models: list[SuggestedModel]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Tried:
    """What became of one reference table. base: the table it is a variant of; scores: family -> score, greater is
    better; steps: kind of suggestion -> (cause, helped 0 or 1)."""

    base: str
    variant: str
    traits: Mapping[str, float]
    scores: Mapping[str, float]
    steps: Mapping[str, tuple[float, float]]

    def close(self, family: str) -> float | None:
        """1 when the family came within 1% of the best; None where it was not tried."""
        if family not in self.scores:
            return None
        best = max(self.scores.values())
        return float(self.scores[family] >= best - CLOSE * abs(best))

    def behind(self, family: str) -> float:
        """How far a family stayed behind the best, as a share of it."""
        best = max(self.scores.values())
        return min(_MOST_BEHIND, (best - self.scores[family]) / max(1e-9, abs(best)))


@dataclass(frozen=True)
class Reference:
    """Everything tried so far. weights: for "models" and "steps" some sets, each of how much a difference in each trait
    (and in the "cause") counts; a difference of 1, so weighted, makes tables rather unlike."""

    tried: tuple[Tried, ...] = ()
    weights: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Reference:
        names = held["traits"]
        return cls(
            tuple(
                Tried(
                    one["base"],
                    one["variant"],
                    dict(zip(names, one["x"], strict=True)),
                    one["scores"],
                    {key: (float(cause), float(helped)) for key, (cause, helped) in one["steps"].items()},
                )
                for one in held["tables"]
            ),
            held["weights"],
        )

    def to_json(self) -> dict[str, Any]:
        tables = [
            {
                "base": one.base,
                "variant": one.variant,
                "x": [round(one.traits[name], 3) for name in TRAITS],
                "scores": {name: round(score, 5) for name, score in one.scores.items()},
                "steps": {key: [round(cause, 2), helped] for key, (cause, helped) in one.steps.items()},
            }
            for one in self.tried
        ]
        return {"traits": list(TRAITS), "weights": self.weights, "tables": tables}

    def without(self, base: str) -> Reference:
        """As if this table, and all that was made of it, had never been tried."""
        return replace(self, tried=tuple(one for one in self.tried if one.base != base))

    def model(self, family: str, about: Mapping[str, float]) -> tuple[float, int]:
        """Share of tables like this on which the family was close to the best, and how many tables those are."""
        known = [(place, close) for place, one in enumerate(self.tried) if (close := one.close(family)) is not None]
        places = [place for place, _ in known]
        return self._share(places, [close for _, close in known], self._like("models", about, places))

    def rank(self, family: str, about: Mapping[str, float]) -> float:
        """What families are listed by: how surely one is close to the best, less what it costs if it is not."""
        known = [place for place, one in enumerate(self.tried) if family in one.scores]
        if not known:
            return 0.0
        lost = [self.tried[place].behind(family) for place in known]
        behind = self._share(known, lost, self._like("models", about, known), float(np.mean(lost)))[0]
        return self.model(family, about)[0] - _BEHIND * behind

    def step(self, key: str, about: Mapping[str, float], cause: float) -> tuple[float, int]:
        """Share of tables like this, with as strong a cause, on which a suggestion of this kind helped."""
        known = [place for place, one in enumerate(self.tried) if key in one.steps]
        causes = np.array([self.tried[place].steps[key][0] for place in known]) - cause
        helped = [self.tried[place].steps[key][1] for place in known]
        return self._share(known, helped, self._like("steps", about, known, causes))

    @cached_property
    def _traits(self) -> np.ndarray:
        return np.array([[one.traits[name] for name in TRAITS] for one in self.tried]).reshape(-1, len(TRAITS))

    def _like(
        self, what: str, about: Mapping[str, float], places: Sequence[int], causes: np.ndarray | None = None
    ) -> np.ndarray:
        """How like each of these tables is, 0 to 1: the mean of what each set of weights says."""
        gaps = (self._traits[list(places)] - np.array([about[name] for name in TRAITS])) ** 2
        found = []
        for weights in self.weights.get(what) or ({},):
            apart = gaps @ np.array([weights.get(name, 1.0) ** 2 for name in TRAITS])
            if causes is not None:
                apart = apart + (weights.get("cause", 1.0) * causes) ** 2
            found.append(np.exp(-apart / 2))
        return np.asarray(np.mean(found, axis=0))

    def _share(
        self, places: Sequence[int], helped: Sequence[float], like: np.ndarray, overall: float | None = None
    ) -> tuple[float, int]:
        """The likeness-weighted share, pulled to the share on all tables (that to a half) where like ones are few."""
        if not places:
            return 0.5, 0
        bases = Counter(one.base for one in self.tried)
        # A table with many variants is one opinion, not many.
        even = np.array([1 / np.sqrt(bases[self.tried[place].base]) for place in places])
        said = np.array(helped)
        if overall is None:
            overall = float((even @ said + 0.5) / (even.sum() + 1))
        weight = like * even
        return float((weight @ said + DOUBT * overall) / (weight.sum() + DOUBT)), int((like >= _LIKE).sum())


def advice(suggested: Suggested) -> list[str]:
    """What to try in a few sentences, the surest first, for the story of a table."""

    def share(one: SuggestedStep | SuggestedModel) -> str:
        like = (
            f"{one.tables:,} table{'' if one.tables == 1 else 's'} like this one" if one.tables else "no table like it"
        )
        return f"{one.confidence:.0%}, from {like}"

    said = []
    for place, model in enumerate(suggested.models[:2]):
        label = portfolio.LABELS[model.family]
        said.append(
            f"{'Begin with' if not place else 'Then try'} {label}: within 1% of the best on such tables "
            f"({share(model)}). {model.reason[:1].upper()}{model.reason[1:]}"
        )
    steps = sorted(suggested.steps, key=lambda one: -one.confidence)[:4]
    return said + [f"{one.step.label}: {one.reason} Helped: {share(one)}." for one in steps]


def suggest(
    profile: TableProfile,
    frame: pd.DataFrame,
    target: str,
    reference: Reference,
    *,
    roles: Mapping[str, str] | None = None,
) -> Suggested:
    """Steps and models for a table. frame: its rows, or a fair part; profile: of the whole; roles: those that are
    given, the others are guessed.

    Raises Invalid or NotEnoughData for a target nothing can be learnt from.
    """
    task = schemas.detect_task(frame[target]) if target in frame.columns else Task.REGRESSION
    schemas.require_learnable(frame, target, task)
    given = {name: role for name, role in (roles or {}).items() if name in frame.columns}
    guessed = schemas.guess_roles(frame, target) | given | {target: str(Role.TARGET)}
    about = traits(frame, target, guessed, task, profile.rows)
    steps = []
    for one in proposing.proposals(profile, frame, target, guessed, task):
        share, tables = reference.step(one.key, about, one.cause)
        steps.append(SuggestedStep(one.step, one.reason, round(share, 3), tables))
    gone = {name for one in steps if one.step.kind == "drop" for name in one.step.columns}
    if not any(role in FEATURES and name not in gone for name, role in guessed.items()):
        raise Invalid(f"No column is left to tell {target!r} from: all are empty, constant, identifiers or its copies.")
    models = _models(profile, frame, guessed, task, about, reference)
    accepted = plans.completed(
        [
            one.step
            for one in steps
            if one.confidence >= ACCEPTED or (one.step.kind in _ALWAYS and one.step.method != "target")
        ]
    )
    plan = Plan(target, guessed, task, accepted, families=tuple(one.family for one in models))
    notes = [problem.message for problem in plans.validate(plan, guessed)]
    return Suggested(plan, steps, models, notes)


def _models(
    profile: TableProfile,
    frame: pd.DataFrame,
    roles: Mapping[str, str],
    task: Task,
    about: Mapping[str, float],
    reference: Reference,
) -> list[SuggestedModel]:
    columns = sum(role in FEATURES for role in roles.values())
    rows = max(profile.rows, len(frame))
    made = []
    for family in FAMILIES:
        if portfolio.suits(family, rows, columns):
            share, tables = reference.model(family, about)
            made.append(SuggestedModel(family, _why(family, rows, columns, about), round(share, 3), tables))
    return sorted(made, key=lambda one: -reference.rank(one.family, about))


def _why(family: str, rows: int, columns: int, about: Mapping[str, float]) -> str:
    """In figures of this table, what speaks for or against a family."""
    size = f"{rows:,} rows of {columns:,} columns"

    def gain(name: str) -> str:
        more = about[name] - about["linear"]
        return f"{abs(more):.0%} {'more' if more >= 0 else 'less'}"

    line = f"straight lines tell {max(0.0, about['told'] + about['linear']):.0%} of the target"
    return {
        "linear": f"{line}, curves {gain('curves')}; {size}. Quick, and easy to explain.",
        "forest": f"{line}, a few trees {gain('trees')}; {size}. Needs no scaling, and few settings.",
        "histogram": f"{line}, curves {gain('curves')}, a few trees {gain('trees')}; {size}. Takes gaps as they are.",
        "xgboost": f"{line}, curves {gain('curves')}, a few trees {gain('trees')}; {size}. Takes gaps as they are.",
        "network": f"{line}, likeness of rows {gain('wide')}; {size}. Smooth shapes suit it.",
        "kernel": f"{line}, likeness of rows {gain('wide')}; {rows:,} rows are few enough to compare each with each.",
    }[family]
