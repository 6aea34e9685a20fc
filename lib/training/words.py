"""What a training came to, in sentences: how good, how sure, against what, and where it lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.training import metrics
from lib.training.schema import Task

FAMILIES: Mapping[str, str] = {
    "linear": "a weighted sum; the simple one",
    "forest": "many trees, each of its own rows",
    "histogram": "trees that correct each other, of binned numbers",
    "xgboost": "trees that correct each other",
    "network": "a small neural network",
    "kernel": "likeness to known rows",
    "ensemble": "the best ones, weighed",
}
METRICS: Mapping[str, str] = {
    "roc_auc": "How often a row of the second class is ranked above one of the first. 0.5 is guessing, 1 perfect.",
    "average_precision": "Precision over all recalls. The share of the second class is guessing, 1 perfect.",
    "f1": "Balance of precision and recall of the classes said, 0 to 1.",
    "balanced_accuracy": "Recall, each class counting the same.",
    "accuracy": "Share of rows whose class was said rightly.",
    "neg_log_loss": "How far probabilities were from what came; sure and wrong costs most. 0 is perfect.",
    "neg_brier": "Mean squared distance of probabilities from what came. 0 is perfect.",
    "r2": "Share of the spread that is explained. 0 is always saying the mean, 1 perfect, below 0 worse than the mean.",
    "neg_rmse": "Typical error in the target's unit, large ones counting more.",
    "neg_mae": "Mean error in the target's unit.",
}
_FEW = 200


def shown(metric: str, score: float | None) -> float | None:
    """A score as people read it: errors are kept with their sign turned round, so that greater is better."""
    held = metrics.METRICS.get(metric)
    return -score if score is not None and held is not None and held.error else score


def number(value: float | None) -> str:
    """Three digits; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def verdict(results: Mapping[str, Any]) -> list[str]:
    """The first sentence says what the result is and how sure; the others hold it against simpler answers, and say
    what to mind. results: of `lib.training.results.of`."""
    chosen = next(one for one in results["metrics"] if one["chosen"])
    label, value, low, high = chosen["label"], chosen["value"], chosen["low"], chosen["high"]
    how = "held out from everything" if results["held_out"] else "it had not seen"
    said = [
        f"On {results['rows']:,} rows {how} the model reaches {label} {number(value)}; 95% sure it lies between "
        f"{number(low)} and {number(high)}, where {'smaller' if chosen['smaller_is_better'] else 'greater'} is better."
    ]
    said.append(_against_usual(results, chosen))
    said += _against_linear(results, chosen)
    if results["rows"] < _FEW:
        said.append(f"{results['rows']:,} rows are few: another sample may tell another story.")
    return said


def _against_usual(results: Mapping[str, Any], chosen: Mapping[str, Any]) -> str:
    usual = chosen.get("baseline")
    what = "the mean" if results["task"] == Task.REGRESSION else "the usual class"
    if usual is None or chosen["low"] is None or chosen["high"] is None:
        return f"How good always saying {what} would be cannot be said in {chosen['label']}."
    told = f"Always saying {what} reaches {number(usual)}"
    if _beyond(chosen, usual) > 0:
        return f"{told}: the model has learnt something."
    if _beyond(chosen, usual) < 0:
        return f"{told}: the model is worse than that. Do not use it; try other columns, or more rows."
    return f"{told}, which lies within the interval: it is not clear that anything was learnt."


def _against_linear(results: Mapping[str, Any], chosen: Mapping[str, Any]) -> list[str]:
    line = next((row for row in results["board"] if row["family"] == "linear"), None)
    if line is None or chosen["low"] is None:
        return []
    if all(member["family"] == "linear" for member in results["members"]):
        return ["The simple linear model was the best there was; that is what this one is."]
    simple = shown(chosen["name"], line["score"])
    if simple is None:
        return []
    where = " over the folds" if results["held_out"] else ""
    told = f"The simple linear model reaches {number(simple)}{where}"
    beyond = _beyond(chosen, simple)
    if beyond > 0:
        return [f"{told}: the rest is worth having."]
    if beyond < 0:
        return [f"{told} and wins: use it instead."]
    ahead = simple < chosen["value"] if not chosen["smaller_is_better"] else simple > chosen["value"]
    how = "a little behind" if ahead else "level or ahead"
    return [f"{told}, {how}, but within the interval: the two are not clearly apart, and it is easier to explain."]


def _beyond(chosen: Mapping[str, Any], other: float) -> int:
    """1: the whole interval is better than another value, -1: worse, 0: it lies within."""
    if chosen["low"] <= other <= chosen["high"]:
        return 0
    above = chosen["low"] > other
    return 1 if above != chosen["smaller_is_better"] else -1
