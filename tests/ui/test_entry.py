"""The server's side of the app: a life that survives a bad start, and words for the unexpected."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from lib.errors import StoreCorrupt
from lib.ui import entry, runtime
from lib.ui.text import plain


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    entry.log.addHandler(handler)
    yield records
    entry.log.removeHandler(handler)


@pytest.fixture(autouse=True)
def a_port_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOOPS_PUBLIC_URL", "http://localhost:1")


class _App:
    stopped = False

    def stop(self) -> None:
        self.stopped = True


async def _live() -> None:
    async with entry.lifespan(None):
        pass


def test_the_app_is_built_with_the_server_and_stopped_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _App()
    monkeypatch.setattr(runtime, "app", lambda: made)
    asyncio.run(_live())
    assert made.stopped


def test_a_start_that_is_refused_leaves_the_server_up_to_say_why(
    monkeypatch: pytest.MonkeyPatch, logged: list[logging.LogRecord]
) -> None:
    def refuse() -> None:
        raise StoreCorrupt("The file is damaged; it was moved aside.")

    monkeypatch.setattr(runtime, "app", refuse)
    asyncio.run(_live())
    assert [(record.getMessage(), record.reason) for record in logged] == [
        ("not started", "The file is damaged; it was moved aside.")
    ]


def _page_of(error: str) -> AppTest:
    def script(error: str) -> None:
        from lib.errors import NotFound
        from lib.ui import entry

        raised = NotFound("There is no series 7.") if error == "expected" else KeyError("password=hunter2")
        assert entry.on_script_error(raised) is True

    return AppTest.from_function(script, args=(error,)).run()


def test_an_expected_error_is_shown_in_its_own_words() -> None:
    assert _page_of("expected").error[0].value == plain("There is no series 7.")


def test_an_unexpected_one_is_a_reference_to_the_log_and_no_detail(logged: list[logging.LogRecord]) -> None:
    page = _page_of("unexpected")
    assert "hunter2" not in page.error[0].value
    assert "KeyError" not in page.error[0].value
    assert logged[0].reference in page.error[0].value
    assert logged[0].exc_info


def test_secrets_do_not_reach_the_log_line(logged: list[logging.LogRecord]) -> None:
    from lib.log import JsonFormatter

    _page_of("unexpected")
    line = JsonFormatter().format(logged[0])
    assert json.loads(line)["event"] == "page failed"
    assert "hunter2" not in line


def test_answers_are_sent_at_once_by_the_socket_the_server_will_listen_on() -> None:
    """As Streamlit makes it, asyncio does not see that it is TCP; what it accepts would answer 40 ms late."""
    with socket.socket(socket.AF_INET) as made, socket.socket(socket.AF_INET) as other:
        made.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        entry._answer_at_once(made.getsockname()[1])
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        assert other.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        made.listen()
        with socket.create_connection(made.getsockname()) as _, made.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
