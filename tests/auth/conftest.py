"""App data on both databases, and somebody in it."""

import pytest

from lib.db.database import Database
from lib.db.tables import User
from tests.databases import *  # noqa: F403


@pytest.fixture
def ann(database: Database) -> User:
    with database.session() as session:
        user = User(username="ann", password_hash="", role="analyst")
        session.add(user)
    return user
