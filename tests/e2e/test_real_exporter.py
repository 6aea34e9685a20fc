"""A real node exporter, scraped by a real Prometheus, shows up in Explore."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.browser import ask, serve, settle, sign_in
from benchmarks.prometheus import scraping_an_exporter

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SCRAPE_S, COLLECT_S = 1, 5


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    with scraping_an_exporter(tmp_path, SCRAPE_S, "{host: here}") as url:
        yield url


def _scraped(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query?query=node_load1", timeout=2) as answer:
            return b'"value"' in answer.read()
    except OSError:
        return False


def test_a_scraped_host_shows_up_in_explore_within_two_intervals(
    browser: Browser, prometheus: str, tmp_path: Path
) -> None:
    deadline = time.monotonic() + 60
    while not _scraped(prometheus):
        assert time.monotonic() < deadline, "Prometheus did not scrape the exporter."
        time.sleep(0.2)
    settings = {"AUTOOPS_PROMETHEUS_URL": prometheus, "AUTOOPS_COLLECT_INTERVAL_S": str(COLLECT_S)}
    with serve(tmp_path / "data", **settings) as server:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        sign_in(page, server.url)
        deadline = time.monotonic() + 2 * COLLECT_S
        while not ask(page, f"{server.url}/api/v1/metrics")["items"]:
            assert time.monotonic() < deadline, server.log.read_text()[-2000:]
            time.sleep(0.2)
        page.goto(f"{server.url}/explore?metric=node_load1&range=15m")
        page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=20_000)
        settle(page)
        assert "here" in page.inner_text("body")
        page.close()
