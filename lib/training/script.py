"""Export a pipeline as one Python file that needs only numpy, pandas, scikit-learn and XGBoost."""

from __future__ import annotations

import ast
import inspect
import pprint
import textwrap
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from lib.errors import Invalid
from lib.training import ensemble, folds, learners, portable, preparation, rows, standalone
from lib.training import model as models
from lib.training.learners import FAMILIES
from lib.training.model import Model
from lib.training.plan import Plan
from lib.training.portfolio import Candidate

_HEAD = '''"""Predicts a column from a table; exported by AutoOps.

python FILE TABLE [NEW]: fits TABLE (CSV or Parquet), prints scores of rows not seen, writes predictions of NEW.
TABLE: the dataset as the API gives it (/api/v1/datasets/ID/data), or as the page does when it is not longer than that.
Needs numpy, pandas, scikit-learn and xgboost. All that learns from data is fitted inside each fold.

{about}
"""
'''
_TRAINED = (
    "Fits the model that was trained again, by the same code, with its rounds, weights, calibration and threshold: its "
    "predictions are the app's when TABLE is the dataset it was trained on, with {versions} as in the app. They differ "
    "a little with other versions, in the last digits on another processor, from a CSV file whose text looks like "
    "numbers (007), where all workers of a cluster boosted together, and where a table of more than 40 million values "
    "was cut. Without rows held out, the scores printed are of weights and calibration chosen on the same rows; the "
    "app's, printed beside them, on others."
)
_OLDER = (
    "This model was trained before the app kept how far each fit went: its rounds are found again here, so that its "
    "predictions differ a little from the app's. Train it again for a script that gives the very same."
)
_UNTRAINED = (
    "Nothing was trained yet: one model of each family with usual settings, all weighed alike. A training in the app "
    "also searches settings, weighs, calibrates and tunes, so that its predictions differ from these."
)


# What the parts below take from others of the app.
_NAMES = """Invalid = NotEnoughData = ValueError


class Task:
    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
"""
_PARTS = (
    preparation,
    folds,
    portable,
    learners,
    models.Shift,
    ensemble.apply_calibration,
    ensemble.log_odds,
    ensemble.calibrated,
    rows.picked,
    rows.keys,
    rows.balance,
    standalone,
)


def script(plan: Plan, model: Model | None = None) -> str:
    """The file's text. model: fitted again by it as it was trained; without one, a default of each family.

    Raises Invalid for a plan whose task is not known yet.
    """
    task = model.task if model else plan.task
    if task is None:
        raise Invalid("Choose the task of the pipeline, or train it once, before it is exported.")
    roles = dict(plan.read)
    if model:
        shown = {**model.schema.roles}
        # In the order the model has them: of columns in another one, other trees would be grown.
        split = {name: role for name, role in roles.items() if role in ("time", "group")}
        roles = {**shown, **split}
    about = {
        "target": plan.target,
        "task": str(task),
        "roles": {name: str(role) for name, role in roles.items() if name != plan.target},
        "classes": list(model.schema.classes) if model else [],
        "preparation": plan.preparation,
        "balance": plan.balance,
        "folds": plan.folds,
        "holdout": plan.holdout,
        "seed": plan.seed,
        "threads": plan.threads,
        "slope": model.slope if model else 1.0,
        "shift": model.shift if model else 0.0,
        "threshold": model.threshold if model else 0.5,
        "scores": _scores(model) if model else {},
    }
    body = [
        _HEAD.format(about=textwrap.fill(_about(model), 118)),
        "from __future__ import annotations\n",
        _imports(),
        _NAMES,
        *(_code(part) for part in _PARTS),
    ]
    body += [f"PLAN = {pprint.pformat(about, width=110, sort_dicts=False)}\n"]
    body += [f"MEMBERS = {pprint.pformat(_members(plan, model), width=110, sort_dicts=False)}\n"]
    body += ['if __name__ == "__main__":\n    main(PLAN, MEMBERS)\n']
    return "\n".join(body)


def _about(model: Model | None) -> str:
    if model is None:
        return _UNTRAINED
    if not all(member.fits for member in model.members):
        return _OLDER
    return _TRAINED.format(
        versions=f"numpy {version('numpy')}, scikit-learn {version('scikit-learn')} and {_xgboost()}"
    )


def _xgboost() -> str:
    """Its version; on some machines it is the build without GPU."""
    try:
        return f"xgboost {version('xgboost-cpu')}"
    except PackageNotFoundError:
        return f"xgboost {version('xgboost')}"


def _scores(model: Model) -> dict[str, float]:
    """What the app said of it, by the names the script says."""
    named = {"R2": model.scores.get("r2"), "ROC AUC": model.scores.get("roc_auc")}
    loss = model.scores.get("neg_log_loss")
    named["Log loss"] = None if loss is None else -loss
    return {name: score for name, score in named.items() if score is not None}


def _members(plan: Plan, model: Model | None) -> list[dict[str, Any]]:
    if model:
        return [
            {
                "name": m.name,
                "family": m.family,
                "params": dict(m.params),
                "view": Candidate(m.name, m.family, m.params).view,
                "weight": m.weight,
                "log": m.log,
                "fits": [tuple(one) for one in m.fits],
                "parts": len(m.parts),
            }
            for m in model.members
        ]
    chosen = [family for family in FAMILIES if family in plan.families]
    return [
        {
            "name": family,
            "family": family,
            "params": {},
            "view": Candidate(family, family).view,
            "weight": 1 / len(chosen),
            "log": False,
            "fits": [],
            "parts": 0,
        }
        for family in chosen
    ]


def _imports() -> str:
    return (
        "import argparse\nimport contextlib\nimport re\nimport sys\nimport warnings\n"
        "from collections.abc import Callable, Iterator, Mapping, Sequence\n"
        "from dataclasses import dataclass, field\nfrom pathlib import Path\nfrom typing import Any, Protocol\n\n"
        "import numpy as np\nimport pandas as pd\n"
    )


def _code(part: Any) -> str:
    """The source of a function or class, or of a module after its docstring and imports."""
    source = inspect.getsource(part)
    if not isinstance(part, ModuleType):
        return f"\n{source}"
    body = ast.parse(source).body
    last = max(node.end_lineno or 0 for node in body if isinstance(node, ast.Import | ast.ImportFrom))
    return "\n".join(source.splitlines()[last:]) + "\n"
