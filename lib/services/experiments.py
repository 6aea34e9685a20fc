"""A/B tests: two versions answer, each for its share of the callers; outcomes say which is better."""

from __future__ import annotations

import csv
import io
import itertools
import math
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, BinaryIO

from sqlalchemy import func
from sqlmodel import Session, col, select

from lib.audit.log import Audit
from lib.auth.actor import SYSTEM, Actor, Permission
from lib.db.learning_tables import Experiment, ModelAlias, Predicted
from lib.errors import Conflict, Invalid, NotFound
from lib.experiments import sequential
from lib.experiments.sequential import Call, Result
from lib.registry.schema import Task
from lib.services.models import REMEMBERED_S, Models
from lib.services.prediction import hashed_key
from lib.services.prediction_log import PredictionLog

# What is compared, and the words for it; higher is better inside, so an error counts negative.
METRICS = {
    "accuracy": "share of right classes",
    "error": "absolute error of numbers",
    "reward": "a number you report, higher is better",
}
MOST_OUTCOMES, OUTCOMES_AT_ONCE = 100_000, 500
Actual = str | float | bool


@dataclass(frozen=True)
class Standing:
    """How a test stands now. predictions: given by each version so far."""

    experiment: Experiment
    result: Result
    words: str
    predictions: dict[str, int]
    latency_ms: dict[str, float]


class Experiments:
    def __init__(self, models: Models, log: PredictionLog, audit: Audit, clock: Callable[[], datetime]) -> None:
        self.models, self.log, self.audit, self.clock = models, log, audit, clock
        self.database = models.database
        self._remembered: dict[str, tuple[float, Experiment | None]] = {}
        self._classes: dict[tuple[str, int], tuple[str, ...]] = {}
        self._lock = threading.Lock()

    # --- running --------------------------------------------------------------------------------

    def begin(
        self, actor: Actor, name: str, version_a: int, version_b: int, *, metric: str, share_b: float = 0.5,
        alpha: float = 0.05,
    ) -> Experiment:  # fmt: skip
        """From now on callers who name no version are split between the two. Raises Invalid, Conflict."""
        actor.require(Permission.PROMOTE)
        if version_a == version_b:
            raise Invalid("A test takes two different versions.")
        if metric not in METRICS:
            raise Invalid(f"{metric[:40]!r} is nothing to compare by; choose {', '.join(METRICS)}.")
        if not 0.01 <= share_b <= 0.99 or not 0.001 <= alpha <= 0.2:
            raise Invalid("The share must lie between 1 % and 99 %, the chance of a false call between 0.1 % and 20 %.")
        rows = [self.models.get(actor, name, one) for one in (version_a, version_b)]
        if any(row.archived_at is not None for row in rows):
            raise Conflict("An archived version cannot be tested; bring it back first.")
        schemas = [self.models.schema_of(row) for row in rows]
        if schemas[0].task is not schemas[1].task or schemas[0].names != schemas[1].names:
            raise Conflict("The two versions do not take the same fields; a test needs callers not to notice.")
        needs = {"accuracy": Task.CLASSIFICATION, "error": Task.REGRESSION}.get(metric)
        if needs is not None and schemas[0].task is not needs:
            raise Invalid(f"{metric} compares models for {needs}; this one is for {schemas[0].task}.")
        for row in rows:
            self.models.unpack(row)
        made = Experiment(
            name=name,
            version_a=version_a,
            version_b=version_b,
            share_b=share_b,
            metric=metric,
            alpha=alpha,
            salt=secrets.token_hex(8),
            created_by=actor.name[:64],
            created_at=self.clock(),
        )
        with self.database.exclusive(f"model {name}") as session:
            if session.exec(select(Experiment.id).where(Experiment.name == name, _open())).first() is not None:
                raise Conflict(f"A test of {name} runs already; end it before another begins.")
            session.add(made)
        self._forget()
        self.audit.record(actor, "experiment.begin", f"{name} {version_a} {version_b}", metric=metric, share_b=share_b)
        return made

    def running(self, name: str) -> Experiment | None:
        """The test that decides on versions now. For the service of predictions, with each request."""
        kept, now = self._remembered.get(name), time.monotonic()
        if kept is not None and now - kept[0] < REMEMBERED_S:
            return kept[1]
        with self.database.session() as session:
            found = session.exec(select(Experiment).where(Experiment.name == name, _open())).first()
        with self._lock:
            self._remembered[name] = (now, found)
        return found

    def arm(self, experiment: Experiment, key: str) -> str:
        return sequential.arm_of(key, experiment.salt, experiment.share_b)

    def end(self, actor: Actor, experiment_id: int, *, promote: bool = False) -> ModelAlias | None:
        """End a test, keeping how it stood. promote: make the better version champion; raises Conflict when none was
        called."""
        actor.require(Permission.PROMOTE)
        standing = self.standing(actor, experiment_id)
        test = standing.experiment
        winner = {Call.A: test.version_a, Call.B: test.version_b}.get(standing.result.call)
        if promote and winner is None:
            raise Conflict(f"There is nothing to promote. {standing.words}")
        with self.database.exclusive(f"model {test.name}") as session:
            row = session.get(Experiment, test.id)
            assert row is not None
            if row.ended_at is not None:
                raise Conflict("This test has ended already.")
            row.ended_at = self.clock()
            row.verdict = {"words": standing.words, **_json(standing.result)}
            session.add(row)
        self._forget()
        self.audit.record(actor, "experiment.end", f"{test.name} {test.id}", words=standing.words)
        if promote and winner is not None and self.models.aliases(actor, test.name).get("champion") != winner:
            return self.models.promote(actor, test.name, winner, note=f"A/B test {test.id}: {standing.words}"[:500])
        return None

    # --- outcomes -------------------------------------------------------------------------------

    def outcome(
        self, actor: Actor, token: str = "", *, experiment_id: int | None = None, key: str = "", actual: Actual,
    ) -> Predicted:  # fmt: skip
        """What came of a prediction: the right class, the right number, or a reward. Named by the prediction's id, or
        by test and key (then of the newest prediction for the key). A later one replaces an earlier.

        Raises NotFound when the prediction was not kept, Invalid when it is no number where one is needed, or no class
        the version knows.
        """
        actor.require(Permission.TRAIN)
        self.log.flush()
        with self.database.exclusive("outcomes") as session:
            return self._outcome(session, token, experiment_id, key, actual)

    def _outcome(self, session: Session, token: str, experiment_id: int | None, key: str, actual: Actual) -> Predicted:
        wanted = select(Predicted).order_by(col(Predicted.id).desc()).limit(1)
        if token:
            wanted = wanted.where(Predicted.token == token[:32])
        else:
            test = session.get(Experiment, experiment_id) if experiment_id is not None else None
            if test is None or not key:
                raise Invalid("Name the prediction by its id, or by experiment and key.")
            hashed = hashed_key(test.salt, key)
            wanted = wanted.where(Predicted.experiment_id == experiment_id, Predicted.key_hash == hashed)
        row = session.exec(wanted).first()
        if row is None:
            raise NotFound("This prediction is not known: it was not sampled, has been removed, or was never given.")
        metric = "accuracy" if row.label is not None else "error"
        if row.experiment_id is not None:
            running = session.get(Experiment, row.experiment_id)
            metric = running.metric if running is not None else metric
        actual = self._said(row, actual, metric)
        row.score = _score(metric, row, actual)
        row.actual, row.actual_at = str(actual)[:256], self.clock()
        session.add(row)
        return row

    def outcomes_from(self, actor: Actor, experiment_id: int, stream: BinaryIO) -> tuple[int, list[str]]:
        """A CSV with the columns `id` or `key`, and `actual`: how many were taken, and what was wrong with others."""
        actor.require(Permission.TRAIN)
        self.get(actor, experiment_id)
        text = io.TextIOWrapper(io.BytesIO(stream.read(64 << 20)), encoding="utf-8-sig", errors="replace", newline="")
        reader = csv.DictReader(text)
        names = set(reader.fieldnames or ())
        if "actual" not in names or not names & {"id", "key"}:
            raise Invalid("The file needs the columns actual, and id or key.")
        taken, wrong, lines = 0, [], enumerate(reader, 2)
        self.log.flush()
        # Pieces, so that predictions are written between them.
        while piece := list(itertools.islice(lines, OUTCOMES_AT_ONCE)):
            if piece[0][0] > MOST_OUTCOMES + 1:
                wrong.append(f"Only the first {MOST_OUTCOMES:,} lines were read.")
                break
            with self.database.exclusive("outcomes") as session:
                for number, line in piece:
                    token, key, actual = ((line.get(name) or "").strip() for name in ("id", "key", "actual"))
                    try:
                        self._outcome(session, token, experiment_id, key, actual)
                        taken += 1
                    except (Invalid, NotFound) as error:
                        if len(wrong) < 20:
                            wrong.append(f"Line {number}: {error.message}")
        self.audit.record(actor, "experiment.outcomes", str(experiment_id), taken=taken, wrong=len(wrong))
        return taken, wrong

    # --- looking --------------------------------------------------------------------------------

    def get(self, actor: Actor, experiment_id: int) -> Experiment:
        actor.require(Permission.MODELS)
        with self.database.session() as session:
            row = session.get(Experiment, experiment_id)
        if row is None:
            raise NotFound(f"There is no test {experiment_id}.")
        return row

    def all(self, actor: Actor, name: str) -> list[Experiment]:
        """Of a model, newest first."""
        actor.require(Permission.MODELS)
        with self.database.session() as session:
            wanted = select(Experiment).where(Experiment.name == name).order_by(col(Experiment.id).desc())
            return list(session.exec(wanted.limit(50)))

    def standing(self, actor: Actor, experiment_id: int) -> Standing:
        """How a test stands: asked as often as one likes, see `lib.experiments.sequential`."""
        test = self.get(actor, experiment_id)
        self.log.flush()
        given, latency, arms = {"a": 0, "b": 0}, {"a": math.nan, "b": math.nan}, {}
        with self.database.session() as session:
            # One outcome a key: rows of one caller are not independent, their mean is what counts.
            unit = func.coalesce(func.nullif(Predicted.key_hash, ""), Predicted.token)
            means = (
                select(col(Predicted.arm).label("arm"), func.avg(Predicted.score).label("score"))
                .where(Predicted.experiment_id == experiment_id, col(Predicted.score).is_not(None))
                .group_by(col(Predicted.arm), unit)
                .subquery()
            )
            sums = session.exec(
                select(means.c.arm, func.count(), func.sum(means.c.score), func.sum(means.c.score * means.c.score))
                .group_by(means.c.arm)
            ).all()  # fmt: skip
            counts = session.exec(
                select(Predicted.arm, func.count(), func.avg(Predicted.latency_ms))
                .where(Predicted.experiment_id == experiment_id)
                .group_by(Predicted.arm)
            ).all()
        for which, count, mean in counts:
            given[which], latency[which] = int(count), float(mean)
        for which, count, total, squares in sums:
            # Zeros and ones are told from other rewards by their squares.
            binary = test.metric == "accuracy" and abs(total - squares) < 1e-9
            arms[which] = sequential.arm(float(total), float(squares), int(count), binary=binary)
        none = sequential.arm(0, 0, 0)
        result = sequential.test(arms.get("a", none), arms.get("b", none), test.alpha)
        names = (f"version {test.version_a}", f"version {test.version_b}")
        words = sequential.words(result, names, test.metric, test.alpha)
        if test.ended_at is not None and test.verdict:
            words = str(test.verdict.get("words", words))
        return Standing(test, result, words[:1].upper() + words[1:], given, latency)

    def _said(self, row: Predicted, actual: Actual, metric: str) -> Actual:
        """The outcome as the version itself would word it: JSON's true is the class True, a spreadsheet's 1 the class
        1.0. What is no class of it would count as a wrong prediction, whatever was meant, so it is refused."""
        if row.label is None or metric == "reward":
            return actual
        classes = self._classes.get((row.name, row.version))
        if classes is None:
            classes = self.models.schema_of(self.models.get(SYSTEM, row.name, row.version)).classes
            self._classes[row.name, row.version] = classes
        told = str(actual).strip()
        if told in classes:
            return told
        same = [one for one in classes if one.casefold() == told.casefold() or _equal(one, told)]
        if len(same) != 1:
            known = f"{', '.join(classes[:20])}{' and others' if len(classes) > 20 else ''}"
            what = f"The outcome is {told[:40]!r}" if told else "The outcome is empty"
            raise Invalid(f"{what}; version {row.version} of {row.name} knows the classes {known}.")
        return same[0]

    def _forget(self) -> None:
        with self._lock:
            self._remembered.clear()


def _equal(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def _open() -> Any:
    return col(Experiment.ended_at).is_(None)


def _score(metric: str, row: Predicted, actual: Actual) -> float:
    """Higher is better."""
    if metric == "accuracy":
        return 1.0 if row.label is not None and str(actual) == row.label else 0.0
    try:
        number = float(actual)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Invalid(f"The outcome is {str(actual)[:40]!r}; {METRICS[metric]} takes a finite number.")
    if metric == "reward":
        return number
    if row.value is None:
        raise Invalid("This prediction gave no number to compare with.")
    return -abs(row.value - number)


def _json(result: Result) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        return None if isinstance(value, float) and not math.isfinite(value) else value

    made: dict[str, Any] = plain(asdict(result))
    return made
