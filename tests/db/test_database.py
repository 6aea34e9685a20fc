"""The connection to app data: transactions, two writers, and files that cannot serve."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlmodel import select

from lib.db.database import Database
from lib.db.tables import Setting, User
from lib.errors import AppError, Invalid, StoreCorrupt, StoreReadOnly, Unavailable


def test_rows_stay_readable_after_the_session(database: Database) -> None:
    with database.session() as session:
        session.add(User(username="ann", password_hash="", role="viewer"))
    with database.session() as session:
        ann = session.exec(select(User)).one()
    assert (ann.username, ann.role, ann.created_at.utcoffset().total_seconds()) == ("ann", "viewer", 0)


def test_what_a_raising_block_wrote_is_gone(database: Database) -> None:
    with pytest.raises(RuntimeError), database.session() as session:
        session.add(Setting(key="a", value=1))
        session.flush()
        raise RuntimeError
    with database.session() as session:
        assert session.get(Setting, "a") is None


def test_read_then_write_loses_no_update_over_threads_and_processes(open_database: Callable[[], Database]) -> None:
    first, second = open_database(), open_database()  # engines of their own, as two processes have
    first.migrate()
    failures: list[BaseException] = []

    def count(database: Database) -> None:
        try:
            for _ in range(15):
                with database.exclusive("count") as session:
                    row = session.get(Setting, "n") or Setting(key="n", value=0)
                    row.value = row.value + 1
                    session.add(row)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=count, args=(database,)) for database in (first, second) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with first.session() as session:
        assert session.get(Setting, "n").value == 90


def test_sqlite_waits_for_the_disk_at_each_commit(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'app.sqlite'}")
    with database.engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    database.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def _filled(path: Path) -> None:
    database = Database(f"sqlite:///{path}")
    database.migrate()
    with database.session() as session:
        session.add_all([User(username=f"user{n}", password_hash="x" * 60, role="viewer") for n in range(200)])
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def _garbage(path: Path) -> None:
    path.write_bytes(b"this was a database once" * 400)


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for page in range(4096, len(content), 4096):
        content[page : page + 64] = bytes(byte ^ 0xFF for byte in content[page : page + 64])
    path.write_bytes(content)


def _truncated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("damage", [_garbage, _flipped, _truncated])
def test_a_damaged_file_is_moved_aside_and_the_next_start_works(damage: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    _filled(path)
    damage(path)
    damaged = path.read_bytes()
    database = Database(f"sqlite:///{path}")
    with pytest.raises(StoreCorrupt) as caught:
        database.migrate()
    database.close()
    aside = Path(str(caught.value.values["quarantine"]))
    assert aside.read_bytes() == damaged
    assert str(aside) in caught.value.message
    assert not path.exists()

    again = Database(f"sqlite:///{path}")
    again.migrate()
    with again.session() as session:
        assert session.exec(select(User)).all() == []
    again.close()


def _as_nobody(work: Callable[[], None]) -> int:
    """Runs `work` in a child without root's rights, which a read-only directory would not stop."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("there", ["nothing", "a database", "no directory"])
def test_a_read_only_directory_is_said(there: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    if there == "a database":
        _filled(folder / "app.sqlite")
    folder.chmod(0o555)
    for parent in tmp_path.parents[:3]:  # pytest keeps its directories to itself
        parent.chmod(0o755)
    tmp_path.chmod(0o755)
    path = folder / "deeper" / "app.sqlite" if there == "no directory" else folder / "app.sqlite"

    def work() -> None:
        with pytest.raises(StoreReadOnly) as caught:
            Database(f"sqlite:///{path}").migrate()
        assert str(path) in caught.value.message

    try:
        assert _as_nobody(work) == 0
    finally:
        folder.chmod(0o755)


def test_an_unreachable_server_is_said_without_the_password() -> None:
    database = Database("postgresql+psycopg://ann:hunter2secret@127.0.0.1:9/app?connect_timeout=2")
    with pytest.raises(Unavailable) as caught:
        database.migrate()
    database.close()
    assert "127.0.0.1:9/app" in caught.value.message
    assert "hunter2secret" not in caught.value.message


@pytest.mark.parametrize("url", ["nonsense", "oracle://u:geheim@h/d", "postgresql+nope://u:geheim@h/d"])
def test_an_address_of_something_else_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(AppError) as caught:
        Database(url)
    assert isinstance(caught.value, Invalid)
    assert "geheim" not in caught.value.message
