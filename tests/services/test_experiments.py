from __future__ import annotations

import io

import numpy as np
import pytest

from lib.app import App
from lib.db.learning_tables import Predicted
from lib.errors import Conflict, Forbidden, Invalid, NotFound
from lib.experiments.sequential import Call
from lib.services.prediction import hashed_key
from tests.registry.kept import ANALYST, FLOWERS, OPERATOR, PRICES, ROW, VIEWER, register


@pytest.fixture
def tested(app: App) -> App:
    register(app)
    register(app)
    app.models.promote(OPERATOR, "flowers", 1)
    return app


def begin(app: App, metric: str = "accuracy", **more):  # type: ignore[no-untyped-def]
    return app.experiments.begin(OPERATOR, "flowers", 1, 2, metric=metric, **more)


def test_callers_are_split_by_key_and_outcomes_counted_for_their_version(tested: App) -> None:
    test = begin(tested)
    arms = {}
    for number in range(12):
        answer = tested.prediction.predict(VIEWER, [ROW], key=f"user {number}")
        again = tested.prediction.predict(VIEWER, [ROW], key=f"user {number}")
        assert (answer.version, answer.arm) == (again.version, again.arm)
        assert answer.version == {"a": 1, "b": 2}[answer.arm]
        arms[number] = answer
    assert {one.arm for one in arms.values()} == {"a", "b"}
    tested.experiments.outcome(ANALYST, arms[0].predictions[0].id, actual="virginica")
    tested.experiments.outcome(ANALYST, experiment_id=test.id, key="user 1", actual="setosa")
    standing = tested.experiments.standing(VIEWER, test.id or 0)
    assert standing.result.a.count + standing.result.b.count == 2
    assert sum(standing.predictions.values()) == 24
    assert standing.words.startswith("Too early")
    # Who names a version is no part of the test.
    assert tested.prediction.predict(VIEWER, [ROW], version=1).arm == ""


def outcomes(app: App, test_id: int, salt: str, rates: tuple[float, float]) -> None:
    """As if predictions had been given and judged."""
    rng = np.random.default_rng(4)
    rows = []
    for number in range(1200):
        arm = "ab"[number % 2]
        right = rng.random() < rates[number % 2]
        rows.append(
            Predicted(token=f"{number}", name="flowers", version=1 + number % 2, experiment_id=test_id, arm=arm,
                      key_hash=hashed_key(salt, f"u{number}"), label="x", score=float(right))
        )  # fmt: skip
    with app.database.session() as session:
        session.add_all(rows)


def test_the_better_one_is_called_and_promoted_with_one_click(tested: App) -> None:
    test = begin(tested)
    outcomes(tested, test.id or 0, test.salt, (0.6, 0.8))
    standing = tested.experiments.standing(VIEWER, test.id or 0)
    assert standing.result.call is Call.B
    assert standing.words.startswith("Version 2 is better than version 1")
    change = tested.experiments.end(OPERATOR, test.id or 0, promote=True)
    assert change is not None
    assert "A/B test" in change.note
    assert tested.models.get(VIEWER, "flowers").version == 2
    assert tested.prediction.predict(VIEWER, [ROW]).arm == ""
    with pytest.raises(Conflict, match="ended already"):
        tested.experiments.end(OPERATOR, test.id or 0)
    assert tested.experiments.standing(VIEWER, test.id or 0).words == standing.words


def test_without_a_difference_nothing_is_promoted(tested: App) -> None:
    test = begin(tested)
    outcomes(tested, test.id or 0, test.salt, (0.7, 0.7))
    with pytest.raises(Conflict, match="nothing to promote"):
        tested.experiments.end(OPERATOR, test.id or 0, promote=True)
    assert tested.experiments.end(OPERATOR, test.id or 0) is None


def test_outcomes_come_from_a_file_with_what_was_wrong(tested: App) -> None:
    test = begin(tested)
    tested.prediction.predict(VIEWER, [ROW], key="ann")
    body = b"key,actual\nann,virginica\nnobody,setosa\n,x\n"
    taken, wrong = tested.experiments.outcomes_from(ANALYST, test.id or 0, io.BytesIO(body))
    assert taken == 1
    assert [line[:7] for line in wrong] == ["Line 3:", "Line 4:"]
    with pytest.raises(Invalid, match="columns actual"):
        tested.experiments.outcomes_from(ANALYST, test.id or 0, io.BytesIO(b"a,b\n1,2\n"))


def test_an_outcome_is_worded_as_the_class_it_means_or_refused(tested: App) -> None:
    test = begin(tested)
    answer = tested.prediction.predict(VIEWER, [ROW], key="ann")
    token, classes = answer.predictions[0].id, tested.models.schema_of(tested.models.get(VIEWER, "flowers", 1)).classes
    kept = tested.experiments.outcome(ANALYST, token, actual=f" {classes[0].upper()} ")
    assert kept.actual == classes[0]
    # An empty cell of a file is an outcome nobody knows yet, not a wrong prediction.
    taken, wrong = tested.experiments.outcomes_from(ANALYST, test.id or 0, io.BytesIO(b"key,actual\nann,\nann,zzz\n"))
    assert taken == 0
    assert "is empty" in wrong[0] and classes[0] in wrong[1]
    standing = tested.experiments.standing(VIEWER, test.id or 0)
    assert standing.result.a.count + standing.result.b.count == 1


def test_a_test_that_makes_no_sense_is_refused(tested: App) -> None:
    register(tested, "regression.json", PRICES)
    with pytest.raises(Invalid, match="different versions"):
        tested.experiments.begin(OPERATOR, "flowers", 1, 1, metric="accuracy")
    with pytest.raises(Conflict, match="same fields"):
        tested.experiments.begin(OPERATOR, "flowers", 1, 3, metric="reward")
    with pytest.raises(Invalid, match="compares models for regression"):
        begin(tested, "error")
    with pytest.raises(Invalid, match="share"):
        begin(tested, share_b=0)
    with pytest.raises(Forbidden):
        tested.experiments.begin(ANALYST, "flowers", 1, 2, metric="accuracy")
    begin(tested, "reward")
    with pytest.raises(Conflict, match="runs already"):
        begin(tested)
    answer = tested.prediction.predict(VIEWER, [ROW], key="k")
    with pytest.raises(Invalid, match="finite number"):
        tested.experiments.outcome(ANALYST, answer.predictions[0].id, actual="a lot")
    with pytest.raises(NotFound, match="not known"):
        tested.experiments.outcome(ANALYST, "0" * 24, actual=1)
    with pytest.raises(Forbidden):
        tested.experiments.outcome(VIEWER, answer.predictions[0].id, actual=1)


def test_only_a_digest_of_the_key_is_kept(tested: App) -> None:
    begin(tested)
    tested.prediction.predict(VIEWER, [ROW], key="ann@example.org")
    tested.prediction.log.flush()
    with tested.database.session() as session:
        from sqlmodel import select

        row = session.exec(select(Predicted)).one()
    assert "ann" not in row.model_dump_json()
    assert FLOWERS.classes[2] == row.label
