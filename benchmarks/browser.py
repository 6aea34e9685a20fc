"""A real server and a real browser, for benchmarks and end-to-end tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
ADMIN, PASSWORD = "admin", "correct horse battery staple"
# Without these a headless Chromium looks for updates and sync servers.
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """url: without a trailing slash. healthy_s: from starting the process to the first healthy answer."""

    url: str
    process: subprocess.Popen[bytes]
    healthy_s: float
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def serve(
    data_dir: Path, *, script: str = "Home.py", command: Sequence[str] = (), **environment: str
) -> Iterator[Server]:
    """The app as a newcomer starts it, on a free port with its own data directory; ended on leaving.

    command: arguments of Python that start it another way; `--port` and the port are added.
    """
    port = free_port()
    url = f"http://localhost:{port}"
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir / "server.log"
    variables = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("AUTOOPS_", "GEMINI_", "GOOGLE_", "OPENAI_"))},
        "AUTOOPS_DATA_DIR": str(data_dir),
        "AUTOOPS_MODELS_DIR": str(data_dir / "models"),
        "AUTOOPS_PUBLIC_URL": url,
        "AUTOOPS_ADMIN_PASSWORD": PASSWORD,
        **environment,
    }
    streamlit = ("-m", "streamlit", "run", script, "--server.headless", "true", "--server.port")
    arguments = [*command, "--port"] if command else streamlit
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments, str(port)],
            cwd=ROOT,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while not _healthy(url):
            if process.poll() is not None or time.perf_counter() - began > 90:
                raise RuntimeError(f"The server did not become healthy:\n{log.read_text()[-4000:]}")
            time.sleep(0.02)
        yield Server(url, process, time.perf_counter() - began, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's headless Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium")
    if executable is None:
        raise RuntimeError("Chromium is not installed; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def sign_in(page: Page, url: str, path: str = "/") -> None:
    """As the administrator `serve` makes; returns once the navigation is there."""
    page.goto(url + path)
    page.get_by_label("User name").fill(ADMIN)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_test_id("stSidebarNav").wait_for(timeout=20_000, state="attached")
    # The session is kept by a cookie that the page fetches; before it is there, a reload would ask again.
    deadline = time.monotonic() + 20
    while not any(cookie.get("httpOnly") for cookie in page.context.cookies()):
        if time.monotonic() > deadline:
            raise RuntimeError("Signing in left no cookie.")
        page.wait_for_timeout(50)


def ask(page: Page, address: str) -> Any:
    """What the API answers to this page's session.

    The server closes a connection after 5 s without a request; one that crosses the close is reset, and asked again.
    """
    answer = page.request.get(address, max_retries=3)
    if not answer.ok:
        raise RuntimeError(f"{address}: {answer.status} {answer.text()}")
    return answer.json()


def settle(page: Page, timeout_s: float = 30) -> None:
    """Until the script has run and nothing on the page is stale or loading."""
    page.wait_for_function(
        """() => {
            const app = document.querySelector('[data-testid="stApp"]');
            return app && app.getAttribute('data-test-script-state') === 'notRunning'
                && !document.querySelector('[data-testid="stSkeleton"], [data-stale="true"]');
        }""",
        timeout=timeout_s * 1000,
    )
