"""What a training came to, as plain values for pages, files and cards: scores with intervals, curves, errors.

All of rows the model had not seen (`Outcome`); nothing here fits anything but the learning curve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from lib.errors import AppError
from lib.training import metrics, trainer
from lib.training.plan import Plan
from lib.training.preparation import NUMERIC
from lib.training.schema import Task
from lib.training.trainer import Outcome

RESAMPLES = 400
LEVEL = 0.95
_CURVE_POINTS = 200
_LEAST_SLICE = 20
_MOST_SLICE_CATEGORIES = 12


def of(outcome: Outcome, frame: pd.DataFrame, seed: int = 0) -> dict[str, Any]:
    """All that is computed at once: JSON-able. frame: the one trained on, for the slices."""
    model, usual = outcome.model, baseline(outcome)
    found: dict[str, Any] = {
        "target": model.schema.target,
        "columns": [column.name for column in model.schema.columns],
        "task": str(model.task),
        "metric": model.plan.metric,
        "classes": list(model.schema.classes),
        "rows": len(outcome.target),
        "held_out": outcome.held_out,
        "metrics": [{**one, "baseline": usual[one["name"]]} for one in intervals(outcome, seed)],
        "board": list(outcome.board),
        "notes": list(outcome.notes),
        "left_out": dict(model.schema.left_out),
        "members": [{"name": m.name, "family": m.family, "weight": round(m.weight, 4)} for m in model.members],
        "slices": slices(outcome, frame, seed),
        "took_s": outcome.took_s,
    }
    if model.task == Task.REGRESSION:
        found["residuals"] = residuals(outcome.target, outcome.out[:, 0])
        return found
    found["threshold"] = model.threshold
    found["confusion"] = confusion(outcome)
    found["calibration"] = calibration(outcome.target, outcome.out)
    found["curves"] = curves(outcome)
    return found


def intervals(outcome: Outcome, seed: int = 0, resamples: int = RESAMPLES) -> list[dict[str, Any]]:
    """Each metric with the interval that resampled rows give (bootstrap, percentiles)."""
    model, rng = outcome.model, np.random.default_rng(seed)
    rows = len(outcome.target)
    draws = [rng.integers(0, rows, rows) for _ in range(resamples if rows <= 50_000 else resamples // 4)]
    out = _moved(outcome)
    found = []
    for name, metric in metrics.METRICS.items():
        if model.task not in metric.tasks:
            continue
        said = out if name in ("f1", "accuracy", "balanced_accuracy") else outcome.out
        made = np.array([metrics.score(name, outcome.target[d], said[d]) for d in draws])
        made = made[np.isfinite(made)]
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(made, (tail, 1 - tail)) if made.size else (np.nan, np.nan)
        value = metrics.score(name, outcome.target, said)
        turned = -1.0 if metric.error else 1.0
        ends = sorted((turned * float(low), turned * float(high)))
        found.append(
            {
                "name": name,
                "label": metric.label,
                "value": plain(turned * value),
                "low": plain(ends[0]),
                "high": plain(ends[1]),
                "smaller_is_better": metric.error,
                "chosen": name == model.plan.metric,
            }
        )
    return found


def baseline(outcome: Outcome) -> dict[str, float | None]:
    """Each metric of always saying the same: the mean, or the shares of the classes. What any model has to beat."""
    target, task = outcome.target, outcome.model.task
    if task == Task.REGRESSION:
        usual = np.array([[target.mean()]])
    else:
        shares = np.bincount(target, minlength=len(outcome.model.schema.classes)) / len(target)
        usual = shares[None, 1:] if task == Task.BINARY else shares[None, :]
    out = np.repeat(usual, len(target), axis=0)
    return {
        name: plain((-1.0 if metric.error else 1.0) * metrics.score(name, target, out))
        for name, metric in metrics.METRICS.items()
        if task in metric.tasks
    }


def confusion(outcome: Outcome) -> dict[str, Any]:
    """counts[true][said], and precision, recall and support of each class."""
    classes = list(outcome.model.schema.classes)
    said = metrics.labels(_moved(outcome))
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (outcome.target, said), 1)
    hit = np.diag(counts)
    by_class = [
        {
            "class": name,
            "precision": plain(hit[n] / max(1, counts[:, n].sum())),
            "recall": plain(hit[n] / max(1, counts[n].sum())),
            "support": int(counts[n].sum()),
        }
        for n, name in enumerate(classes)
    ]
    return {"classes": classes, "counts": counts.tolist(), "by_class": by_class}


def curves(outcome: Outcome) -> list[dict[str, Any]]:
    """ROC and precision-recall of the second class, or of each class against the others."""
    chances = metrics.chances(outcome.out)
    classes = outcome.model.schema.classes
    found = []
    for number in range(1, 2) if len(classes) == 2 else range(len(classes)):
        target = (outcome.target == number).astype(int)
        if 0 < target.sum() < len(target):
            found.append({"class": classes[number], **_curve(target, chances[:, number])})
    return found


def _curve(target: np.ndarray, chance: np.ndarray) -> dict[str, Any]:
    order = np.argsort(-chance, kind="stable")
    held, hit = chance[order], np.cumsum(target[order])
    last = np.nonzero(np.append(held[1:] != held[:-1], True))[0]
    true, said = hit[last], last + 1
    recall, precision = true / target.sum(), true / said
    false_rate = (said - true) / (len(target) - target.sum())
    picked = np.unique(np.linspace(0, len(last) - 1, min(_CURVE_POINTS, len(last))).astype(int))
    one_column = chance[:, None]
    return {
        "auc": plain(metrics.auc(target, chance)),
        "average_precision": plain(metrics.score("average_precision", target, one_column)),
        "share": plain(target.mean()),
        "roc": {"false_positive": [0.0, *_list(false_rate[picked])], "true_positive": [0.0, *_list(recall[picked])]},
        "pr": {"recall": _list(recall[picked]), "precision": _list(precision[picked])},
        "threshold": _list(held[last][picked]),
    }


def calibration(target: np.ndarray, out: np.ndarray, bins: int = 10) -> dict[str, Any]:
    """What was promised against what came, in bins of equal counts; ece: the mean distance, weighed by rows.

    Of more than two classes: the probability of the class said, against how often it was right.
    """
    if out.shape[1] == 1:
        chance, came = out[:, 0], (target == 1).astype(float)
    else:
        chance, came = out.max(axis=1), (out.argmax(axis=1) == target).astype(float)
    order = np.argsort(chance, kind="stable")
    parts = [p for p in np.array_split(order, min(bins, len(order))) if p.size]
    promised = np.array([chance[p].mean() for p in parts])
    seen = np.array([came[p].mean() for p in parts])
    count = np.array([p.size for p in parts])
    # Wilson's interval of each bin's share.
    z = 1.96
    middle = (seen + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(seen * (1 - seen) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    return {
        "promised": _list(promised),
        "seen": _list(seen),
        "low": _list(middle - half),
        "high": _list(middle + half),
        "count": count.tolist(),
        "ece": plain(float((np.abs(promised - seen) * count).sum() / count.sum())),
    }


def residuals(target: np.ndarray, out: np.ndarray, most: int = 1000, seed: int = 0) -> dict[str, Any]:
    """A sample of predictions with what came, the distribution of errors, and how they spread over what was said."""
    error = target - out
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(target), min(most, len(target)), replace=False))
    counts, edges = np.histogram(error, bins=min(40, max(5, int(np.sqrt(len(error))))))
    parts = [p for p in np.array_split(np.argsort(out, kind="stable"), min(10, len(out))) if p.size]
    return {
        "said": _list(out[rows]),
        "came": _list(target[rows]),
        "histogram": {"edges": _list(edges), "counts": counts.tolist()},
        "bias": plain(error.mean()),
        "half_within": plain(np.median(np.abs(error))),
        "nine_in_ten_within": plain(np.quantile(np.abs(error), 0.9)),
        "over_said": {
            "said": _list([out[p].mean() for p in parts]),
            "bias": _list([error[p].mean() for p in parts]),
            "spread": _list([error[p].std() for p in parts]),
        },
    }


def slices(outcome: Outcome, frame: pd.DataFrame, seed: int = 0, most: int = 20) -> list[dict[str, Any]]:
    """Where the model errs more than elsewhere: each value of a category, each quarter of a number. Worst first; `sure`
    when a difference this large is left in fewer than 1 of 100 shuffles, counted over all slices looked at."""
    held = frame.iloc[outcome.rows]
    loss = _row_loss(outcome)
    masks = []
    for column in outcome.model.schema.columns:
        values = held[column.name]
        if column.role == NUMERIC:
            numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
            known = numbers[np.isfinite(numbers)]
            edges = np.unique(np.quantile(known, (0, 0.25, 0.5, 0.75, 1))) if known.size else np.zeros(0)
            for low, high in zip(edges[:-1], edges[1:], strict=False):
                inside = (numbers >= low) & (numbers < high if high < edges[-1] else numbers <= high)
                masks.append((column.name, f"{low:.4g} to {high:.4g}", inside))
        elif column.categories and column.distinct <= 1000:
            words = values.astype(object).where(values.notna(), None).map(lambda one: None if one is None else str(one))
            for name in words.value_counts().head(_MOST_SLICE_CATEGORIES).index:
                masks.append((column.name, str(name)[:80], (words == name).to_numpy()))
        gone = values.isna().to_numpy()
        masks.append((column.name, "missing", gone))
    masks = [one for one in masks if _LEAST_SLICE <= one[2].sum() <= len(loss) - _LEAST_SLICE]
    if not masks:
        return []
    overall, spread = loss.mean(), loss.std() or 1.0
    sizes = np.array([mask.sum() for _, _, mask in masks])
    strength = np.array([(loss[mask].mean() - overall) for _, _, mask in masks]) / (spread / np.sqrt(sizes))
    rng = np.random.default_rng(seed)
    # The strongest of all slices under shuffling: what chance alone shows somebody who looks at every one.
    matrix = np.array([mask for _, _, mask in masks], dtype=np.float32)
    chance = []
    for _ in range(100):
        shuffled = rng.permutation(loss)
        chance.append((((matrix @ shuffled) / sizes - overall) / (spread / np.sqrt(sizes))).max())
    limit = float(np.quantile(chance, 0.99))
    order = np.argsort(-strength)[:most]
    return [
        {
            "column": masks[n][0],
            "value": masks[n][1],
            "rows": int(sizes[n]),
            "loss": plain(loss[masks[n][2]].mean()),
            "overall": plain(overall),
            "sure": bool(strength[n] > limit),
        }
        for n in order
        if strength[n] > 0
    ]


def learning_curve(
    frame: pd.DataFrame, plan: Plan, now: Callable[[], float], shares: Sequence[float] = (0.1, 0.2, 0.4, 0.7, 1.0)
) -> list[dict[str, Any]]:
    """How the score grows with rows: one quick model on shares of the rows. Shares with too few rows are left out."""
    quick = replace(
        plan,
        families=("histogram" if len(frame) > 1000 else "linear",),
        trials=0,
        ensemble=False,
        folds=plan.folds or 5,
    )
    order = np.random.default_rng(plan.seed).permutation(len(frame))
    found = []
    for share in shares:
        rows = np.sort(order[: round(share * len(frame))])
        try:
            outcome = trainer.train(frame.iloc[rows].reset_index(drop=True), quick, now=now)
        except AppError:
            continue
        chosen = next(one for one in intervals(outcome, resamples=100) if one["chosen"])
        found.append({"rows": len(rows), **{name: chosen[name] for name in ("value", "low", "high")}})
    return found


def compare(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Results of several runs side by side: each metric's value a run, the best marked; only metrics they share."""
    tables = {name: {one["name"]: one for one in run["metrics"]} for name, run in runs.items()}
    shared = [m for m in metrics.METRICS if all(m in table for table in tables.values())]
    rows = []
    for metric in shared:
        values = {name: table[metric] for name, table in tables.items()}
        smaller = metrics.METRICS[metric].error
        known = {name: one["value"] for name, one in values.items() if one["value"] is not None}
        best = (min if smaller else max)(known, key=lambda name: known[name]) if known else None
        # Intervals that overlap leave open which one is better.
        clear = best is not None and all(
            values[best]["high"] < one["low"] if smaller else values[best]["low"] > one["high"]
            for name, one in values.items()
            if name != best and one["value"] is not None
        )
        rows.append(
            {"metric": metric, "label": metrics.METRICS[metric].label, "values": values, "best": best, "clear": clear}
        )
    return {"runs": list(runs), "rows": rows, "same_task": len({run["task"] for run in runs.values()}) <= 1}


def plain(value: float) -> float | None:
    """A number JSON can hold, of six digits; None where there is none."""
    return float(f"{float(value):.6g}") if np.isfinite(value) else None


def _moved(outcome: Outcome) -> np.ndarray:
    """Probabilities moved so that 0.5 is each row's own threshold."""
    return outcome.out - outcome.thresholds[:, None] + 0.5 if outcome.model.task == Task.BINARY else outcome.out


def _row_loss(outcome: Outcome) -> np.ndarray:
    if outcome.model.task == Task.REGRESSION:
        return np.abs(outcome.target - outcome.out[:, 0])
    chance = np.clip(metrics.chances(outcome.out)[np.arange(len(outcome.target)), outcome.target], 1e-6, 1)
    return -np.log(chance)


def _list(values: Any) -> list[float | None]:
    return [plain(one) for one in np.asarray(values, dtype=float).tolist()]
