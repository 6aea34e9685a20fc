"""A copy of the whole store as of one moment, for backups."""

from __future__ import annotations

from pathlib import Path

from lib.errors import StoreError
from lib.store import quarantine
from lib.store.connection import Store


def copy(store: Store, target: Path) -> None:
    """Copy everything into a new file, while reading and writing go on. Archived days stay where they are.

    Raises StoreError when the copy could not be made; a half-made one is removed.
    """
    if target.exists():
        raise StoreError(f"{target} exists; choose a name that is free.")
    name = str(target).replace("'", "''")
    try:
        with store.read(archived=False) as cursor:
            cursor.execute(f"ATTACH '{name}' AS copy")
            try:
                here = cursor.execute("SELECT current_database()").fetchall()[0][0].replace('"', '""')
                cursor.execute(f'COPY FROM DATABASE "{here}" TO copy')
            finally:
                cursor.execute("DETACH copy")
    except BaseException:
        for file in quarantine.beside(target):
            file.unlink(missing_ok=True)
        raise
