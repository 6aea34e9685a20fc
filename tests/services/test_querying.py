from __future__ import annotations

import csv
import io
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from sqlmodel import select

from lib.app import App
from lib.audit.log import Filter
from lib.auth.actor import GUEST, SYSTEM, Actor, ActorKind, Role
from lib.db.tables import Annotation, AnomalyLabel, Query, Source, User
from lib.errors import AppError, Forbidden, NotFound, SqlCancelled, SqlError, SqlLimit, StoreError, TooMany
from lib.frames import Block, to_ms
from lib.services import querying, querying_history
from lib.services.querying import Limits
from lib.settings import TaskMode
from lib.sql.process import End

HOSTILE = "<img src=x onerror=alert(1)> [x](http://evil) %{y}"
ENDLESS = "SELECT count(*) FROM range(9000000) a(i), range(9000000) b(j) WHERE i * j = -1"


def user(app: App, name: str, role: Role = Role.VIEWER) -> Actor:
    with app.database.session() as session:
        row = User(username=name, password_hash="", role=role.name.lower())
        session.add(row)
        session.flush()
        return Actor(name, role, ActorKind.USER, row.id)


@pytest.fixture
def ann(app: App) -> Actor:
    return user(app, "ann")


@pytest.fixture
def filled(app: App) -> App:
    ts = to_ms(app.clock()) - np.arange(100, dtype=np.int64)[::-1] * 15_000
    app.samples.append(
        1,
        [
            Block("node_load1", {"instance": "web-1", "note": HOSTILE}, ts, np.arange(100.0)),
            Block("node_load1", {"instance": "=1+1"}, ts, np.full(100, np.nan)),
        ],
    )
    return app


def error_of(app: App, actor: Actor, sql: str, **limits: float) -> AppError:
    with pytest.raises(AppError) as caught:
        app.querying.run(actor, sql, Limits(**limits) if limits else None)
    return caught.value


# --- what comes ----------------------------------------------------------------------------------


def test_sums_of_archived_days_are_read_where_the_query_is_confined(app: App, ann: Actor) -> None:
    ts = to_ms(app.clock()) - np.arange(20 * 24, dtype=np.int64)[::-1] * 3_600_000
    app.samples.append(1, [Block("load", {"instance": "a"}, ts, np.arange(ts.size) / 4)])
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    app.archiving.tick()
    found = app.querying.run(ann, "SELECT step_s, sum(sum) / sum(count) AS mean FROM tiers GROUP BY ALL ORDER BY 1")
    archived = int(app.archiving.status(SYSTEM).samples)
    mean = (np.arange(ts.size) / 4)[:archived].mean()
    assert found.frame["step_s"].tolist() == [300, 3600]
    assert found.frame["mean"].tolist() == pytest.approx([mean, mean])


def test_rows_come_with_types_times_in_utc_and_when_they_are_from(filled: App, ann: Actor) -> None:
    found = filled.querying.run(
        ann, "SELECT max(ts) AS t, host, avg(value) AS v, count(*) AS n FROM samples GROUP BY 2"
    )
    assert [column.kind for column in found.columns] == ["time", "text", "number", "integer"]
    row = found.frame[found.frame["host"] == "web-1"].iloc[0]
    assert row["t"] == pd.Timestamp(filled.clock())
    assert (row["v"], row["n"]) == (49.5, 100)
    assert (found.tables, found.truncated, found.as_of) == (("samples",), False, filled.clock())


def test_every_kind_of_value_finds_its_column(app: App, ann: Actor) -> None:
    found = app.querying.run(
        ann,
        "SELECT 170141183460469231731687303715884105727 AS huge, 1.25::DECIMAL(9, 2) AS exact, true AS yes, "
        "NULL AS no, DATE '2026-02-03' AS day, now() AS zoned, 'infinity'::TIMESTAMP AS never, [1.5, NULL] AS list, "
        "{'a': 'ä'} AS s, INTERVAL 90 minutes AS span, uuid() AS u, 'x'::BLOB AS b, 1 AS huge, "
        "'NaN'::DOUBLE AS nan, MAP {'k': 1} AS m",
    )
    row = found.frame.iloc[0]
    assert (row["huge"], row["exact"], row["yes"]) == (2.0**127, 1.25, True)
    assert row["day"] == pd.Timestamp("2026-02-03", tz="UTC") and str(row["zoned"].tz) == "UTC"
    assert pd.isna(row["never"]) and pd.isna(row["no"]) and np.isnan(row["nan"])
    assert (row["list"], row["s"], row["span"]) == ("[1.5, null]", '{"a": "ä"}', "1:30:00")
    assert row["huge_2"] == 1


def test_a_hostile_label_stays_text(filled: App, ann: Actor) -> None:
    found = filled.querying.run(ann, "SELECT labels['note'] AS note FROM series WHERE host = 'web-1'")
    assert found.frame["note"].tolist() == [HOSTILE]


def test_an_empty_store_gives_empty_tables(app: App, ann: Actor) -> None:
    for table in app.querying.tables(ann):
        found = app.querying.run(ann, f"SELECT * FROM {table.name}")
        assert found.frame.empty
        assert [column.name for column in found.columns] == [column.name for column in table.columns]


def test_labels_and_annotations_come_from_the_app_database_without_who_made_them(app: App, ann: Actor) -> None:
    now = app.clock()
    with app.database.session() as session:
        session.add(Source(id=7, name="Main", kind="prometheus"))
        session.add(
            AnomalyLabel(
                source_id=7,
                host="a",
                start_at=now,
                end_at=now + timedelta(hours=1),
                verdict="false",
                created_by="mallory",
            )
        )
        session.add(Annotation(kind="deploy", start_at=now, text="v2", created_by="mallory"))
    label = app.querying.run(ann, "SELECT * FROM labels").frame.iloc[0]
    mark = app.querying.run(ann, "SELECT * FROM annotations").frame.iloc[0]
    assert (label["source"], label["verdict"], label["started_at"]) == ("Main", "false", pd.Timestamp(now))
    assert (mark["text"], pd.isna(mark["source"]), pd.isna(mark["ended_at"])) == ("v2", True, True)
    assert "mallory" not in f"{label} {mark}"


def test_more_rows_than_may_be_shown_are_cut_and_said(app: App, ann: Actor) -> None:
    found = app.querying.run(ann, "SELECT i FROM range(100000) t(i)")
    assert (len(found.frame), found.truncated) == (querying.MAX_ROWS, True)
    found = app.querying.run(ann, "SELECT repeat('x', 50000) FROM range(2000)")
    assert len(found.frame) < 2000 and found.truncated


# --- what is wrong -------------------------------------------------------------------------------


def test_a_syntax_error_tells_line_and_column_in_characters(app: App, ann: Actor) -> None:
    error = error_of(app, ann, "SELECT 'äöü',\n  1 AS b c\nFROM samples")
    assert isinstance(error, SqlError)
    assert (error.values["line"], error.values["column"]) == (2, 10)


@pytest.mark.parametrize(
    ("sql", "line", "column", "hint"),
    [
        ("SELECT valeu FROM samples", 1, 8, "Did you mean value?"),
        ("SELECT *\nFROM smaples", 2, 6, "Did you mean samples?"),
        ('SELECT * FROM samples WHERE metric = "up"', 1, 38, "Texts take single quotes."),
        ("SELECT medain(value) FROM samples", 1, 8, "Did you mean median?"),
    ],
)
def test_a_wrong_name_tells_where_and_what_was_meant(
    app: App, ann: Actor, sql: str, line: int, column: int, hint: str
) -> None:
    error = error_of(app, ann, sql)
    assert (error.values["line"], error.values["column"]) == (line, column)
    assert hint in error.values["hint"]


def test_a_value_that_cannot_be_converted_is_said(filled: App, ann: Actor) -> None:
    assert "Could not convert" in error_of(filled, ann, "SELECT host::INTEGER FROM samples").message


@pytest.mark.parametrize("sql", ["", "   ", "DROP TABLE samples", "SELECT 1; SELECT 2", "SELECT * FROM '/etc/passwd'"])
def test_what_may_not_run_is_refused(app: App, ann: Actor, sql: str) -> None:
    assert isinstance(error_of(app, ann, sql), SqlError)


def test_no_message_names_a_folder_of_the_machine(filled: App, ann: Actor) -> None:
    filled.querying.run(ann, "FROM samples LIMIT 1")
    for file in (filled.settings.data_dir / "sql").glob("samples-*.parquet"):
        file.write_bytes(b"PAR1 damaged")
    error = error_of(filled, ann, "SELECT sum(value) FROM samples")
    assert str(filled.settings.data_dir) not in f"{error.message} {error.values}"
    # And the damaged files are not read again.
    assert filled.querying.run(ann, "SELECT count(*) AS n FROM samples").frame["n"].tolist() == [200]


def test_a_store_that_cannot_be_read_is_said(filled: App, ann: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise StoreError("The file is closed; start the app again.")

    monkeypatch.setattr(filled.querying.snapshots, "_refresh", broken)
    assert "start the app again" in error_of(filled, ann, "FROM samples").message
    assert filled.querying.run(ann, "SELECT 1").frame.size == 1


# --- how it ends ---------------------------------------------------------------------------------


def test_too_long_is_ended_and_said(app: App, ann: Actor) -> None:
    error = error_of(app, ann, ENDLESS, seconds=0.3)
    assert isinstance(error, SqlLimit) and "0.3 s" in error.message


def test_too_much_memory_is_ended_and_said(app: App, ann: Actor) -> None:
    error = error_of(app, ann, "SELECT list_sum(range(2000000000))")
    assert isinstance(error, SqlLimit) and "512 MB" in error.message


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_cancelled_by_who_started_it(app: App, ann: Actor) -> None:
    running = app.querying.begin(ann, ENDLESS)
    until(lambda: running.stage == "Running")
    running.cancel()
    assert running.wait(5)
    with pytest.raises(SqlCancelled):
        running.result()
    assert app.querying.run(ann, "SELECT 1").frame.size == 1


def test_a_killed_child_is_said_and_the_next_query_runs(app: App, ann: Actor) -> None:
    running = app.querying.begin(ann, ENDLESS)
    until(lambda: running.stage == "Running")
    os.kill(app.querying.pool.pids[0], signal.SIGKILL)
    with pytest.raises(SqlLimit):
        running.result()
    assert app.querying.run(ann, "SELECT 1").frame.size == 1


def test_a_query_nobody_can_parse_is_refused(app: App, ann: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(self: object, request: dict, *_: object) -> None:
        raise querying.Ended(End.DIED)

    with monkeypatch.context() as patched:
        patched.setattr(querying.Child, "ask", dies)
        assert isinstance(error_of(app, ann, "SELECT 1"), SqlError)


def test_two_users_query_at_once_and_see_their_own(filled: App, ann: Actor) -> None:
    bob = user(filled, "bob")
    slow = filled.querying.begin(ann, ENDLESS)
    until(lambda: slow.stage == "Running")
    assert filled.querying.run(bob, "SELECT 'bob' AS who").frame["who"].tolist() == ["bob"]
    assert not slow.done
    slow.cancel()
    results: dict[str, list] = {}

    def many(actor: Actor) -> None:
        results[actor.name] = [
            filled.querying.run(actor, f"SELECT '{actor.name}' AS w, count(*) AS n FROM samples").frame.iloc[0].tolist()
            for _ in range(5)
        ]

    slow.wait(5)
    threads = [threading.Thread(target=many, args=(actor,)) for actor in (ann, bob)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == {name: [[name, 200]] * 5 for name in ("ann", "bob")}


def test_a_second_query_of_the_same_person_waits_and_then_is_refused(
    app: App, ann: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(querying, "WAIT_S", 0.2)
    slow = app.querying.begin(ann, ENDLESS)
    until(lambda: slow.stage == "Running")
    assert isinstance(error_of(app, ann, "SELECT 1"), TooMany)
    slow.cancel()
    slow.wait(5)


def test_stopping_the_app_ends_what_runs(app: App, ann: Actor) -> None:
    running = app.querying.begin(ann, ENDLESS)
    until(lambda: running.stage == "Running")
    app.querying.close()
    assert running.wait(5)
    assert app.querying.pool.pids == []


# --- who may, and who did ------------------------------------------------------------------------


def test_guests_query_the_demo_and_nothing_else(app: App) -> None:
    assert app.querying.run(GUEST, "SELECT 1").frame.size == 1
    with app.database.session() as session:
        session.add(Source(name="Main", kind="prometheus"))
    for attempt in (
        lambda: app.querying.run(GUEST, "SELECT 1"),
        lambda: app.querying.tables(GUEST),
        lambda: app.querying.past(GUEST),
    ):
        with pytest.raises(Forbidden):
            attempt()


def test_a_guest_gets_less_time(app: App) -> None:
    running = app.querying.begin(GUEST, "SELECT 1")
    running.wait(10)
    assert running.limits.seconds == querying.GUEST_SECONDS < app.settings.sql_seconds


def test_each_run_is_audited_whatever_came_of_it(app: App, ann: Actor) -> None:
    app.querying.run(ann, "SELECT 1 AS one")
    error_of(app, ann, "SELECT * FROM '/etc/passwd'")
    error_of(app, GUEST, "DROP TABLE samples")
    entries = app.audit.entries(Filter(action="run sql"))
    assert [(e.actor, e.outcome) for e in entries] == [("guest", "sql_error"), ("ann", "sql_error"), ("ann", "ok")]
    assert entries[1].details["sql"] == "SELECT * FROM '/etc/passwd'"
    assert app.audit.verify() is None


def test_nothing_is_shown_of_what_could_not_be_audited(app: App, ann: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreError("The disk is full.")

    monkeypatch.setattr(app.audit, "record", full)
    assert "full" in error_of(app, ann, "SELECT 1").message


def test_history_keeps_each_text_once_pinned_first_and_only_for_its_owner(app: App, ann: Actor, clock) -> None:
    bob = user(app, "bob")
    for sql in ("SELECT 1", "SELECT 2", "SELEC 3", "SELECT 1"):
        clock.advance(seconds=1)
        assert app.querying.begin(ann, sql).wait(20)
    past = app.querying.past(ann)
    assert [(query.sql, query.outcome) for query in past] == [
        ("SELECT 1", "ok"),
        ("SELEC 3", "sql_error"),
        ("SELECT 2", "ok"),
    ]
    app.querying.pin(ann, past[2].id, True)
    assert app.querying.past(ann)[0].sql == "SELECT 2"
    assert app.querying.past(bob) == app.querying.past(GUEST) == app.querying.past(SYSTEM) == []
    for attempt in (lambda: app.querying.pin(bob, past[0].id, True), lambda: app.querying.forget(bob, past[0].id)):
        with pytest.raises(NotFound):
            attempt()
    app.querying.forget(ann, past[0].id)
    assert len(app.querying.past(ann)) == 2


def test_history_forgets_the_oldest_but_not_what_is_pinned(
    app: App, ann: Actor, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(querying_history, "KEPT", 3)
    history = app.querying.history
    history.note(ann, "SELECT 'kept'", "ok", 1, 0.1)
    history.pin(ann, history.of(ann)[0].id, True)
    for number in range(6):
        clock.advance(seconds=1)
        history.note(ann, f"SELECT {number}", "ok", 1, 0.1)
    assert [query.sql for query in history.of(ann)] == ["SELECT 'kept'", "SELECT 5", "SELECT 4", "SELECT 3"]


def test_a_users_history_goes_with_the_user(app: App, ann: Actor) -> None:
    app.querying.history.note(ann, "SELECT 1", "ok", 1, 0.1)
    with app.database.session() as session:
        session.delete(session.get(User, ann.id))
    with app.database.session() as session:
        assert session.exec(select(Query)).all() == []


# --- files ---------------------------------------------------------------------------------------


def test_formulas_in_texts_and_column_names_are_neutralised_in_csv(filled: App, ann: Actor) -> None:
    found = filled.querying.run(
        ann, "SELECT host, 1 AS \"=cmd()\", -5 AS n, ts FROM samples WHERE host = '=1+1' LIMIT 1"
    )
    rows = list(csv.reader(io.StringIO(filled.querying.export(ann, found, "csv").decode())))
    assert rows[0] == ["host", "'=cmd()", "n", "ts"]
    assert rows[1][:3] == ["'=1+1", "1", "-5"]
    assert rows[1][3].endswith("Z")


def test_parquet_carries_types_and_values_as_they_are(filled: App, ann: Actor) -> None:
    found = filled.querying.run(ann, "SELECT host, value, ts FROM samples ORDER BY ts, host")
    back = pd.read_parquet(io.BytesIO(filled.querying.export(ann, found, "parquet")))
    assert back["host"].tolist() == found.frame["host"].tolist()
    assert str(back["ts"].dt.tz) == "UTC" and back["value"].sum() == found.frame["value"].sum()


@pytest.mark.parametrize("text", ["-- nothing yet", ";", "/* a */ ;;"])
def test_a_text_without_a_query_is_told_so(app: App, ann: Actor, text: str) -> None:
    assert "no query" in error_of(app, ann, text).message


def test_a_message_of_the_database_is_a_sentence_before_its_place(filled: App, ann: Actor) -> None:
    error = error_of(filled, ann, "SELECT * FROM samples WHERE value = 'abc'")
    assert error.message == "Could not convert string 'abc' to DOUBLE."
    assert (error.values["line"], error.values["column"]) == (1, 37)
