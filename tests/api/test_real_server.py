"""The server as people start it: one process, a browser, a scraper."""

from __future__ import annotations

import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Page, Request

from benchmarks.browser import Server, chromium, serve


def serving(folder: Path) -> AbstractContextManager[Server]:
    return serve(
        folder,
        command=("-m", "lib", "serve", "--address", "localhost"),
        AUTOOPS_DEMO="false",
        AUTOOPS_LOG_LEVEL="DEBUG",
        DATABASE_URL="",
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as made:
        yield made


@pytest.fixture
def page() -> Iterator[Page]:
    with chromium() as browser:
        yield browser.new_page()


def test_pages_and_documentation_work_under_the_content_policy(server: Server, page: Page) -> None:
    errors: list[str] = []
    asked: set[str] = set()

    def note_error(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    def note_request(request: Request) -> None:
        if request.url.startswith("http"):
            asked.add(request.url.split("/")[2])

    page.on("console", note_error)
    page.on("request", note_request)
    page.goto(f"{server.url}/api/docs")
    page.wait_for_selector("#operations-Observe-anomalies_v1_anomalies_get", timeout=15_000)
    page.goto(server.url)
    page.wait_for_selector("[data-testid=stApp] button", timeout=15_000)
    assert errors == []
    assert asked == {server.url.removeprefix("http://")}


def test_every_kind_of_answer_carries_the_headers(server: Server) -> None:
    for path in ("/", "/explore", "/favicon.png", "/_stcore/health", "/health", "/metrics", "/api/docs", "/api/none"):
        try:
            headers = urllib.request.urlopen(f"{server.url}{path}", timeout=10).headers
        except urllib.error.HTTPError as error:
            headers = error.headers
        assert "frame-ancestors 'self'" in headers["Content-Security-Policy"], path
        assert headers["X-Content-Type-Options"] == "nosniff", path


def test_promtool_accepts_the_running_servers_metrics(server: Server) -> None:
    text = urllib.request.urlopen(f"{server.url}/metrics", timeout=10).read()
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, b"")
    assert b"autoops_samples 0.0" in text


def test_a_key_in_an_address_reaches_no_log(server: Server) -> None:
    key = "ao_" + "k" * 43
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(f"{server.url}/api/v1/status?api_key={key}", timeout=10)
    assert key not in server.log.read_text()


def test_it_leaves_when_told_to(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) in (0, -signal.SIGTERM)
