"""App data on both databases: fixtures that hand a test SQLite and a real PostgreSQL in turn."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import bcrypt
import psycopg
import pytest

from lib.auth import passwords
from lib.db.database import Database

INSTALL = "PostgreSQL is needed to test app data on it; install it with: apt-get install -y postgresql"


def _binaries() -> Path:
    found = [Path(shutil.which("initdb") or "").parent] if shutil.which("initdb") else []
    found += [Path(path).parent for path in sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))]
    assert found, INSTALL
    return found[-1]


def _someone_else() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The socket directory of a server of our own, without a TCP port."""
    binaries, other = _binaries(), _someone_else()
    home = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    if other:
        os.chown(home, other["user"], other["group"])  # type: ignore[arg-type]
    run = {
        "check": True,
        "capture_output": True,
        "cwd": home,
        "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"},
        **other,
    }
    data = home / "data"
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "autoops", "-A", "trust", "--no-sync", "-E", "UTF8"],
        **run,  # type: ignore[arg-type]
    )
    options = f"-k {home} -c listen_addresses='' -c fsync=off -c full_page_writes=off -c max_connections=60"
    subprocess.run(
        [binaries / "pg_ctl", "-D", data, "-o", options, "-w", "-l", home / "log", "start"],
        **{**run, "capture_output": False, "stdout": subprocess.DEVNULL},  # type: ignore[arg-type]
    )
    try:
        yield str(home)
    finally:
        subprocess.run([binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], **run)  # type: ignore[arg-type]
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> str:
    """The name of a migrated database to copy, which is quicker than migrating for each test."""
    with psycopg.connect(host=postgres_server, user="autoops", dbname="postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated")
    database = Database(f"postgresql+psycopg://autoops@/migrated?host={postgres_server}")
    database.migrate()
    database.close()
    return "migrated"


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "app.sqlite"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return path


@contextmanager
def _postgres_database(server: str, template: str) -> Iterator[str]:
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(host=server, user="autoops", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        yield f"postgresql+psycopg://autoops@/{name}?host={server}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """An empty database."""
    with _postgres_database(postgres_server, "template0") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, on each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'app.sqlite'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def open_database(database_url: str) -> Iterator[Callable[[], Database]]:
    """Opens the same database, as another process would; closed after the test."""
    opened: list[Database] = []

    def open_() -> Database:
        opened.append(Database(database_url))
        return opened[-1]

    yield open_
    for database in opened:
        database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Migrated and empty, on each kind in turn."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            path = shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "app.sqlite")
            url = f"sqlite:///{path}"
        else:
            server, template = (request.getfixturevalue(name) for name in ("postgres_server", "migrated_postgres"))
            url = stack.enter_context(_postgres_database(server, template))
        made = Database(url)
        stack.callback(made.close)
        yield made


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """bcrypt at its lowest cost, where not the hash is tried but what depends on it."""
    salt = bcrypt.gensalt
    monkeypatch.setattr(bcrypt, "gensalt", lambda rounds=12, prefix=b"2b": salt(4, prefix))
    monkeypatch.setattr(passwords, "NOBODY", bcrypt.hashpw(b"x", salt(4)).decode())
