from __future__ import annotations

import csv
import io

import pandas as pd
import pytest

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.db.tables import Task, TaskStatus
from lib.errors import Forbidden, Invalid, NotFound
from lib.settings import TaskMode
from tests.registry.kept import ANALYST, MIXED, OPERATOR, ROW, VIEWER, register


@pytest.fixture
def flowers(app: App) -> App:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    register(app)
    app.models.promote(OPERATOR, "flowers", 1)
    return app


def run(app: App, name: str, body: bytes, model: str = "flowers", version: int | None = None) -> Task:
    task = app.prediction_files.start(ANALYST, model, version, name, io.BytesIO(body))
    return app.runner.wait(task.id or 0, 60)


def lines(app: App, task: Task) -> list[dict[str, str]]:
    assert task.status == TaskStatus.SUCCEEDED, task.error
    with app.prediction_files.result(ANALYST, task.id or 0).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_file_comes_back_with_predictions_that_a_spreadsheet_cannot_run(flowers: App) -> None:
    body = b"note,length,width,height,weight\n=1+1,1,1,1,1\n@x,1,-3,1,1\nplain,1,oops,1,1\n"
    task = run(flowers, "a.csv", body)
    found = lines(flowers, task)
    assert [one["note"] for one in found] == ["'=1+1", "'@x", "plain"]
    single = flowers.prediction.predict(VIEWER, [ROW]).predictions[0]
    assert found[0]["prediction"] == single.label
    assert float(found[0]["probability virginica"]) == pytest.approx(single.probabilities["virginica"])
    assert (found[2]["prediction"], found[2]["problem"][:19]) == ("", "width is 'oops'; it")
    assert task.result["problems"] == 1


def test_parquet_with_missing_values_times_and_yes_or_no(flowers: App) -> None:
    register(flowers, "binary.json", MIXED, name="mixed")
    frame = pd.DataFrame(
        {
            "age": [1, 2],
            "income": [None, 2.5],
            "shop": ["north", "west"],
            "member": [True, False],
            "since": pd.to_datetime(["2026-01-01", None], utc=True),
        }
    )
    held = io.BytesIO()
    frame.to_parquet(held)
    task = flowers.prediction_files.start(ANALYST, "mixed", 1, "a.parquet", io.BytesIO(held.getvalue()))
    task = flowers.runner.wait(task.id or 0, 60)
    # The model takes numbers only, which its schema hides: the task says so instead of guessing.
    assert task.status == TaskStatus.FAILED
    assert "numbers only" in task.error


def test_what_is_no_table_or_lacks_columns_fails_with_the_reason(flowers: App) -> None:
    assert "lacks height, weight" in run(flowers, "a.csv", b"length,width\n1,2\n").error
    assert "no Parquet file" in run(flowers, "a.parquet", b"PAR1 but no more").error
    assert "Parquet file is damaged" in run(flowers, "a.parquet", b"PAR1junkPAR1").error
    assert "not a table of text" in run(flowers, "a.csv", bytes(range(256)) * 4).error
    for name, body, words in (("../a.csv", b"x", "path"), ("a.xls", b"x", "save it as"), ("a.csv", b"", "is empty")):
        with pytest.raises(Invalid, match=words):
            flowers.prediction_files.start(ANALYST, "flowers", None, name, io.BytesIO(body))
    assert list(flowers.prediction_files.intake.folder.iterdir()) == []


def test_results_are_of_who_asked(flowers: App) -> None:
    task = run(flowers, "a.csv", b"length,width,height,weight\n1,1,1,1\n")
    with pytest.raises(Forbidden, match="theirs"):
        flowers.prediction_files.result(Actor("other", Role.ANALYST), task.id or 0)
    assert flowers.prediction_files.result(OPERATOR, task.id or 0).is_file()
    with pytest.raises(Forbidden):
        flowers.prediction_files.start(VIEWER, "flowers", None, "a.csv", io.BytesIO(b"x"))
    for old in flowers.prediction_files.kept.glob("*.csv"):
        old.unlink()
    with pytest.raises(NotFound, match="gone"):
        flowers.prediction_files.result(ANALYST, task.id or 0)


def test_a_stored_dataset_is_predicted_as_it_is(flowers: App) -> None:
    body = b"note,length,width,height,weight\n=1+1,1,1,1,1\nplain,1,,1,1\n"
    made = flowers.runner.wait(flowers.datasets.upload(ANALYST, "new.csv", io.BytesIO(body)).id or 0, 60)
    number = int(made.result["dataset"])
    task = flowers.prediction_files.start_dataset(ANALYST, "flowers", None, number)
    found = lines(flowers, flowers.runner.wait(task.id or 0, 60))
    single = flowers.prediction.predict(VIEWER, [ROW]).predictions[0]
    assert [(one["note"], one["prediction"]) for one in found] == [("'=1+1", single.label), ("plain", "")]
    assert "width is missing" in found[1]["problem"]
    register(flowers, "binary.json", MIXED, name="mixed")
    with pytest.raises(Invalid, match="The dataset lacks age, shop, member; it has note, length"):
        flowers.prediction_files.start_dataset(ANALYST, "mixed", 1, number)
    with pytest.raises(NotFound):
        flowers.prediction_files.start_dataset(ANALYST, "flowers", None, 99)
    with pytest.raises(Forbidden):
        flowers.prediction_files.start_dataset(VIEWER, "flowers", None, number)
