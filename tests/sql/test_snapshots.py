"""Snapshots: right after every kind of change, written again only where something changed, gone when unused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest

from lib.app import App
from lib.auth.actor import SYSTEM
from lib.db.tables import Source
from lib.frames import Block, to_ms
from lib.settings import TaskMode
from lib.sql import snapshots
from lib.sql.snapshots import Snapshots

DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def never_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "FRESH_S", 0.0)


@pytest.fixture
def made(app: App) -> Snapshots:
    return app.querying.snapshots


def append(app: App, days_ago: float, count: int = 10, host: str = "a", value: float = 1.0) -> None:
    ts = to_ms(app.clock()) - int(days_ago * DAY_MS) - np.arange(count, dtype=np.int64)[::-1] * 1000
    app.samples.append(1, [Block("load", {"instance": host}, ts, np.full(count, value))])


def read(made: Snapshots, sql: str, *tables: str) -> list[tuple]:
    with made.of(tables, threading.Event()) as snapshot, duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for view in snapshot.views:
            connection.execute(view)
        return connection.execute(sql).fetchall()


def files(made: Snapshots, part: str = "samples") -> set[str]:
    return {file.name for file in made.folder.glob(f"{part}-*.parquet")}


def test_samples_carry_metric_host_and_source_and_keep_nan(app: App, made: Snapshots) -> None:
    with app.database.session() as session:
        session.add(Source(id=1, name="Main", kind="prometheus"))
    append(app, 0, 1, value=float("nan"))
    rows = read(made, "SELECT metric, host, isnan(value), source, ts FROM samples", "samples")
    assert rows == [("load", "a", True, "Main", app.clock().replace(tzinfo=None))]


def test_only_days_that_changed_are_written_again(app: App, made: Snapshots) -> None:
    append(app, 2)
    append(app, 1)
    assert read(made, "SELECT count(*) FROM samples", "samples") == [(20,)]
    before = files(made)
    append(app, 0)
    assert read(made, "SELECT count(*) FROM samples", "samples") == [(30,)]
    assert before < files(made)


def late(app: App) -> None:
    append(app, 1.1, 5, host="late")


def removed(app: App) -> None:
    app.samples.forget_source(1)


def replaced(app: App) -> None:
    app.samples.forget_source(1)
    append(app, 1.5, 20)


@pytest.mark.parametrize("change", [late, removed, replaced])
def test_a_change_in_the_past_is_seen(app: App, made: Snapshots, change: Callable[[App], None]) -> None:
    append(app, 1, 10)
    append(app, 0, 10)
    read(made, "FROM samples", "samples")
    change(app)
    with app.store.read() as cursor:
        wanted = cursor.execute("SELECT count(*), sum(epoch_ms(ts)) FROM samples").fetchall()
    assert read(made, "SELECT count(*), sum(epoch_ms(ts)) FROM samples", "samples") == wanted


def test_within_its_time_the_same_snapshot_serves(
    app: App, made: Snapshots, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "FRESH_S", 60.0)
    append(app, 0)
    with made.of(["samples"], threading.Event()) as first:
        pass
    clock.advance(seconds=10)
    append(app, 0, 30)
    with made.of(["samples"], threading.Event()) as second:
        assert (second.views, second.as_of) == (first.views, first.as_of)
    assert second.as_of == clock() - timedelta(seconds=10)


def test_files_in_use_outlive_a_newer_snapshot(app: App, made: Snapshots) -> None:
    append(app, 0)
    with made.of(["samples"], threading.Event()) as old:
        append(app, 0, 30)
        assert read(made, "SELECT count(*) FROM samples", "samples") == [(30,)]
        with duckdb.connect(":memory:") as connection:
            for view in old.views:
                connection.execute(view)
            assert connection.execute("SELECT count(*) FROM samples").fetchall() == [(10,)]
    assert len(files(made)) == 1


def test_every_table_is_there_and_as_documented_while_nothing_is_stored(made: Snapshots) -> None:
    for table in made.tables():
        with made.of([table.name], threading.Event()) as snapshot, duckdb.connect(":memory:") as connection:
            for view in snapshot.views:
                connection.execute(view)
            found = connection.execute(f"DESCRIBE {table.name}").fetchall()
            assert connection.execute(f"SELECT count(*) FROM {table.name}").fetchall() == [(0,)]
        assert [(name, type_) for name, type_, *_ in found] == [(c.name, c.type) for c in table.columns], table.name


def test_tiers_have_the_sums_of_closed_days_and_files_are_linked_once(app: App, made: Snapshots) -> None:
    ts = to_ms(app.clock()) - np.arange(20 * 24, dtype=np.int64)[::-1] * 3_600_000
    value = np.arange(ts.size) / 4
    app.samples.append(1, [Block(name, {"instance": "a"}, ts, value) for name in ("load", "requests_total")])
    assert read(made, "SELECT * FROM tiers", "tiers") == []
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    app.archiving.tick()
    rows = read(
        made,
        "SELECT metric, host, count(DISTINCT ts::DATE) > 9, sum(count) > 200, bool_and(min <= last AND last <= max), "
        "bool_or(increase IS NULL) FROM tiers WHERE step_s = 3600 GROUP BY ALL ORDER BY metric",
        "tiers",
    )
    assert rows == [("load", "a", True, True, True, True), ("requests_total", "a", True, True, True, False)]
    same = "SELECT bool_and(s.value = t.last) FROM tiers t JOIN samples s USING (series_id, ts) WHERE step_s = 300"
    assert read(made, same, "tiers", "samples") == [(True,)]
    linked = files(made, "tiers_1h")
    assert read(made, "SELECT count(*) > 0 FROM tiers", "tiers") == [(True,)] and files(made, "tiers_1h") == linked
    made.drop()
    app.samples.forget_source(1)
    assert read(made, "SELECT count(*) FROM tiers", "tiers") == [(0,)], "what was removed is not told"
    assert app.archiving.status(SYSTEM).days, "the archive's own files stay when snapshots go"


def test_a_table_that_comes_later_is_published(app: App, made: Snapshots) -> None:
    with app.store.write() as cursor:
        cursor.execute("CREATE TABLE alerts (ts TIMESTAMP_MS, expected DOUBLE)")
        cursor.execute("INSERT INTO alerts VALUES (TIMESTAMP '2026-01-01', 5)")
    table = next(table for table in made.tables() if table.name == "alerts")
    assert [column.name for column in table.columns] == ["ts", "expected"]
    assert read(made, "SELECT expected FROM alerts", "alerts") == [(5.0,)]


def test_what_a_former_process_left_is_removed_and_so_is_what_nobody_asks_for(app: App, made: Snapshots) -> None:
    made.folder.mkdir(parents=True)
    left = made.folder / "samples-000099.parquet"
    left.write_bytes(b"x")
    append(app, 0)
    read(made, "FROM samples", "samples")
    assert not left.exists() and files(made)
    made.tidy(keep_s=3600)
    assert files(made)
    made.tidy(keep_s=0)
    assert not files(made)
    # Not the folder: children are confined to this very one.
    assert made.folder.is_dir()
    assert read(made, "SELECT count(*) FROM samples", "samples") == [(10,)]


def test_a_quote_in_the_path_is_only_a_quote(app: App, tmp_path: Path) -> None:
    odd = Snapshots(app.store, app.querying._rows, tmp_path / "it's <samples> here", app.clock)
    append(app, 0)
    assert read(odd, "SELECT count(*) FROM samples", "samples") == [(10,)]


def test_the_stores_own_settings_are_left_alone(app: App, made: Snapshots) -> None:
    append(app, 0)
    read(made, "FROM samples", "samples")
    with app.store.read() as cursor:
        assert cursor.execute("SELECT current_setting('preserve_insertion_order')").fetchall() == [(True,)]
