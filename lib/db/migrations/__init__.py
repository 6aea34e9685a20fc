"""Schema changes of app data, applied on start: all that are missing in one transaction, or none."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect

from lib.errors import StoreError

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

log = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent
VERSIONS = HERE / "versions"
# An advisory lock of PostgreSQL, the letters "AO": two processes do not migrate at the same time.
LOCK = 0x414F
# Far more than any migration takes; a database that hangs is then asked by `upgrade`, which has no end to wait for.
_APART_S = 300


def upgrade(engine: Engine, versions: Sequence[Path] = (VERSIONS,)) -> None:
    """Bring the schema to the newest revision. Killed at any step, the database holds the old schema or the new one.

    versions: folders of migrations; tests add one of their own.
    Raises StoreError when the data was written by a newer version of the app.
    """
    # An up-to-date start need not wait for Alembic's import (0.3 s).
    head = _head(versions)
    with engine.connect() as connection:
        if _revision(connection) == head:
            return
        _begin_alone(connection)
        try:
            current = _revision(connection)
            _run(connection, versions, current, head)
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        finally:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA foreign_keys=ON")
    log.info("app data migrated", extra={"from": current, "to": head})


def upgrade_apart(engine: Engine, url: str) -> None:
    """Do the same in a child process: Alembic and what it brings would stay with a long-lived one, 15 MB of it.

    To be followed by `upgrade`, which says why when the child could not.
    """
    with engine.connect() as connection:
        if _revision(connection) == _head((VERSIONS,)):
            return
    # The address may hold a password: it goes where no list of processes shows it.
    command = [sys.executable, "-m", __name__]
    try:
        done = subprocess.run(  # noqa: S603 (this program)
            command, input=url, text=True, cwd=HERE.parents[2], capture_output=True, timeout=_APART_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("migration apart failed", extra={"reason": type(error).__name__})
        return
    log.info("app data migrated apart", extra={"status": done.returncode})


def _head(versions: Sequence[Path]) -> str:
    """The newest revision: a file is called after its own."""
    return max(path.stem.split("_")[0] for folder in versions for path in folder.glob("[0-9]*.py"))


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _begin_alone(connection: Connection) -> None:
    """Start the one transaction, after any other process that is migrating."""
    connection.rollback()
    if connection.dialect.name == "sqlite":
        # Rebuilding a table would cascade into those that refer to it; checked as a whole before the commit.
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        # The driver begins a transaction before INSERT and its like, not before CREATE TABLE.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (LOCK,))


def _run(connection: Connection, versions: Sequence[Path], current: str | None, head: str) -> None:
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.util import CommandError

    script = script_directory(versions)
    try:
        steps = script._upgrade_revs(head, current or "base")
    except CommandError as error:
        raise StoreError(
            f"The app data is at revision {current}, which this version does not know (it knows up to {head}); "
            "start the newer version it was written by, or restore a backup."
        ) from error
    context = MigrationContext.configure(connection, opts={"fn": lambda *_: steps})
    with Operations.context(context):
        context.run_migrations()
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise StoreError(f"The migration to {head} would break {len(broken)} references; nothing was changed.")


def script_directory(versions: Sequence[Path] = (VERSIONS,)) -> ScriptDirectory:
    """The migrations as Alembic sees them."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(str(path) for path in versions).replace("%", "%%"))
    return ScriptDirectory.from_config(config)
