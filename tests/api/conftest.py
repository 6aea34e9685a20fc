"""The routes as the server mounts them, over a real App, called by a client without a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from lib.api import metrics, server
from lib.app import App
from lib.auth.actor import Role
from lib.db.tables import User


@pytest.fixture
def client(app: App) -> Iterator[TestClient]:
    web = Starlette(routes=server.routes(lambda: app), middleware=server.middleware(lambda: app.settings))
    with TestClient(web, raise_server_exceptions=False) as made:
        yield made


@pytest.fixture(autouse=True)
def fresh_counters() -> None:
    metrics.requests.cache_clear()


@pytest.fixture
def no_guests(app: App) -> None:
    app.settings.guests = False


@pytest.fixture
def user_of(app: App) -> Callable[[Role], int]:
    def make(role: Role) -> int:
        user = User(username=f"{role.name.lower()}-person", password_hash="", role=role.name.lower())
        with app.database.session() as session:
            session.add(user)
        assert user.id is not None
        return user.id

    return make


@pytest.fixture
def key_of(app: App, user_of: Callable[[Role], int]) -> Callable[[Role], str]:
    """key_of(Role.VIEWER): the text of a new key of a new person."""

    def make(role: Role) -> str:
        text, _ = app.administration.keys.create(user_of(role), "test", role, None)
        return text

    return make
