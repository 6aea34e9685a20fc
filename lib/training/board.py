"""What was tried and what came of it: trials, the leaderboard, the outcome of a training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lib.training import metrics
from lib.training.model import Fitted, Member, Model, Part
from lib.training.portfolio import Candidate
from lib.training.schema import Task


@dataclass
class Trial:
    """A candidate with what its folds have said so far. out: NaN where not yet."""

    candidate: Candidate
    out: np.ndarray
    parts: list[Part] = field(default_factory=list)
    score: float = float("nan")
    half: float | None = None  # of the score's interval
    took_s: float = 0.0
    rounds: list[int] = field(default_factory=list)  # found to be enough, a fold
    fits: list[Fitted] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """A trained model and what its results are computed from: rows (places in the frame), their targets, what was
    said of them (calibrated crosswise) with each row's threshold and fold. board: the leaderboard, best first."""

    model: Model
    rows: np.ndarray
    target: np.ndarray
    out: np.ndarray
    thresholds: np.ndarray
    fold: np.ndarray
    board: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
    took_s: float
    held_out: bool


# 97.5% quantiles of Student's t with 2, 3, … degrees of freedom; beyond the list the last one is near enough.
_T = (4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def half_width(metric: str, target: np.ndarray, out: np.ndarray, fold: np.ndarray) -> float | None:
    """Half of the 95% interval that the spread of a score over folds gives; None of fewer than three folds.

    Costs no more than one score, so that each line of the leaderboard can have it while time is running.
    """
    made = [metrics.score(metric, target[fold == n], out[fold == n]) for n in range(int(fold.max()) + 1)]
    known = np.array([one for one in made if np.isfinite(one)])
    if known.size < 3:
        return None
    return float(_T[min(known.size - 3, len(_T) - 1)] * known.std(ddof=1) / np.sqrt(known.size))


def log_loss(out: np.ndarray, target: np.ndarray) -> float:
    """Smaller is better."""
    return -metrics.score("neg_log_loss", target, out)


def all_scores(task: Task, target: np.ndarray, out: np.ndarray, thresholds: np.ndarray) -> dict[str, float]:
    """Each metric of the task."""
    # Each row is judged by the threshold that was found without it: moved there, 0.5 is everybody's.
    moved = out - thresholds[:, None] + 0.5 if task == Task.BINARY else out
    by_class = ("f1", "accuracy", "balanced_accuracy")
    return {
        name: number(metrics.score(name, target, moved if name in by_class else out))
        for name, metric in metrics.METRICS.items()
        if task in metric.tasks
    }


def table(trials: list[Trial], members: tuple[Member, ...], whole: float) -> tuple[dict[str, Any], ...]:
    """The leaderboard, best first, with the ensemble on top where there is one."""
    weight = {member.name: member.weight for member in members}
    rows = [{**row(trial), "weight": weight.get(trial.candidate.name, 0.0)} for trial in trials]
    rows.sort(key=lambda row: -row["score"])
    if len(members) > 1:
        rows.insert(
            0,
            {
                "name": "Ensemble",
                "family": "ensemble",
                "params": {},
                "score": whole,
                "low": None,
                "high": None,
                "took_s": 0.0,
                "weight": 1.0,
            },
        )
    return tuple(rows)


def row(trial: Trial) -> dict[str, Any]:
    """A line of the leaderboard."""
    params = {**trial.candidate.params, **({"log": True} if trial.candidate.log else {})}
    return {
        "name": trial.candidate.name,
        "family": trial.candidate.family,
        "params": params,
        "score": number(trial.score),
        "low": None if trial.half is None else number(trial.score - trial.half),
        "high": None if trial.half is None else number(trial.score + trial.half),
        "took_s": round(trial.took_s, 2),
    }


def number(value: float) -> float:
    """As JSON holds it; 0 for what is not defined."""
    return round(float(value), 6) if np.isfinite(value) else 0.0
