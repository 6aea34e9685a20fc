from __future__ import annotations

import io
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest
from sqlmodel import select

from lib.app import App, build
from lib.auth.actor import GUEST, Actor
from lib.auth.actor import Role as Rank
from lib.datasets.schema import ColumnType, DatasetVersion, Role
from lib.datasets.windowing import Recipe, TargetKind
from lib.db.learning_tables import Dataset
from lib.db.tables import AuditEntry, Task, TaskStatus
from lib.errors import Conflict, Forbidden, Invalid, NotFound, StoreError
from lib.frames import Block, Window
from lib.services.datasets import Dependant
from lib.settings import TaskMode
from lib.store.findings import Anomaly, Findings

ANN, BOB = Actor("ann", Rank.ANALYST), Actor("bob", Rank.ANALYST)
VIEWER, OPERATOR = Actor("vera", Rank.VIEWER), Actor("olga", Rank.OPERATOR)
CSV = b"n,word,at\n" + b"".join(b"%d,%s,2026-01-%02d\n" % (i, b"xy"[i % 2 : i % 2 + 1], i + 1) for i in range(28))


@pytest.fixture
def ready(app: App) -> App:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    return app


def done(app: App, task: Task) -> Task:
    return app.runner.wait(task.id or 0, 60)


def brought(app: App, body: bytes = CSV, name: str = "table.csv", into: int | None = None) -> DatasetVersion:
    task = done(app, app.datasets.upload(ANN, name, io.BytesIO(body), into=into))
    assert task.status == TaskStatus.SUCCEEDED, task.error
    return app.datasets.open(VIEWER, task.result["dataset"], task.result["version"])


def left(app: App) -> list[Path]:
    """Every file of datasets and of tasks that is on the disk, but for logs."""
    folders = (app.settings.data_dir / "datasets", app.settings.tasks_dir)
    return [p for folder in folders for p in folder.rglob("*") if p.is_file() and p.name != "log.jsonl"]


def test_an_upload_becomes_a_dataset(ready: App) -> None:
    made = brought(ready)
    assert (made.name, made.rows, made.with_role(Role.TIME)) == ("table", 28, ["at"])
    assert [str(one.type) for one in made.schema] == ["integer", "text", "date"]
    assert duckdb.sql(f"SELECT count(*), max(n) FROM '{made.path}'").fetchall() == [(28, 27)]
    assert {p.suffix for p in left(ready)} == {".parquet", ".json"} and len(left(ready)) == 2
    assert ready.datasets.files.whole(made.dataset_id, made.hash)


def test_it_is_made_in_a_process_of_its_own(app: App) -> None:
    app.runner.start()
    assert brought(app).rows == 28


def test_the_same_content_is_the_same_version(ready: App) -> None:
    first, again = brought(ready), brought(ready)
    assert (first.dataset_id, first.hash) == (again.dataset_id, again.hash)
    other = brought(ready, CSV + b"28,z,2026-02-01\n")
    assert other.name == "table 2" and other.hash != first.hash
    newer = brought(ready, CSV + b"28,z,2026-02-01\n", into=first.dataset_id)
    assert newer.dataset_id == first.dataset_id and newer.hash == other.hash
    one, history = ready.datasets.get(VIEWER, first.dataset_id)
    assert one.versions == 2 and [each.number for each in history] == [2, 1]
    assert ready.datasets.open(VIEWER, first.dataset_id).hash == newer.hash


def test_a_version_without_repeated_rows_is_another_one_that_keeps_the_order(ready: App) -> None:
    task = ready.datasets.upload(ANN, "twice.csv", io.BytesIO(b"a b,c\n1,x\n2,y\n1,x\n,z\n,z\n1,y\n"))
    first = ready.datasets.open(ANN, done(ready, task).result["dataset"])
    result = done(ready, ready.datasets.edit(ANN, first.dataset_id, first.schema, distinct=True)).result
    assert result["rows"] == 4 and not result["unchanged"]
    left = ready.datasets.preview(ANN, first.dataset_id)
    assert left["c"].tolist() == ["x", "y", "z", "y"]
    second, history = ready.datasets.get(ANN, first.dataset_id)
    assert second.head.rows == 4 and "2 rows that repeat" in " ".join(history[0].lineage["notes"])
    renamed = [replace(one, name="n") if one.name == "a b" else one for one in second.head.columns]
    assert done(ready, ready.datasets.edit(ANN, first.dataset_id, renamed)).result["rows"] == 4
    again = done(ready, ready.datasets.edit(ANN, first.dataset_id, first.schema, first.hash)).result
    assert again["version"] == first.hash and again["rows"] == 6


def test_editing_makes_a_version_and_going_back_finds_the_old_one(ready: App) -> None:
    first = brought(ready, b"code,x\n" + b"12,1.5\n13,2\n" * 20)
    texts = [replace(first.schema[0], name="Kürzel", type=ColumnType.TEXT), replace(first.schema[1], role=Role.TARGET)]
    task = done(ready, ready.datasets.edit(ANN, first.dataset_id, texts))
    edited = ready.datasets.open(ANN, first.dataset_id)
    assert edited.hash == task.result["version"] != first.hash
    assert duckdb.sql(f"FROM '{edited.path}' LIMIT 1").fetchall() == [("12", 1.5)]
    assert [one.name for one in edited.schema] == ["Kürzel", "x"] and edited.with_role(Role.TARGET) == ["x"]
    _one, history = ready.datasets.get(VIEWER, first.dataset_id)
    assert history[0].lineage["version"] == first.hash and history[0].lineage["from"] == "edit"
    done(ready, ready.datasets.edit(ANN, first.dataset_id, first.schema))
    assert ready.datasets.open(ANN, first.dataset_id).hash == first.hash


def test_roles_change_at_once(ready: App) -> None:
    first = brought(ready)
    made = ready.datasets.set_roles(ANN, first.dataset_id, {"word": Role.TARGET, "n": Role.IDENTIFIER})
    opened = ready.datasets.open(VIEWER, first.dataset_id)
    assert opened.hash == made and opened.with_role(Role.TARGET) == ["word"] and opened.rows == 28
    with pytest.raises(Invalid, match="no column 'q'"):
        ready.datasets.set_roles(ANN, first.dataset_id, {"q": Role.TARGET})
    with pytest.raises(Invalid, match="Only one column"):
        ready.datasets.set_roles(ANN, first.dataset_id, {"n": Role.TARGET})


@pytest.mark.parametrize(
    "name",
    ["../x.csv", "/etc/passwd.csv", "a\\b.csv", "x.exe", "", "x.csv.exe", "x.parquet.gz", "a\0.csv", "..", ".csv"],
)
def test_names_with_path_parts_and_other_kinds_are_refused(ready: App, name: str) -> None:
    with pytest.raises(Invalid):
        ready.datasets.upload(ANN, name, io.BytesIO(CSV))
    assert left(ready) == []


@pytest.mark.parametrize(
    ("name", "body", "why"),
    [
        ("a.csv", b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "PNG image"),
        ("a.parquet", b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "PNG image"),
        ("a.xlsx", b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "PNG image"),
        ("a.jsonl", b"[1]\n[2]\n", "2 of its 2 lines"),
        ("a.csv.gz", b"a,b\n1,2\n", "cannot be unpacked"),
    ],
)
def test_nothing_is_kept_of_a_file_that_is_refused(ready: App, name: str, body: bytes, why: str) -> None:
    task = done(ready, ready.datasets.upload(ANN, name, io.BytesIO(body)))
    assert task.status == TaskStatus.FAILED and why in task.error
    assert ready.datasets.list(VIEWER) == [] and left(ready) == []


def test_a_file_above_the_cap_is_not_kept(ready: App) -> None:
    ready.settings.dataset_max_mb = 0.0001
    with pytest.raises(Invalid, match="larger than"):
        ready.datasets.upload(ANN, "a.csv", io.BytesIO(CSV))
    assert left(ready) == []


def test_a_file_of_the_server_is_picked_and_stays(ready: App, tmp_path: Path) -> None:
    folder = ready.settings.data_dir / "files"
    folder.mkdir()
    (folder / "here.csv").write_bytes(CSV)
    (folder / "note.md").write_text("no table")
    (tmp_path / "secret.csv").write_bytes(CSV)
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    assert ready.datasets.offered(VIEWER) == ["here.csv"]
    task = done(ready, ready.datasets.pick(ANN, "here.csv"))
    assert task.status == TaskStatus.SUCCEEDED and (folder / "here.csv").exists()
    with pytest.raises(NotFound):
        ready.datasets.pick(ANN, "link.csv")


def test_a_dataset_of_metrics_has_its_target_ahead(ready: App) -> None:
    now = ready.clock()
    ts = np.array([int((now - timedelta(minutes=180 - i)).timestamp() * 1000) for i in range(180)], dtype=np.int64)
    ready.samples.append(1, [Block("load", {"host": "a"}, ts, np.arange(180.0))])
    start = now - timedelta(minutes=60)
    anomaly = Anomaly(1, 1, "a", start, start, 5.0, 0.9, "major", {"sentence": "odd"}, end_ts=start)
    Findings(ready.store).save_anomalies([anomaly])
    series = ready.samples.find()
    window = Window(now - timedelta(hours=3), now)
    value = Recipe(60, lags=(5,), target=TargetKind.VALUE, target_series=series[0].id, horizon_s=1800)
    task = done(ready, ready.datasets.gather(ANN, "ahead", [series[0].id], window, value))
    assert task.status == TaskStatus.SUCCEEDED, task.error
    opened = ready.datasets.open(VIEWER, task.result["dataset"])
    names = [one.name for one in opened.schema]
    rows = duckdb.sql(f"SELECT \"{names[1]}\", target FROM '{opened.path}'").fetchall()
    assert len(rows) == 150 and all(later - here == pytest.approx(30) for here, later in rows)
    again = done(ready, ready.datasets.gather(ANN, "ahead", [series[0].id], window, value))
    assert again.result["version"] == opened.hash and again.result["dataset"] == opened.dataset_id
    soon = Recipe(60, target=TargetKind.ANOMALY, horizon_s=1800)
    task = done(ready, ready.datasets.gather(ANN, "soon", [series[0].id], window, soon))
    opened = ready.datasets.open(VIEWER, task.result["dataset"])
    told = duckdb.sql(f"SELECT min(time), max(time), count(*) FROM '{opened.path}' WHERE target").fetchall()[0]
    assert (told[1] - told[0]).total_seconds() == 29 * 60 and told[2] == 30
    _one, history = ready.datasets.get(VIEWER, opened.dataset_id)
    assert history[0].lineage["target"] == "an anomaly begins within the next 30 min"
    with pytest.raises(NotFound):
        ready.datasets.gather(ANN, "x", [series[0].id + 99], window, Recipe(60))


def test_deleting_shows_first_what_depends_on_it(ready: App) -> None:
    made = brought(ready)
    ready.datasets.dependants.append(lambda one: [Dependant("model", "churn")] if one == made.dataset_id else [])
    with pytest.raises(Forbidden):
        ready.datasets.delete(BOB, made.dataset_id)
    with pytest.raises(Conflict, match="model churn"):
        ready.datasets.delete(ANN, made.dataset_id)
    ready.datasets.delete(OPERATOR, made.dataset_id, anyway=True)
    assert left(ready) == [] and ready.datasets.list(VIEWER) == []
    with pytest.raises(NotFound):
        ready.datasets.open(ANN, made.dataset_id)
    with ready.database.session() as session:
        entries = session.exec(select(AuditEntry).where(AuditEntry.action == "dataset.delete")).all()
    assert [one.outcome for one in entries] == ["refused", "ok"]


def test_cells_that_are_formulas_are_made_harmless_on_export(ready: App) -> None:
    made = brought(ready, b'=x,b\n"=cmd|/c calc",1\n" +1+1",2\n"@SUM(A1)",3\nfine,4\n')
    lines = ready.datasets.as_csv(VIEWER, made.dataset_id).decode().splitlines()
    assert lines[0].startswith("'=x") and lines[1].startswith("'=cmd") and lines[3].startswith("'@SUM")
    assert lines[2].strip('"').startswith("' +1") and lines[4] == "fine,4"


def test_a_preview_cuts_long_texts(ready: App) -> None:
    made = brought(ready, b"a,b\n" + b"x" * 5_000 + b",1\ny,2\n")
    frame = ready.datasets.preview(VIEWER, made.dataset_id, limit=1)
    assert len(frame) == 1 and len(frame["a"][0]) == 301
    assert ready.datasets.preview(VIEWER, made.dataset_id, limit=5, offset=1)["a"].tolist() == ["y"]


def test_what_was_changed_on_the_disk_is_noticed(ready: App) -> None:
    made = brought(ready)
    with made.path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(StoreError, match="changed on the disk"):
        ready.datasets.open(VIEWER, made.dataset_id)
    os.unlink(made.path)
    with pytest.raises(NotFound):
        ready.datasets.open(VIEWER, made.dataset_id)


def test_what_a_killed_process_left_goes_at_the_next_start(ready: App) -> None:
    made = brought(ready)
    stray = made.path.with_name("0" * 64 + ".parquet")
    stray.write_bytes(b"half")
    (made.path.parent.parent / "7").mkdir()
    (made.path.parent.parent / "7" / ("1" * 64 + ".part")).write_bytes(b"half")
    ready.datasets.incoming.folder.mkdir(exist_ok=True)
    (ready.datasets.incoming.folder / "feed").write_bytes(b"half")
    ready.stop()
    again = build(ready.settings, ready.clock)
    assert len(left(again)) == 2 and again.datasets.open(VIEWER, made.dataset_id).rows == 28
    again.stop()


def test_who_may_do_what(ready: App) -> None:
    for actor in (GUEST, VIEWER):
        with pytest.raises(Forbidden):
            ready.datasets.upload(actor, "a.csv", io.BytesIO(CSV))
    with pytest.raises(Forbidden):
        ready.datasets.list(GUEST)
    made = brought(ready)
    with pytest.raises(Forbidden):
        ready.datasets.set_roles(VIEWER, made.dataset_id, {})
    with pytest.raises(Invalid, match="too short"):
        ready.datasets.open(VIEWER, made.dataset_id, "ab")
    with ready.database.session() as session:
        assert [one.created_by for one in session.exec(select(Dataset)).all()] == ["ann"]
