from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlmodel import select

from lib.app import App
from lib.auth.actor import GUEST, Actor, Role
from lib.db.tables import AuditEntry, Task, TaskStatus
from lib.errors import Forbidden, Invalid, NotFound
from lib.profiling.tables import TableProfile
from lib.services.table_profiles import TableProfiles
from lib.settings import TaskMode

ANN, BOB = Actor("ann", Role.ANALYST), Actor("bob", Role.ANALYST)
VIEWER, OPERATOR = Actor("vera", Role.VIEWER), Actor("olga", Role.OPERATOR)
CSV = b"a,b\n" + b"".join(b"%d,%s\n" % (i, b"xy"[i % 2 : i % 2 + 1]) for i in range(200))


@pytest.fixture
def ready(app: App) -> App:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    return app


def brought(app: App, name: str, body: bytes) -> tuple[Task, TableProfile | None]:
    task = app.runner.wait(app.tables.upload(ANN, name, io.BytesIO(body)).id or 0, 60)
    return task, app.tables.get(VIEWER, task.result["id"]) if task.result else None


def left_over(app: App) -> list[Path]:
    """Every file of what was uploaded that is still on the disk."""
    folders = (app.tables.incoming, app.settings.tasks_dir)
    return [p for folder in folders for p in folder.rglob("*") if p.is_file() and p.name != "log.jsonl"]


def test_an_upload_becomes_a_profile_and_the_file_is_gone(ready: App) -> None:
    task, found = brought(ready, "a.csv", CSV)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    assert found is not None
    assert (found.name, found.rows, found.size_bytes) == ("a.csv", 200, len(CSV))
    assert [one.name for one in ready.tables.list(VIEWER)] == ["a.csv"]
    assert left_over(ready) == []


def test_it_runs_in_a_process_of_its_own(app: App) -> None:
    app.runner.start()
    task, found = brought(app, "a.csv", CSV)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    assert found is not None
    assert found.rows == 200


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd.csv", "passwd.csv"),
        ("C:\\temp\\x.CSV", "x.csv"),
        ("/abs/olute/\u202e*[a].tsv", "\u202e*[a].tsv"),
        (".csv.csv", ".csv.csv"),
        ("x\0y\n.csv", "xy.csv"),
    ],
)
def test_path_parts_of_a_name_are_ignored(ready: App, name: str, shown: str) -> None:
    task, found = brought(ready, name, CSV.replace(b",", b"\t") if name.endswith("tsv") else CSV)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    assert found is not None
    assert found.name == shown
    inside = ready.settings.data_dir.resolve()
    assert all(p.resolve().is_relative_to(inside) for p in ready.tables.kept.rglob("*"))
    assert [one.name for one in ready.tables.list(VIEWER)] == [shown]


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("a.exe", CSV, "is no .csv"),
        ("a.csv.gz", CSV, "is no .csv"),
        ("", CSV, "is no .csv"),
        ("a.csv", b"", "is empty"),
    ],
)
def test_what_cannot_be_read_is_refused_at_once(ready: App, name: str, body: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        ready.tables.upload(ANN, name, io.BytesIO(body))
    assert left_over(ready) == []
    assert ready.tables.last(ANN) is None


@pytest.mark.parametrize(
    ("name", "body"), [("a.parquet", b"PAR1" + b"x" * 500), ("a.parquet", CSV), ("a.csv", b"\x00\x01" * 400)]
)
def test_what_only_claims_to_be_a_table_fails_in_words_and_leaves_nothing(ready: App, name: str, body: bytes) -> None:
    task, found = brought(ready, name, body)
    assert (task.status, found) == (TaskStatus.FAILED, None)
    assert task.error
    assert str(ready.settings.data_dir) not in task.error
    assert "Traceback" not in task.error
    assert left_over(ready) == []
    assert ready.tables.list(VIEWER) == []


class Endless(io.RawIOBase):
    """Ten gigabytes that nobody has to store; remembers how much was asked for."""

    given = 0

    def read(self, size: int = -1) -> bytes:
        self.given += size
        return b"1,2\n" * (size // 4) if self.given < 10 * 2**30 else b""


def test_ten_gigabytes_are_refused_at_the_cap_and_nothing_of_them_stays(ready: App) -> None:
    ready.settings.upload_max_mb = 3
    stream = Endless()
    with pytest.raises(Invalid, match="larger than the 3 MB"):
        ready.tables.upload(ANN, "big.csv", stream)  # type: ignore[arg-type]
    assert stream.given <= 5 * 2**20
    assert left_over(ready) == []


def test_what_a_killed_process_left_is_swept_at_the_start(ready: App) -> None:
    ready.tables.incoming.mkdir(parents=True)
    (ready.tables.incoming / "0123456789abcdef").write_bytes(CSV)
    TableProfiles(ready.settings, ready.runner, ready.audit, ready.clock)
    assert left_over(ready) == []


def test_files_on_the_server_are_offered_and_stay(ready: App, tmp_path: Path) -> None:
    folder = ready.tables.files
    folder.mkdir(parents=True)
    parquet.write_table(pa.table({"a": list(range(60))}), folder / "big [1].parquet")
    (folder / "notes.txt").write_text("no table")
    outside = tmp_path / "secret.csv"
    outside.write_bytes(CSV)
    (folder / "link.csv").symlink_to(outside)
    assert ready.tables.offered(VIEWER) == ["big [1].parquet"]
    task = ready.runner.wait(ready.tables.pick(ANN, "big [1].parquet").id or 0, 60)
    assert task.status == TaskStatus.SUCCEEDED, task.error
    assert (folder / "big [1].parquet").exists()
    for name in ("link.csv", "../../secret.csv", "notes.txt", "none.csv"):
        with pytest.raises(NotFound):
            ready.tables.pick(ANN, name)


def test_who_may_what(ready: App) -> None:
    task, _ = brought(ready, "a.csv", CSV)
    table_id = task.result["id"]
    for bring in (
        lambda who: ready.tables.upload(who, "a.csv", io.BytesIO(CSV)),
        lambda who: ready.tables.pick(who, "a"),
    ):
        for who in (VIEWER, GUEST):
            with pytest.raises(Forbidden):
                bring(who)
    for look in (
        ready.tables.list,
        ready.tables.offered,
        ready.tables.running,
        lambda w: ready.tables.get(w, table_id),
    ):
        with pytest.raises(Forbidden):
            look(GUEST)
    with pytest.raises(Forbidden):
        ready.tables.remove(BOB, table_id)
    ready.tables.remove(ANN, table_id)
    assert ready.tables.list(VIEWER) == []
    with ready.database.session() as session:
        actions = [entry.action for entry in session.exec(select(AuditEntry)).all()]
    assert {"table.upload", "table.remove"} <= set(actions)


@pytest.mark.parametrize("table_id", ["", "../../x", "*", "0" * 16, "g" * 16])
def test_an_unknown_profile_is_said_to_be_gone(ready: App, table_id: str) -> None:
    with pytest.raises(NotFound):
        ready.tables.get(VIEWER, table_id)


def test_a_profile_that_was_damaged_is_said_to_be(ready: App) -> None:
    task, _ = brought(ready, "a.csv", CSV)
    next(ready.tables.kept.glob("*.json")).write_text('{"name":"a.csv"')
    with pytest.raises(NotFound, match="make it again"):
        ready.tables.get(VIEWER, task.result["id"])
