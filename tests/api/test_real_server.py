"""The server as people start it: one process, a browser, a scraper."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Page, Request, sync_playwright

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Its address and process; its log is folder/log."""
    port = free_port()
    environment = os.environ | {
        "AUTOOPS_DATA_DIR": str(folder / "data"),
        "AUTOOPS_MODELS_DIR": str(folder / "models"),
        "AUTOOPS_DEMO": "false",
        "AUTOOPS_ADMIN_PASSWORD": "correct horse battery",
        "AUTOOPS_LOG_LEVEL": "DEBUG",
        "DATABASE_URL": "",
    }
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "lib", "serve", "--address", "127.0.0.1", "--port", str(port)],
        cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    base = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 25
        while True:
            try:
                urllib.request.urlopen(f"{base}/health", timeout=5)
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, (folder / "log").read_text()
                time.sleep(0.1)
        yield base, process
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    with serving(folder) as (base, _):
        yield base


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser.new_page()
        browser.close()


def test_pages_and_documentation_work_under_the_content_policy(server: str, page: Page) -> None:
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
    page.goto(f"{server}/api/docs")
    page.wait_for_selector("#operations-Observe-anomalies_v1_anomalies_get", timeout=15_000)
    page.goto(server)
    page.wait_for_selector("[data-testid=stApp] button", timeout=15_000)
    assert errors == []
    assert asked == {server.removeprefix("http://")}


def test_every_kind_of_answer_carries_the_headers(server: str) -> None:
    for path in ("/", "/explore", "/favicon.png", "/_stcore/health", "/health", "/metrics", "/api/docs", "/api/none"):
        try:
            headers = urllib.request.urlopen(f"{server}{path}", timeout=10).headers
        except urllib.error.HTTPError as error:
            headers = error.headers
        assert "frame-ancestors 'self'" in headers["Content-Security-Policy"], path
        assert headers["X-Content-Type-Options"] == "nosniff", path


def test_promtool_accepts_the_running_servers_metrics(server: str) -> None:
    text = urllib.request.urlopen(f"{server}/metrics", timeout=10).read()
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, b"")
    assert b"autoops_samples 0.0" in text


def test_a_key_in_an_address_reaches_no_log(server: str, folder: Path) -> None:
    key = "ao_" + "k" * 43
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(f"{server}/api/v1/status?api_key={key}", timeout=10)
    assert key not in (folder / "log").read_text()


def test_it_leaves_when_told_to(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, process):
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
