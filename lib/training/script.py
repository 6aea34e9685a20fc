"""Export a pipeline as one Python file that needs only numpy, pandas, scikit-learn and XGBoost."""

from __future__ import annotations

import inspect
import pprint
from typing import Any

from lib.errors import Invalid
from lib.training import folds, preparation, standalone
from lib.training.learners import FAMILIES
from lib.training.model import Model
from lib.training.plan import Plan

_HEAD = '''"""Predicts a column from a table; exported by AutoOps.

python FILE TABLE [NEW]: fits TABLE (CSV or Parquet), prints scores of rows not seen, writes predictions of NEW.
TABLE: the dataset as the API gives it (/api/v1/datasets/ID/data), or as the page does when it is not longer than that.
Needs numpy, pandas, scikit-learn and xgboost. All that learns from data is fitted inside each fold.
"""
'''


# What the modules below take from others of the app.
_NAMES = """NotEnoughData = ValueError


class Task:
    REGRESSION = "regression"
"""


def script(plan: Plan, model: Model | None = None) -> str:
    """The file's text. model: its members with their weights and rounds; without one, a default of each family.

    Raises Invalid for a plan whose task is not known yet.
    """
    task = model.task if model else plan.task
    if task is None:
        raise Invalid("Choose the task of the pipeline, or train it once, before it is exported.")
    roles = dict(plan.read)
    if model:
        shown = {**model.schema.roles}
        roles = {name: role for name, role in roles.items() if name in shown or role in ("time", "group")}
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
    }
    body = [
        _HEAD,
        "from __future__ import annotations\n",
        _imports(),
        _NAMES,
        _code(preparation),
        _code(folds),
        _code(standalone),
    ]
    body += [f"PLAN = {pprint.pformat(about, width=110, sort_dicts=False)}\n"]
    body += [f"MEMBERS = {pprint.pformat(_members(plan, model), width=110, sort_dicts=False)}\n"]
    body += ['if __name__ == "__main__":\n    main(PLAN, MEMBERS)\n']
    return "\n".join(body)


def _members(plan: Plan, model: Model | None) -> list[dict[str, Any]]:
    if model:
        return [
            {
                "name": m.name,
                "family": m.family,
                "params": dict(m.params),
                "rounds": m.rounds,
                "weight": round(m.weight, 4),
                "log": m.log,
            }
            for m in model.members
        ]
    chosen = [family for family in FAMILIES if family in plan.families]
    return [
        {"name": family, "family": family, "params": {}, "rounds": 0, "weight": 1.0, "log": False} for family in chosen
    ]


def _imports() -> str:
    return (
        "import argparse\nimport re\nimport warnings\nfrom collections.abc import Callable, Mapping, Sequence\n"
        "from dataclasses import dataclass\nfrom pathlib import Path\nfrom typing import Any\n\n"
        "import numpy as np\nimport pandas as pd\n"
    )


def _code(module: Any) -> str:
    """A module's source after its docstring and imports."""
    lines = inspect.getsource(module).splitlines()
    last = max(n for n, line in enumerate(lines) if line.startswith(("import ", "from ")))
    return "\n".join(lines[last + 1 :]) + "\n"
