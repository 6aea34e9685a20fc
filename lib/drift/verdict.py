"""What shifts of single columns mean for a model: one state, the reason in words, whether to train again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lib.drift.shift import Shift, State

# So much of the features drifted is a different world, whatever the predictions do.
MANY = 0.3
_SHOWN = 3


@dataclass(frozen=True)
class Verdict:
    """retrain: whether training again is suggested. words: why, as a sentence."""

    state: State
    retrain: bool
    words: str


def of(shifts: Sequence[Shift]) -> Verdict:
    """The state of a model: that of its worst column, but a single drifted feature is only worth a look while
    predictions and target stay."""
    told = [one for one in shifts if one.state is not State.FEW]
    if not told:
        return Verdict(State.FEW, False, "Too few rows to say anything; it takes a hundred.")
    features = [one for one in told if one.role == "feature"]
    moved = sorted((one for one in features if one.state is State.DRIFT), key=lambda one: -one.psi)
    watched = [one for one in told if one.state is State.WATCH]
    ends = [one for one in told if one.role != "feature" and one.state is State.DRIFT]
    names = ", ".join(f"{one.name} (PSI {one.psi:.2f})" for one in moved[:_SHOWN])
    more = f" and {len(moved) - _SHOWN} more" if len(moved) > _SHOWN else ""
    if ends:
        what = " and ".join({"prediction": "what it predicts", "target": "what is right"}[one.role] for one in ends)
        cause = (
            f" {names}{more} moved as well." if moved else " No feature moved as far: look for what is not among them."
        )
        return Verdict(State.DRIFT, True, f"Drift: {what} is no longer distributed as in training.{cause} Train again.")
    if moved and len(moved) >= MANY * len(features):
        words = f"Drift: {len(moved)} of {len(features)} features moved far: {names}{more}. Train again."
        return Verdict(State.DRIFT, True, words)
    if moved:
        return Verdict(
            State.WATCH, False, f"{names}{more} moved far; predictions have not followed. Find out why before training."
        )
    if watched:
        names = ", ".join(one.name for one in sorted(watched, key=lambda one: -one.psi)[:_SHOWN])
        return Verdict(State.WATCH, False, f"Moved a little: {names}. Nothing to do yet.")
    return Verdict(State.OK, False, "Distributed as in training.")
