"""Schema changes: what Alembic builds is what the tables say, and a kill leaves the old schema or the new one."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel, select

from lib.db import learning_tables, migrations, tables  # noqa: F401 (learning tables count, too)
from lib.db.database import Database
from lib.errors import StoreError

ROOT = Path(__file__).resolve().parents[2]

# A later migration: a new column with a value moved into it, a new table, an index. More than one statement to die in.
LATER = """
import sqlalchemy as sa
from alembic import op
revision = "9001"
down_revision = "{head}"

def upgrade():
    op.add_column("users", sa.Column("nickname", sa.String(64), nullable=False, server_default=""))
    op.execute("UPDATE users SET nickname = 'was ' || username")
    op.create_table("teams", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(64)))
    op.create_index("ix_teams_name", "teams", ["name"])
    with op.batch_alter_table("users") as batch:
        batch.alter_column("role", new_column_name="rank")
"""

# Migrates, killed with SIGKILL before its n-th statement; one fork a step, so that Python starts once. Prints how
# many steps there were.
KILLER = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from lib.db.database import Database
from lib.db import migrations
import alembic.config, alembic.script, alembic.migration, alembic.operations

url, versions, check, stride = sys.argv[1], [Path(p) for p in sys.argv[2].split(",")], sys.argv[3], int(sys.argv[4])

def run(limit):
    database = Database(url)
    seen = 0
    def before(*_):
        nonlocal seen
        seen += 1
        if seen == limit:
            os.kill(os.getpid(), signal.SIGKILL)
    event.listen(database.engine, "before_cursor_execute", before)
    event.listen(database.engine, "commit", before)
    migrations.upgrade(database.engine, versions)
    os._exit(0)

def fork(work, *arguments):
    child = os.fork()
    if child == 0:
        try:
            work(*arguments)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

names = {}
exec(Path(check).read_text(), names)
step = 1
while True:
    assert fork(names["prepare"], url) == 0, f"prepare before step {step}"
    status = fork(run, step)
    if status == 0:
        break
    assert status == -signal.SIGKILL, f"step {step} ended with {status}"
    assert fork(names["check"], url) == 0, f"neither old nor new after a kill before statement {step}"
    step += stride
print(step)
"""

CHECK = """
from sqlalchemy import inspect, text
from lib.db.database import Database
from lib.db import migrations

def prepare(url):
    {wipe}
    {old}
    database.close()
    {keep}

def check(url):
    database = Database(url)
    with database.engine.connect() as connection:
        names = set(inspect(connection).get_table_names())
        revision = None
        if "alembic_version" in names:
            revision = connection.execute(text("select version_num from alembic_version")).scalar()
        if connection.dialect.name == "sqlite":
            assert connection.execute(text("pragma integrity_check")).scalar() == "ok"
        columns = {{c["name"] for c in inspect(connection).get_columns("users")}} if "users" in names else set()
    {expect}
    database.close()
"""
# Back to the old state before each step; for SQLite by copying a file, which is quicker than migrating.
WIPE = {
    "sqlite": """
    import glob, os, shutil
    path = url.removeprefix("sqlite:///")
    for part in glob.glob(path + "*"):
        part.endswith(".old") or os.unlink(part)
    if os.path.exists(path + ".old"):
        shutil.copy(path + ".old", path)
        return
    database = Database(url)""",
    "postgresql": """
    database = Database(url)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
        connection.commit()""",
}
KEEP = {"sqlite": "os.path.exists(path) and shutil.copy(path, path + '.old')", "postgresql": ""}
# PostgreSQL's own transactions hold schema changes; on SQLite it is our doing, so each single step is tried.
STRIDE = {"sqlite": 1, "postgresql": 6}


def _revisions() -> list[str]:
    return [path.stem.split("_")[0] for path in sorted(migrations.VERSIONS.glob("[0-9]*.py"))]


def _kill_at_each_step(url: str, versions: list[Path], old: str, expect: str, tmp_path: Path) -> int:
    check = tmp_path / "check.py"
    kind = url.split("+")[0].split(":")[0]
    check.write_text(CHECK.format(wipe=WIPE[kind], keep=KEEP[kind], old=old, expect=expect))
    result = subprocess.run(
        [sys.executable, "-c", KILLER, url, ",".join(map(str, versions)), str(check), str(STRIDE[kind])],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return int(result.stdout.split()[-1])


def test_migrated_schema_and_tables_are_equal(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_each_file_is_called_after_its_revision() -> None:
    script = migrations.script_directory()
    assert [revision.revision for revision in script.walk_revisions()][::-1] == _revisions()


def test_migrating_again_changes_nothing(database: Database) -> None:
    with database.session() as session:
        session.add(tables.User(username="ann", password_hash="", role="admin"))
    database.migrate()
    with database.session() as session:
        assert session.exec(select(tables.User)).one().username == "ann"


def test_foreign_keys_hold_after_a_migration(open_database: Callable[[], Database]) -> None:
    database = open_database()
    database.migrate()
    with pytest.raises(DBAPIError), database.session() as session:
        session.add(tables.ApiKey(name="k", prefix="ao_", key_hash="x", user_id=99, role="viewer"))


def test_processes_starting_together_migrate_once(open_database: Callable[[], Database]) -> None:
    failures: list[BaseException] = []
    databases = [open_database() for _ in range(4)]
    gate = threading.Barrier(len(databases))

    def start(database: Database) -> None:
        gate.wait()
        try:
            database.migrate()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(SQLModel.metadata.tables) < set(inspect(databases[0].engine).get_table_names())


def test_data_of_a_newer_version_is_left_alone_and_said(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'from_tomorrow'")
    with pytest.raises(StoreError, match="from_tomorrow.*newer version"):
        database.migrate()


def test_a_migration_that_raises_leaves_the_old_schema(database: Database, tmp_path: Path) -> None:
    (tmp_path / "9001_breaks.py").write_text(
        LATER.format(head=_revisions()[-1]) + "    raise RuntimeError('halfway')\n"
    )
    with pytest.raises(RuntimeError, match="halfway"):
        migrations.upgrade(database.engine, [migrations.VERSIONS, tmp_path])
    assert "teams" not in inspect(database.engine).get_table_names()
    assert "nickname" not in {column["name"] for column in inspect(database.engine).get_columns("users")}
    database.migrate()


def test_killed_at_each_step_of_the_first_migration_there_is_nothing_or_all_of_it(
    database_url: str, tmp_path: Path
) -> None:
    everything = sorted({*SQLModel.metadata.tables, "alembic_version"})
    steps = _kill_at_each_step(
        database_url,
        [migrations.VERSIONS],
        old="",
        expect=f"assert (names == set() and revision is None) or (names == set({everything}) and revision)",
        tmp_path=tmp_path,
    )
    assert steps > len(SQLModel.metadata.tables)


def test_killed_at_each_step_of_a_later_migration_the_data_is_as_before_or_after(
    database_url: str, tmp_path: Path
) -> None:
    later = tmp_path / "later"
    later.mkdir()
    (later / "9001_later.py").write_text(LATER.format(head=_revisions()[-1]))
    old = (
        "database.migrate()\n"
        "    with database.engine.begin() as c:\n"
        '        c.execute(text("insert into users (username, password_hash, role, disabled, created_at)"\n'
        "                       \" values ('ann', '', 'admin', false, '2026-01-01 00:00:00+00:00')\"))"
    )
    expect = (
        f"old = revision == {_revisions()[-1]!r} and not {{'nickname', 'rank'}} & columns and 'teams' not in names\n"
        "    new = revision == '9001' and {'nickname', 'rank'} <= columns and 'teams' in names\n"
        "    assert old or new, (revision, columns, names)\n"
        "    with database.engine.connect() as c:\n"
        "        assert c.execute(text('select username from users')).scalar() == 'ann'\n"
        "        if new: assert c.execute(text('select nickname from users')).scalar() == 'was ann'"
    )
    assert _kill_at_each_step(database_url, [migrations.VERSIONS, later], old, expect, tmp_path) > 6
