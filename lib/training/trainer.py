"""Train within a budget: strong defaults on folds first, a search where they do well, and an ensemble of the best.

Each score is of rows its model has not seen; the ensemble's weights, calibration and threshold are of other folds, too.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from lib.errors import Invalid, NotEnoughData
from lib.training import board, ensemble, folds, learners, metrics, portable, portfolio
from lib.training import rows as rows_of
from lib.training import schema as schemas
from lib.training.board import Outcome, Trial
from lib.training.elsewhere import Arrays, Elsewhere, Folds
from lib.training.learners import OutOfTime, Setting
from lib.training.model import Fitted, Member, Model, Part, Shift
from lib.training.plan import Plan, require_valid
from lib.training.portfolio import Candidate
from lib.training.preparation import Preparation, read
from lib.training.schema import Role, Schema, Task

# Kept for ensemble, calibration and the last scores: a share of the budget and seconds for each 1,000 rows.
_FINISH_SHARE, _FINISH_S_EACH_1000 = 0.04, 0.12
_MOST_FINISH_SHARE = 0.2
# What one candidate may take of the budget.
_CANDIDATE_SHARE = 0.2
# The first few may take more: on a large table better one boosted model than none.
_EARLY, _EARLY_SHARE = 3, 0.5
_CACHE_BYTES = 400_000_000
_POOL = 14
# A search that is no better on the folds done than this many of the best is not finished.
_PRUNE_BELOW = 8
_SMALL_ROWS = 3_000
# Families of few parameters are searched no longer than this; and so many families at all.
_MOST_DRAWN = {"linear": 6, "kernel": 20}
_FAMILIES_SEARCHED = 4

Event = Callable[[Mapping[str, Any]], None]
# A finished fold: name -> what is JSON-able of it, and its arrays. Kept by whoever runs the training.
Checkpoint = Callable[[str, Mapping[str, Any], Arrays], None]
Restored = Mapping[str, tuple[Mapping[str, Any], Arrays]]


class Stopped(Exception):
    """Somebody ended the training before there was a model."""


def train(
    frame: pd.DataFrame,
    plan: Plan,
    *,
    now: Callable[[], float],
    event: Event = lambda _said: None,
    stop: Callable[[], bool] = lambda: False,
    restored: Restored | None = None,
    checkpoint: Checkpoint = lambda _name, _meta, _arrays: None,
    elsewhere: Elsewhere | None = None,
) -> Outcome:
    """The best model a plan finds within its budget.

    now: a clock in seconds; stop: asked between folds, ends the search early (what is done counts); restored,
    checkpoint: finished folds of an earlier run, and where to keep those of this one; elsewhere: other machines, whose
    finished folds are taken in place of `restored`. Raises Invalid or NotEnoughData for a table nothing can be learnt
    from, Stopped.
    """
    began = now()
    return _Training(frame, plan, now, began, event, stop, elsewhere or restored or {}, checkpoint, elsewhere).run()


def fit_alone(
    frame: pd.DataFrame,
    plan: Plan,
    name: str,
    *,
    now: Callable[[], float],
    stop: Callable[[], bool],
    checkpoint: Checkpoint,
) -> None:
    """Fit one of the candidates a training begins with, as it would, on another machine; `checkpoint` gets it."""
    training = _Training(frame, plan, now, now(), lambda _said: None, stop, {}, checkpoint)
    with learners.threads_held(plan.threads):
        for candidate in training.first():
            if candidate.name == name:
                training._try(candidate, first=True)


class _Training:
    def __init__(
        self,
        frame: pd.DataFrame,
        plan: Plan,
        now: Callable[[], float],
        began: float,
        event: Event,
        stop: Callable[[], bool],
        restored: Folds,
        checkpoint: Checkpoint,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self.elsewhere = elsewhere
        self.now, self.event, self.stop = now, event, stop
        self.restored, self.checkpoint = restored, checkpoint
        schemas.unique_names(frame)
        names = [str(name) for name in frame.columns]
        if plan.target not in names:
            require_valid(plan, names)
        task = plan.task or schemas.detect_task(frame[plan.target])
        schemas.require_learnable(frame, plan.target, task)
        require_valid(replace(plan, task=task), names)
        self.plan = replace(plan, task=task, metric=metrics.require_metric(plan.metric, task))
        self.schema: Schema = schemas.describe(frame, plan.target, plan.read, task)
        if not self.schema.columns:
            reasons = "; ".join(f"{name}: {why}" for name, why in list(self.schema.left_out.items())[:5])
            raise NotEnoughData(f"No column is left to learn from ({reasons or 'none has a role'}).")
        self.notes = rows_of.leaks(frame, self.schema)
        self.rows, self.target = schemas.encode_target(frame, self.schema)
        self.table = rows_of.picked(read(frame, self.schema.roles), self.rows)
        time, group = plan.of(Role.TIME), plan.of(Role.GROUP)
        self.by = "time" if time else "group" if group else ""
        self.order = rows_of.keys(frame, time, group, self.rows)
        self.learn, self.kept_back = folds.held_out(self.target, task, self.order, self.by, plan.holdout, plan.seed)
        self.folds = self._folds()
        self.fold = folds.number_of(self.folds, len(self.target))
        self.scored = np.nonzero(self.fold >= 0)[0]
        spent = max((float(meta.get("spent_s", 0.0)) for meta, _ in self.restored.values()), default=0.0)
        self.began = began - min(spent, 0.9 * plan.budget_s)
        finish = _FINISH_SHARE * plan.budget_s + 0.2 + _FINISH_S_EACH_1000 * len(self.scored) / 1000
        self.deadline = self.began + plan.budget_s - min(finish, _MOST_FINISH_SHARE * plan.budget_s)
        self.cache: dict[tuple[str, int], tuple[Preparation, np.ndarray, np.ndarray]] = {}
        self.cached_bytes = 0
        self.trials: list[Trial] = []
        self.seconds: dict[str, float] = {}  # a family's last time a fold
        self.usable = False
        weight = plan.balance if task != Task.REGRESSION else ""
        self.weight = rows_of.balance(self.target, weight, plan.seed) if weight else None
        self.skewed = task == Task.REGRESSION and rows_of.skewed(self.target)

    # --- which rows ---------------------------------------------------------------------------

    def _folds(self) -> list[folds.Fold]:
        plan, task = self.plan, self.schema.task
        made = folds.split(self.target, task, self.order, self.by, self.learn, plan.folds, plan.seed)
        if self.schema.classes:
            for fold in made:
                if len(np.unique(self.target[fold.train])) < len(self.schema.classes):
                    raise NotEnoughData(
                        "Split like this, some rows would be predicted from others that lack a class; choose fewer "
                        "folds, or another time or group column."
                    )
        return made

    # --- the run ------------------------------------------------------------------------------

    def run(self) -> Outcome:
        with learners.threads_held(self.plan.threads):
            rows, columns = len(self.learn), len(self.schema.columns)
            listed = self.first()
            about = {"task": str(self.schema.task), "metric": self.plan.metric, "folds": len(self.folds)}
            left_out = dict(self.schema.left_out)
            self.event({"kind": "start", **about, "rows": rows, "columns": columns, "left_out": left_out})
            if self.elsewhere is not None:
                self.elsewhere.ahead(listed, rows, self.deadline - self.now())
            for number, candidate in enumerate(listed):
                if self._over() and self.trials:
                    break
                self._try(candidate, first=number == 0)
            if self.elsewhere is not None:
                self.elsewhere.enough()
            if not self.trials:
                raise self._nothing()
            self._search(rows)
            return self._finish()

    def first(self) -> list[Candidate]:
        """What is fitted before anything is searched."""
        about = (self.schema.task, len(self.learn), len(self.schema.columns), self.skewed)
        return list(portfolio.first(*about, tuple(self.plan.families)))

    def _nothing(self) -> Exception:
        if self.stop():
            return Stopped("The training was ended before there was a model.")
        return Invalid(f"No model was done within {self.plan.budget_s:g} s; allow more time or fewer rows.")

    def _over(self) -> bool:
        return self.stop() or self.now() >= self.deadline

    def _search(self, rows: int) -> None:
        """Draw candidates near those that did well, until time is up."""
        most = self.plan.trials
        if most == 0 or self._over():
            return
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        by_family: dict[str, float] = {}
        for trial in self.trials:
            by_family[trial.candidate.family] = max(trial.score, by_family.get(trial.candidate.family, -np.inf))
        families = sorted(by_family, key=lambda name: -by_family[name])[:_FAMILIES_SEARCHED]
        drawn_of = dict.fromkeys(by_family, 0)
        with warnings.catch_warnings():
            # Parameters are drawn together within a family; optuna calls that experimental.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=self.plan.seed, n_startup_trials=8, multivariate=True, group=True)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        drawn_count = 0
        while not self._over() and (most is None or drawn_count < most):
            drawn = study.ask()
            candidate = portfolio.suggest(drawn, families, rows, self.skewed)
            drawn_of[candidate.family] += 1
            if drawn_of[candidate.family] > _MOST_DRAWN.get(candidate.family, most or 10_000) and len(families) > 1:
                # Not worth its time any more: told as the worst, so that it is drawn less and less.
                study.tell(drawn, min(trial.score for trial in self.trials))
                continue
            made = self._try(candidate, prune=True)
            if made is None:
                study.tell(drawn, state=optuna.trial.TrialState.PRUNED)
            else:
                study.tell(drawn, made)
            drawn_count += 1

    def _try(self, candidate: Candidate, first: bool = False, prune: bool = False) -> float | None:
        """Fit a candidate on all folds; its score, or the score so far of one that was not worth finishing, or None."""
        width = len(self.schema.classes) if self.schema.task == Task.MULTICLASS else 1
        trial = Trial(candidate, np.full((len(self.target), width), np.nan))
        started = self.now()
        whole, longest = self.deadline - self.began, 0.0
        # The first must come to an end, whatever the budget.
        share_of = _EARLY_SHARE if len(self.trials) < _EARLY else _CANDIDATE_SHARE
        until = self.deadline if first else min(self.deadline, started + share_of * whole)
        for fold in self.folds:
            each = (self.now() - started) / max(1, len(trial.parts))
            remaining = len(self.folds) - len(trial.parts)
            known = max(each, 0.0 if trial.parts else self.seconds.get(candidate.family, 0.0))
            late = known and self.now() + 0.9 * known * remaining > self.deadline
            if (late or self.stop()) and not (first and not self.stop()):
                return None
            share = max(0.0, until - self.now()) / remaining
            if trial.parts:
                # The first fold has set the size; the others may take as long, on a machine whose speed varies.
                share = min(max(share, 2.0 * longest), self.deadline - self.now())
            fold_began = self.now()
            try:
                self._fit_fold(trial, fold, share)
            except OutOfTime:
                return None
            longest = max(longest, self.now() - fold_began)
            if not self.usable:
                self.usable = True
                seen = fold.test
                said = metrics.score(self.plan.metric, self.target[seen], trial.out[seen])
                self.event(
                    {"kind": "usable", "name": candidate.name, "score": board.number(said), "at_s": self._spent()}
                )
            if prune and len(trial.parts) == max(2, len(self.folds) // 4) and self._hopeless(trial):
                rows = self._done(trial)
                return metrics.score(self.plan.metric, self.target[rows], trial.out[rows])
        trial.took_s = self.now() - started
        self.seconds[candidate.family] = trial.took_s / len(self.folds)
        trial.score = metrics.score(self.plan.metric, self.target[self.scored], trial.out[self.scored])
        if not np.isfinite(trial.score):
            return None
        trial.half = board.half_width(self.plan.metric, self.target, trial.out, self.fold)
        self.trials.append(trial)
        self._thin()
        self.event({"kind": "candidate", **board.row(trial), "at_s": self._spent()})
        return trial.score

    def _done(self, trial: Trial) -> np.ndarray:
        return self.scored[~np.isnan(trial.out[self.scored, 0])]

    def _hopeless(self, trial: Trial) -> bool:
        rows = self._done(trial)
        mine = metrics.score(self.plan.metric, self.target[rows], trial.out[rows])
        others = sorted(
            (metrics.score(self.plan.metric, self.target[rows], one.out[rows]) for one in self.trials), reverse=True
        )
        return len(others) >= _PRUNE_BELOW and mine < others[_PRUNE_BELOW - 1]

    def _thin(self) -> None:
        """Let go of the parts of those that will not be in the ensemble: memory is for the ones that might."""
        ranked = sorted((t for t in self.trials if t.parts), key=lambda t: -t.score)
        best_of_family: dict[str, Trial] = {}
        for trial in ranked:
            best_of_family.setdefault(trial.candidate.family, trial)
        for trial in ranked[_POOL:]:
            if trial is not best_of_family[trial.candidate.family]:
                trial.parts = []

    # --- one fold -----------------------------------------------------------------------------

    def _fit_fold(self, trial: Trial, fold: folds.Fold, seconds: float) -> None:
        candidate = trial.candidate
        name = f"{candidate.name} fold {fold.number}"
        preparation, train, test, rows = self._prepared(candidate.view, fold)
        kept = self.restored.get(name)
        if kept and dict(kept[0]["params"]) == dict(candidate.params):
            meta, arrays = kept
            shift = Shift(**meta["shift"]) if meta["shift"] else None
            predictor = portable.rebuild(meta["about"], arrays)
            part, rounds, fitted = Part(preparation, predictor, shift), int(meta["rounds"]), Fitted(*meta["fitted"])
        else:
            part, rounds, fitted = self._boosted(trial, preparation, train, rows, fold.number, self.now() + seconds)
            arrays = part.predictor.arrays()
            meta = {
                "params": dict(candidate.params),
                "about": part.predictor.about(),
                "shift": None if part.shift is None else vars(part.shift),
                "rounds": rounds,
                "fitted": list(fitted),
                "spent_s": self._spent(),
            }
            self.checkpoint(name, meta, arrays)
        trial.out[fold.test] = part.predict(test)
        trial.parts.append(part)
        trial.rounds.append(rounds)
        trial.fits.append(fitted)
        self.event({"kind": "fold", "name": candidate.name, "fold": fold.number, "at_s": self._spent()})

    def _boosted(
        self,
        trial: Trial,
        preparation: Preparation,
        train: np.ndarray,
        rows: np.ndarray,
        seed: int,
        until: float,
    ) -> tuple[Part, int, Fitted]:
        """Fit; of boosting, how many rounds is found with rows held back, and then all rows are learnt from.

        Of large tables the first fold finds it for the others, too; of small ones the middle of the folds so far
        counts, for one alone is mostly chance.
        """
        candidate = trial.candidate
        if candidate.family not in ("xgboost", "histogram"):
            part, fitted = self._fit(candidate, preparation, train, rows, seed, until)
            return part, fitted.rounds, fitted
        found = 0
        if len(rows) <= _SMALL_ROWS or not trial.rounds:
            part, fitted = self._fit(candidate, preparation, train, rows, seed, until)
            found = fitted.rounds
            if len(rows) > _SMALL_ROWS:
                return part, found, fitted
        rounds = max(1, int(np.median([*trial.rounds, *([found] if found else [])])))
        fixed = replace(candidate, params={**candidate.params, "rounds": rounds})
        try:
            whole, taken = self._fit(fixed, preparation, train, rows, seed, until)
            return whole, found or rounds, taken
        except OutOfTime:
            if found:
                return part, found, fitted
            raise

    def _fit(
        self,
        candidate: Candidate,
        preparation: Preparation,
        train: np.ndarray,
        rows: np.ndarray,
        seed: int,
        until: float,
    ) -> tuple[Part, Fitted]:
        task = self.schema.task
        setting = Setting(
            task,
            len(self.schema.classes),
            self.plan.seed + seed,
            lambda: until - self.now(),
            self.plan.threads,
            self.elsewhere,
        )
        target, shift = self.target[rows], None
        if task == Task.REGRESSION:
            shift = Shift.of(target, candidate.log)
            target = shift.onto(target)
        weight = None if self.weight is None else self.weight[rows]
        predictor, rounds = learners.fit(candidate.family, train, target, weight, candidate.params, setting)
        aside = candidate.family in ("xgboost", "histogram", "network") and "rounds" not in candidate.params
        return Part(preparation, predictor, shift), Fitted(rounds, aside)

    def _prepared(self, view: str, fold: folds.Fold) -> tuple[Preparation, np.ndarray, np.ndarray, np.ndarray]:
        """A fold's rows as numbers; all that is learnt for it is learnt from its training rows."""
        rows = fold.train
        if self.weight is not None:
            rows = rows[self.weight[rows] > 0]
        key = (view, fold.number)
        if key not in self.cache:
            preparation = Preparation(self.plan.preparation, view, self.plan.seed)
            train = preparation.fit_transform(rows_of.picked(self.table, rows), self._target_columns(rows))
            test = preparation.transform(rows_of.picked(self.table, fold.test))
            if view != "trees":
                train, test = np.nan_to_num(train), np.nan_to_num(test)
            train, test = train.astype(np.float32), test.astype(np.float32)
            if self.cached_bytes + train.nbytes + test.nbytes > _CACHE_BYTES:
                return preparation, train, test, rows
            self.cached_bytes += train.nbytes + test.nbytes
            self.cache[key] = (preparation, train, test)
        return (*self.cache[key], rows)

    def _target_columns(self, rows: np.ndarray) -> np.ndarray:
        if self.schema.task == Task.REGRESSION:
            held = self.target[rows].astype(float)
            return ((held - held.mean()) / (held.std() or 1.0))[:, None]
        return np.eye(len(self.schema.classes))[self.target[rows]]

    # --- the end ------------------------------------------------------------------------------

    def _finish(self) -> Outcome:
        plan, task = self.plan, self.schema.task
        ranked = sorted((t for t in self.trials if t.parts), key=lambda t: -t.score)
        pool = ranked if plan.ensemble else ranked[:1]
        better = ensemble.objective(plan.metric)
        outs = [trial.out[self.scored] for trial in pool]
        target, fold = self.target[self.scored], self.fold[self.scored]
        if len(pool) > 1:
            crossed, shares = ensemble.crossed(outs, target, fold, better)
        else:
            shares, crossed = np.ones(1), outs[0]
        joined = ensemble.joined(outs, shares)
        calibrated = plan.calibrate and task != Task.REGRESSION
        tuned = plan.tune_threshold and task == Task.BINARY
        out, thresholds = ensemble.finish_crossed(crossed, target, fold, task, plan.metric, calibrated, tuned)
        slope, shift = ensemble.calibrate(joined, target) if calibrated else (1.0, 0.0)
        if not plan.of(Role.TIME):
            # A row here was judged by one part, a new one will be by the mean of all folds' parts, which is less sure
            # of itself already: flattening comes of that, only sharpening is left to do.
            slope = max(slope, 1.0)
        if calibrated and board.log_loss(out, target) > board.log_loss(crossed, target):
            slope, shift = 1.0, 0.0
            out, thresholds = ensemble.finish_crossed(crossed, target, fold, task, plan.metric, False, tuned)
        final = ensemble.apply_calibration(joined, slope, shift) if task != Task.REGRESSION else joined
        threshold = ensemble.best_threshold(final, target, plan.metric) if tuned else 0.5
        members = tuple(
            Member(t.candidate.name, t.candidate.family, dict(t.candidate.params), float(share), tuple(t.parts),
                   t.candidate.log, int(np.median(t.rounds)), tuple(t.fits))
            for t, share in zip(pool, shares, strict=True) if share > 0
        )  # fmt: skip
        if plan.of(Role.TIME):
            members = tuple(self._refitted(member, pool) for member in members)
        model = Model(plan, self.schema, members, slope, shift, threshold)
        rows, held_out = self.scored, False
        if len(self.kept_back):
            rows, held_out = self.kept_back, True
            target, out = self.target[rows], model.of_table(rows_of.picked(self.table, rows))
            thresholds, fold = np.full(len(rows), threshold), np.zeros(len(rows), dtype=np.int64)
        scores = board.all_scores(task, target, out, thresholds)
        listed = board.table(self.trials, members, scores[plan.metric])
        about = {"rows": len(self.target), "folds": len(self.folds), "held_out": held_out, "tried": len(self.trials)}
        model = replace(model, scores=scores, about={**about, "took_s": round(self._spent(), 2)})
        self.event({"kind": "done", "score": scores[plan.metric], "members": [m.name for m in members],
                    "at_s": self._spent()})  # fmt: skip
        return Outcome(
            model, self.rows[rows], target, out, thresholds, fold, listed, self.notes, self._spent(), held_out
        )

    def _refitted(self, member: Member, pool: list[Trial]) -> Member:
        """Split by time, the model to be used learns from the newest rows too, with as many rounds as were found."""
        trial = next(one for one in pool if one.candidate.name == member.name)
        params = {**member.params, **({"rounds": trial.rounds[-1]} if trial.rounds[-1] else {})}
        whole = folds.Fold(len(self.folds), self.learn, self.learn[:1])
        preparation, train, _test, rows = self._prepared(trial.candidate.view, whole)
        until = self.began + self.plan.budget_s - 0.05
        with contextlib.suppress(OutOfTime):
            candidate = replace(trial.candidate, params=params)
            part, fitted = self._fit(candidate, preparation, train, rows, whole.number, until)
            return replace(member, parts=(part,), fits=(*member.fits, fitted))
        return replace(member, parts=member.parts[-1:])

    def _spent(self) -> float:
        return round(self.now() - self.began, 3)
