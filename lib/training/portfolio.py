"""Which models are tried first, and where the search goes from there. Of a table only its size counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lib.training.preparation import LINEAR, NET, TREES
from lib.training.schema import Task

if TYPE_CHECKING:
    import optuna

# A kernel over more rows, or a network over more numbers, costs more than it brings.
KERNEL_ROWS = 8_000
NETWORK_NUMBERS = 3_000_000
FOREST_ROWS = 60_000
LARGE = 10_000
VIEWS = {"linear": LINEAR, "network": NET, "kernel": NET, "forest": TREES, "histogram": TREES, "xgboost": TREES}
# Families that take neither gaps nor columns of different scales as they are.
NEEDY = frozenset(family for family, view in VIEWS.items() if view != TREES)
LABELS = {
    "linear": "Linear",
    "forest": "Forest",
    "histogram": "HistGradientBoosting",
    "xgboost": "XGBoost",
    "network": "Neural network",
    "kernel": "Kernel",
}


@dataclass(frozen=True)
class Candidate:
    """A family with its parameters. log: learn the logarithm of the target (numbers that are never negative)."""

    name: str
    family: str
    params: Mapping[str, Any] = field(default_factory=dict)
    log: bool = False

    @property
    def view(self) -> str:
        return str(self.params.get("view") or VIEWS[self.family])


def first(task: Task, rows: int, columns: int, skewed: bool, families: tuple[str, ...]) -> list[Candidate]:
    """Strong defaults of unlike kinds, the quickest first; the ensemble lives from their being unlike."""
    leaf = max(1, rows // 20_000)
    strong = 1.0 if task != Task.MULTICLASS else 0.003
    # Boosting in small steps takes a class's number of trees a round.
    pace = 1.0 if task != Task.MULTICLASS else 2.0
    boosted: list[tuple[str, dict[str, Any]]] = [
        ("xgboost", {"rate": 0.06 * pace, "depth": 6, "child": 3, "rows": 0.9, "features": 0.4, "l2": 3.0}),
        ("histogram", {"rate": 0.08 * pace, "leaves": 31}),
        ("xgboost", {"rate": 0.08 * pace, "depth": 4, "child": 3, "rows": 0.9, "features": 0.5, "l2": 1.0}),
        ("xgboost", {"rate": 0.04 * pace, "depth": 8, "child": 5, "rows": 0.8, "features": 0.5, "l2": 2.0}),
        ("xgboost", {"rate": 0.05 * pace, "leaves": 48, "child": 8, "rows": 0.8, "features": 0.7, "l2": 1.0}),
        ("histogram", {"rate": 0.05 * pace, "leaves": 15, "leaf": 10, "features": 0.5, "l2": 1.0}),
        ("xgboost", {"rate": 0.04 * pace, "depth": 3, "child": 3, "rows": 0.7, "features": 0.5, "l2": 3.0}),
    ]
    others: list[tuple[str, dict[str, Any]]] = [
        ("network", {"size": 96, "layers": 2, "l2": 1e-3}),
        ("kernel", {"width": 0.3 if strong == 1.0 else 1.0, "strength": strong}),
        ("forest", {"trees": 200, "leaf": leaf, "features": "sqrt"}),
        ("linear", {"strength": 30.0}),
        ("forest", {"trees": 200, "leaf": max(2, leaf), "features": 0.5}),
        ("kernel", {"width": 0.1, "strength": 0.3 * strong}),
        ("network", {"size": 160, "layers": 1, "l2": 1e-2, "rate": 1e-3}),
        ("linear", {"strength": 300.0}),
        ("forest", {"trees": 150, "leaf": max(2, leaf), "features": 0.7, "extra": False}),
        ("kernel", {"width": 0.6, "strength": 3.0 * strong}),
        ("network", {"size": 48, "layers": 1, "l2": 0.1, "rate": 1e-3}),
    ]
    # Where one fit takes seconds, those that win on large tables come first; where it does not, the unlike ones.
    if rows > LARGE:
        turns = boosted[:3] + _dealt(others, boosted[3:])
    else:
        turns = _dealt(others, boosted) if task == Task.MULTICLASS else _dealt(boosted, others)
    listed = [("linear", {"strength": 1.0}), *turns]
    if task == Task.REGRESSION:
        listed += [("linear", {"strength": 3000.0})]
    made, count = [], dict.fromkeys(LABELS, 0)
    for family, params in listed:
        if family not in families or not suits(family, rows, columns):
            continue
        count[family] += 1
        made.append(Candidate(f"{LABELS[family]} {count[family]}", family, params))
        if skewed and family != "linear" and count[family] == 1:
            count[family] += 1
            made.append(Candidate(f"{LABELS[family]} {count[family]}", family, params, log=True))
    return made


def _dealt(first_: list[Any], second: list[Any]) -> list[Any]:
    """One of each in turns, then what is left."""
    pairs = [one for pair in zip(first_, second, strict=False) for one in pair]
    shorter = min(len(first_), len(second))
    return pairs + first_[shorter:] + second[shorter:]


def suits(family: str, rows: int, columns: int) -> bool:
    """Whether a family is worth its time on a table of this size."""
    if family == "kernel":
        return rows <= KERNEL_ROWS
    if family == "network":
        return rows * max(10, columns) <= NETWORK_NUMBERS
    return family != "forest" or rows <= FOREST_ROWS


def suggest(trial: optuna.Trial, families: list[str], rows: int, skewed: bool) -> Candidate:
    """One draw of the search space."""
    family = trial.suggest_categorical("family", families)
    number = trial.suggest_float
    params: dict[str, Any]
    if family == "xgboost":
        params = {
            "rate": number("xgboost.rate", 0.015, 0.15, log=True),
            "depth": trial.suggest_int("xgboost.depth", 2, 10),
            "child": number("xgboost.child", 0.5, 40, log=True),
            "rows": number("xgboost.rows", 0.5, 1.0),
            "features": number("xgboost.features", 0.3, 1.0),
            "l2": number("xgboost.l2", 0.05, 30, log=True),
            "l1": number("xgboost.l1", 1e-3, 5, log=True),
        }
    elif family == "histogram":
        params = {
            "rate": number("histogram.rate", 0.02, 0.2, log=True),
            "leaves": trial.suggest_int("histogram.leaves", 4, 96, log=True),
            "leaf": trial.suggest_int("histogram.leaf", 3, 60, log=True),
            "l2": number("histogram.l2", 1e-3, 10, log=True),
            "features": number("histogram.features", 0.3, 1.0),
        }
    elif family == "forest":
        params = {
            "trees": 200,
            "leaf": trial.suggest_int("forest.leaf", max(1, rows // 20_000), 12 + rows // 4_000, log=True),
            "features": number("forest.features", 0.15, 1.0),
            "extra": trial.suggest_categorical("forest.extra", [True, False]),
        }
    elif family == "linear":
        params = {"strength": number("linear.strength", 0.05, 3000, log=True)}
    elif family == "kernel":
        params = {
            "width": number("kernel.width", 0.02, 2.0, log=True),
            "strength": number("kernel.strength", 0.001, 10, log=True),
        }
    else:
        params = {
            "size": trial.suggest_int("network.size", 16, 192, log=True),
            "layers": trial.suggest_int("network.layers", 1, 3),
            "l2": number("network.l2", 1e-4, 1.0, log=True),
            "rate": number("network.rate", 5e-4, 5e-3, log=True),
        }
    log = bool(trial.suggest_categorical("log", [False, True])) if skewed and family != "linear" else False
    return Candidate(f"{LABELS[family]} search {trial.number + 1}", family, params, log)
