"""Brings the database whose address comes by standard input to the newest revision: see `upgrade_apart`."""

from __future__ import annotations

import sys

from lib.db.database import Database
from lib.db.migrations import upgrade

if __name__ == "__main__":
    upgrade(Database(sys.stdin.read().strip()).engine)
