"""What an exported script does: fold by fold, prepare and fit plain scikit-learn and XGBoost models, score, predict.

`script.script` puts this module, `folds` and `preparation` into one file; nothing of it runs in the app.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.training.folds import forward, grouped, shuffled  # these are left out of exported scripts
from lib.training.preparation import Preparation, Table, read

VIEWS = {"linear": "linear", "network": "net", "kernel": "net"}


def estimator(family: str, params: Mapping[str, Any], rounds: int, regression: bool, seed: int) -> Any:
    """An unfitted model with these parameters; rounds: how many trees or epochs were found best, 0 for the usual."""
    from sklearn import ensemble, kernel_approximation, linear_model, neural_network, pipeline

    if family == "linear":
        strength = float(params.get("strength", 1.0))
        linear = linear_model.Ridge(alpha=strength) if regression else linear_model.LogisticRegression(C=1 / strength)
        return linear if regression else linear.set_params(max_iter=200)
    if family == "forest":
        name = ("ExtraTrees" if params.get("extra", True) else "RandomForest") + (
            "Regressor" if regression else "Classifier"
        )
        options = {"min_samples_leaf": int(params.get("leaf", 1)), "max_features": params.get("features", "sqrt")}
        return getattr(ensemble, name)(rounds or int(params.get("trees", 200)), random_state=seed, **options)
    if family == "histogram":
        made = ensemble.HistGradientBoostingRegressor if regression else ensemble.HistGradientBoostingClassifier
        return made(
            learning_rate=float(params.get("rate", 0.08)),
            max_leaf_nodes=int(params.get("leaves", 31)),
            min_samples_leaf=int(params.get("leaf", 20)),
            l2_regularization=float(params.get("l2", 0.0)),
            max_features=float(params.get("features", 1.0)),
            max_iter=rounds or 150,
            early_stopping=False,
            random_state=seed,
        )
    if family == "network":
        net = neural_network.MLPRegressor if regression else neural_network.MLPClassifier
        return net(
            hidden_layer_sizes=(int(params.get("size", 96)),) * int(params.get("layers", 2)),
            alpha=float(params.get("l2", 1e-3)),
            learning_rate_init=float(params.get("rate", 2e-3)),
            max_iter=rounds or 40,
            random_state=seed,
        )
    if family == "kernel":
        gamma = float(params.get("width", 0.3)) / max(1.0, float(params.get("apart", 30.0)))
        strength = float(params.get("strength", 1.0))
        last = linear_model.Ridge(alpha=strength) if regression else linear_model.LogisticRegression(C=1 / strength)
        return pipeline.make_pipeline(kernel_approximation.Nystroem(gamma=gamma, n_components=500), last)
    import xgboost

    options = {
        "learning_rate": float(params.get("rate", 0.05)),
        "max_depth": int(params.get("depth", 6)),
        "min_child_weight": float(params.get("child", 1.0)),
        "subsample": float(params.get("rows", 0.8)),
        "colsample_bytree": float(params.get("features", 0.8)),
        "reg_lambda": float(params.get("l2", 1.0)),
        "reg_alpha": float(params.get("l1", 0.0)),
    }
    if params.get("leaves"):
        options |= {"grow_policy": "lossguide", "max_leaves": int(params["leaves"]), "max_depth": 0}
    boosted = xgboost.XGBRegressor if regression else xgboost.XGBClassifier
    return boosted(n_estimators=rounds or 200, random_state=seed, n_jobs=1, **options)


def split(plan: Mapping[str, Any], frame: pd.DataFrame, target: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places of rows to learn from and to predict, the very ones a training in the app has: by time, by group, or
    shuffled; rows it holds out are left out here."""
    by_role = {role: name for name, role in plan["roles"].items()}
    task, seed, share = plan["task"], plan["seed"], plan["holdout"]
    keys = np.arange(len(target))
    if "time" in by_role:
        column = frame[by_role["time"]]
        held = column if column.dtype.kind in "iufM" else pd.to_datetime(column, errors="coerce", utc=True)
        keys = held.to_numpy(dtype="datetime64[ns]").astype(np.int64) if held.dtype.kind == "M" else held.to_numpy()
    elif "group" in by_role:
        keys = frame[by_role["group"]].astype(str).to_numpy()
    learn = np.arange(len(target))
    if share and "time" in by_role:
        learn = np.sort(np.argsort(keys, kind="stable")[: round(len(keys) * (1 - share))])
    elif share:
        count = max(2, round(1 / share))
        apart = grouped(keys, count, seed + 1) if "group" in by_role else shuffled(target, task, count, seed + 1)
        learn = apart[0].train
    count = plan["folds"] or (8 if len(target) <= 20_000 else 5 if len(target) <= 200_000 else 3)
    if task != "regression":
        count = max(2, min(count, int(np.bincount(target)[np.unique(target)].min())))
    if "time" in by_role:
        made = forward(keys[learn], plan["folds"] or 4)
    elif "group" in by_role:
        made = grouped(keys[learn], count, seed)
    else:
        made = shuffled(target[learn], task, count, seed)
    return [(learn[one.train], learn[one.test]) for one in made]


def in_order(names: set[str]) -> list[str]:
    """Classes: numbers by size, text by alphabet."""
    try:
        return sorted(names, key=float)
    except ValueError:
        return sorted(names)


def fitted(
    plan: Mapping[str, Any], member: Mapping[str, Any], table: Table, target: np.ndarray, classes: int
) -> tuple[Preparation, Any, float, float]:
    """Prepare and fit on these rows alone: preparation, model, middle and spread of the number (or its logarithm)."""
    regression = plan["task"] == "regression"
    held = np.log1p(target) if member["log"] else target.astype(float) if regression else target
    middle, spread = (float(held.mean()), float(held.std()) or 1.0) if regression else (0.0, 1.0)
    wanted = (held - middle) / spread if regression else held
    preparation = Preparation(plan["preparation"], VIEWS.get(member["family"], "trees"), plan["seed"])
    values = preparation.fit_transform(table, wanted[:, None] if regression else np.eye(classes)[target])
    model = estimator(member["family"], member["params"], member["rounds"], regression, plan["seed"])
    if member["family"] == "network":
        # Small batches for small tables; rounds are counted in passes over all rows.
        batch = int(np.clip(2 ** int(np.log2(max(8, len(target) / 40))), 16, 256))
        model.set_params(batch_size=min(batch, len(target)))
    weighed = plan["balance"] and not regression and member["family"] not in ("network", "kernel")
    counts = np.bincount(target) if weighed else np.ones(1)
    weight = {"sample_weight": (len(target) / (len(counts) * counts))[target]} if weighed else {}
    return preparation, model.fit(_clean(member, values), wanted, **weight), middle, spread


def said(plan: Mapping[str, Any], member: Mapping[str, Any], made: tuple[Any, ...], table: Table) -> np.ndarray:
    """Probabilities a class, or numbers, of rows."""
    preparation, model, middle, spread = made
    values = _clean(member, preparation.transform(table))
    if plan["task"] != "regression":
        return np.asarray(model.predict_proba(values))
    out = model.predict(values) * spread + middle
    return np.asarray(np.expm1(out) if member["log"] else out)[:, None]


def _clean(member: Mapping[str, Any], values: np.ndarray) -> np.ndarray:
    return np.clip(np.nan_to_num(values), -8, 8) if member["family"] in ("network", "kernel") else (
        np.nan_to_num(values) if member["family"] == "linear" else values
    )  # fmt: skip


def picked(table: Table, rows: np.ndarray) -> Table:
    """These rows of a table."""
    kinds = [{name: one[rows] for name, one in d.items()} for d in (table.words, table.texts, table.moments)]
    return Table(len(rows), table.names, table.values[rows], *kinds)


def load(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def main(plan: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> None:
    """Score on rows not seen, then fit all rows and predict a second file."""
    from sklearn.metrics import log_loss, r2_score, roc_auc_score
    from threadpoolctl import threadpool_limits

    # Networks stop after the rounds that were found best, and say so each time; small tables are slower on many cores.
    warnings.filterwarnings("ignore", message="Stochastic Optimizer")
    threadpool_limits(1)

    parser = argparse.ArgumentParser(description="Fit the pipeline on TABLE, print its scores, predict NEW.")
    parser.add_argument("table", type=Path, help="CSV or Parquet with the target")
    parser.add_argument("new", type=Path, nargs="?", help="CSV or Parquet to predict")
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"))
    given = parser.parse_args()
    frame = load(given.table)
    frame = frame[frame[plan["target"]].notna()].reset_index(drop=True)
    regression = plan["task"] == "regression"
    roles = {name: role for name, role in plan["roles"].items() if role in ("numeric", "category", "text", "date")}
    if regression:
        classes: list[str] = []
        target = frame[plan["target"]].to_numpy(dtype=float)
    else:
        words = read(frame, {plan["target"]: "category"}).words[plan["target"]]
        classes = plan["classes"] or in_order(set(words))
        target = np.array([classes.index(word) for word in words])
    table = read(frame, roles)
    total = np.full((len(frame), max(1, len(classes))), np.nan)
    for train, test in split(plan, frame, target):
        learn = picked(table, train)
        parts = [
            member["weight"]
            * said(plan, member, fitted(plan, member, learn, target[train], len(classes)), picked(table, test))
            for member in members
        ]
        total[test] = np.sum(parts, axis=0) / sum(member["weight"] for member in members)
    rows = ~np.isnan(total[:, 0])
    if regression:
        print(f"R2 on rows not seen: {r2_score(target[rows], total[rows, 0]):.4f}")
    else:
        print(f"Log loss on rows not seen: {log_loss(target[rows], total[rows], labels=range(len(classes))):.4f}")
        if len(classes) == 2:
            print(f"ROC AUC on rows not seen: {roc_auc_score(target[rows], total[rows, 1]):.4f}")
    if not given.new:
        return
    unseen = load(given.new)
    new = read(unseen, roles)
    parts = [m["weight"] * said(plan, m, fitted(plan, m, table, target, len(classes)), new) for m in members]
    out = np.sum(parts, axis=0) / sum(member["weight"] for member in members)
    if regression:
        answer = pd.DataFrame({plan["target"]: out[:, 0]})
    else:
        answer = pd.DataFrame(out, columns=[f"probability of {name}" for name in classes])
        answer.insert(0, plan["target"], [classes[n] for n in out.argmax(axis=1)])
    answer.to_csv(given.out, index=False)
    print(f"{len(answer)} predictions in {given.out}")
