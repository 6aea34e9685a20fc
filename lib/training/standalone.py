"""What an exported script does: fit the parts of a model again, as the app fitted them, score them and predict.

`script.script` puts this module and what it takes of others into one file; nothing of it runs in the app.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# Exported scripts have these in the same file.
from lib.training.ensemble import apply_calibration
from lib.training.folds import Fold, held_out, split
from lib.training.learners import Setting, fit, threads_held
from lib.training.model import Shift
from lib.training.portable import Predictor
from lib.training.preparation import Preparation, Table, read
from lib.training.rows import balance, keys, picked

# A script has all the time a fit takes.
_FOREVER_S = 1e9


@dataclass
class Rows:
    """A table to learn from: its rows with a known target, what is to be said of each, and how they are split."""

    plan: Mapping[str, Any]
    table: Table
    target: np.ndarray
    classes: Sequence[str]
    weight: np.ndarray | None
    learn: np.ndarray
    kept_back: np.ndarray
    folds: list[Fold]
    prepared: dict[tuple[str, int], tuple[Preparation, np.ndarray, np.ndarray]] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Mapping[str, Any], frame: pd.DataFrame) -> Rows:
        by_role = {role: name for name, role in plan["roles"].items()}
        task, seed, classes = plan["task"], plan["seed"], list(plan["classes"])
        if task == "regression":
            target = pd.to_numeric(frame[plan["target"]], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
            known = np.nonzero(np.isfinite(target))[0]
        else:
            words = read(frame, {plan["target"]: "category"}).words[plan["target"]]
            classes = classes or in_order({word for word in words.tolist() if word is not None})
            places = {name: number for number, name in enumerate(classes)}
            target = np.array([places.get(word, -1) for word in words.tolist()])
            known = np.nonzero(target >= 0)[0]
        target = target[known]
        order = keys(frame, by_role.get("time"), by_role.get("group"), known)
        by = "time" if "time" in by_role else "group" if "group" in by_role else ""
        learn, kept_back = held_out(target, task, order, by, plan["holdout"], seed)
        folds = split(target, task, order, by, learn, plan["folds"], seed)
        weight = balance(target, plan["balance"], seed) if plan["balance"] and task != "regression" else None
        table = picked(read(frame, features(plan)), known)
        return cls(plan, table, target, classes, weight, learn, kept_back, folds)

    def fold(self, number: int) -> Fold:
        """A fold; the one after the last learns from all rows."""
        return self.folds[number] if number < len(self.folds) else Fold(number, self.learn, self.learn[:1])

    def numbers(self, view: str, fold: Fold) -> tuple[Preparation, np.ndarray, np.ndarray]:
        """A fold's rows as numbers; all that is learnt for it is learnt from its training rows."""
        if (view, fold.number) not in self.prepared:
            rows = self.learnt(fold)
            preparation = Preparation(self.plan["preparation"], view, self.plan["seed"])
            if self.plan["task"] == "regression":
                held = self.target[rows].astype(float)
                wanted = ((held - held.mean()) / (held.std() or 1.0))[:, None]
            else:
                wanted = np.eye(len(self.classes))[self.target[rows]]
            train = preparation.fit_transform(picked(self.table, rows), wanted)
            test = preparation.transform(picked(self.table, fold.test))
            if view != "trees":
                train, test = np.nan_to_num(train), np.nan_to_num(test)
            made = (preparation, train.astype(np.float32), test.astype(np.float32))
            self.prepared[view, fold.number] = made
        return self.prepared[view, fold.number]

    def learnt(self, fold: Fold) -> np.ndarray:
        return fold.train if self.weight is None else fold.train[self.weight[fold.train] > 0]


@dataclass(frozen=True)
class Part:
    """A member's model of one fold."""

    preparation: Preparation
    predictor: Predictor
    shift: Shift | None
    test: np.ndarray  # what it says of the fold's other rows

    def of(self, values: np.ndarray) -> np.ndarray:
        out = self.predictor.predict(values)
        return self.shift.back(out) if self.shift else out


def features(plan: Mapping[str, Any]) -> dict[str, str]:
    return {name: role for name, role in plan["roles"].items() if role in ("numeric", "category", "text", "date")}


def in_order(names: set[str]) -> list[str]:
    """Classes: numbers by size, text by alphabet."""
    try:
        return sorted(names, key=float)
    except ValueError:
        return sorted(names)


def fitted(rows: Rows, member: Mapping[str, Any], number: int) -> Part:
    """A member's fit of a fold, with as many rounds as it took when it was trained."""
    plan, fold = rows.plan, rows.fold(number)
    learn, shift = rows.learnt(fold), None
    target = rows.target[learn]
    if plan["task"] == "regression":
        shift = Shift.of(target, member["log"])
        target = shift.onto(target)
    rounds, aside = member["fits"][number] if number < len(member["fits"]) else (0, False)
    params = {**member["params"], **({"rounds": rounds, "aside": aside} if rounds else {})}
    preparation, train, test = rows.numbers(member["view"], fold)
    setting = Setting(plan["task"], len(rows.classes), plan["seed"] + number, lambda: _FOREVER_S, plan["threads"])
    weight = None if rows.weight is None else rows.weight[learn]
    predictor, _ = fit(member["family"], train, target, weight, params, setting)
    out = predictor.predict(test)
    return Part(preparation, predictor, shift, shift.back(out) if shift else out)


def joined(plan: Mapping[str, Any], members: Sequence[Mapping[str, Any]], outs: Sequence[np.ndarray]) -> np.ndarray:
    """What the members say together: a number, the second class's probability, or a probability a class."""
    total = np.sum([m["weight"] * out for m, out in zip(members, outs, strict=True)], axis=0)
    if plan["task"] == "regression":
        return np.asarray(total)
    return apply_calibration(np.asarray(total), plan["slope"], plan["shift"])


def predicted(
    plan: Mapping[str, Any], members: Sequence[Mapping[str, Any]], parts: Sequence[Sequence[Part]], table: Table
) -> np.ndarray:
    """What the model says of any rows: each member is the mean of its parts."""
    outs = [np.mean([one.of(one.preparation.transform(table)) for one in own], axis=0) for own in parts]
    return joined(plan, members, outs)


def scores(plan: Mapping[str, Any], classes: Sequence[str], target: np.ndarray, out: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import log_loss, r2_score, roc_auc_score

    if plan["task"] == "regression":
        return {"R2": float(r2_score(target, out[:, 0]))}
    chances = np.hstack([1 - out, out]) if out.shape[1] == 1 else out
    chances = chances.astype(float) / chances.sum(axis=1, keepdims=True, dtype=float)
    made = {"Log loss": float(log_loss(target, chances, labels=range(len(classes))))}
    return {**made, "ROC AUC": float(roc_auc_score(target, out[:, 0]))} if out.shape[1] == 1 else made


def load(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, float_precision="round_trip")


def main(plan: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> None:
    """Fit the model, score it on rows it has not seen, predict a second file."""
    # Networks stop after the rounds that were found best, and say so each time.
    warnings.filterwarnings("ignore", message="Stochastic Optimizer")
    parser = argparse.ArgumentParser(description="Fit the pipeline on TABLE, print its scores, predict NEW.")
    parser.add_argument("table", type=Path, help="CSV or Parquet with the target")
    parser.add_argument("new", type=Path, nargs="?", help="CSV or Parquet to predict")
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"))
    given = parser.parse_args()
    rows = Rows.of(plan, load(given.table))
    folds = range(len(rows.folds))
    # By time, the model learns from the newest rows, too; else it is the mean of what the folds taught.
    of_all = "time" in plan["roles"].values()
    with threads_held(plan["threads"]):
        fits, parts = [], []
        for member in members:
            last = len(member["fits"]) or len(folds) + of_all
            used = range(last - (member["parts"] or (1 if of_all else len(folds))), last)
            wanted = sorted({*used, *(() if len(rows.kept_back) else folds)})
            made = {number: fitted(rows, member, number) for number in wanted}
            fits.append(made)
            parts.append([made[number] for number in used])
        if len(rows.kept_back):
            seen = rows.kept_back
            out = predicted(plan, members, parts, picked(rows.table, seen))
        else:
            seen = np.concatenate([fold.test for fold in rows.folds])
            out = joined(plan, members, [np.vstack([made[number].test for number in folds]) for made in fits])
        for name, score in scores(plan, rows.classes, rows.target[seen], out).items():
            told = f" ({plan['scores'][name]:.4f} in the app)" if name in plan["scores"] else ""
            print(f"{name} on rows not seen: {score:.4f}{told}")
        if not given.new:
            return
        out = predicted(plan, members, parts, read(load(given.new), features(plan)))
    if plan["task"] == "regression":
        answer = pd.DataFrame({plan["target"]: out[:, 0]})
    else:
        chances = np.hstack([1 - out, out]) if out.shape[1] == 1 else out
        said = (out[:, 0] >= plan["threshold"]).astype(int) if out.shape[1] == 1 else out.argmax(axis=1)
        answer = pd.DataFrame(chances, columns=[f"probability of {name}" for name in rows.classes])
        answer.insert(0, plan["target"], [rows.classes[n] for n in said])
    answer.to_csv(given.out, index=False)
    print(f"{len(answer)} predictions in {given.out}")
