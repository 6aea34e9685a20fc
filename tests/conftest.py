"""Parts every test may use: a fake clock, an app over real files in tmp_path, pages run alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis
import pytest
from sqlmodel import select

from lib.app import App, build
from lib.auth.actor import Role
from lib.db.tables import User
from lib.settings import LlmMode, Settings

# A busy machine is no fault of a test.
hypothesis.settings.register_profile("house", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("house")
ROOT = Path(__file__).resolve().parent.parent


class FakeClock:
    """A clock that moves only when told."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 3, 14, 12, 0, tzinfo=UTC))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Nothing configured, no demo, nothing from the environment that would reach out."""
    return Settings(
        data_dir=tmp_path / "data",
        models_dir=tmp_path / "models",
        demo=False,
        database_url="",
        llm_mode=LlmMode.OFFLINE,
        admin_password="correct horse battery",
        log_level="WARNING",
    )


@pytest.fixture
def app(settings: Settings, clock: FakeClock) -> Iterator[App]:
    """Wired, not started: no threads, no schedule."""
    made = build(settings, clock)
    yield made
    made.stop()


def signed_in(app: App, role: Role) -> str:
    """The session token of a user with this role, made on first use."""
    name = role.name.lower()
    with app.database.session() as session:
        user = session.exec(select(User).where(User.username == name)).first()
        if user is None:
            user = User(username=name, password_hash="", role=name)
            session.add(user)
            session.flush()
        user_id = user.id
    return app.administration.sessions.open(user_id)


@pytest.fixture
def open_page(app: App, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """open_page("pages/observe/explore.py", role=Role.VIEWER) runs one page alone; role=None is a stranger,
    role="guest" someone looking around."""
    from streamlit.runtime.context import ContextProxy
    from streamlit.testing.v1 import AppTest

    from lib.ui import runtime

    monkeypatch.setattr(runtime, "app", lambda: app)
    # Without a server AppTest answers each question about the browser with a mock, which is true and no cookie.
    for name, value in (("cookies", {}), ("headers", {}), ("ip_address", None)):
        monkeypatch.setattr(ContextProxy, name, value)

    def open_(path: str, role: object = None, query: dict[str, str] | None = None, timeout: float = 30) -> AppTest:
        page = AppTest.from_file(str(ROOT / path), default_timeout=timeout)
        for key, value in (query or {}).items():
            page.query_params[key] = value
        if role == "guest":
            page.session_state["guest"] = True
        elif role is not None:
            page.session_state["session_token"] = signed_in(app, role)
        return page.run()

    return open_
